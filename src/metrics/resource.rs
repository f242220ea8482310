//! Resource metrics: what the containers of pods use, as `metrics.k8s.io` answers it.
//!
//! One answer holds a whole namespace, or the whole cluster; [`Usages`] is that answer, sorted by namespace and found
//! by pod name, so that each autoscaler's join touches its own pods only.

mod build;
mod decode;
mod freshness;
mod join;
mod protobuf;
mod source;
mod under_way;
mod usages;

use std::sync::Arc;

use rustc_hash::FxHashMap;

pub use super::decode::DecodeError;
pub use freshness::{Shown, Subject};
pub use join::reading;
pub use protobuf::PodMetricsReader;
pub use source::{ANSWER_BYTES, KnownByLabels, Plan, ResourceMetricsSource, ResourcePass};
pub use usages::NamespaceUsages;

/// Labels, sorted by key. Shared by all pods that carry the same ones.
pub type Labels = [(Arc<str>, Arc<str>)];

/// The usages of all pods of an answer, by namespace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usages {
    by_namespace: FxHashMap<Arc<str>, Arc<NamespaceUsages>>,
}

impl Usages {
    /// Reads a `PodMetricsList` of `metrics.k8s.io/v1beta1` in JSON. [`PodMetricsReader`] reads one in protobuf.
    ///
    /// # Errors
    /// Where the text is not such a list, or one of its quantities, times or windows cannot be read.
    pub fn decode(text: &str) -> Result<Self, DecodeError> {
        decode::pod_metrics_list(text)
    }

    /// The usages of a namespace's pods; empty where the answer has none.
    pub fn of(&self, namespace: &str) -> Arc<NamespaceUsages> {
        self.by_namespace.get(namespace).cloned().unwrap_or_default()
    }

    /// How many pods the answer holds, over all namespaces.
    pub fn len(&self) -> usize {
        self.by_namespace.values().map(|usages| usages.len()).sum()
    }

    /// Whether the answer holds no pod.
    pub fn is_empty(&self) -> bool {
        self.by_namespace.is_empty()
    }

    /// Compares each usage with the pods that are known, once for all autoscalers that will be joined.
    ///
    /// `known(namespace, labels, each)` hands the names of the pods that have exactly these labels to `each`, sorted, of
    /// the pods from which the autoscalers' own are selected. It is called once for each set of labels, not for each pod.
    /// Only the usages whose names it does not give can be strangers to an autoscaler, so only they are looked at again in
    /// each join. Without this call every usage of the namespace is looked at: slower, and the same result.
    pub fn mark_strangers(&mut self, known: impl Fn(&str, &Labels, &mut dyn FnMut(&str))) {
        for (namespace, usages) in &mut self.by_namespace {
            Arc::make_mut(usages).mark_strangers(|labels, each| known(namespace, labels, each));
        }
    }
}
