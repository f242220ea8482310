//! What the controller says about its own work, as data: for telemetry, and for whoever prints a pass.
//!
//! The controller makes these and knows nothing of who reads them. All durations are measured with a monotonic clock.

use std::time::Duration;

use crate::spec::Key;

/// One round over all autoscalers that were due.
#[derive(Clone, Debug, Default)]
pub struct PassReport {
    /// From the first question to the last write.
    pub duration: Duration,
    /// How much later it began than it should have; `None` where it is no pass over all, but of some that were new, edited, or
    /// ran late in the pass before.
    pub late: Option<Duration>,
    /// The longest time between the start of one of its syncs and that of the same autoscaler's before.
    pub longest_interval: Duration,
    /// How many autoscalers had no sync in it, since the one before was still running; each follows when that ends.
    pub missed: usize,
    /// How many autoscalers there are, due or not.
    pub autoscalers: usize,
    /// How many objects could not be made into a spec; they are counted in `autoscalers`.
    pub invalid: usize,
    /// How many autoscalers have so many metrics and pods that their syncs run one at a time, apart from the others.
    pub heavy: usize,
    /// The syncs of this pass, in the order in which they ended.
    pub syncs: Vec<SyncReport>,
    /// Autoscalers that are gone since the pass before, or while this one ran; some may be told of twice. In the last report of a
    /// controller, which has no syncs: all that it had.
    pub gone: Vec<Key>,
}

/// One autoscaler's sync.
#[derive(Clone, Debug)]
pub struct SyncReport {
    /// Which autoscaler.
    pub key: Key,
    /// What was written to the scale, even if a later step failed.
    pub action: Action,
    /// The sync's error.
    pub error: ErrorClass,
    /// From reading the scale to the last write.
    pub duration: Duration,
    /// One entry for each metric that was evaluated.
    pub metrics: Vec<MetricReport>,
    /// The replica count that the status wants; `None` where the sync ended before one was known, which leaves
    /// the gauge as it was, as in Kubernetes.
    pub desired_replicas: Option<i32>,
    /// What became of the scale write.
    pub scale_write: ScaleWriteReport,
    /// What became of the status.
    pub status_write: StatusWriteReport,
    /// The decision panicked: the count was left as it was.
    pub panicked: bool,
}

/// One metric's evaluation.
#[derive(Clone, Debug)]
pub struct MetricReport {
    /// The metric's type, as in the spec: `Resource`, `Pods`, …
    pub metric_type: &'static str,
    /// The proposal compared with the status's current replicas; [`Action::None`] on an error.
    pub action: Action,
    /// The metric's error.
    pub error: ErrorClass,
    /// From asking to the proposal. Where many autoscalers share one question, each counts its own waiting.
    pub duration: Duration,
}

/// What happened to a count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Action {
    /// It grew.
    ScaleUp,
    /// It fell.
    ScaleDown,
    /// It stayed.
    #[default]
    None,
}

impl Action {
    /// What a change from one count to another is.
    pub fn of(from: i32, to: i32) -> Self {
        match to.cmp(&from) {
            std::cmp::Ordering::Greater => Self::ScaleUp,
            std::cmp::Ordering::Less => Self::ScaleDown,
            std::cmp::Ordering::Equal => Self::None,
        }
    }
}

/// The two classes of errors that Kubernetes counts, and none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The spec cannot be acted on.
    Spec,
    /// Something did not answer or could not be computed.
    Internal,
    /// No error.
    #[default]
    None,
}

/// What became of a sync's scale write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ScaleWriteReport {
    /// None was due.
    #[default]
    NotDue,
    /// It was written.
    Written,
    /// Someone else had changed the count in every try.
    Conflict,
    /// It failed.
    Failed,
    /// Nobody answered: it failed, or was written all the same.
    Unanswered,
    /// A dry run: it was only described.
    DryRun,
}

/// What became of a sync's status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StatusWriteReport {
    /// It says what it said before.
    #[default]
    Unchanged,
    /// It was written.
    Written,
    /// There is no object to write it to: it is kept in memory.
    Kept,
    /// It differs by little and waits for the budget.
    Postponed,
    /// The write failed.
    Failed,
    /// A dry run: it was not written.
    DryRun,
}
