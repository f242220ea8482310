//! A decision and its write's outcome: the status, the Events, the new memory.
//!
//! Source: Kubernetes v1.36 `horizontal.go`, `reconcileAutoscaler`.

use std::borrow::Cow;

use jiff::Timestamp;

use super::derivation::{Branch, Combined, Derivation, Stabilized};
use super::{Conclusion, Decision, Event, EventKind, Settings, SyncError, WriteOutcome, reasons, stabilize, words};
use crate::memory::{Direction, Memory};
use crate::observe::{Condition, ConditionStatus, Observation, ScaleFailure, Status};
use crate::spec::Spec;

/// What `decision` comes to, now that its write's `outcome` is known. `memory` is the one that it was made with.
///
/// A scale event is remembered only where the write succeeded, a recommendation also where it failed; nothing is where
/// the count could not be decided.
pub fn conclude(
    spec: &Spec,
    seen: &Observation,
    decision: &Decision,
    outcome: &WriteOutcome,
    memory: Memory,
    settings: &Settings,
    now: Timestamp,
) -> Conclusion {
    let now_in_seconds = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let mut c = Concluding {
        spec,
        derivation: &decision.derivation,
        settings,
        now: now_in_seconds,
        status: seen.status.clone(),
        words: Vec::new(),
        events: Vec::new(),
        events_after_status: Vec::new(),
        error: None,
    };
    c.all(decision, outcome);
    c.speak();
    Conclusion {
        memory: remember(spec, decision, outcome, memory, settings, now),
        status: c.status,
        events: c.events,
        events_after_status: c.events_after_status,
        error: c.error,
    }
}

/// What it comes to when there is no decision at all: the count stays, and the condition ScalingActive and an Event say
/// why. The memory of the conclusion is empty: keep the one that there was.
pub fn broken(before: &Status, reason: &'static str, problem: &str, now: Timestamp) -> Conclusion {
    let mut status = before.clone();
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let condition = set_status(&mut status.conditions, reasons::SCALING_ACTIVE, False, now);
    let problem = words::bounded(problem);
    say(condition, reason, problem);
    Conclusion {
        status,
        events: vec![Event {
            kind: Warning,
            reason,
            message: problem.to_owned(),
        }],
        events_after_status: Vec::new(),
        memory: Memory::default(),
        error: Some(SyncError::Spec(problem.to_owned())),
    }
}

/// The memory after the decision.
fn remember(
    spec: &Spec,
    decision: &Decision,
    outcome: &WriteOutcome,
    mut memory: Memory,
    settings: &Settings,
    now: Timestamp,
) -> Memory {
    let derivation = &decision.derivation;
    let old = stabilize::old_before(spec, settings, decision.at);
    if let (true, Some(scale)) = (derivation.first_sync, &derivation.scale) {
        memory.recommend(scale.spec_replicas, decision.at, old, settings.downscale_stabilization);
    }
    if let Some(stabilization) = &derivation.stabilization {
        memory.recommend(
            stabilization.recommendation,
            decision.at,
            old,
            settings.downscale_stabilization,
        );
    }
    if let (Some(write), WriteOutcome::Written, Some(behavior)) = (&decision.write, outcome, &spec.behavior) {
        let (direction, rules) = match write.to > write.from {
            true => (Direction::Up, &behavior.scale_up),
            false => (Direction::Down, &behavior.scale_down),
        };
        let change = write.to.saturating_sub(write.from).saturating_abs();
        memory.scaled(direction, change, now, rules);
    }
    memory
}

/// The conclusion while it is being drawn.
struct Concluding<'a> {
    spec: &'a Spec,
    derivation: &'a Derivation,
    settings: &'a Settings,
    now: Timestamp,
    status: Status,
    /// What conditions will say, by type: most are said twice in a conclusion, and only the last word stays.
    words: Vec<Words>,
    events: Vec<Event>,
    events_after_status: Vec<Event>,
    error: Option<SyncError>,
}

struct Words {
    kind: &'static str,
    reason: &'static str,
    message: Cow<'static, str>,
}

use ConditionStatus::{False, True};
use EventKind::{Normal, Warning};

impl Concluding<'_> {
    fn all(&mut self, decision: &Decision, outcome: &WriteOutcome) {
        let derivation = self.derivation;
        if let Branch::ScaleUnknown(failure) = &derivation.branch {
            return self.scale_unknown(failure);
        }
        let current = derivation.scale.as_ref().map_or(0, |s| s.spec_replicas);
        self.set(
            reasons::ABLE_TO_SCALE,
            True,
            reasons::SUCCEEDED_GET_SCALE,
            "the HPA controller was able to get the target's current scale",
        );
        // Kubernetes' controller drops it too.
        self.status.observed_generation = None;
        self.status.current_replicas = current;
        self.status.current_metrics = derivation.metrics.iter().map(|m| m.status.clone()).collect();
        match &derivation.branch {
            Branch::ScaleUnknown(_) | Branch::AboveMax | Branch::BelowMin => {}
            Branch::Disabled => self.disabled(),
            Branch::SelectorFailed(failure) => {
                let (event, condition, message) = words::selector_failure(failure);
                self.event(Warning, event, &message);
                self.set(reasons::SCALING_ACTIVE, False, condition, message.clone());
                return self.no_count(message);
            }
            Branch::Metrics => {
                if let Some(message) = self.metrics() {
                    return self.no_count(message);
                }
            }
        }
        self.written(decision, outcome, current);
    }

    fn scale_unknown(&mut self, failure: &ScaleFailure) {
        let message = failure.message();
        self.event(Warning, reasons::FAILED_GET_SCALE, message);
        let text = format!("the HPA controller was unable to get the target's current scale: {message}");
        self.set(reasons::ABLE_TO_SCALE, False, reasons::FAILED_GET_SCALE, text.clone());
        self.error = Some(match failure {
            ScaleFailure::BadApiVersion(_) => SyncError::Spec(text),
            ScaleFailure::NoKind(_) | ScaleFailure::NotRead(_) => SyncError::Internal(text),
        });
    }

    fn disabled(&mut self) {
        let message = "scaling is disabled since the replica count of the target is zero";
        self.set(reasons::SCALING_ACTIVE, False, reasons::SCALING_DISABLED, message);
        if !self.settings.scale_to_zero {
            self.remove(reasons::SCALED_TO_ZERO);
        }
    }

    /// Conditions and Events of metrics, windows and limits; a text where they give no count.
    fn metrics(&mut self) -> Option<String> {
        let derivation = self.derivation;
        let mut first_failure = None;
        for (metric, spec) in derivation.metrics.iter().zip(&self.spec.metrics) {
            let Err(failure) = &metric.proposal else { continue };
            let reason = words::metric_failure_reason(&spec.source);
            let message = words::metric_failure(spec, &failure.message);
            self.event(Warning, reason, &message);
            first_failure.get_or_insert((reason, message));
        }
        let combination = derivation.combination?;
        let failure = first_failure.map(|(reason, message)| {
            let total = derivation.metrics.len();
            let summary = format!(
                "invalid metrics ({} invalid out of {total}), first error is: {message}",
                combination.invalid
            );
            (reason, message, summary)
        });
        if combination.outcome != Combined::Recommended {
            let (reason, message, summary) = failure?;
            let text = format!("the HPA was unable to compute the replica count: {message}");
            self.set(reasons::SCALING_ACTIVE, False, reason, text);
            return Some(summary);
        }
        self.error = failure.map(|(_, _, summary)| SyncError::Internal(summary));
        let winner = combination.winner.map_or("", |i| &derivation.metrics[i].metric);
        let message = format!("the HPA was able to successfully calculate a replica count from {winner}");
        self.set(reasons::SCALING_ACTIVE, True, reasons::VALID_METRIC_FOUND, message);
        if let Some(stabilization) = derivation.stabilization {
            let (reason, message) = match stabilization.held {
                None => (reasons::READY_FOR_NEW_SCALE, "recommended size matches current size"),
                Some(Stabilized::Down) => (
                    reasons::SCALE_DOWN_STABILIZED,
                    "recent recommendations were higher than current one, applying the highest recent recommendation",
                ),
                Some(Stabilized::Up) => (
                    reasons::SCALE_UP_STABILIZED,
                    "recent recommendations were lower than current one, applying the lowest recent recommendation",
                ),
            };
            self.set(reasons::ABLE_TO_SCALE, True, reason, message);
        }
        if let (Some(limit), Some(stabilization)) = (&derivation.limit, derivation.stabilization) {
            let (reason, message) = words::limited(limit.limited);
            let holds = if limit.desired == stabilization.stabilized {
                False
            } else {
                True
            };
            self.set(reasons::SCALING_LIMITED, holds, reason, message);
        }
        None
    }

    /// No count: what was wanted before stays wanted.
    fn no_count(&mut self, message: String) {
        self.events_after_status.push(Event {
            kind: Warning,
            reason: reasons::FAILED_COMPUTE_METRICS_REPLICAS,
            message: message.clone(),
        });
        self.error = Some(SyncError::Internal(format!(
            "failed to compute desired number of replicas for {}: {message}",
            self.spec.key
        )));
    }

    fn written(&mut self, decision: &Decision, outcome: &WriteOutcome, current: i32) {
        let Some(write) = &decision.write else {
            self.status.desired_replicas = current;
            return;
        };
        match outcome {
            WriteOutcome::Failed(problem) => {
                let message = format!("New size: {}; reason: {}; error: {problem}", write.to, write.reason);
                self.event(Warning, reasons::FAILED_RESCALE, &message);
                let text = format!("the HPA controller was unable to update the target scale: {problem}");
                self.set(reasons::ABLE_TO_SCALE, False, reasons::FAILED_UPDATE_SCALE, text);
                self.error = Some(SyncError::Internal(format!(
                    "failed to rescale {}: {problem}",
                    self.spec.key
                )));
            }
            // Nobody tried: nothing is claimed.
            WriteOutcome::NotDue => {}
            WriteOutcome::Written => {
                let text = format!("the HPA controller was able to update the target scale to {}", write.to);
                self.set(reasons::ABLE_TO_SCALE, True, reasons::SUCCEEDED_RESCALE, text);
                let message = format!("New size: {}; reason: {}", write.to, write.reason);
                self.event(Normal, reasons::SUCCESSFUL_RESCALE, &message);
                self.scaled_to_zero(write.from, write.to);
                self.status.desired_replicas = write.to;
                self.status.last_scale_time = Some(self.now);
            }
        }
    }

    fn scaled_to_zero(&mut self, from: i32, to: i32) {
        if !self.settings.scale_to_zero {
            return self.remove(reasons::SCALED_TO_ZERO);
        }
        let ours = from > 0 && to == 0 && self.spec.min_replicas == 0 && self.spec.has_object_or_external_metric();
        if ours {
            self.set(
                reasons::SCALED_TO_ZERO,
                True,
                reasons::SCALED_TO_ZERO,
                "the autoscaler set the count to zero",
            );
        } else {
            let message = "the autoscaler did not set the count to zero";
            self.set(reasons::SCALED_TO_ZERO, False, reasons::NOT_SCALED_TO_ZERO, message);
        }
    }

    fn event(&mut self, kind: EventKind, reason: &'static str, message: &str) {
        self.events.push(Event {
            kind,
            reason,
            message: words::bounded(message).to_owned(),
        });
    }

    fn set(
        &mut self,
        kind: &'static str,
        status: ConditionStatus,
        reason: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) {
        let message = message.into();
        set_status(&mut self.status.conditions, kind, status, self.now);
        match self.words.iter_mut().find(|words| words.kind == kind) {
            Some(words) => (words.reason, words.message) = (reason, message),
            None => self.words.push(Words { kind, reason, message }),
        }
    }

    fn remove(&mut self, kind: &str) {
        self.status.conditions.retain(|c| &*c.kind != kind);
        self.words.retain(|words| words.kind != kind);
    }

    /// Has the conditions say what they were set to.
    fn speak(&mut self) {
        for Words { kind, reason, message } in self.words.drain(..) {
            let condition = self.status.conditions.iter_mut().find(|c| &*c.kind == kind);
            say(condition.expect("it was set"), reason, words::bounded(&message));
        }
    }
}

/// Sets a condition's status. Each setting that changes it moves the transition time, also when a later one in the same
/// sync changes it back, as in Kubernetes.
fn set_status<'c>(
    conditions: &'c mut Vec<Condition>,
    kind: &'static str,
    status: ConditionStatus,
    now: Timestamp,
) -> &'c mut Condition {
    let place = conditions.iter().position(|c| &*c.kind == kind).unwrap_or_else(|| {
        conditions.push(Condition {
            kind: kind.into(),
            status,
            reason: "".into(),
            message: "".into(),
            last_transition: Some(now),
        });
        conditions.len() - 1
    });
    let condition = &mut conditions[place];
    if condition.status != status {
        condition.status = status;
        condition.last_transition = Some(now);
    }
    condition
}

fn say(condition: &mut Condition, reason: &str, message: &str) {
    if &*condition.reason != reason {
        condition.reason = reason.into();
    }
    if &*condition.message != message {
        condition.message = message.into();
    }
}

impl Conclusion {
    /// All Events in order, given whether the status write failed, and with what message.
    pub fn events_in_order(&self, status_failure: Option<&str>) -> Vec<Event> {
        let failed = status_failure.map(|message| Event {
            kind: Warning,
            reason: reasons::FAILED_UPDATE_STATUS,
            message: message.to_owned(),
        });
        self.events
            .iter()
            .cloned()
            .chain(failed)
            .chain(self.events_after_status.iter().cloned())
            .collect()
    }
}
