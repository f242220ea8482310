//! Exported metrics, as OpenMetrics text.

mod kubernetes;
mod own;
mod process;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::Vitals;
use crate::controller::report::{PassReport, SyncReport};
use kubernetes::Kubernetes;
use own::Own;
use process::Process;

/// Histograms by labels.
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// A histogram with Kubernetes' buckets: 1 ms, doubled up to 16.384 s.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 15))
}

/// Every exported metric.
pub struct Exports {
    registry: Registry,
    kubernetes: Kubernetes,
    own: Own,
}

impl Default for Exports {
    fn default() -> Self {
        let mut registry = Registry::default();
        let (kubernetes, own) = (Kubernetes::default(), Own::default());
        kubernetes.register(registry.sub_registry_with_prefix("horizontal_pod_autoscaler_controller"));
        own.register(registry.sub_registry_with_prefix("trimtab"));
        registry.register_collector(Box::new(Process));
        Self {
            registry,
            kubernetes,
            own,
        }
    }
}

impl Exports {
    /// Counts a pass with its syncs, and forgets the autoscalers that are gone.
    pub fn pass(&self, report: &PassReport) {
        self.kubernetes.syncs(&report.syncs);
        report.syncs.iter().for_each(|sync| self.own.sync(sync));
        self.kubernetes.pass(report);
        self.own.pass(report);
    }

    /// Counts a sync.
    pub fn sync(&self, report: &SyncReport) {
        self.kubernetes.syncs(std::slice::from_ref(report));
        self.own.sync(report);
    }

    /// Takes over how the process's parts are doing.
    pub fn vitals(&self, vitals: &Vitals) {
        self.own.vitals(vitals);
    }

    /// All metrics as OpenMetrics text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a String does not fail");
        text
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cluster::claims::ClaimHealth;
    use crate::cluster::events::EventCounts;
    use crate::cluster::stored::MemoryCounts;
    use crate::cluster::watch::{Need, WatchHealth, WatchTrouble};
    use crate::controller::report::{Action, ErrorClass, MetricReport, ScaleWriteReport, StatusWriteReport};
    use crate::manifests::follow::FolderHealth;
    use crate::manifests::{Place, Problem};
    use crate::metrics::guard::{GuardCounts, SourceHealth, Trouble};
    use crate::spec::Key;
    use crate::telemetry::{FileVitals, SourceVitals};

    fn sync() -> SyncReport {
        SyncReport {
            key: Key::new("shop", "web"),
            action: Action::ScaleUp,
            error: ErrorClass::None,
            duration: Duration::from_millis(3),
            metrics: vec![MetricReport {
                metric_type: "Resource",
                action: Action::ScaleUp,
                error: ErrorClass::None,
                duration: Duration::from_millis(2),
            }],
            desired_replicas: Some(6),
            scale_write: ScaleWriteReport::Written,
            status_write: StatusWriteReport::Postponed,
            panicked: false,
        }
    }

    /// Every line is there.
    fn check(exports: &Exports, lines: &[&str]) {
        let text = exports.text();
        for line in lines {
            assert!(text.lines().any(|l| l == *line), "no {line:?} in\n{text}");
        }
    }

    #[test]
    fn kubernetes_names_labels_and_buckets_are_kept() {
        let exports = Exports::default();
        exports.pass(&PassReport {
            autoscalers: 3,
            syncs: vec![sync()],
            ..PassReport::default()
        });
        check(
            &exports,
            &[
                r#"horizontal_pod_autoscaler_controller_reconciliations_total{action="scale_up",error="none"} 1"#,
                r#"horizontal_pod_autoscaler_controller_reconciliation_duration_seconds_count{action="scale_up",error="none"} 1"#,
                r#"horizontal_pod_autoscaler_controller_reconciliation_duration_seconds_bucket{le="0.002",action="scale_up",error="none"} 0"#,
                r#"horizontal_pod_autoscaler_controller_reconciliation_duration_seconds_bucket{le="16.384",action="scale_up",error="none"} 1"#,
                r#"horizontal_pod_autoscaler_controller_metric_computation_total{action="scale_up",error="none",metric_type="Resource"} 1"#,
                r#"horizontal_pod_autoscaler_controller_metric_computation_duration_seconds_count{action="scale_up",error="none",metric_type="Resource"} 1"#,
                "horizontal_pod_autoscaler_controller_num_horizontal_pod_autoscalers 3",
                r#"horizontal_pod_autoscaler_controller_desired_replicas{namespace="shop",hpa_name="web"} 6"#,
            ],
        );
    }

    #[test]
    fn the_desired_count_stays_where_a_sync_has_none_and_goes_with_its_autoscaler() {
        let exports = Exports::default();
        exports.sync(&sync());
        exports.sync(&SyncReport {
            desired_replicas: None,
            error: ErrorClass::Internal,
            ..sync()
        });
        check(
            &exports,
            &[r#"horizontal_pod_autoscaler_controller_desired_replicas{namespace="shop",hpa_name="web"} 6"#],
        );
        exports.pass(&PassReport {
            gone: vec![Key::new("shop", "web")],
            ..PassReport::default()
        });
        assert!(!exports.text().contains("desired_replicas{"));
    }

    #[test]
    fn the_interval_is_that_of_the_last_pass_and_of_what_ran_over_and_followed_it() {
        let exports = Exports::default();
        let pass = |late, seconds, syncs| PassReport {
            late,
            longest_interval: Duration::from_secs(seconds),
            syncs,
            ..PassReport::default()
        };
        let check = |seconds| check(&exports, &[&format!("trimtab_sync_interval_seconds {seconds}")]);
        exports.pass(&pass(Some(Duration::ZERO), 15, vec![sync()]));
        check("15.0");
        // All still run at the turn of the next pass, and follow when they end.
        exports.pass(&pass(Some(Duration::ZERO), 0, Vec::new()));
        check("15.0");
        exports.pass(&pass(None, 21, vec![sync()]));
        check("21.0");
        // One that was edited.
        exports.pass(&pass(None, 2, vec![sync()]));
        check("21.0");
        exports.pass(&pass(Some(Duration::ZERO), 14, vec![sync()]));
        check("14.0");
    }

    #[test]
    fn trimtab_tells_its_own() {
        let exports = Exports::default();
        exports.pass(&PassReport {
            invalid: 1,
            heavy: 2,
            syncs: vec![sync()],
            ..PassReport::default()
        });
        let trouble = WatchTrouble {
            reason: "Silent",
            message: String::new(),
            lasts: Duration::from_secs(7),
        };
        exports.vitals(&Vitals {
            watches: vec![WatchHealth {
                resource: "pods".to_owned(),
                namespace: None,
                need: Need::Required,
                ready_for: Some(Duration::from_secs(9)),
                heard_ago: Some(Duration::from_millis(1500)),
                trouble: Some(trouble),
                unreadable: 2,
                lists: 4,
            }],
            leads: Some(true),
            shards: Some(ClaimHealth {
                shards: 2,
                held: vec![1],
                ..ClaimHealth::default()
            }),
            events: EventCounts {
                written: 5,
                spared: 4,
                lost: 3,
                failed: 2,
            },
            sources: vec![SourceVitals {
                name: "prometheus/main".to_owned(),
                health: SourceHealth {
                    counts: GuardCounts {
                        answered: 8,
                        failed: 7,
                        refused: 6,
                    },
                    resting: true,
                    trouble: Some(Trouble {
                        message: String::new(),
                        lasts: Duration::from_secs(3),
                    }),
                },
            }],
            waiting_statuses: 11,
            manifests: Some(FolderHealth {
                files: 3,
                autoscalers: 5,
                problems: vec![Problem {
                    place: Place::file("a.yaml"),
                    text: String::new(),
                }],
            }),
            files: vec![FileVitals {
                name: "configuration",
                remark: Some(String::new()),
            }],
            tasks: 17,
            memory: Some(MemoryCounts {
                saved: 7,
                failed: 1,
                bytes: 900,
                unsaved_writes: 2,
            }),
        });
        check(
            &exports,
            &[
                "trimtab_pass_duration_seconds_count 1",
                "trimtab_invalid_autoscalers 1",
                "trimtab_heavy_autoscalers 2",
                r#"trimtab_scale_writes_total{outcome="written"} 1"#,
                r#"trimtab_status_writes_total{outcome="postponed"} 1"#,
                "trimtab_waiting_statuses 11",
                "trimtab_manifest_files 3",
                "trimtab_manifest_autoscalers 5",
                "trimtab_manifest_problems 1",
                r#"trimtab_changed_files{file="configuration"} 1"#,
                "trimtab_leads 1",
                r#"trimtab_shard_held{shard="0"} 0"#,
                r#"trimtab_shard_held{shard="1"} 1"#,
                "trimtab_decision_panics_total 0",
                r#"trimtab_events_total{outcome="spared"} 4"#,
                r#"trimtab_memory_saves_total{outcome="failed"} 1"#,
                "trimtab_memory_saved_bytes_total 900",
                "trimtab_tasks 17",
                "trimtab_unsaved_scale_writes_total 2",
                r#"trimtab_metric_questions_total{source="prometheus/main",outcome="refused"} 6"#,
                r#"trimtab_metric_source_resting{source="prometheus/main"} 1"#,
                r#"trimtab_metric_source_trouble_seconds{source="prometheus/main"} 3.0"#,
                r#"trimtab_watch_ready{resource="pods",namespace=""} 1"#,
                r#"trimtab_watch_silence_seconds{resource="pods",namespace=""} 1.5"#,
                r#"trimtab_watch_trouble_seconds{resource="pods",namespace=""} 7.0"#,
                r#"trimtab_watch_unreadable_total{resource="pods",namespace=""} 2"#,
                r#"trimtab_watch_lists_total{resource="pods",namespace=""} 4"#,
            ],
        );
        // A watch that is no more is told of no more.
        exports.vitals(&Vitals::default());
        assert!(!exports.text().contains("trimtab_watch_ready{"));
    }
}
