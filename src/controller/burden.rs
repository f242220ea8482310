//! How much one autoscaler takes of what all share. One that takes too much becomes slow, and nobody else does.
//!
//! Kubernetes bounds neither the metrics of an autoscaler nor its pods: an object of etcd's 1.5 MiB holds some thousand
//! metrics, and a selector may pick every pod of a namespace.

use parking_lot::Mutex;
use rustc_hash::FxHashSet;
use tracing::{info, warn};

use super::places::{Place, Places};
use crate::observe::{FailureKind, MetricFailure, Pod, Reading};
use crate::spec::{Key, Spec};

/// How many metrics of one autoscaler are asked for at once. Questions to a source are asked in the order in which they come, so
/// that one with a thousand metrics takes no more than this many turns before another's.
pub(super) const METRICS_AT_ONCE: usize = 16;

/// The weight up to which a sync is one among others: some 20 ms for what is joined and decided. 20,000 pods of two containers
/// with three metrics have 180,000.
const LIGHT: usize = 200_000;

/// How many samples one sync reads at most, of some 50 bytes each; what goes beyond fails. One heavy sync runs at a time, so
/// this is 200 MB in all. 50,000 pods with 80 metrics; a tenth in tests, which are built without optimization.
const SAMPLES: usize = if cfg!(test) { 400_000 } else { 4_000_000 };

/// The pods that a decision looks at, with each of their containers, for each metric.
pub(super) fn weight(spec: &Spec, pods: &[Pod]) -> usize {
    let of_pod = |pod: &Pod| pod.requests.containers.len().saturating_add(1);
    let of_pods = pods.iter().fold(0usize, |sum, pod| sum.saturating_add(of_pod(pod)));
    of_pods.saturating_mul(spec.metrics.len())
}

/// The samples that a heavy sync may still read.
#[derive(Debug)]
pub(super) struct SamplesLeft(usize);

impl Default for SamplesLeft {
    fn default() -> Self {
        Self(SAMPLES)
    }
}

impl SamplesLeft {
    /// A metric that gives a sample for each of so many pods; a failure where that is too much.
    pub(super) fn take(&mut self, pods: usize) -> Result<(), Reading> {
        match self.0.checked_sub(pods.max(1)) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => Err(Reading::Failed(MetricFailure::new(
                FailureKind::OverBudget,
                format!(
                    "the metrics before it have {SAMPLES} samples together, the most that are read for one autoscaler"
                ),
            ))),
        }
    }
}

/// The lane of heavy syncs: one at a time, aside from the others.
#[derive(Debug)]
pub(super) struct HeavyLane {
    place: Places,
    /// Those that were heavy when they were synced last.
    known: Mutex<FxHashSet<Key>>,
}

impl Default for HeavyLane {
    fn default() -> Self {
        Self {
            place: Places::new(1),
            known: Mutex::default(),
        }
    }
}

impl HeavyLane {
    /// Waits for the one place where the autoscaler weighs too much for a sync among others; `None` where it does not.
    pub(super) async fn enter(&self, spec: &Spec, pods: &[Pod], turn: u64) -> Option<Place> {
        let weight = weight(spec, pods);
        if weight <= LIGHT {
            let mut known = self.known.lock();
            if !known.is_empty() && known.remove(&spec.key) {
                info!(hpa = %spec.key, "Its syncs are as small as others again");
            }
            return None;
        }
        if self.known.lock().insert(spec.key.clone()) {
            let (hpa, metrics, pods) = (&spec.key, spec.metrics.len(), pods.len());
            warn!(%hpa, metrics, pods, "Its syncs are so large that they wait for one another, apart from all others");
        }
        // Whoever runs several syncs one after the other goes on with the next.
        tokio::task::yield_now().await;
        Some(self.place.take(turn).await)
    }

    /// The autoscaler is gone.
    pub(super) fn forget(&self, key: &Key) {
        self.known.lock().remove(key);
    }

    /// How many autoscalers are heavy.
    pub(super) fn len(&self) -> usize {
        self.known.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::observe::{ContainerKind, ContainerRequests, PodPhase, PodRequests, ResourceList};
    use crate::spec::ManifestOptions;

    fn spec(metrics: usize) -> Spec {
        let metric = serde_json::json!({"type": "External",
            "external": {"metric": {"name": "queue"}, "target": {"type": "Value", "value": "1"}}});
        let object = serde_json::json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                "maxReplicas": 3, "metrics": vec![metric; metrics]},
        });
        Spec::from_manifest(&object, &ManifestOptions::default()).unwrap()
    }

    fn pods(count: usize, containers: usize) -> Vec<Pod> {
        let container = ContainerRequests {
            name: "main".into(),
            kind: ContainerKind::Main,
            requests: ResourceList::default(),
        };
        let requests = Arc::new(PodRequests {
            containers: vec![container; containers],
            ..PodRequests::default()
        });
        let pod = |n| Pod {
            name: format!("web-{n}").into(),
            phase: PodPhase::Running,
            terminating: false,
            ready: None,
            started: None,
            requests: requests.clone(),
        };
        (0..count).map(pod).collect()
    }

    #[test]
    fn pods_containers_and_metrics_weigh() {
        assert_eq!(weight(&spec(3), &pods(20_000, 2)), 180_000);
        assert!(
            weight(&spec(1), &pods(25, 10_000)) > LIGHT,
            "pods of ten thousand containers"
        );
        assert!(weight(&spec(1000), &pods(150, 1)) > LIGHT, "a thousand metrics");
        assert!(
            weight(&spec(1), &pods(50_000, 2)) <= LIGHT,
            "a large workload as people have it"
        );
        assert_eq!(weight(&spec(1000), &[]), 0);
    }

    #[tokio::test]
    async fn heavy_syncs_wait_for_one_another_and_light_ones_do_not() {
        let (lane, heavy, light) = (HeavyLane::default(), pods(150, 1), pods(2, 1));
        let first = lane.enter(&spec(1000), &heavy, 1).await;
        assert!(first.is_some());
        assert_eq!(lane.len(), 1);
        let (other, few) = (spec(1000), spec(1));
        let mut second = std::pin::pin!(lane.enter(&other, &heavy, 2));
        for _ in 0..10 {
            tokio::task::yield_now().await;
            assert!(futures_util::poll!(second.as_mut()).is_pending());
        }
        drop(first);
        assert!(second.await.is_some());
        assert!(lane.enter(&few, &light, 3).await.is_none());
        assert_eq!(lane.len(), 0, "it is light again");
    }

    #[test]
    fn samples_beyond_the_bound_are_not_read() {
        let mut left = SamplesLeft::default();
        let read = (0..1000).filter(|_| left.take(50_000).is_ok()).count();
        assert_eq!(read, SAMPLES / 50_000);
    }
}
