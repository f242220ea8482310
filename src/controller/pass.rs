//! One round over all autoscalers that are due: what it asks, and who takes part.

use std::sync::Arc;

use super::Context;
use crate::cluster::Cluster;
use crate::metrics::resource::{Labels, Subject};
use crate::metrics::sources::{KnownPods, MetricPass, Participant};
use crate::spec::Key;

/// The questions of a pass over these autoscalers. Nothing is asked before a sync waits for an answer.
pub(super) fn questions(cx: &Context, due: &[Key], subject: Option<Subject>) -> Arc<MetricPass> {
    let participants: Vec<Participant> = due.iter().filter_map(|key| participant(cx, key)).collect();
    let pods = Arc::new(CachedPods(cx.cluster.clone()));
    let answers = cx.sources.pass(&participants, &pods, cx.clock.now());
    answers.watch(subject);
    Arc::new(answers)
}

fn participant(cx: &Context, key: &Key) -> Option<Participant> {
    let autoscaler = cx.cluster.autoscalers.get(key)?;
    let spec = autoscaler.spec.as_ref().ok()?.clone();
    // An estimate is enough, and selecting the pods of each autoscaler once more is not free.
    let pods = usize::try_from(autoscaler.status.current_replicas).unwrap_or(0);
    Some(Participant { spec, pods })
}

/// The pods as their watch shows them.
struct CachedPods(Arc<Cluster>);

impl KnownPods for CachedPods {
    fn count_in(&self, namespace: &str) -> usize {
        self.0.pods.len_of(namespace)
    }

    fn count_in_cluster(&self) -> Option<usize> {
        self.0.pods_in_cluster()
    }

    fn has(&self, namespace: &str, name: &str) -> bool {
        self.0.pods.contains(namespace, name)
    }

    fn each_with_labels(&self, namespace: &str, labels: &Labels, each: &mut dyn FnMut(&str)) {
        self.0.pods.each_with_labels(namespace, labels, each);
    }
}
