//! The decision: from what is wanted and what is seen to a replica count, and why.
//!
//! Two pure halves. [`decide`] proposes; once its write, if one is due, has succeeded or not, [`conclude`] gives the
//! status, the Events and the new memory, since Kubernetes remembers a scale event only after the write succeeded.

pub mod derivation;
pub mod reasons;

mod combine;
mod conclude;
mod limit;
mod metric;
mod per_pod;
mod pods;
mod requests;
mod spare;
mod stabilize;
mod usage;
mod whole;
mod words;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::memory::Memory;
use crate::observe::{ConditionStatus, Observation, Scale, SelectorFailure, Status};
use crate::spec::Spec;
use combine::combine;
pub use conclude::{broken, conclude};
pub use derivation::Derivation;
use derivation::{Branch, Combined, MetricDerivation};
use limit::limit;
pub use limit::must_be_remembered;
use metric::Metrics;
pub use spare::Spare;
use stabilize::stabilize;

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

/// Whether metrics are to be asked, and with them pods and selectors; where not, the count alone decides.
pub fn asks_metrics(spec: &Spec, status: &Status, scale: &Scale, settings: &Settings) -> bool {
    branch(spec, status, scale, settings) == Branch::Metrics
}

/// Which way the decision goes by the count alone.
fn branch(spec: &Spec, status: &Status, scale: &Scale, settings: &Settings) -> Branch {
    let current = scale.spec_replicas;
    if current == 0 {
        let leaves_zero = settings.scale_to_zero
            && scaled_to_zero_by_us(status)
            && (spec.min_replicas > 0 || spec.has_object_or_external_metric());
        return if leaves_zero { Branch::Metrics } else { Branch::Disabled };
    }
    if current > spec.max_replicas {
        Branch::AboveMax
    } else if current < spec.min_replicas {
        Branch::BelowMin
    } else {
        Branch::Metrics
    }
}

fn scaled_to_zero_by_us(status: &Status) -> bool {
    status
        .condition(reasons::SCALED_TO_ZERO)
        .is_some_and(|c| c.status == ConditionStatus::True)
}

/// Decides one autoscaler's replica count from what is seen and remembered.
///
/// Always decides, if only that the count stays; the derivation says why. Does not change `memory`: that is
/// [`conclude`]'s, once the write's outcome is known.
pub fn decide(spec: &Spec, seen: &Observation, memory: &Memory, settings: &Settings, now: Timestamp) -> Decision {
    decide_with(&mut Spare::default(), spec, seen, memory, settings, now)
}

/// What [`decide`] decides, its derivation in the room that earlier decisions have left, so that nothing is allocated
/// for its pods. Give the decision back to `spare` once nobody needs it any more.
pub fn decide_with(
    spare: &mut Spare,
    spec: &Spec,
    seen: &Observation,
    memory: &Memory,
    settings: &Settings,
    now: Timestamp,
) -> Decision {
    let mut derivation = Derivation {
        scale: seen.scale.as_ref().ok().cloned(),
        branch: Branch::Metrics,
        first_sync: false,
        metrics: Vec::new(),
        combination: None,
        stabilization: None,
        limit: None,
        raised_to_min: false,
        desired: None,
    };
    match &seen.scale {
        Err(failure) => derivation.branch = Branch::ScaleUnknown(failure.clone()),
        Ok(scale) => {
            derivation.branch = branch(spec, &seen.status, scale, settings);
            if derivation.branch == Branch::Metrics {
                match metrics(spare, spec, seen, scale, settings, now) {
                    Ok(metrics) => derivation.metrics = metrics,
                    Err(failure) => derivation.branch = Branch::SelectorFailed(failure.clone()),
                }
            }
            derivation.first_sync = memory.is_new();
            derivation.desired = match derivation.branch {
                Branch::AboveMax => Some(spec.max_replicas),
                Branch::BelowMin => Some(spec.min_replicas),
                Branch::Metrics => by_metrics(spec, scale.spec_replicas, memory, settings, now, &mut derivation),
                _ => None,
            };
        }
    }
    let write = write(&derivation);
    check(spec, &derivation, write.as_ref());
    Decision {
        at: now,
        write,
        derivation,
    }
}

/// What each metric asks for.
fn metrics<'a>(
    spare: &mut Spare,
    spec: &Spec,
    seen: &'a Observation,
    scale: &Scale,
    settings: &Settings,
    now: Timestamp,
) -> Result<Vec<MetricDerivation>, &'a SelectorFailure> {
    let metrics = Metrics {
        spec,
        scale,
        pods: seen.pods.as_ref()?,
        settings,
        now,
    };
    let each = spec.metrics.iter().enumerate();
    Ok(each
        .map(|(i, metric)| metrics.derive(metric, seen.readings.get(i), spare))
        .collect())
}

/// The count that metrics, windows and limits come to, `current` being the one there is; `None` where they come to none.
fn by_metrics(
    spec: &Spec,
    current: i32,
    memory: &Memory,
    settings: &Settings,
    now: Timestamp,
    derivation: &mut Derivation,
) -> Option<i32> {
    let combination = combine(&derivation.metrics, current);
    derivation.combination = Some(combination);
    if combination.outcome != Combined::Recommended {
        return None;
    }

    // The first sync's memory is the count that it sees.
    let first = derivation.first_sync.then(|| {
        let mut memory = Memory::default();
        memory.recommend(current, now, now, settings.downscale_stabilization);
        memory
    });
    let memory = first.as_ref().unwrap_or(memory);
    let stabilization = stabilize(spec, combination.largest.max(0), current, memory, settings, now);
    let limit = limit(spec, stabilization.stabilized, current, memory, now);
    let mut desired = limit.desired;
    derivation.stabilization = Some(stabilization);
    derivation.limit = Some(limit);
    if current == 0 && desired < spec.min_replicas {
        derivation.raised_to_min = true;
        desired = spec.min_replicas;
    }
    Some(desired)
}

fn write(derivation: &Derivation) -> Option<ScaleWrite> {
    let (from, to) = (derivation.scale.as_ref()?.spec_replicas, derivation.desired?);
    (from != to).then(|| ScaleWrite {
        from,
        to,
        reason: words::rescale(derivation, from),
    })
}

/// What must hold of every decision, in release builds too: a panic here is caught for the one autoscaler.
fn check(spec: &Spec, derivation: &Derivation, write: Option<&ScaleWrite>) {
    let Some(write) = write else { return };
    assert!(
        write.to <= spec.max_replicas,
        "{}: {} is above maxReplicas",
        spec.key,
        write.to
    );
    assert!(
        write.to >= spec.min_replicas || write.to >= write.from,
        "{}: {} is below minReplicas",
        spec.key,
        write.to
    );
    let failed = derivation.metrics.iter().any(|m| m.proposal.is_err());
    assert!(
        !failed || write.to >= write.from,
        "{}: scaled down on a failed metric",
        spec.key
    );
}
