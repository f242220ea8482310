//! The decision: from what is wanted and what is seen to a replica count, and why.
//!
//! Two pure halves. [`decide`] proposes; once its write, if one is due, has succeeded or not, [`conclude`] gives the
//! status, the Events and the new memory, since Kubernetes remembers a scale event only after the write succeeded.

pub mod derivation;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::memory::Memory;
use crate::observe::{Condition, Status};
pub use derivation::Derivation;

/// What kube-controller-manager's flags and feature gates say about decisions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Settings {
    /// `--horizontal-pod-autoscaler-downscale-stabilization`: 5 min by default, at least 0.
    pub downscale_stabilization: SignedDuration,
    /// `--horizontal-pod-autoscaler-tolerance`: 0.1 by default, at least 0.
    pub tolerance: f64,
    /// `--horizontal-pod-autoscaler-cpu-initialization-period`: 5 min by default.
    pub cpu_initialization_period: SignedDuration,
    /// `--horizontal-pod-autoscaler-initial-readiness-delay`: 30 s by default.
    pub initial_readiness_delay: SignedDuration,
    /// The feature gate HPAScaleToZero, off by default.
    pub scale_to_zero: bool,
    /// The feature gate HPAConfigurableTolerance, on by default.
    pub configurable_tolerance: bool,
    /// The feature gate PodLevelResources, on by default.
    pub pod_level_resources: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            downscale_stabilization: SignedDuration::from_mins(5),
            tolerance: 0.1,
            cpu_initialization_period: SignedDuration::from_mins(5),
            initial_readiness_delay: SignedDuration::from_secs(30),
            scale_to_zero: false,
            configurable_tolerance: true,
            pod_level_resources: true,
        }
    }
}

/// What one sync concludes, before its write.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decision {
    /// When it was made.
    pub at: Timestamp,
    /// The count to write, where it differs from what was seen.
    pub write: Option<ScaleWrite>,
    /// Why, step by step.
    pub derivation: Derivation,
}

/// A write to the scale that a decision asks for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScaleWrite {
    /// The count that the decision saw: the write tests it.
    pub from: i32,
    /// The count to write.
    pub to: i32,
    /// The rescale reason that Events give; empty where Kubernetes' is.
    pub reason: String,
}

/// What became of a decision's write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum WriteOutcome {
    /// The decision asked for no write.
    NotDue,
    /// The count was written.
    Written,
    /// The write failed, with this message.
    Failed(String),
}

/// What a decision comes to, its write's outcome known.
#[derive(Clone, Debug, PartialEq)]
pub struct Conclusion {
    /// The status to store. Write it only if it differs from the one that was seen (`Status` is `PartialEq` by value).
    pub status: Status,
    /// The Events, in order, for whoever records them before the status write.
    pub events: Vec<Event>,
    /// The Events to record after the status write was tried.
    pub events_after_status: Vec<Event>,
    /// What the next decision has to remember.
    pub memory: Memory,
    /// The sync's error, where there is one: what `reconciliations_total` counts.
    pub error: Option<SyncError>,
}

/// An Event on the autoscaler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Normal or Warning.
    pub kind: EventKind,
    /// One word.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
}

/// The two types of Events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum EventKind {
    /// As it should be.
    Normal,
    /// Someone may have to look.
    Warning,
}

/// Why a sync counts as failed; Kubernetes' two classes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum SyncError {
    /// The spec cannot be acted on.
    Spec(String),
    /// Something did not answer or could not be computed.
    Internal(String),
}

impl SyncError {
    /// The label `error` of `horizontal_pod_autoscaler_controller_*` metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Spec(_) => "spec",
            Self::Internal(_) => "internal",
        }
    }
}

#[allow(unused)]
fn placeholder(_: Condition) {}

/*
pub fn asks_metrics(spec: &Spec, status: &Status, scale: &Scale, settings: &Settings) -> bool;
pub fn decide(spec: &Spec, seen: &Observation, memory: &Memory, settings: &Settings, now: Timestamp) -> Decision;
pub fn conclude(spec: &Spec, seen: &Observation, decision: &Decision, outcome: &WriteOutcome, memory: Memory, settings: &Settings, now: Timestamp) -> Conclusion;
*/
