//! A scenario decided again, and compared with what it expects.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::compare::{EVENTS_RECORDED, FieldDifference, Outcome, differences};
use super::rhythm::{CONFLICT, Rhythm};
use super::scenario::{Expectation, ExpectedEvent, Scenario, ScenarioError, Step};
use super::world::{World, Written};
use crate::controller::gather::select_pods;
use crate::decide::{Decision, Event, EventKind, WriteOutcome, asks_metrics, conclude, decide};
use crate::observe::{Observation, Pods};
use crate::render::status::to_json;
use crate::spec::{Key, Spec};

/// Tries of a scale write that is refused as a conflict: as many as Kubernetes makes.
const WRITE_TRIES: i32 = 5;

/// A field of a step that came out otherwise than the file expects.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Which step, from 0.
    pub step: usize,
    /// Its time since the start, as the file writes it.
    pub at: String,
    /// Which autoscaler.
    pub autoscaler: String,
    /// Which field, and how it came out.
    pub field: FieldDifference,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            step,
            at,
            autoscaler,
            field,
        } = self;
        write!(
            f,
            "step {step} at {at}: {autoscaler}: {}: expected {}, got {}",
            field.field, field.expected, field.got
        )
    }
}

/// One sync of a replay: what was decided, on what.
pub struct Replayed<'a> {
    /// Which step, from 0.
    pub step: usize,
    /// The autoscaler's wish.
    pub spec: &'a Spec,
    /// What it saw.
    pub seen: &'a Observation,
    /// What was decided.
    pub decision: &'a Decision,
}

/// Decides a scenario again, and gives every difference from what it expects, in order.
///
/// `each` is shown every decision.
///
/// # Errors
/// What cannot be read in the text, with line and column.
pub fn replay(text: &str, mut each: impl FnMut(Replayed<'_>)) -> Result<Vec<Difference>, ScenarioError> {
    let scenario = Scenario::parse(text)?;
    let settings = scenario.controller.settings().map_err(|gate| ScenarioError::At {
        line: 1,
        column: 1,
        problem: format!("controller.featureGates.{gate}: no such feature gate of autoscaling"),
    })?;
    let mut world = World::new(settings);
    let mut rhythm = match scenario.oracle.is_empty() {
        true => Rhythm::Exact,
        false => Rhythm::oracle(scenario.controller.sync_period),
    };
    let mut out = Vec::new();
    for (i, step) in scenario.steps.iter().enumerate() {
        let written = world.apply(text, step)?;
        if let (0, Some(memory), [autoscaler]) = (i, &scenario.memory, world.autoscalers.as_mut_slice()) {
            autoscaler.memory = memory.clone();
        }
        let all: Vec<Key> = world.autoscalers.iter().map(|a| a.spec.key.clone()).collect();
        rhythm.step(step.at, &written, &all);
        let mut outcomes: BTreeMap<Key, Outcome> = BTreeMap::new();
        rhythm.run(scenario.start, step.at, &all, |key, now| {
            let Some(n) = world.autoscalers.iter().position(|a| a.spec.key == *key) else {
                return SignedDuration::ZERO;
            };
            sync(
                &mut world,
                n,
                now,
                i,
                outcomes.entry(key.clone()).or_default(),
                &mut each,
            )
        });
        for n in 0..world.autoscalers.len() {
            let outcome = outcomes.remove(&world.autoscalers[n].spec.key).unwrap_or_default();
            compare(&mut world, n, step, i, outcome, &mut out);
        }
        out.extend(unknown(&world, step, i));
    }
    Ok(out)
}

/// Syncs one autoscaler as the controller does, with the world in the place of the API servers. Adds what it did to
/// `outcome`; gives how long it took.
fn sync(
    world: &mut World,
    n: usize,
    now: Timestamp,
    step: usize,
    outcome: &mut Outcome,
    each: &mut impl FnMut(Replayed<'_>),
) -> SignedDuration {
    let spec = Arc::clone(&world.autoscalers[n].spec);
    let mut took = SignedDuration::ZERO;
    let (seen, decision, result) = loop {
        let seen = observe(world, n, &spec);
        let decision = decide(&spec, &seen, &world.autoscalers[n].memory, &world.settings, now);
        let result = match &decision.write {
            None => WriteOutcome::NotDue,
            Some(write) => match world.write_scale(&spec.key.namespace, &spec.scale_target, write.to) {
                Written::Done => WriteOutcome::Written,
                Written::Conflict if took < CONFLICT * (WRITE_TRIES - 1) => {
                    took += CONFLICT;
                    continue;
                }
                Written::Conflict => WriteOutcome::Failed("the object has been modified".into()),
                Written::Failed(message) => WriteOutcome::Failed(message),
            },
        };
        break (seen, decision, result);
    };
    each(Replayed {
        step,
        spec: &spec,
        seen: &seen,
        decision: &decision,
    });
    if result == WriteOutcome::Written {
        outcome.scaled_to = outcome.scaled_to.or(decision.write.as_ref().map(|w| w.to));
    }
    let memory = std::mem::take(&mut world.autoscalers[n].memory);
    let ended = now.checked_add(took).unwrap_or(now);
    let conclusion = conclude(&spec, &seen, &decision, &result, memory, &world.settings, ended);
    let changed = conclusion.status != seen.status;
    let failure = world.status_failure().filter(|_| changed);
    let words = |event: &Event| ExpectedEvent {
        kind: match event.kind {
            EventKind::Normal => "Normal".into(),
            EventKind::Warning => "Warning".into(),
        },
        reason: event.reason.into(),
    };
    outcome
        .events
        .extend(conclusion.events_in_order(failure).iter().map(words));
    let written = changed && failure.is_none();
    let autoscaler = &mut world.autoscalers[n];
    autoscaler.memory = conclusion.memory;
    if written {
        autoscaler.status = conclusion.status;
    }
    took
}

fn observe(world: &mut World, n: usize, spec: &Spec) -> Observation {
    let status = world.autoscalers[n].status.clone();
    let scale = world.scale(&spec.key.namespace, &spec.scale_target);
    let mut seen = Observation {
        status,
        scale,
        pods: Ok(Pods::default()),
        readings: Vec::new(),
    };
    let Ok(scale) = &seen.scale else { return seen };
    if !asks_metrics(spec, &seen.status, scale, &world.settings) {
        return seen;
    }
    match select_pods(&spec.key, &scale.selector, &world.pods, &mut world.selectors) {
        Err(failure) => seen.pods = Err(failure),
        Ok((selector, pods)) => {
            seen.readings = spec
                .metrics
                .iter()
                .map(|m| world.reading(&spec.key.namespace, &m.source, &selector, &pods))
                .collect();
            seen.pods = Ok(pods);
        }
    }
    seen
}

fn compare(world: &mut World, n: usize, step: &Step<'_>, i: usize, mut got: Outcome, out: &mut Vec<Difference>) {
    let autoscaler = &mut world.autoscalers[n];
    let recorded = world.recorded.entry(autoscaler.spec.key.clone()).or_default();
    let before = *recorded;
    *recorded = (before + got.events.len()).min(EVENTS_RECORDED);
    got.status = to_json(&autoscaler.status);
    let key = autoscaler.spec.key.to_string();
    let Some(expected) = step.expect.get(&key) else {
        // Nothing is expected; what comes later is compared with what then stands there.
        autoscaler.expected_status = Some(got.status);
        return;
    };
    if let Some(status) = &expected.status {
        autoscaler.expected_status = Some(status.clone());
    }
    let fields = differences(expected, autoscaler.expected_status.as_ref(), &got, before);
    out.extend(fields.into_iter().map(|field| Difference {
        step: i,
        at: crate::duration::print(step.at),
        autoscaler: key.clone(),
        field,
    }));
}

/// Expectations of autoscalers that do not exist.
fn unknown(world: &World, step: &Step<'_>, i: usize) -> Vec<Difference> {
    let known = |key: &str| world.autoscalers.iter().any(|a| a.spec.key.to_string() == key);
    let missing = |(key, _): &(&String, &Expectation)| !known(key);
    step.expect
        .iter()
        .filter(missing)
        .map(|(key, _)| Difference {
            step: i,
            at: crate::duration::print(step.at),
            autoscaler: key.clone(),
            field: FieldDifference {
                field: "autoscaler".into(),
                expected: "one of this name".into(),
                got: "nothing".into(),
            },
        })
        .collect()
}
