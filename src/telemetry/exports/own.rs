//! What trimtab adds: passes, writes that were made and saved, watches, metric sources.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::seconds;
use crate::cluster::watch::WatchHealth;
use crate::controller::report::{PassReport, ScaleWriteReport, StatusWriteReport, SyncReport};
use crate::telemetry::{SourceVitals, Vitals};

/// A gauge of seconds.
type Seconds = Gauge<f64, AtomicU64>;

pub(super) struct Own {
    pass_duration: Histogram,
    pass_lateness: Histogram,
    sync_interval: Seconds,
    missed: Counter,
    invalid: Gauge,
    heavy: Gauge,
    manifest_files: Gauge,
    manifest_autoscalers: Gauge,
    manifest_problems: Gauge,
    changed_files: Family<ReadFile, Gauge>,
    scale_writes: Family<Outcome, Counter>,
    status_writes: Family<Outcome, Counter>,
    waiting_statuses: Gauge,
    tasks: Gauge,
    panics: Counter,
    leads: Gauge,
    shard_held: Family<Shard, Gauge>,
    events: Family<Outcome, Counter>,
    memory_saves: Family<Outcome, Counter>,
    memory_bytes: Counter,
    unsaved_scale_writes: Counter,
    questions: Family<Question, Counter>,
    resting: Family<Source, Gauge>,
    source_trouble: Family<Source, Seconds>,
    watch_ready: Family<Watch, Gauge>,
    watch_silence: Family<Watch, Seconds>,
    watch_trouble: Family<Watch, Seconds>,
    watch_unreadable: Family<Watch, Counter>,
    watch_lists: Family<Watch, Counter>,
    build: Family<Build, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Source {
    source: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Question {
    source: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Watch {
    resource: String,
    namespace: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Shard {
    shard: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReadFile {
    file: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

impl Default for Own {
    fn default() -> Self {
        Self {
            pass_duration: seconds(),
            pass_lateness: seconds(),
            sync_interval: Seconds::default(),
            missed: Counter::default(),
            invalid: Gauge::default(),
            heavy: Gauge::default(),
            manifest_files: Gauge::default(),
            manifest_autoscalers: Gauge::default(),
            manifest_problems: Gauge::default(),
            changed_files: Family::default(),
            scale_writes: Family::default(),
            status_writes: Family::default(),
            waiting_statuses: Gauge::default(),
            tasks: Gauge::default(),
            panics: Counter::default(),
            leads: Gauge::default(),
            shard_held: Family::default(),
            events: Family::default(),
            memory_saves: Family::default(),
            memory_bytes: Counter::default(),
            unsaved_scale_writes: Counter::default(),
            questions: Family::default(),
            resting: Family::default(),
            source_trouble: Family::default(),
            watch_ready: Family::default(),
            watch_silence: Family::default(),
            watch_trouble: Family::default(),
            watch_unreadable: Family::default(),
            watch_lists: Family::default(),
            build: Family::default(),
        }
    }
}

impl Own {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "pass_duration_seconds",
            "The time of one pass over all autoscalers",
            self.pass_duration.clone(),
        );
        registry.register(
            "pass_lateness_seconds",
            "How much later than it should a pass over all autoscalers began",
            self.pass_lateness.clone(),
        );
        registry.register(
            "sync_interval_seconds",
            "The longest time between the starts of two syncs of an autoscaler, in the last pass over all and what followed it",
            self.sync_interval.clone(),
        );
        registry.register(
            "missed_syncs",
            "Syncs that were not started at their time, since the one before still ran",
            self.missed.clone(),
        );
        registry.register(
            "invalid_autoscalers",
            "Autoscalers that cannot be understood",
            self.invalid.clone(),
        );
        registry.register(
            "heavy_autoscalers",
            "Autoscalers with so many metrics and pods that their syncs run one at a time, apart from the others",
            self.heavy.clone(),
        );
        registry.register(
            "manifest_files",
            "Files in the folder of manifests",
            self.manifest_files.clone(),
        );
        registry.register(
            "manifest_autoscalers",
            "Autoscalers of the folder of manifests",
            self.manifest_autoscalers.clone(),
        );
        registry.register(
            "manifest_problems",
            "Things that are wrong in the folder of manifests; what stood there before stays in force",
            self.manifest_problems.clone(),
        );
        registry.register(
            "changed_files",
            "Whether in a file of settings something else stands than what holds",
            self.changed_files.clone(),
        );
        registry.register(
            "scale_writes",
            "Writes of replica counts that were due",
            self.scale_writes.clone(),
        );
        registry.register(
            "status_writes",
            "Statuses that said something new",
            self.status_writes.clone(),
        );
        registry.register(
            "tasks",
            "Tasks of the async runtime that have not ended",
            self.tasks.clone(),
        );
        registry.register(
            "waiting_statuses",
            "Statuses that wait for the budget",
            self.waiting_statuses.clone(),
        );
        registry.register(
            "decision_panics",
            "Decisions that panicked; the count stayed",
            self.panics.clone(),
        );
        registry.register("leads", "Whether this process decides", self.leads.clone());
        registry.register(
            "shard_held",
            "Whether this process decides for a shard: over all replicas, 1 for each",
            self.shard_held.clone(),
        );
        registry.register("events", "Events on autoscalers", self.events.clone());
        registry.register(
            "memory_saves",
            "Writes of stored memory, of each part of it",
            self.memory_saves.clone(),
        );
        registry.register(
            "memory_saved_bytes",
            "Bytes of stored memory that were written",
            self.memory_bytes.clone(),
        );
        registry.register(
            "unsaved_scale_writes",
            "Counts written though what they do to scaling policies could not be saved before",
            self.unsaved_scale_writes.clone(),
        );
        registry.register(
            "metric_questions",
            "Questions to metric sources",
            self.questions.clone(),
        );
        registry.register(
            "metric_source_resting",
            "Sources left alone after failures",
            self.resting.clone(),
        );
        registry.register(
            "metric_source_trouble_seconds",
            "For how long a source has not answered",
            self.source_trouble.clone(),
        );
        registry.register(
            "watch_ready",
            "Whether a watch has read everything once",
            self.watch_ready.clone(),
        );
        registry.register(
            "watch_silence_seconds",
            "The time since a watch last heard from the server, which speaks once a minute at least",
            self.watch_silence.clone(),
        );
        registry.register(
            "watch_trouble_seconds",
            "For how long a watch has been down",
            self.watch_trouble.clone(),
        );
        registry.register(
            "watch_unreadable",
            "Objects that could not be read",
            self.watch_unreadable.clone(),
        );
        registry.register(
            "watch_lists",
            "How often everything was read anew",
            self.watch_lists.clone(),
        );
        registry.register("build_info", "The version that runs", self.build.clone());
        self.build
            .get_or_create(&Build {
                version: env!("CARGO_PKG_VERSION"),
            })
            .set(1);
    }

    pub(super) fn pass(&self, report: &PassReport) {
        if !report.syncs.is_empty() {
            self.pass_duration.observe(report.duration.as_secs_f64());
        }
        let interval = report.longest_interval.as_secs_f64();
        if let Some(late) = report.late {
            self.pass_lateness.observe(late.as_secs_f64());
        }
        // A pass in whose turn all still ran says nothing of intervals; those that follow it when they end do.
        if report.late.is_some() && !report.syncs.is_empty() || interval > self.sync_interval.get() {
            self.sync_interval.set(interval);
        }
        self.missed.inc_by(u64::try_from(report.missed).unwrap_or(u64::MAX));
        self.invalid.set(gauge(report.invalid));
        self.heavy.set(gauge(report.heavy));
    }

    pub(super) fn sync(&self, report: &SyncReport) {
        if let Some(outcome) = scale_write(report.scale_write) {
            self.scale_writes.get_or_create(&Outcome { outcome }).inc();
        }
        if let Some(outcome) = status_write(report.status_write) {
            self.status_writes.get_or_create(&Outcome { outcome }).inc();
        }
        if report.panicked {
            self.panics.inc();
        }
    }

    pub(super) fn vitals(&self, vitals: &Vitals) {
        self.leads.set(i64::from(vitals.leads.unwrap_or(true)));
        if let Some(claims) = &vitals.shards {
            for shard in 0..claims.shards {
                let held = claims.held.contains(&shard);
                self.shard_held.get_or_create(&Shard { shard }).set(held.into());
            }
        }
        self.waiting_statuses.set(gauge(vitals.waiting_statuses));
        self.tasks.set(gauge(vitals.tasks));
        let events = &vitals.events;
        for (outcome, count) in [
            ("written", events.written),
            ("spared", events.spared),
            ("lost", events.lost),
            ("failed", events.failed),
        ] {
            set(&self.events.get_or_create(&Outcome { outcome }), count);
        }
        vitals.sources.iter().for_each(|source| self.source(source));
        if let Some(memory) = &vitals.memory {
            for (outcome, count) in [("saved", memory.saved), ("failed", memory.failed)] {
                set(&self.memory_saves.get_or_create(&Outcome { outcome }), count);
            }
            set(&self.memory_bytes, memory.bytes);
            set(&self.unsaved_scale_writes, memory.unsaved_writes);
        }
        if let Some(folder) = &vitals.manifests {
            self.manifest_files.set(gauge(folder.files));
            self.manifest_autoscalers.set(gauge(folder.autoscalers));
            self.manifest_problems.set(gauge(folder.problems.len()));
        }
        for file in &vitals.files {
            let changed = self.changed_files.get_or_create(&ReadFile { file: file.name });
            changed.set(file.remark.is_some().into());
        }
        self.watches(&vitals.watches);
    }

    fn source(&self, vitals: &SourceVitals) {
        let SourceVitals { name, health } = vitals;
        for (outcome, count) in [
            ("answered", health.counts.answered),
            ("failed", health.counts.failed),
            ("refused", health.counts.refused),
        ] {
            let question = Question {
                source: name.clone(),
                outcome,
            };
            set(&self.questions.get_or_create(&question), count);
        }
        let source = Source { source: name.clone() };
        self.resting.get_or_create(&source).set(health.resting.into());
        let lasts = health
            .trouble
            .as_ref()
            .map_or(0.0, |trouble| trouble.lasts.as_secs_f64());
        self.source_trouble.get_or_create(&source).set(lasts);
    }

    fn watches(&self, watches: &[WatchHealth]) {
        // Watches come and go with namespaces.
        self.watch_ready.clear();
        self.watch_silence.clear();
        self.watch_trouble.clear();
        self.watch_unreadable.clear();
        self.watch_lists.clear();
        for health in watches {
            let namespace = health.namespace.as_deref().unwrap_or_default().to_owned();
            let labels = Watch {
                resource: health.resource.clone(),
                namespace,
            };
            self.watch_ready.get_or_create(&labels).set(health.is_ready().into());
            if let Some(silence) = health.heard_ago {
                self.watch_silence.get_or_create(&labels).set(silence.as_secs_f64());
            }
            let trouble = health
                .trouble
                .as_ref()
                .map_or(0.0, |trouble| trouble.lasts.as_secs_f64());
            self.watch_trouble.get_or_create(&labels).set(trouble);
            set(&self.watch_unreadable.get_or_create(&labels), health.unreadable);
            set(&self.watch_lists.get_or_create(&labels), health.lists);
        }
    }
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Takes over a count that is kept elsewhere, and only grows.
fn set(counter: &Counter, count: u64) {
    counter.inner().store(count, Ordering::Relaxed);
}

fn scale_write(report: ScaleWriteReport) -> Option<&'static str> {
    Some(match report {
        ScaleWriteReport::NotDue => return None,
        ScaleWriteReport::Written => "written",
        ScaleWriteReport::Conflict => "conflict",
        ScaleWriteReport::Failed | ScaleWriteReport::Unanswered => "failed",
        ScaleWriteReport::DryRun => "dry_run",
    })
}

fn status_write(report: StatusWriteReport) -> Option<&'static str> {
    Some(match report {
        StatusWriteReport::Unchanged | StatusWriteReport::Kept => return None,
        StatusWriteReport::Written => "written",
        StatusWriteReport::Postponed => "postponed",
        StatusWriteReport::Failed => "failed",
        StatusWriteReport::DryRun => "dry_run",
    })
}
