//! The questions of one sync: what each of its metrics is at this moment.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio::time::Instant;

use super::Context;
use super::burden::{METRICS_AT_ONCE, SamplesLeft};
use super::gather::{in_time, resource_of};
use crate::metrics::sources::MetricPass;
use crate::observe::{Pod, Reading};
use crate::selector::Selector;
use crate::spec::{MetricSource, MetricSpec, Spec};

/// What a sync asks for.
pub(super) struct Questions<'a> {
    pub(super) cx: &'a Context,
    pub(super) answers: &'a MetricPass,
    pub(super) spec: &'a Spec,
    /// Which pods, and these.
    pub(super) selector: &'a Selector,
    pub(super) pods: &'a [Pod],
    pub(super) began: Instant,
    /// What has no answer by then has failed.
    pub(super) until: Instant,
}

impl Questions<'_> {
    /// A reading for each metric, and how long it took.
    pub(super) async fn answered(&self) -> (Vec<Reading>, Vec<Duration>) {
        // All at once, so that a source that is slow does not add to the others; but for those with many.
        let turns = Semaphore::new(METRICS_AT_ONCE);
        let questions = self.spec.metrics.iter().map(|metric| async {
            let _turn = turns.acquire().await;
            self.ask(metric).await
        });
        join_all(questions).await.into_iter().unzip()
    }

    /// The same for a sync that is heavy: one after the other, each giving way to other syncs, and no more than is bearable.
    pub(super) async fn answered_slowly(&self) -> (Vec<Reading>, Vec<Duration>) {
        let mut left = SamplesLeft::default();
        let (mut readings, mut waited) = (Vec::new(), Vec::new());
        for metric in &self.spec.metrics {
            yield_now().await;
            let samples = match metric.source {
                MetricSource::Object { .. } | MetricSource::External { .. } => 1,
                _ => self.pods.len(),
            };
            let (reading, took) = match left.take(samples) {
                Ok(()) => self.ask(metric).await,
                Err(failed) => (failed, self.began.elapsed()),
            };
            readings.push(reading);
            waited.push(took);
        }
        (readings, waited)
    }

    async fn ask(&self, metric: &MetricSpec) -> (Reading, Duration) {
        let namespace = &self.spec.key.namespace;
        let described = resource_of(self.cx.cluster.targets.discovery(), &metric.source);
        let reading = self
            .answers
            .reading(namespace, &metric.source, self.selector, self.pods, described);
        (in_time(reading, self.until).await, self.began.elapsed())
    }
}
