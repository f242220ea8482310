//! One sync of one autoscaler: gather, decide, act.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, error, warn};

use super::act::ScaleTry;
use super::gather::select_again;
use super::held::Standing;
use super::keeper::{Open, Saved};
use super::places::Place;
use super::questions::Questions;
use super::report::{Action, ErrorClass, MetricReport, ScaleWriteReport, StatusWriteReport, SyncReport};
use super::{Context, ControllerSettings};
use crate::cluster::autoscalers::Autoscaler;
use crate::cluster::resource::ScaleResource;
use crate::decide::{
    self, Conclusion, Decision, Spare, SyncError, WriteOutcome, asks_metrics, broken, conclude, decide_with,
    must_be_remembered, reasons,
};
use crate::memory::Memory;
use crate::memory::stored::Intent;
use crate::metrics::sources::MetricPass;
use crate::observe::{Condition, Observation, Pods, Scale, ScaleFailure, Status};
use crate::render::summary::why;
use crate::selector::Selector;
use crate::spec::{Key, Spec};

/// Tries of a scale write whose count was changed by someone else meanwhile, each with a decision of its own: as many as
/// Kubernetes makes with its old one.
const WRITE_TRIES: usize = 5;

/// The part of a sync's time after which metrics without an answer have failed, so that the others still count.
const METRICS_SHARE: f64 = 0.8;

thread_local! {
    /// One for each thread, so that no sync waits for another's.
    static SPARE: RefCell<Spare> = RefCell::default();
}

/// Everything that one decision was made from, and what it came to.
pub struct Sight {
    /// The autoscaler's wish.
    pub spec: Arc<Spec>,
    /// What was seen.
    pub seen: Observation,
    /// Where the scale is written.
    pub target: Option<ScaleResource>,
    /// How long each metric took to be answered.
    waited: Vec<Duration>,
    /// Its place among heavy syncs; `None` where it is no such one.
    heavy: Option<Place>,
}

/// The part of a sync's time in which metrics have to answer.
pub(super) fn time_for_metrics(settings: &ControllerSettings) -> Duration {
    settings.sync_timeout.mul_f64(METRICS_SHARE)
}

/// The place of a sync among others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    /// From when its time counts, to which waiting for metrics belongs also where that was done for many together.
    pub at: Instant,
    /// Its scale is written before those of higher turns that wait.
    pub turn: u64,
}

/// Syncs one autoscaler; `None` where it is gone, or where nobody could tell what there is around it.
pub(super) async fn sync(cx: &Context, answers: &MetricPass, key: &Key, begun: Begun) -> Option<SyncReport> {
    let autoscaler = cx.cluster.autoscalers.get(key)?;
    if !cx.cluster.knows(&key.namespace) {
        // An object's namespace is there; the names of all come by a watch of their own, and may be late.
        if autoscaler.is_filed() && cx.cluster.lacks(&key.namespace) {
            return Some(without_namespace(cx, &autoscaler).await);
        }
        debug!(hpa = %key, "Not synced: the pods of its namespace are not known yet");
        return None;
    }
    let mut report = match &autoscaler.spec {
        Ok(spec) => sync_valid(cx, answers, &autoscaler, spec, begun).await,
        Err(problem) => cannot_decide(cx, &autoscaler, reasons::INVALID_SPEC, &problem.to_string()).await,
    };
    report.duration = begun.at.elapsed();
    Some(report)
}

async fn sync_valid(
    cx: &Context,
    answers: &MetricPass,
    autoscaler: &Autoscaler,
    spec: &Arc<Spec>,
    begun: Begun,
) -> SyncReport {
    let key = &autoscaler.key;
    let (mut memory, is_open) = cx.held.memory(key);
    for attempt in 1..=WRITE_TRIES {
        let from = if attempt == 1 { begun.at } else { Instant::now() };
        let looked = timeout_at(
            from + cx.settings.sync_timeout,
            look(
                cx,
                answers,
                autoscaler,
                spec,
                Begun { at: from, ..begun },
                is_open || attempt > 1,
            ),
        )
        .await;
        let Ok(mut sight) = looked else {
            let limit = humantime::format_duration(cx.settings.sync_timeout);
            warn!(hpa = %key, "Sync given up: it saw nothing within {limit}");
            return blank(key, ErrorClass::Internal);
        };
        if !cx.hand.leads() {
            debug!(hpa = %key, "Sync given up: this process does not lead any more");
            return blank(key, ErrorClass::Internal);
        }
        cx.held.catch_up(key, &mut memory);
        let now = cx.clock.now();
        if let Ok(scale) = &sight.seen.scale
            && let Some(recalled) = {
                let standing = Standing::new(autoscaler, spec, scale.spec_replicas);
                cx.held.recall(spec, standing, now)
            }
        {
            memory = recalled;
        }
        let decided = match sight.heavy.is_some() {
            false => decide_here(spec, &sight.seen, &memory, &cx.settings.decide, now),
            true => decide_aside(cx, spec, &mut sight.seen, &memory, now).await,
        };
        sight.heavy = None;
        let Some(decision) = decided else {
            let problem = "the decision broke one of its own rules; the count stays as it is";
            error!(hpa = %key, problem, "Decision panicked");
            let mut report = cannot_decide(cx, autoscaler, reasons::INTERNAL_ERROR, problem).await;
            report.panicked = true;
            return report;
        };
        let recommended = decision.derivation.stabilization.map(|s| s.recommendation);
        debug!(hpa = %key, recommended, desired_replicas = decision.derivation.desired, why = why(&decision), "Decided");
        cx.hand.decided(spec, &decision, &mut memory);

        let scaling = decision.write.as_ref().map(|_| cx.precedence.scaling());
        let keeper = cx.keeper.as_ref().filter(|_| decision.write.is_some());
        let open = keeper.map(|keeper| keeper.open(key));
        if intend(cx, autoscaler, spec, &decision, &memory).await == Saved::TakenOver {
            let outcome = WriteOutcome::Failed("this process does not lead any more".into());
            let report = end(
                cx,
                autoscaler,
                &sight,
                &decision,
                (&outcome, ScaleWriteReport::Failed, open),
                memory,
            );
            return report.await;
        }
        // Few writes at a time; waiting for metrics takes no place.
        let place = if decision.write.is_some() {
            Some(cx.places.take(begun.turn).await)
        } else {
            None
        };
        let (outcome, wrote) = match cx.hand.write_scale(key, sight.target.as_ref(), &decision).await {
            ScaleTry::Ended(outcome, wrote, written) => {
                if let (Some(written), Some(target)) = (written, &sight.target) {
                    cx.cluster
                        .targets
                        .note_written(target, written.replicas, &written.resource_version);
                }
                (outcome, wrote)
            }
            // The next sync sees what came of it. Kubernetes takes it for not written.
            ScaleTry::Unanswered(problem) => (WriteOutcome::Failed(problem), ScaleWriteReport::Unanswered),
            ScaleTry::Conflict(_) if attempt < WRITE_TRIES => continue,
            ScaleTry::Conflict(problem) => (WriteOutcome::Failed(problem), ScaleWriteReport::Conflict),
        };
        drop((place, scaling));
        let report = end(cx, autoscaler, &sight, &decision, (&outcome, wrote, open), memory).await;
        SPARE.with_borrow_mut(|spare| spare.take_back(decision));
        return report;
    }
    blank(key, ErrorClass::Internal)
}

/// `None` where it panicked.
fn decide_here(
    spec: &Spec,
    seen: &Observation,
    memory: &Memory,
    settings: &decide::Settings,
    now: Timestamp,
) -> Option<Decision> {
    let decided = || SPARE.with_borrow_mut(|spare| decide_with(spare, spec, seen, memory, settings, now));
    catch_unwind(AssertUnwindSafe(decided)).ok()
}

/// The same beside the event loop, for what takes it longer than others should wait.
async fn decide_aside(
    cx: &Context,
    spec: &Arc<Spec>,
    seen: &mut Observation,
    memory: &Memory,
    now: Timestamp,
) -> Option<Decision> {
    let (spec, memory, settings) = (spec.clone(), memory.clone(), cx.settings.decide.clone());
    let readings = std::mem::take(&mut seen.readings);
    let with_readings = Observation {
        readings,
        ..seen.clone()
    };
    let aside = tokio::task::spawn_blocking(move || {
        let decision = decide_here(&spec, &with_readings, &memory, &settings, now);
        (decision, with_readings.readings)
    });
    let (decision, readings) = aside.await.ok()?;
    seen.readings = readings;
    decision
}

/// Saves that the decision's write is about to be made, where a policy could be exceeded after a restart if that were
/// forgotten. Where it cannot be saved, the count is written all the same: capacity that is needed comes first.
async fn intend(cx: &Context, autoscaler: &Autoscaler, spec: &Spec, decision: &Decision, memory: &Memory) -> Saved {
    let (Some(keeper), Some(write)) = (&cx.keeper, &decision.write) else {
        return Saved::Done;
    };
    if !must_be_remembered(spec, write.from, write.to, memory, decision.at) {
        return Saved::Done;
    }
    let intent = Intent {
        from: write.from,
        to: write.to,
        at: decision.at,
    };
    let standing = Standing::new(autoscaler, spec, write.from);
    let saved = keeper.intend(&cx.held, &spec.key, intent, standing).await;
    if saved == Saved::Failed {
        let key = &spec.key;
        warn!(hpa = %key, "Scaling without having saved it: a restart now would forget what policies count");
    }
    saved
}

/// Draws the conclusion, remembers, and publishes.
async fn end(
    cx: &Context,
    autoscaler: &Autoscaler,
    sight: &Sight,
    decision: &Decision,
    (outcome, wrote, open): (&WriteOutcome, ScaleWriteReport, Option<Open<'_>>),
    mut memory: Memory,
) -> SyncReport {
    let Sight { spec, seen, .. } = sight;
    cx.held.catch_up(&autoscaler.key, &mut memory);
    let now = cx.clock.now();
    let mut conclusion = conclude(spec, seen, decision, outcome, memory, &cx.settings.decide, now);
    remember(
        cx,
        autoscaler,
        sight,
        decision,
        wrote,
        std::mem::take(&mut conclusion.memory),
    );
    drop(open);
    let status_write = cx
        .hand
        .publish(
            (&cx.held, &cx.precedence),
            autoscaler,
            Some(spec),
            &seen.status,
            &conclusion,
            now,
        )
        .await;
    report(autoscaler, sight, decision, &conclusion, wrote, status_write)
}

/// Remembers, and has it saved within the pass where each recommendation counts.
fn remember(
    cx: &Context,
    autoscaler: &Autoscaler,
    Sight { spec, seen, .. }: &Sight,
    decision: &Decision,
    wrote: ScaleWriteReport,
    memory: Memory,
) {
    let key = &autoscaler.key;
    let is_open = wrote == ScaleWriteReport::Unanswered;
    let Ok(scale) = &seen.scale else {
        cx.held.remember(key, memory, None);
        return;
    };
    if cx.keeper.is_none() && decision.write.is_none() {
        cx.held.remember(key, memory, None);
        return;
    }
    let written = decision.write.as_ref().filter(|_| wrote == ScaleWriteReport::Written);
    let count = written.map_or(scale.spec_replicas, |write| write.to);
    let standing = Standing::new(autoscaler, spec, count);
    // What became of a write settles its intent, if there was one.
    let settles = decision.write.is_some() && spec.behavior.is_some();
    let counts = settles || standing.holds_back(&memory);
    let is_new = match &decision.write {
        Some(write) if is_open => {
            let intent = Intent {
                from: write.from,
                to: write.to,
                at: decision.at,
            };
            cx.held.remember_open(key, memory, standing, intent, cx.clock.now());
            true
        }
        _ => cx.held.remember(key, memory, Some(standing)),
    };
    if let (true, Some(keeper)) = (counts || is_new, &cx.keeper) {
        keeper.note(key, is_new);
    }
}

fn report(
    autoscaler: &Autoscaler,
    sight: &Sight,
    decision: &Decision,
    conclusion: &Conclusion,
    scale_write: ScaleWriteReport,
    status_write: StatusWriteReport,
) -> SyncReport {
    let class = |error: &Option<SyncError>| match error {
        None => ErrorClass::None,
        Some(SyncError::Spec(_)) => ErrorClass::Spec,
        Some(SyncError::Internal(_)) => ErrorClass::Internal,
    };
    let metrics = decision
        .derivation
        .metrics
        .iter()
        .zip(&sight.spec.metrics)
        .enumerate()
        .map(|(i, (derived, spec))| {
            let current = sight.seen.status.current_replicas;
            MetricReport {
                metric_type: spec.source.type_name(),
                action: derived
                    .proposal
                    .as_ref()
                    .map_or(Action::None, |proposal| Action::of(current, *proposal)),
                error: if derived.proposal.is_ok() {
                    ErrorClass::None
                } else {
                    ErrorClass::Internal
                },
                duration: sight.waited.get(i).copied().unwrap_or_default(),
            }
        });
    let action = match (&decision.write, scale_write) {
        (Some(write), ScaleWriteReport::Written) => Action::of(write.from, write.to),
        _ => Action::None,
    };
    SyncReport {
        action,
        error: class(&conclusion.error),
        metrics: metrics.collect(),
        desired_replicas: decision
            .derivation
            .desired
            .filter(|_| !matches!(scale_write, ScaleWriteReport::Failed | ScaleWriteReport::Unanswered)),
        scale_write,
        status_write,
        ..blank(&autoscaler.key, ErrorClass::None)
    }
}

fn blank(key: &Key, error: ErrorClass) -> SyncReport {
    SyncReport {
        key: key.clone(),
        action: Action::None,
        error,
        duration: Duration::ZERO,
        metrics: Vec::new(),
        desired_replicas: None,
        scale_write: ScaleWriteReport::NotDue,
        status_write: StatusWriteReport::Unchanged,
        panicked: false,
    }
}

/// A manifest names a namespace that is not there: said in the log once, and in its status for as long as that is so.
async fn without_namespace(cx: &Context, autoscaler: &Autoscaler) -> SyncReport {
    let key = &autoscaler.key;
    let problem = format!("there is no namespace {}", key.namespace);
    let before = cx.held.status_of(autoscaler);
    let is_told = |condition: &Condition| &*condition.reason == reasons::NAMESPACE_NOT_FOUND;
    if !before.conditions.iter().any(is_told) {
        warn!(hpa = %key, manifest = %autoscaler.origin, "Not decided for: there is no such namespace");
    }
    cannot_decide(cx, autoscaler, reasons::NAMESPACE_NOT_FOUND, &problem).await
}

/// No decision is possible: the count stays, and the autoscaler's condition and an Event say why.
async fn cannot_decide(cx: &Context, autoscaler: &Autoscaler, reason: &'static str, problem: &str) -> SyncReport {
    let now = cx.clock.now();
    let before = cx.held.status_of(autoscaler);
    let conclusion = broken(&before, reason, problem, now);
    let status_write = cx
        .hand
        .publish((&cx.held, &cx.precedence), autoscaler, None, &before, &conclusion, now)
        .await;
    SyncReport {
        status_write,
        ..blank(&autoscaler.key, ErrorClass::Spec)
    }
}

/// What one sync sees, in a time that counts from `begun.at`. `afresh`: the scale is read from the API server, not from a cache.
async fn look(
    cx: &Context,
    answers: &MetricPass,
    autoscaler: &Autoscaler,
    spec: &Arc<Spec>,
    begun: Begun,
    afresh: bool,
) -> Sight {
    let began = begun.at;
    let namespace = &spec.key.namespace;
    let status = cx.held.status_of(autoscaler);
    let read = match afresh {
        true => cx.cluster.targets.fresh_scale(namespace, &spec.scale_target).await,
        false => cx.cluster.targets.scale(namespace, &spec.scale_target).await,
    };
    let (scale, target) = match read {
        Ok((scale, target)) => (Ok(scale), Some(target)),
        Err(failure) => (Err(failure), None),
    };
    let picked = pick(cx, spec, &status, &scale);
    let (mut readings, mut waited, mut heavy) = (Vec::new(), Vec::new(), None);
    let pods = match picked {
        None => Ok(Pods::default()),
        Some(Err(failure)) => Err(failure),
        Some(Ok((selector, pods))) => {
            heavy = cx.heavy.enter(spec, &pods, begun.turn).await;
            let questions = Questions {
                cx,
                answers,
                spec,
                selector: &selector,
                pods: &pods,
                began,
                until: began + time_for_metrics(&cx.settings),
            };
            (readings, waited) = match heavy {
                None => questions.answered().await,
                Some(_) => questions.answered_slowly().await,
            };
            Ok(pods)
        }
    };
    Sight {
        spec: spec.clone(),
        seen: Observation {
            status,
            scale,
            pods,
            readings,
        },
        target,
        waited,
        heavy,
    }
}

type Picked = Result<(Selector, Pods), crate::observe::SelectorFailure>;

/// The pods to look at; `None` where the count alone decides.
fn pick(cx: &Context, spec: &Spec, status: &Status, scale: &Result<Scale, ScaleFailure>) -> Option<Picked> {
    let scale = scale.as_ref().ok()?;
    asks_metrics(spec, status, scale, &cx.settings.decide)
        .then(|| select_again(&spec.key, &scale.selector, &cx.cluster.pods, &cx.held.selectors))
}
