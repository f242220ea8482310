//! Resource metrics: what the containers of pods use, as `metrics.k8s.io` answers it.
//!
//! One answer holds a whole namespace, or the whole cluster; [`Usages`] is that answer, sorted by namespace and found
//! by pod name, so that each autoscaler's join touches its own pods only.

mod decode;
mod freshness;
mod join;
mod source;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rustc_hash::FxHashMap;

use crate::observe::ResourceList;

pub use super::decode::DecodeError;
pub use freshness::{Shown, Subject};
pub use join::reading;
pub use source::{ANSWER_BYTES, IsKnownPod, Plan, ResourceMetricsSource, ResourcePass};

/// Labels, sorted by key. Shared by all pods that carry the same ones.
pub type Labels = [(Arc<str>, Arc<str>)];

/// What one pod used.
#[derive(Clone, Debug, PartialEq)]
pub struct PodUsage {
    /// The pod's name.
    pub name: Arc<str>,
    /// The pod's labels as the metrics server last saw them, sorted by key. Kubernetes selects by these.
    pub labels: Arc<Labels>,
    /// When it was measured; `None` where the answer does not say.
    pub at: Option<Timestamp>,
    /// The time before `at` that was measured.
    pub window: SignedDuration,
    /// What each container used, each amount rounded up to milli by itself; may be empty.
    pub containers: Box<[ContainerUsage]>,
}

/// What one container used.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerUsage {
    /// The container's name.
    pub name: Arc<str>,
    /// The amounts by resource.
    pub usage: ResourceList,
}

/// The usages of all pods of an answer, by namespace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usages {
    by_namespace: FxHashMap<Arc<str>, Arc<NamespaceUsages>>,
}

impl Usages {
    /// Reads a `PodMetricsList` of `metrics.k8s.io/v1beta1`.
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
        self.by_namespace.values().map(|usages| usages.items.len()).sum()
    }

    /// Whether the answer holds no pod.
    pub fn is_empty(&self) -> bool {
        self.by_namespace.is_empty()
    }

    /// Compares each usage with the pods that are known, once for all autoscalers that will be joined.
    ///
    /// `is_known_pod(namespace, name, labels)` says whether there is a pod of this name with exactly these labels, among
    /// the pods from which the autoscalers' own are selected. Only the usages for which it says no can be strangers to
    /// an autoscaler, so only they are looked at again in each join. Without this call every usage of the namespace
    /// is looked at: slower, and the same result.
    pub fn mark_strangers(&mut self, is_known_pod: impl Fn(&str, &str, &Labels) -> bool) {
        for (namespace, usages) in &mut self.by_namespace {
            let usages = Arc::make_mut(usages);
            let known = |usage: &PodUsage| is_known_pod(namespace, &usage.name, &usage.labels);
            usages.possible_strangers = (0..usages.items.len())
                .filter(|&at| !known(&usages.items[at]))
                .collect();
        }
    }
}

/// The usages of one namespace's pods, found by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NamespaceUsages {
    /// In the answer's order.
    items: Vec<PodUsage>,
    /// The last item of each name.
    by_name: FxHashMap<Arc<str>, usize>,
    /// From an item to the one before it with the same name; empty unless the answer has a name twice.
    earlier: FxHashMap<usize, usize>,
    /// The items that may belong to no pod of an autoscaler though its selector picks them; see [`Usages::mark_strangers`].
    possible_strangers: Vec<usize>,
}

impl NamespaceUsages {
    fn push(&mut self, usage: PodUsage) {
        let at = self.items.len();
        if let Some(before) = self.by_name.insert(usage.name.clone(), at) {
            self.earlier.insert(at, before);
        }
        self.possible_strangers.push(at);
        self.items.push(usage);
    }

    /// The items under a name, the last one first.
    fn named(&self, name: &str) -> impl Iterator<Item = &PodUsage> {
        let last = self.by_name.get(name).copied();
        std::iter::successors(last, |at| self.earlier.get(at).copied()).map(|at| &self.items[at])
    }
}
