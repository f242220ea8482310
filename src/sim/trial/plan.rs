//! What an hour of a trial has in store.

mod draw;
mod prometheus;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::sim::fleet::Behaviour;
use crate::spec::Key;

/// From here on nothing goes wrong any more and loads stay as they are, until the end.
pub const CALM: Duration = Duration::from_secs(40 * 60);

/// The end: time enough after the calm for the longest stabilization window, the slowest policy, and a breaker's rest.
pub const END: Duration = Duration::from_secs(60 * 60);

/// What pods request, in milli-CPUs.
pub(super) const REQUEST: u32 = 100;

/// The metric of requests a second.
pub(super) const RATE: &str = "requests_per_second";

/// What happens, and when. What a seed draws changes as faults are added; a plan that is kept as text does not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Where it comes from.
    pub seed: u64,
    /// How many processes there are, of which one leads.
    #[serde(default = "one")]
    pub processes: usize,
    /// Who is scaled.
    pub workloads: Vec<Planned>,
    /// What goes wrong, or is done by others, in the order of time.
    pub events: Vec<Event>,
    /// The configuration file of the processes, where the cluster has a Prometheus: its blocks `prometheus` and `metrics`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<String>,
}

/// One workload with its autoscaler.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// The name of both.
    pub key: Key,
    /// The count at the beginning.
    pub replicas: i32,
    /// How its pods behave.
    pub behaviour: Behaviour,
    /// The `spec` of its autoscaler, without the target.
    pub autoscaler: Value,
    /// What each pod is to have of the load that stays at the end.
    pub target: f64,
    /// The load that stays at the end, in the unit of `target`.
    pub last_load: f64,
}

/// Something that goes wrong or is done, from a time on, for a while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When it begins.
    pub at: Duration,
    /// How long it lasts; nothing for what is done at once.
    pub lasts: Duration,
    /// The share of requests that it meets.
    pub share: f64,
    /// The process that it meets; `None`: all of them.
    #[serde(default)]
    pub process: Option<usize>,
    /// What it is.
    pub what: What,
}

/// What goes wrong, or is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum What {
    /// Requests are refused with this code; 429 with `Retry-After`.
    Refused(u16),
    /// Writes are refused with 409.
    Conflicts,
    /// Requests take this much longer.
    Slow(Duration),
    /// Requests are never answered, and not done.
    Unanswered,
    /// Requests are done, and the connection breaks before the answer.
    AnswersLost,
    /// Answers break off in the middle.
    HalfAnswers,
    /// Answers are no JSON.
    Garbage,
    /// Answers, and lines of watches, never end.
    Oversized,
    /// Autoscalers, workloads, their scales and pods are read as they were so long ago.
    Stale(Duration),
    /// Watches break.
    WatchesCut,
    /// What watches tell comes so much later.
    WatchesLate(Duration),
    /// Watches tell everything twice.
    WatchesTwice,
    /// The right to what is below this path is withdrawn.
    Forbidden(String),
    /// Pods are missing in metrics.
    MetricsMissing,
    /// Metrics stand still.
    MetricsOld,
    /// Metrics are no numbers, or absurd ones.
    MetricsOdd,
    /// Pods are measured twice, each time otherwise, with times that are to come; and there are pods that nobody knows.
    MetricsContradictory,
    /// Somebody else changes a count just before a write of it arrives.
    Raced,
    /// The Lease can be neither read nor written.
    LeaseCut,
    /// The process is killed, and started again after this.
    Killed(Duration),
    /// The process is killed when it is at this point for the next time, and started again after this.
    KilledAt(Point, Duration),
    /// The process is told to end, and started again after this.
    Stopped(Duration),
    /// Somebody takes the Lease by force when a process is at this point for the next time, and does not renew it.
    LeadTakenAt(Point),
    /// The clock of the process's machine is set forward by so many seconds, or back.
    ClockSet(i64),
    /// Old versions are forgotten, and watches cut: they get 410.
    Compacted,
    /// The cluster's Prometheus ends with all that it knows; it is started again after this.
    PrometheusGone(Duration),
    /// Somebody sets a count.
    Scaled(usize, i32),
    /// Somebody sets another `maxReplicas`.
    MaxEdited(usize, i32),
    /// Somebody deploys a new version.
    RolledOut(usize),
    /// Somebody deletes the workload's namespace with all that is in it; it is made again after this.
    NamespaceDeleted(usize, Duration),
}

/// A point in what a process does: just before a request, or when it is done and the answer has not come yet. Between two such
/// points a process does nothing that anybody could see.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// What it asks for.
    pub request: Asking,
    /// Whether it is done already.
    pub done: bool,
}

/// What a process asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Asking {
    /// That a count be written.
    Scale,
    /// That a status be written.
    Status,
    /// That memory be saved.
    Memory,
    /// What is stored.
    Stored,
    /// That the Lease be taken or renewed.
    Lease,
    /// Usage and other metrics.
    Metrics,
}

impl What {
    /// Whether it is done at its time, and does not last.
    pub(super) fn is_at_once(&self) -> bool {
        matches!(
            self,
            Self::Killed(_)
                | Self::Stopped(_)
                | Self::ClockSet(_)
                | Self::Compacted
                | Self::PrometheusGone(_)
                | Self::Scaled(..)
                | Self::MaxEdited(..)
                | Self::RolledOut(_)
                | Self::NamespaceDeleted(..)
        )
    }

    /// The workload that it is about, where it is about one.
    fn workload(&mut self) -> Option<&mut usize> {
        match self {
            Self::Scaled(workload, _)
            | Self::MaxEdited(workload, _)
            | Self::RolledOut(workload)
            | Self::NamespaceDeleted(workload, _) => Some(workload),
            _ => None,
        }
    }
}

impl Event {
    /// Whether it lasts at a time.
    pub(super) fn is_under_way(&self, now: Duration) -> bool {
        self.at <= now && now < self.at + self.lasts
    }
}

impl Plan {
    /// The same without one of its workloads, and what is done to it.
    pub(super) fn without_workload(&self, number: usize) -> Self {
        let mut plan = self.clone();
        plan.workloads.remove(number);
        plan.events.retain_mut(|event| match event.what.workload() {
            Some(workload) if *workload == number => false,
            Some(workload) => {
                *workload -= usize::from(*workload > number);
                true
            }
            None => true,
        });
        plan
    }

    /// The same with one process, to which happens what happened to the first, or to all.
    pub(super) fn with_one_process(&self) -> Self {
        let mut plan = self.clone();
        plan.processes = 1;
        plan.events
            .retain(|event| event.process.is_none_or(|process| process == 0));
        plan
    }
}

const fn one() -> usize {
    1
}
