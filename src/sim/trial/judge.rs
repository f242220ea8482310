//! What must never happen, checked from outside: by what reaches the API, and by what autoscalers there say.

mod policies;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use parking_lot::Mutex;
use serde_json::Value;

use super::plan::Planned;
use crate::decide::Decision;
use crate::decide::derivation::Branch;
use crate::sim::api::{AUTOSCALERS, Api, DEPLOYMENTS};
use crate::sim::time::VirtualClock;
use crate::spec::{Key, Spec};
use policies::{Counts, Scaled, allowed};

/// How long an autoscaler that was edited may still count as it was: watches may be late, and are asked for again after 90 s.
const EDITS_SEEN_WITHIN: Duration = Duration::from_secs(150);

/// A scale-down on a metric needs an answer that is not older than this: a sync lasts 30 s at most.
const ANSWERS_COUNT_FOR: Duration = Duration::from_secs(46);

/// Kubernetes' stabilization window where an autoscaler names none.
const WINDOW: Duration = Duration::from_secs(300);

/// Decisions of an autoscaler that are kept: those of the longest window here, a sync each 5 s at most, and more.
const DECISIONS: usize = 500;

/// A decision is in the store after this: at the end of the next pass.
const SAVED_WITHIN: Duration = Duration::from_secs(21);

/// How long what was not saved may be missed: the longest window and the longest period here, and a pass.
const TROUBLE_COUNTS_FOR: Duration = Duration::from_secs(400);

/// Between the time of a decision and that of its events, at most.
const SLACK: Duration = Duration::from_millis(200);

/// Violations that are told; the first ones say most.
const VIOLATIONS: usize = 20;

/// Where metrics come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Resource,
    Custom,
}

impl Source {
    pub(super) fn of(path: &str) -> Self {
        if path.contains("custom.metrics") {
            Self::Custom
        } else {
            Self::Resource
        }
    }
}

/// Watches one trial.
pub(super) struct Judge {
    clock: Arc<VirtualClock>,
    state: Mutex<State>,
    api: Arc<Api>,
}

#[derive(Default)]
struct State {
    violations: Vec<String>,
    scales: usize,
    autoscalers: BTreeMap<Key, Watched>,
    answers: BTreeMap<Source, Duration>,
    /// When something went wrong last with what memory depends on.
    memory_troubled: Option<Duration>,
}

/// One autoscaler.
#[derive(Default)]
struct Watched {
    /// Its specs since their times.
    specs: Vec<(Duration, Value)>,
    decisions: VecDeque<Decided>,
    /// The count that the first decision ever saw, and when: it counts as recommended.
    found: Option<(i32, Duration)>,
    /// Writes, whether the process knows of them or not.
    scaled: Vec<Scaled>,
}

struct Decided {
    at: Duration,
    seen: Option<i32>,
    branch: Branch,
    recommended: Option<i32>,
    failed: Vec<String>,
    write: Option<(i32, i32)>,
}

impl Judge {
    pub(super) fn new(clock: Arc<VirtualClock>, api: Arc<Api>) -> Arc<Self> {
        Arc::new(Self {
            clock,
            state: Mutex::default(),
            api,
        })
    }

    /// From now on an autoscaler has this spec.
    pub(super) fn has_spec(&self, key: &Key, spec: &Value) {
        let now = self.clock.elapsed();
        let mut state = self.state.lock();
        state
            .autoscalers
            .entry(key.clone())
            .or_default()
            .specs
            .push((now, spec.clone()));
    }

    /// A term of leadership begins: what was remembered is read from the store.
    ///
    /// What has counted goes on counting, but for what was decided within the last moments of the term before, which may not
    /// have been saved. Where something went wrong with the store or with writes lately, memory may be lost, so that windows and
    /// policies begin anew, or it may not.
    pub(super) fn term_begins(&self) {
        let now = self.clock.elapsed();
        let mut state = self.state.lock();
        let lost = state
            .memory_troubled
            .is_some_and(|at| now.saturating_sub(at) < TROUBLE_COUNTS_FOR);
        for watched in state.autoscalers.values_mut() {
            if lost {
                watched.decisions.clear();
                watched
                    .scaled
                    .iter_mut()
                    .for_each(|scaled| scaled.counts = Counts::Perhaps);
            } else if let Some(last) = watched.decisions.back().map(|decided| decided.at) {
                watched.decisions.retain(|decided| decided.at + SAVED_WITHIN < last);
            }
        }
    }

    /// Something went wrong with what memory depends on.
    pub(super) fn memory_troubled(&self) {
        let now = self.clock.elapsed();
        self.state.lock().memory_troubled = Some(now);
    }

    /// The process has made a decision.
    pub(super) fn decided(&self, spec: &Spec, decision: &Decision) {
        let at = self.clock.elapsed();
        let derivation = &decision.derivation;
        let failed = derivation.metrics.iter().filter(|metric| metric.proposal.is_err());
        let decided = Decided {
            at,
            seen: derivation.scale.as_ref().map(|scale| scale.spec_replicas),
            branch: derivation.branch.clone(),
            recommended: derivation
                .combination
                .filter(|c| c.valid > 0)
                .map(|combination| combination.largest),
            failed: failed.map(|metric| metric.metric.clone()).collect(),
            write: decision.write.as_ref().map(|write| (write.from, write.to)),
        };
        let mut state = self.state.lock();
        let watched = state.autoscalers.entry(spec.key.clone()).or_default();
        watched.found = watched.found.or(decided.seen.map(|seen| (seen, at)));
        watched.decisions.push_back(decided);
        if watched.decisions.len() > DECISIONS {
            watched.decisions.pop_front();
        }
    }

    /// The process asks for something.
    pub(super) fn asked(&self, method: &Method, path: &str) {
        let may_write = (*method == Method::PATCH && (path.ends_with("/scale") || path.ends_with("/status")))
            || path.contains("/events")
            || path.starts_with("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases")
            || path.starts_with("/api/v1/namespaces/kube-system/configmaps");
        if *method != Method::GET && !may_write {
            self.violated(format!("{method} {path} is none of its business"));
        }
    }

    /// A metrics API has answered, and the answer arrives.
    pub(super) fn measured(&self, source: Source) {
        let now = self.clock.elapsed();
        self.state.lock().answers.insert(source, now);
    }

    /// A count was written by the scale at `path`: it was `before`, and the process sent `patch`. `told`: the process gets to
    /// know that it was written.
    pub(super) fn scaled(&self, path: &str, before: Option<i64>, patch: &[u8], told: bool) {
        let (Some(key), Ok(patch)) = (key_of_scale(path), serde_json::from_slice::<Value>(patch)) else {
            return self.violated(format!("a scale was written by other means than a patch: {path}"));
        };
        let count = |value: &Value| value.as_i64().and_then(|count| i32::try_from(count).ok());
        let added = patch
            .as_array()
            .into_iter()
            .flatten()
            .find(|operation| operation["op"] == "add");
        let (Some(to), Some(from)) = (
            added.and_then(|operation| count(&operation["value"])),
            before.and_then(|before| i32::try_from(before).ok()),
        ) else {
            return self.violated(format!("{key}: a patch of the scale that sets no count: {patch}"));
        };
        let now = self.clock.elapsed();
        let mut state = self.state.lock();
        state.scales += 1;
        let answers = state.answers.clone();
        let watched = state.autoscalers.entry(key.clone()).or_default();
        let found = watched.check(now, from, to, &answers);
        watched.scaled.push(Scaled {
            at: now,
            from,
            to,
            counts: if told { Counts::Surely } else { Counts::Perhaps },
        });
        drop(state);
        found
            .into_iter()
            .for_each(|problem| self.violated(format!("{key} {from} -> {to}: {problem}")));
    }

    /// After the calm: whether counts are what the loads want.
    pub(super) fn settled(&self, workloads: &[Planned]) {
        for Planned {
            key, target, last_load, ..
        } in workloads
        {
            let deployment = self
                .api
                .store
                .get(&DEPLOYMENTS, &key.namespace, &key.name)
                .unwrap_or_default();
            let autoscaler = self
                .api
                .store
                .get(&AUTOSCALERS, &key.namespace, &key.name)
                .unwrap_or_default();
            let number = |value: &Value| value.as_f64().unwrap_or(-1.0);
            let count = number(&deployment["spec"]["replicas"]);
            let (min, max) = (
                number(&autoscaler["spec"]["minReplicas"]),
                number(&autoscaler["spec"]["maxReplicas"]),
            );
            // Usage is spread by a twentieth around the load's share, and a tenth around the target is tolerated.
            let least = (last_load * 0.95 / (target * 1.1)).ceil().clamp(min, max);
            let most = (last_load * 1.05 / target)
                .ceil()
                .max((last_load * 1.05 / (target * 0.9)).floor())
                .clamp(min, max);
            if !(least..=most).contains(&count) {
                self.violated(format!(
                    "{key} ends with {count} replicas, and not with {least} to {most}"
                ));
            }
            let desired = number(&autoscaler["status"]["desiredReplicas"]);
            if (desired - count).abs() > 0.0 {
                self.violated(format!(
                    "{key} ends with {count} replicas, and its status wants {desired}"
                ));
            }
        }
    }

    pub(super) fn violated(&self, problem: String) {
        let at = self.clock.elapsed();
        let mut state = self.state.lock();
        if state.violations.len() < VIOLATIONS {
            state
                .violations
                .push(format!("at {:.3} s: {problem}", at.as_secs_f64()));
        }
    }

    /// Everything that was wrong, and how many counts were written.
    pub(super) fn verdict(&self) -> (Vec<String>, usize) {
        let state = self.state.lock();
        (state.violations.clone(), state.scales)
    }
}

impl Watched {
    /// What is wrong with a write.
    fn check(&self, now: Duration, from: i32, to: i32, answers: &BTreeMap<Source, Duration>) -> Vec<String> {
        let mut wrong = Vec::new();
        let decision = self.decisions.iter().rev().find(|decided| decided.write.is_some());
        let Some((decision, (seen, wanted))) = decision.and_then(|d| Some((d, d.write?))) else {
            return vec!["nobody has decided that".to_owned()];
        };
        if wanted != to {
            wrong.push(format!("{wanted} was decided"));
        }
        if seen != from {
            wrong.push(format!(
                "the decision saw {seen}: a change by somebody else was overwritten"
            ));
        }
        // Each spec that the process may still have gone by; one of them must allow it.
        let since = now.saturating_sub(EDITS_SEEN_WITHIN);
        let specs = self
            .specs
            .iter()
            .enumerate()
            .filter(|(at, _)| self.specs.get(at + 1).is_none_or(|(end, _)| *end >= since));
        let problems = specs.map(|(_, (_, spec))| self.check_by(spec, decision, from, to, answers));
        wrong.extend(problems.min_by_key(Vec::len).unwrap_or_default());
        wrong
    }

    fn check_by(
        &self,
        spec: &Value,
        decision: &Decided,
        from: i32,
        to: i32,
        answers: &BTreeMap<Source, Duration>,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        let bound = |name: &str| spec[name].as_i64().unwrap_or(1);
        let (min, max) = (bound("minReplicas"), bound("maxReplicas"));
        if !(min..=max).contains(&i64::from(to)) {
            wrong.push(format!("outside of {min} to {max}"));
        }
        if i64::from(from) > max || i64::from(from) < min {
            // Bounds are restored at once, whatever windows, policies and metrics say.
            return wrong;
        }
        if decision.branch != Branch::Metrics {
            wrong.push(format!("{:?}, though the count was within its bounds", decision.branch));
        }
        if to < from {
            for metric in &decision.failed {
                wrong.push(format!("down, though {metric} failed"));
            }
            let metrics = spec["metrics"].as_array().map_or(&[][..], Vec::as_slice);
            for metric in metrics {
                let source = if metric["type"] == "Pods" {
                    Source::Custom
                } else {
                    Source::Resource
                };
                let answered = answers.get(&source);
                if answered.is_none_or(|at| decision.at.saturating_sub(*at) > ANSWERS_COUNT_FOR) {
                    wrong.push(format!("down, and the last answer of {source:?} came at {answered:?}"));
                }
            }
            let window = spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"].as_u64();
            let window = window.map_or(WINDOW, Duration::from_secs);
            let (highest, at) = self.highest(decision.at, window);
            if to < highest.min(i32::try_from(max).unwrap_or(i32::MAX)).min(from) {
                wrong.push(format!(
                    "down, though {highest} was recommended at {} s",
                    at.as_secs_f64()
                ));
            }
        }
        wrong.extend(allowed(spec, &self.scaled, decision.at, from, to).err());
        wrong
    }

    /// The most that was recommended within a window, and when. What the first process found counts as its first
    /// recommendation; where memory was lost since, what is found may count or not.
    fn highest(&self, now: Duration, window: Duration) -> (i32, Duration) {
        let recommended = self
            .decisions
            .iter()
            .filter_map(|decided| Some((decided.recommended?, decided.at)));
        // A recommendation as old as the window does not count any more, and clocks are read some milliseconds apart.
        let within = |at: &Duration| now.saturating_sub(*at) + SLACK < window;
        let within = recommended.chain(self.found).filter(|(_, at)| within(at));
        within.max_by_key(|(count, _)| *count).unwrap_or((0, now))
    }
}

/// The workload whose scale has this path.
pub(super) fn key_of_scale(path: &str) -> Option<Key> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        [.., "namespaces", namespace, _, name, "scale"] => Some(Key::new(*namespace, *name)),
        _ => None,
    }
}
