//! What Kubernetes' autoscaler exports, under its names, so that dashboards and alerts go on working.
//!
//! Source: Kubernetes v1.36 `podautoscaler/monitor/metrics.go`. The library adds `_total` to counters.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Histograms, seconds};
use crate::controller::report::{Action, ErrorClass, PassReport, SyncReport};
use crate::spec::Key;

pub(super) struct Kubernetes {
    reconciliations: Family<SyncLabels, Counter>,
    reconciliation_duration: Histograms<SyncLabels>,
    metric_computation: Family<MetricLabels, Counter>,
    metric_computation_duration: Histograms<MetricLabels>,
    autoscalers: Gauge,
    desired_replicas: Family<AutoscalerLabels, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SyncLabels {
    action: &'static str,
    error: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MetricLabels {
    action: &'static str,
    error: &'static str,
    metric_type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AutoscalerLabels {
    namespace: Arc<str>,
    hpa_name: Arc<str>,
}

impl AutoscalerLabels {
    fn of(key: &Key) -> Self {
        Self {
            namespace: key.namespace.clone(),
            hpa_name: key.name.clone(),
        }
    }
}

impl Default for Kubernetes {
    fn default() -> Self {
        Self {
            reconciliations: Family::default(),
            reconciliation_duration: Family::new_with_constructor(seconds),
            metric_computation: Family::default(),
            metric_computation_duration: Family::new_with_constructor(seconds),
            autoscalers: Gauge::default(),
            desired_replicas: Family::default(),
        }
    }
}

impl Kubernetes {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("reconciliations", "Syncs of autoscalers", self.reconciliations.clone());
        registry.register(
            "reconciliation_duration_seconds",
            "The time of one sync of an autoscaler",
            self.reconciliation_duration.clone(),
        );
        registry.register(
            "metric_computation",
            "Evaluations of metrics",
            self.metric_computation.clone(),
        );
        registry.register(
            "metric_computation_duration_seconds",
            "The time of one evaluation of a metric",
            self.metric_computation_duration.clone(),
        );
        registry.register(
            "num_horizontal_pod_autoscalers",
            "Autoscalers",
            self.autoscalers.clone(),
        );
        registry.register(
            "desired_replicas",
            "The replica count wanted",
            self.desired_replicas.clone(),
        );
    }

    pub(super) fn pass(&self, report: &PassReport) {
        self.autoscalers
            .set(i64::try_from(report.autoscalers).unwrap_or(i64::MAX));
        // Kubernetes keeps these for ever.
        for key in &report.gone {
            self.desired_replicas.remove(&AutoscalerLabels::of(key));
        }
    }

    pub(super) fn syncs(&self, reports: &[SyncReport]) {
        let mut syncs = Counting::of(&self.reconciliations, &self.reconciliation_duration);
        let mut metrics = Counting::of(&self.metric_computation, &self.metric_computation_duration);
        for report in reports {
            let labels = SyncLabels {
                action: action(report.action),
                error: error(report.error),
            };
            syncs.count(labels, report.duration);
            for metric in &report.metrics {
                let labels = MetricLabels {
                    action: action(metric.action),
                    error: error(metric.error),
                    metric_type: metric.metric_type,
                };
                metrics.count(labels, metric.duration);
            }
            if let Some(desired) = report.desired_replicas {
                self.desired_replicas
                    .get_or_create(&AutoscalerLabels::of(&report.key))
                    .set(desired.into());
            }
        }
    }
}

/// Counts what has few different labels, each looked up once.
struct Counting<'a, L> {
    counters: &'a Family<L, Counter>,
    durations: &'a Histograms<L>,
    known: Vec<(L, Counter, Histogram)>,
}

impl<'a, L: Clone + Hash + Eq> Counting<'a, L> {
    fn of(counters: &'a Family<L, Counter>, durations: &'a Histograms<L>) -> Self {
        Self {
            counters,
            durations,
            known: Vec::new(),
        }
    }

    fn count(&mut self, labels: L, duration: Duration) {
        let place = self.known.iter().position(|(known, ..)| *known == labels);
        let place = place.unwrap_or_else(|| {
            let counter = self.counters.get_or_create(&labels).clone();
            let histogram = self.durations.get_or_create(&labels).clone();
            self.known.push((labels, counter, histogram));
            self.known.len() - 1
        });
        let (_, counter, histogram) = &self.known[place];
        counter.inc();
        histogram.observe(duration.as_secs_f64());
    }
}

fn action(action: Action) -> &'static str {
    match action {
        Action::ScaleUp => "scale_up",
        Action::ScaleDown => "scale_down",
        Action::None => "none",
    }
}

fn error(error: ErrorClass) -> &'static str {
    match error {
        ErrorClass::Spec => "spec",
        ErrorClass::Internal => "internal",
        ErrorClass::None => "none",
    }
}
