//! What trimtab tells about itself: logs, exported metrics, health. It reads reports and counters; nobody waits for it.

pub mod access;
pub mod exports;
pub mod health;
pub mod logs;
pub mod server;
mod shards;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::cluster::claims::ClaimHealth;
use crate::cluster::events::EventCounts;
use crate::cluster::stored::MemoryCounts;
use crate::cluster::watch::WatchHealth;
use crate::controller::Listener;
use crate::controller::report::PassReport;
use crate::manifests::follow::FolderHealth;
use crate::metrics::guard::SourceHealth;
use exports::Exports;
use health::{Pulse, Verdict};
use shards::Shards;

/// How the process's parts are doing at the moment of asking.
#[derive(Clone, Debug, Default)]
pub struct Vitals {
    /// Every watch.
    pub watches: Vec<WatchHealth>,
    /// Whether this process decides; `None` where there is no election, and it does.
    pub leads: Option<bool>,
    /// The shards that it decides for; `None` where there are none.
    pub shards: Option<ClaimHealth>,
    /// What became of the Events so far.
    pub events: EventCounts,
    /// The metric sources.
    pub sources: Vec<SourceVitals>,
    /// How many statuses wait for the budget.
    pub waiting_statuses: usize,
    /// The folder of manifests; `None` where there is none.
    pub manifests: Option<FolderHealth>,
    /// The files that settings were read from.
    pub files: Vec<FileVitals>,
    /// What became of saving memory; `None` where it is not stored.
    pub memory: Option<MemoryCounts>,
    /// Tasks of the async runtime that have not ended.
    pub tasks: usize,
}

/// How a file is doing that settings were read from at the start.
#[derive(Clone, Debug)]
pub struct FileVitals {
    /// What it is, the label `file`: `configuration` or `adapter-rules`.
    pub name: &'static str,
    /// Why not what stands there holds; `None` where it does.
    pub remark: Option<String>,
}

/// How a metric source is doing.
#[derive(Clone, Debug)]
pub struct SourceVitals {
    /// Its name, the label `source`: `resource`, `custom`, `external` or `prometheus/NAME`.
    pub name: String,
    /// How it is doing.
    pub health: SourceHealth,
}

/// Takes reports, and answers those who ask how it goes.
pub struct Telemetry {
    exports: Exports,
    pulse: Pulse,
    vitals: Box<dyn Fn() -> Vitals + Send + Sync>,
    shards: Mutex<Shards>,
}

impl Telemetry {
    /// Telemetry that asks `vitals` whenever it is asked itself. `stuck_after` is how long the controller's loop may take to
    /// go round once before the process counts as stuck.
    pub fn new(stuck_after: Duration, vitals: impl Fn() -> Vitals + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            exports: Exports::default(),
            pulse: Pulse::new(stuck_after, Instant::now()),
            vitals: Box::new(vitals),
            shards: Mutex::default(),
        })
    }

    /// All metrics as OpenMetrics text.
    pub fn metrics(&self) -> String {
        self.exports.vitals(&(self.vitals)());
        self.exports.text()
    }

    /// Whether the process works: it should be restarted where not.
    pub fn alive(&self) -> Verdict {
        let last_of_shards = self.shards.lock().last_beat();
        self.pulse.verdict(Instant::now(), last_of_shards)
    }

    /// Whether the process knows enough to decide.
    pub fn ready(&self) -> Verdict {
        let vitals = (self.vitals)();
        health::ready(&vitals)
    }
}

impl Listener for Telemetry {
    fn pass(&self, report: PassReport) {
        self.exports.pass(&report);
    }

    fn beat(&self) {
        self.pulse.beat(Instant::now());
    }
}
