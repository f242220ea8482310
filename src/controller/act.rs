//! What a decision does to the world: scale writes, statuses and Events, or in a dry run their description.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::compare::{Comparison, Difference, Tally};
use super::held::Held;
use super::precedence::Precedence;
use super::report::{ScaleWriteReport, StatusWriteReport};
use crate::cluster::autoscalers::{Autoscaler, Origin};
use crate::cluster::events::{EventRecorder, Involved, InvolvedKind};
use crate::cluster::lease::Leadership;
use crate::cluster::resource::ScaleResource;
use crate::cluster::scale::{ScaleWriteError, Written, write_scale};
use crate::cluster::status::budget::{Offer, StatusBudget};
use crate::cluster::status::write_status;
use crate::decide::{Decision, Event, ScaleWrite, WriteOutcome};
use crate::memory::{Direction, Memory};
use crate::observe::Status;
use crate::render::summary::{Summary, summary};
use crate::spec::{Key, Spec};
use crate::wire::WriteTime;

/// Acts on decisions, or says what it would do.
pub enum Hand {
    /// Writes to the cluster.
    Acting(Acting),
    /// Writes nothing.
    Dry(Dry),
}

/// What it takes to write.
pub struct Acting {
    /// For writes.
    pub client: Client,
    /// The time limit of each write.
    pub timeout: Duration,
    /// Takes Events.
    pub recorder: EventRecorder,
    /// Which statuses can wait.
    pub budget: Arc<Mutex<StatusBudget>>,
    /// Whether we lead; `None`: there is no election, we always do.
    pub leadership: Option<watch::Receiver<Leadership>>,
    /// Is told each sync's decision, before it is acted on; `None`: nobody wants to know.
    pub onlooker: Option<Onlooker>,
}

/// Looks on as decisions are made; must not block.
pub type Onlooker = Arc<dyn Fn(&Spec, &Decision) + Send + Sync>;

/// What came of trying to write a count.
#[derive(Debug)]
pub(super) enum ScaleTry {
    /// It is done, or failed for good.
    Ended(WriteOutcome, ScaleWriteReport, Option<Written>),
    /// There was no answer that says what came of it: it failed, or the count was written all the same.
    Unanswered(String),
    /// The count is another by now: read and decide again.
    Conflict(String),
}

impl Acting {
    /// Whether a write may start now.
    fn leads(&self) -> bool {
        self.leadership
            .as_ref()
            .is_none_or(|l| l.borrow().leads(Instant::now()))
    }

    /// No write is sent after our time is over, also where it has to wait for its place: one that was sent before has to pass
    /// the test of the count.
    fn write_time(&self) -> WriteTime {
        WriteTime {
            limit: self.timeout,
            not_after: self
                .leadership
                .as_ref()
                .map(|l| l.borrow().end().unwrap_or_else(Instant::now)),
        }
    }

    async fn write_scale(&self, target: &ScaleResource, write: &ScaleWrite) -> ScaleTry {
        if !self.leads() {
            let outcome = WriteOutcome::Failed("this process does not lead any more".into());
            return ScaleTry::Ended(outcome, ScaleWriteReport::Failed, None);
        }
        match write_scale(&self.client, target, write.from, write.to, self.write_time()).await {
            Ok(written) => ScaleTry::Ended(WriteOutcome::Written, ScaleWriteReport::Written, Some(written)),
            Err(error @ ScaleWriteError::Conflict { .. }) => ScaleTry::Conflict(error.message()),
            Err(error) if error.may_be_written() => ScaleTry::Unanswered(error.message()),
            Err(error) => ScaleTry::Ended(WriteOutcome::Failed(error.message()), ScaleWriteReport::Failed, None),
        }
    }

    /// Writes a status if it says something that cannot wait. Gives what became of it, and its failure's message.
    async fn write_status(
        &self,
        (held, precedence): (&Held, &Precedence),
        autoscaler: &Autoscaler,
        spec: Option<&Spec>,
        before: &Status,
        status: &Status,
    ) -> (StatusWriteReport, Option<String>) {
        if autoscaler.is_filed() {
            return self.write_status_now(held, autoscaler, status).await;
        }
        let key = &autoscaler.key;
        let metrics = spec.map_or(&[][..], |s| &s.metrics);
        let offer = self.budget.lock().offer(key, before, status, metrics, Instant::now());
        match offer {
            Offer::Unchanged => {
                held.status_waits(key, None);
                (StatusWriteReport::Unchanged, None)
            }
            Offer::Wait => {
                held.status_waits(key, Some(status.clone()));
                (StatusWriteReport::Postponed, None)
            }
            Offer::WriteNow => {
                held.status_waits(key, None);
                precedence.scales_written().await;
                held.late_write_ended(key).await;
                self.write_status_now(held, autoscaler, status).await
            }
        }
    }

    /// Writes a status.
    pub(super) async fn write_status_now(
        &self,
        held: &Held,
        autoscaler: &Autoscaler,
        status: &Status,
    ) -> (StatusWriteReport, Option<String>) {
        if !self.leads() {
            return (
                StatusWriteReport::Failed,
                Some("this process does not lead any more".into()),
            );
        }
        let Origin::Cluster { uid, .. } = &autoscaler.origin else {
            held.keep_status(&autoscaler.key, status.clone());
            return (StatusWriteReport::Kept, None);
        };
        match write_status(&self.client, &autoscaler.key, uid, status, self.write_time()).await {
            Ok(version) => {
                held.wrote_status(&autoscaler.key, status.clone(), version);
                (StatusWriteReport::Written, None)
            }
            Err(error) => {
                warn!(hpa = %autoscaler.key, reason = error.reason(), error = error.message(), "Status not written");
                (StatusWriteReport::Failed, Some(error.message()))
            }
        }
    }

    fn record(&self, autoscaler: &Autoscaler, events: &[Event], now: Timestamp) {
        if events.is_empty() || !self.leads() {
            return;
        }
        // Without an object the Events stand under its name alone: `kubectl events --for hpa/web` finds them.
        let (uid, resource_version) = match &autoscaler.origin {
            Origin::Cluster { uid, resource_version } => (uid.clone(), resource_version.clone()),
            Origin::File(_) => ("".into(), "".into()),
        };
        let involved = Involved {
            kind: InvolvedKind::Autoscaler,
            key: autoscaler.key.clone(),
            uid,
            resource_version,
        };
        events
            .iter()
            .for_each(|event| self.recorder.record(&involved, event, now));
    }
}

/// What a dry run says.
#[derive(Clone, Debug)]
pub enum DryRunWord {
    /// A decision that differs from the last one of its autoscaler.
    Decided(Timestamp, Summary),
    /// The autoscaler in charge came to another count.
    Differs(Difference),
    /// How often the two agreed, once a pass.
    Tally(Tally),
}

/// Takes what a dry run says.
pub type Listener = Box<dyn Fn(DryRunWord) + Send + Sync>;

/// The counts of the last decision that was said: the one seen, and the one wanted.
type Said = (Option<i32>, Option<i32>);

/// A run that only says what it would do.
pub struct Dry {
    listener: Listener,
    comparison: Option<Mutex<Comparison>>,
    said: Mutex<HashMap<Key, Said>>,
    /// The last count seen of each autoscaler.
    seen: Mutex<HashMap<Key, i32>>,
}

impl fmt::Debug for Dry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dry")
            .field("comparison", &self.comparison)
            .finish_non_exhaustive()
    }
}

impl Dry {
    /// A dry run that tells `listener`, and compares where it is given a comparison.
    pub fn new(listener: Listener, comparison: Option<Comparison>) -> Self {
        Self {
            listener,
            comparison: comparison.map(Mutex::new),
            said: Mutex::default(),
            seen: Mutex::default(),
        }
    }

    fn decided(&self, spec: &Spec, decision: &Decision) {
        let summary = summary(spec, decision);
        let now = (summary.spec_replicas, summary.desired_replicas);
        let changed = self.said.lock().insert(spec.key.clone(), now) != Some(now);
        if changed {
            (self.listener)(DryRunWord::Decided(decision.at, summary));
        }
        let difference = self
            .comparison
            .as_ref()
            .and_then(|c| c.lock().decided(&spec.key, decision));
        if let Some(difference) = difference {
            (self.listener)(DryRunWord::Differs(difference));
        }
    }

    /// A count that somebody else changed since the last sync is a scale event as our own would be: scaling policies are
    /// about the count, whoever writes it.
    fn remember_others(&self, spec: &Spec, decision: &Decision, memory: &mut Memory) {
        let Some(count) = decision.derivation.scale.as_ref().map(|s| s.spec_replicas) else {
            return;
        };
        let before = self.seen.lock().insert(spec.key.clone(), count).unwrap_or(count);
        if let (true, Some(behavior)) = (before != count, &spec.behavior) {
            let (direction, rules) = match count > before {
                true => (Direction::Up, &behavior.scale_up),
                false => (Direction::Down, &behavior.scale_down),
            };
            memory.scaled(
                direction,
                count.saturating_sub(before).saturating_abs(),
                decision.at,
                rules,
            );
        }
    }

    fn forget(&self, key: &Key) {
        self.said.lock().remove(key);
        self.seen.lock().remove(key);
        if let Some(comparison) = &self.comparison {
            comparison.lock().forget(key);
        }
    }
}

impl Hand {
    /// Whether decisions are ours to make: a process that was stopped for a while may find out here that its time is over.
    pub(super) fn leads(&self) -> bool {
        match self {
            Self::Acting(acting) => acting.leads(),
            Self::Dry(_) => true,
        }
    }

    /// Writes the count, if one is due.
    pub(super) async fn write_scale(&self, key: &Key, target: Option<&ScaleResource>, decision: &Decision) -> ScaleTry {
        let Some(write) = &decision.write else {
            return ScaleTry::Ended(WriteOutcome::NotDue, ScaleWriteReport::NotDue, None);
        };
        match (self, target) {
            (Self::Acting(acting), Some(target)) => {
                let result = acting.write_scale(target, write).await;
                match &result {
                    ScaleTry::Ended(WriteOutcome::Written, ..) => info!(
                        hpa = %key, scale_target = %target, spec_replicas = write.from, desired_replicas = write.to,
                        reason = write.reason, "Rescaled"
                    ),
                    ScaleTry::Ended(outcome, ..) => warn!(
                        hpa = %key, scale_target = %target, spec_replicas = write.from, desired_replicas = write.to,
                        ?outcome, "Not rescaled"
                    ),
                    ScaleTry::Unanswered(error) => warn!(
                        hpa = %key, scale_target = %target, spec_replicas = write.from, desired_replicas = write.to,
                        error, "Not known whether it was rescaled"
                    ),
                    ScaleTry::Conflict(error) => {
                        debug!(hpa = %key, scale_target = %target, error, "The count has changed: deciding again");
                    }
                }
                result
            }
            (Self::Acting(_), None) => {
                let outcome = WriteOutcome::Failed("the scale target is not known".into());
                ScaleTry::Ended(outcome, ScaleWriteReport::Failed, None)
            }
            // What conclusions remember of a write that failed is what a dry run has to remember.
            (Self::Dry(_), _) => {
                ScaleTry::Ended(WriteOutcome::Failed("dry run".into()), ScaleWriteReport::DryRun, None)
            }
        }
    }

    /// Says what was decided, to whoever looks on; and lets a dry run remember what others wrote.
    pub(super) fn decided(&self, spec: &Spec, decision: &Decision, memory: &mut Memory) {
        match self {
            Self::Dry(dry) => {
                dry.remember_others(spec, decision, memory);
                dry.decided(spec, decision);
            }
            Self::Acting(acting) => {
                if let Some(onlooker) = &acting.onlooker {
                    onlooker(spec, decision);
                }
            }
        }
    }

    /// Writes the status and the Events that go with it.
    pub(super) async fn publish(
        &self,
        (held, precedence): (&Held, &Precedence),
        autoscaler: &Autoscaler,
        spec: Option<&Spec>,
        before: &Status,
        conclusion: &crate::decide::Conclusion,
        now: Timestamp,
    ) -> StatusWriteReport {
        let Self::Acting(acting) = self else {
            if autoscaler.is_filed() {
                held.keep_status(&autoscaler.key, conclusion.status.clone());
            }
            return StatusWriteReport::DryRun;
        };
        let (report, failure) = acting
            .write_status((held, precedence), autoscaler, spec, before, &conclusion.status)
            .await;
        acting.record(autoscaler, &conclusion.events_in_order(failure.as_deref()), now);
        report
    }

    /// Forgets an autoscaler that is gone.
    pub(super) fn forget(&self, key: &Key) {
        match self {
            Self::Acting(acting) => acting.budget.lock().forget(key),
            Self::Dry(dry) => dry.forget(key),
        }
    }

    /// Says how the comparison stands, once a pass.
    pub(super) fn pass_ended(&self) {
        if let Self::Dry(Dry {
            listener,
            comparison: Some(comparison),
            ..
        }) = self
        {
            let tally = comparison.lock().tally();
            listener(DryRunWord::Tally(tally));
        }
    }
}
