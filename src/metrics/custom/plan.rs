//! Whom to ask together: which Pods metrics one question about all pods of a namespace answers for less.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::selector::Selector;
use crate::spec::MetricIdentifier;

/// What one more request costs, in pods that one request for all would list in vain. An adapter looks up the pods of
/// each request and asks its own source about them: some ten milliseconds, in which it also lists so many.
pub(super) const PODS_PER_REQUEST: usize = 500;

/// A Pods metric of a namespace, whichever of its pods are asked about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodsMetric {
    pub(super) namespace: Arc<str>,
    pub(super) name: Arc<str>,
    /// The metric's own selector, not that of pods.
    pub(super) selector: Selector,
}

impl PodsMetric {
    /// The metric of `namespace` that `metric` names; `None` where its selector does not convert, so that nobody asks for it.
    pub fn new(namespace: &Arc<str>, metric: &MetricIdentifier) -> Option<Self> {
        Some(Self {
            namespace: namespace.clone(),
            name: metric.name.clone(),
            selector: metric.selector.as_ref().ok()?.clone(),
        })
    }
}

/// Who wants which Pods metric in a pass.
#[derive(Clone, Debug, Default)]
pub struct CustomPlan {
    wanted: FxHashMap<PodsMetric, Wanted>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Wanted {
    autoscalers: usize,
    pods: usize,
}

impl CustomPlan {
    /// One more autoscaler, of about so many pods, wants `metric`.
    pub fn add(&mut self, metric: PodsMetric, pods: usize) {
        let wanted = self.wanted.entry(metric).or_default();
        wanted.autoscalers += 1;
        wanted.pods = wanted.pods.saturating_add(pods);
    }

    /// How many metrics are wanted.
    pub fn len(&self) -> usize {
        self.wanted.len()
    }

    /// Whether none is wanted.
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// The metrics for which one question about all pods of the namespace costs less than one for each autoscaler: it saves
    /// requests, and costs the pods that nobody asks about. `pods_of(namespace)` is how many there are.
    pub(super) fn shared(&self, pods_of: impl Fn(&str) -> usize) -> FxHashSet<PodsMetric> {
        let costs_less = |metric: &PodsMetric, wanted: &Wanted| {
            let in_vain = pods_of(&metric.namespace).saturating_sub(wanted.pods);
            let saved_requests = wanted.autoscalers.saturating_sub(1);
            saved_requests > 0 && in_vain < saved_requests.saturating_mul(PODS_PER_REQUEST)
        };
        let shared = self.wanted.iter().filter(|(metric, wanted)| costs_less(metric, wanted));
        shared.map(|(metric, _)| metric.clone()).collect()
    }
}
