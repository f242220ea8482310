//! What Kubernetes' autoscaler exports, under its names, so that dashboards and alerts go on working.
//!
//! Source: Kubernetes v1.36 `podautoscaler/monitor/metrics.go`. The library adds `_total` to counters.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
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
    namespace: String,
    hpa_name: String,
}

impl AutoscalerLabels {
    fn of(key: &Key) -> Self {
        Self {
            namespace: key.namespace.to_string(),
            hpa_name: key.name.to_string(),
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

    pub(super) fn sync(&self, report: &SyncReport) {
        let labels = SyncLabels {
            action: action(report.action),
            error: error(report.error),
        };
        count(
            &self.reconciliations,
            &self.reconciliation_duration,
            &labels,
            report.duration,
        );
        for metric in &report.metrics {
            let labels = MetricLabels {
                action: action(metric.action),
                error: error(metric.error),
                metric_type: metric.metric_type,
            };
            count(
                &self.metric_computation,
                &self.metric_computation_duration,
                &labels,
                metric.duration,
            );
        }
        if let Some(desired) = report.desired_replicas {
            self.desired_replicas
                .get_or_create(&AutoscalerLabels::of(&report.key))
                .set(desired.into());
        }
    }
}

fn count<L>(counters: &Family<L, Counter>, durations: &Histograms<L>, labels: &L, duration: Duration)
where
    L: Clone + std::hash::Hash + Eq,
{
    counters.get_or_create(labels).inc();
    durations.get_or_create(labels).observe(duration.as_secs_f64());
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
