//! What must never happen, checked from outside: by what reaches the API, and by what autoscalers there say.

mod answers;
mod calm;
mod kept;
mod policies;
mod watched;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use parking_lot::Mutex;
use serde_json::Value;
use tracing::debug;

use super::plan::Planned;
use super::question::{Question, is_of_prometheus};
use crate::decide::Decision;
use crate::settings::sources::Sources;
use crate::sim::api::{Api, LEASES};
use crate::sim::control::{Holds, LEASE, LEASE_NAMESPACE};
use crate::sim::time::VirtualClock;
use crate::spec::{Key, Spec};
use answers::{Answer, Answers};
use kept::Kept;
use policies::{Counts, Scaled};
use watched::{Saves, Watched};

/// Violations that are told; the first ones say most.
const VIOLATIONS: usize = 20;

/// A clock that was set is taken over at the next pass, and what is stored by it at the save that follows.
const CLOCK_TAKEN_OVER_WITHIN: Duration = Duration::from_secs(40);

/// Watches one trial.
pub(super) struct Judge {
    clock: Arc<VirtualClock>,
    state: Mutex<State>,
    api: Arc<Api>,
    /// What Prometheus answers for.
    sources: Option<Arc<Sources>>,
}

#[derive(Default)]
struct State {
    violations: Vec<String>,
    scales: usize,
    autoscalers: BTreeMap<Key, Watched>,
    answers: Answers,
    /// The process whose term it is.
    leads: Option<usize>,
    /// What that term goes by.
    begins: Begins,
    renewals: Renewals,
    saves: Saves,
    kept: Kept,
    /// By how much the clocks of processes were set, and when one was last.
    set_by: BTreeMap<usize, i64>,
    set_at: Option<Duration>,
}

/// What a term of leadership goes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Begins {
    /// It has neither read what is stored nor done anything yet.
    #[default]
    Not,
    /// What was stored, or what it decided itself.
    Knowing,
    /// It could not read what was stored, and has begun without: what it lists later is for the versions alone.
    Blank,
    /// The same, and what it saved has taken the place of what was stored.
    Replacing,
    /// It has decided without what is stored, and saved nothing.
    Anew,
}

/// Renewals of the Lease in a term, which tell the next leader what is not saved.
#[derive(Default)]
struct Renewals {
    /// Who leads in this term; empty once it is over, though the Lease may still be renewed.
    leader: String,
    /// When the last one began that took place.
    last: Option<Duration>,
}

/// A count that was written.
pub(super) struct ScaleWrite<'a> {
    /// Who wrote it.
    pub(super) process: usize,
    /// The scale's path.
    pub(super) path: &'a str,
    /// The count before.
    pub(super) before: Option<i64>,
    /// What was sent.
    pub(super) patch: &'a [u8],
    /// Whether the process gets to know that it was written.
    pub(super) told: bool,
}

impl State {
    fn violate(&mut self, now: Duration, problems: Vec<String>) {
        let left = VIOLATIONS.saturating_sub(self.violations.len());
        let told = |problem: String| format!("at {:.3} s: {problem}", now.as_secs_f64());
        self.violations.extend(problems.into_iter().take(left).map(told));
    }
}

impl Judge {
    pub(super) fn new(clock: Arc<VirtualClock>, api: Arc<Api>, sources: Option<Arc<Sources>>) -> Arc<Self> {
        let state = State {
            answers: Answers::of(sources.clone()),
            ..State::default()
        };
        Arc::new(Self {
            clock,
            state: Mutex::new(state),
            api,
            sources,
        })
    }

    /// From now on an autoscaler has this spec.
    pub(super) fn has_spec(&self, key: &Key, spec: &Value) {
        let now = self.clock.elapsed();
        let mut state = self.state.lock();
        let watched = state.autoscalers.entry(key.clone()).or_default();
        watched.specs.push((now, spec.clone()));
    }

    /// An autoscaler is deleted, and with it what was remembered of it; whether a process notices is not sure.
    pub(super) fn deleted(&self, key: &Key) {
        if let Some(watched) = self.state.lock().autoscalers.get_mut(key) {
            watched.doubt();
        }
    }

    /// A term of leadership begins: what is remembered is read from the store.
    ///
    /// What was saved goes on counting, and so does all that had the time to be saved while nothing was wrong with that. Stored
    /// times are those of the clock of who stored them: where clocks differ, it is not promised when they have passed.
    pub(super) fn term_begins(&self, process: usize) {
        let now = self.clock.elapsed();
        let leader = self.holder().unwrap_or_default();
        let mut state = self.state.lock();
        let State {
            autoscalers,
            leads,
            begins,
            renewals,
            saves,
            set_by,
            set_at,
            ..
        } = &mut *state;
        let former = leads.replace(process);
        debug!(?now, process, ?former, "A term begins");
        *begins = Begins::Not;
        let told = std::mem::replace(renewals, Renewals { leader, last: None }).last;
        let differ = former.is_some_and(|former| set_by.get(&former) != set_by.get(&process));
        if differ || set_at.is_some_and(|at| now.saturating_sub(at) < CLOCK_TAKEN_OVER_WITHIN) {
            autoscalers.values_mut().for_each(Watched::doubt);
        } else if let Some(former) = former {
            autoscalers
                .values_mut()
                .for_each(|watched| watched.handed_over(saves.of(former), told));
        }
    }

    /// A term of leadership is over: what the Lease says of unsaved memory from now on is not of this term.
    pub(super) fn term_ends(&self, process: usize) {
        let mut state = self.state.lock();
        if state.leads == Some(process) {
            state.renewals.leader.clear();
        }
    }

    /// The Lease was written; the request, with this body, began then.
    pub(super) fn renewed(&self, began: Duration, lease: &[u8]) {
        let Ok(lease) = serde_json::from_slice::<Value>(lease) else {
            return;
        };
        let mut state = self.state.lock();
        if lease["spec"]["holderIdentity"] == *state.renewals.leader {
            state.renewals.last = Some(began);
        }
    }

    /// The clock of a process's machine is set.
    pub(super) fn clock_is_set(&self, process: usize, by: i64) {
        let now = self.clock.elapsed();
        let mut state = self.state.lock();
        *state.set_by.entry(process).or_default() += by;
        state.set_at = Some(now);
    }

    /// A process has read what was stored.
    pub(super) fn loaded(&self, process: usize) {
        let mut state = self.state.lock();
        debug!(now = ?self.clock.elapsed(), process, "What was stored is read");
        if state.leads == Some(process) && state.begins == Begins::Not {
            state.begins = Begins::Knowing;
        }
    }

    /// A process has saved what it remembered when the request began, in this object.
    pub(super) fn saved(&self, process: usize, began: Duration, object: &[u8]) {
        debug!(now = ?self.clock.elapsed(), process, ?began, "Memory is saved");
        let mut state = self.state.lock();
        let needed = state.autoscalers.iter();
        let needed = needed.map(|(key, watched)| (key.clone(), watched.needs()));
        let wrong = kept::wrong_in(object, &needed.collect());
        state.violate(self.clock.elapsed(), wrong);
        state.saves.saved(process, began);
        if state.leads != Some(process) {
            return;
        }
        // There is one part: what a term saves that knows nothing takes the place of all that was stored.
        let State {
            begins, autoscalers, ..
        } = &mut *state;
        match begins {
            Begins::Blank => {
                *begins = Begins::Replacing;
                autoscalers.values_mut().for_each(Watched::doubt);
            }
            Begins::Anew => {
                *begins = Begins::Knowing;
                autoscalers.values_mut().for_each(Watched::is_replaced);
            }
            _ => {}
        }
    }

    /// Something went wrong with what memory depends on.
    pub(super) fn memory_troubled(&self) {
        let now = self.clock.elapsed();
        self.state.lock().saves.troubled(now);
    }

    /// A process has made a decision.
    pub(super) fn decided(&self, process: usize, spec: &Spec, decision: &Decision) {
        let now = self.clock.elapsed();
        let mut state = self.state.lock();
        // Whose term is over may decide what it likes, as long as nothing comes of it.
        if state.leads != Some(process) {
            return;
        }
        let is_stored_still = state.begins != Begins::Replacing;
        if !matches!(state.begins, Begins::Knowing | Begins::Anew) {
            state.begins = if is_stored_still { Begins::Anew } else { Begins::Knowing };
            let all = state.autoscalers.values_mut();
            all.for_each(|watched| watched.begins_anew(is_stored_still));
        }
        let watched = state.autoscalers.entry(spec.key.clone()).or_default();
        watched.decided(now, decision);
        let (seen, recommended) = watched.last_counts();
        debug!(?now, process, key = %spec.key, seen, recommended, write = ?decision.write, "A decision");
    }

    /// A process asks for something.
    pub(super) fn asked(&self, process: usize, request: &Request<Bytes>) {
        let (method, path) = (request.method(), request.uri().path());
        // Queries are long, and therefore posted.
        if *method == Method::GET || is_of_prometheus(path) {
            return;
        }
        let writes_count = *method == Method::PATCH && path.ends_with("/scale");
        let writes_status = *method == Method::PATCH && path.ends_with("/status");
        let saves = path.starts_with("/api/v1/namespaces/kube-system/configmaps");
        let else_may_write =
            path.contains("/events") || path.starts_with("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases");
        if saves {
            self.begins_saving(process);
        }
        if !(writes_count || writes_status || saves || else_may_write) {
            self.violated(format!("{method} {path} is none of its business"));
        }
        if (writes_count || writes_status || saves)
            && let Some(holder) = self.holder()
            && is_another(process, &holder)
        {
            self.violated(format!("process {process} begins {method} {path}, and {holder} leads"));
        }
        if writes_count && !sets_count_alone(request.body()) {
            self.violated(format!("{path}: a patch that does not just test and set the count"));
        }
    }

    /// Nothing is saved before what was stored is read, or could not be.
    fn begins_saving(&self, process: usize) {
        let mut state = self.state.lock();
        if state.leads == Some(process) && state.begins == Begins::Not {
            debug!(now = ?self.clock.elapsed(), process, "A term begins without what was stored");
            state.begins = Begins::Blank;
        }
    }

    fn holder(&self) -> Option<String> {
        let lease = self.api.store.get(&LEASES, LEASE_NAMESPACE, LEASE)?;
        lease["spec"]["holderIdentity"].as_str().map(str::to_owned)
    }

    /// A metrics API or Prometheus has answered, and the answer arrives.
    pub(super) fn measured(&self, question: &Question, body: &Bytes) {
        let now = self.clock.elapsed();
        let answer = Answer::new(now, question, body.clone());
        self.state.lock().answers.add(answer);
    }

    /// A count was written.
    pub(super) fn scaled(&self, write: ScaleWrite<'_>) {
        let ScaleWrite {
            process, path, patch, ..
        } = write;
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
            write.before.and_then(|before| i32::try_from(before).ok()),
        ) else {
            return self.violated(format!("{key}: a patch of the scale that sets no count: {patch}"));
        };
        let now = self.clock.elapsed();
        let mut state = self.state.lock();
        state.scales += 1;
        debug!(?now, process, %key, from, to, told = write.told, "A count is written");
        let State {
            answers,
            autoscalers,
            saves,
            leads,
            ..
        } = &mut *state;
        let watched = autoscalers.entry(key.clone()).or_default();
        // A write of a former leader that was long on its way: its decision is not among those of this term.
        let found = match *leads == Some(process) {
            true => watched.check(now, (from, to), answers, |spec| {
                answers.least(&self.api, &key, spec, now)
            }),
            false => Vec::new(),
        };
        let intended = watched.last_decision_at().is_some_and(|at| saves.of(process).has(at));
        let is_of_term = *leads == Some(process);
        watched.scaled.push(Scaled {
            at: now,
            from,
            to,
            counts: match is_of_term && write.told {
                true => Counts::Surely,
                false => Counts::Perhaps,
            },
            known: now,
            saved: intended,
            is_open: is_of_term && !write.told,
            is_kept: false,
        });
        drop(state);
        found
            .into_iter()
            .for_each(|problem| self.violated(format!("{key} {from} -> {to}: {problem}")));
    }

    /// The answer to a write of a count sets out.
    pub(super) fn concluded(&self, path: &str) {
        let now = self.clock.elapsed();
        let key = key_of_scale(path);
        let mut state = self.state.lock();
        if let Some(watched) = key.and_then(|key| state.autoscalers.get_mut(&key)) {
            watched.concluded(now);
        }
    }

    /// Looks at the world as it is, some time after things ceased to go wrong.
    pub(super) fn look(&self, workloads: &[Planned]) {
        let mut state = self.state.lock();
        for Planned { key, .. } in workloads {
            let wanted = calm::wanted(&self.api, key, self.sources.as_deref());
            state.autoscalers.entry(key.clone()).or_default().wanted.extend(wanted);
        }
    }

    /// After the calm: whether counts are what the loads want.
    pub(super) fn settled(&self, workloads: &[Planned]) {
        for planned in workloads {
            let wanted = std::mem::take(
                &mut self
                    .state
                    .lock()
                    .autoscalers
                    .entry(planned.key.clone())
                    .or_default()
                    .wanted,
            );
            for problem in calm::settled(&self.api, planned, &wanted) {
                self.violated(format!("{} {problem}", planned.key));
            }
        }
    }

    /// A process holds this; `is_troubled`: something keeps it from seeing what there is.
    pub(super) fn holds(&self, process: usize, holds: &Holds, is_troubled: bool) {
        let now = self.clock.elapsed();
        let mut state = self.state.lock();
        let mut wrong = state.kept.check(now, (process, holds), is_troubled, &self.api);
        for (key, bytes) in &holds.remembered {
            let needed = state.autoscalers.get(key).map_or(0, Watched::needs);
            if *bytes as u64 > needed {
                wrong.push(format!("{bytes} bytes of {key} are remembered, and {needed} do"));
            }
        }
        state.violate(now, wrong);
    }

    /// A process has ended.
    pub(super) fn ended(&self, process: usize) {
        self.state.lock().kept.ended(process);
    }

    pub(super) fn violated(&self, problem: String) {
        self.state.lock().violate(self.clock.elapsed(), vec![problem]);
    }

    /// Everything that was wrong, and how many counts were written.
    pub(super) fn verdict(&self) -> (Vec<String>, usize) {
        let state = self.state.lock();
        (state.violations.clone(), state.scales)
    }
}

/// How a process calls itself in its `starts`th life.
pub(super) fn identity(process: usize, starts: u64) -> String {
    format!("process-{process}-{starts}")
}

/// Whether it is another process that calls itself `identity`, in any of its lives.
fn is_another(process: usize, identity: &str) -> bool {
    identity.starts_with("process-") && !identity.starts_with(&format!("process-{process}-"))
}

/// Whether a patch does nothing but set the count; that it tests the old one is seen by what comes of it.
fn sets_count_alone(patch: &[u8]) -> bool {
    let Ok(Value::Array(operations)) = serde_json::from_slice(patch) else {
        return false;
    };
    let is_of_count = |operation: &Value| operation["path"] == "/spec/replicas";
    let sets = operations.iter().filter(|operation| operation["op"] != "test").count();
    sets == 1 && operations.iter().all(is_of_count)
}

/// The workload whose scale has this path.
pub(super) fn key_of_scale(path: &str) -> Option<Key> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        [.., "namespaces", namespace, _, name, "scale"] => Some(Key::new(*namespace, *name)),
        _ => None,
    }
}
