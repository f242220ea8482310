//! What is known of one autoscaler, and what is wrong with a write of its count.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::Value;

use super::answers::Answers;
use super::kept;
use super::policies::{Counts, Scaled, allowed};
use crate::decide::Decision;
use crate::decide::derivation::Branch;

/// How long an autoscaler that was edited may still count as it was: watches may be late, and are asked for again after 90 s.
pub(super) const EDITS_SEEN_WITHIN: Duration = Duration::from_secs(150);

/// A scale-down on a metric needs an answer that is not older than this: a sync lasts 30 s at most.
const ANSWERS_COUNT_FOR: Duration = Duration::from_secs(46);

/// Kubernetes' stabilization window where an autoscaler names none.
const WINDOW: Duration = Duration::from_secs(300);

/// Decisions of an autoscaler that are kept: those of the longest window here, a sync each 5 s at most, and more.
const DECISIONS: usize = 500;

/// What a decision recommends below, or above, the count is in the store after this, where nothing is wrong: at the end of
/// the next pass.
const SAVED_WITHIN: Duration = Duration::from_secs(21);

/// Between the time of a decision and that of its events, at most.
const SLACK: Duration = Duration::from_millis(200);

/// What is saved is put together so long before its request is seen here, and what has ended is known so long after.
const ON_THE_WAY: Duration = Duration::from_millis(3);

/// The saves of all processes.
#[derive(Default)]
pub(super) struct Saves {
    /// When the last one of each began that took place.
    last: BTreeMap<usize, Duration>,
    /// When something went wrong last with what memory depends on.
    troubled: Option<Duration>,
}

/// The saves of one process.
#[derive(Clone, Copy)]
pub(super) struct SavesOf {
    last: Option<Duration>,
    troubled: Option<Duration>,
}

impl Saves {
    pub(super) fn saved(&mut self, process: usize, began: Duration) {
        let last = self.last.entry(process).or_default();
        *last = began.max(*last);
    }

    pub(super) fn troubled(&mut self, now: Duration) {
        self.troubled = Some(now);
    }

    pub(super) fn of(&self, process: usize) -> SavesOf {
        SavesOf {
            last: self.last.get(&process).copied(),
            troubled: self.troubled,
        }
    }
}

impl SavesOf {
    /// Whether what was known at a time is saved.
    pub(super) fn has(self, known: Duration) -> bool {
        self.last.is_some_and(|last| last > known + ON_THE_WAY)
    }

    /// Whether nothing was wrong since a time.
    fn went_well_since(self, at: Duration) -> bool {
        self.troubled.is_none_or(|troubled| troubled < at)
    }
}

/// One autoscaler.
#[derive(Default)]
pub(super) struct Watched {
    /// Its specs since their times.
    pub(super) specs: Vec<(Duration, Value)>,
    decisions: VecDeque<Decided>,
    found: Option<Found>,
    /// Writes, whether the process knows of them or not.
    pub(super) scaled: Vec<Scaled>,
    /// What the store has, while a term goes on that could not read it.
    aside: Option<Aside>,
    /// What was wanted at each look after things ceased to go wrong.
    pub(super) wanted: Vec<i64>,
}

/// The count that the first decision ever saw: it counts as recommended.
#[derive(Clone, Copy)]
struct Found {
    count: i32,
    at: Duration,
    /// Whether a former leader's successor was to know it.
    is_kept: bool,
}

impl Found {
    /// It may be anything.
    const UNKNOWN: Self = Self {
        count: i32::MIN,
        at: Duration::ZERO,
        is_kept: true,
    };
}

struct Aside {
    decisions: VecDeque<Decided>,
    found: Option<Found>,
    /// Of each write whether it counts, and is open.
    scaled: Vec<(Counts, bool)>,
}

struct Decided {
    at: Duration,
    /// Whether a former leader's successor was to know it.
    is_kept: bool,
    /// The successor knows that something was recommended, and takes it for the count that it sees first.
    is_taken_for_count: bool,
    /// When the process knew what came of it, and remembered it.
    concluded: Option<Duration>,
    seen: Option<i32>,
    branch: Branch,
    recommended: Option<i32>,
    failed: Vec<String>,
    write: Option<(i32, i32)>,
}

impl Watched {
    pub(super) fn decided(&mut self, at: Duration, decision: &Decision) {
        let derivation = &decision.derivation;
        let failed = derivation.metrics.iter().filter(|metric| metric.proposal.is_err());
        let failed: Vec<String> = failed.map(|metric| metric.metric.clone()).collect();
        let seen = derivation.scale.as_ref().map(|scale| scale.spec_replicas);
        // A fall that a failed metric forbids is nobody's recommendation, and holds nothing back later.
        // Source: Kubernetes v1.36 `horizontal.go`, `computeReplicasForMetrics`.
        let counts = |largest: i32| failed.is_empty() || seen.is_some_and(|seen| largest >= seen);
        let write = decision.write.as_ref().map(|write| (write.from, write.to));
        let decided = Decided {
            at,
            is_kept: false,
            is_taken_for_count: false,
            concluded: write.is_none().then_some(at),
            seen,
            branch: derivation.branch.clone(),
            recommended: derivation
                .combination
                .filter(|combination| combination.valid > 0 && counts(combination.largest))
                .map(|combination| combination.largest),
            failed,
            write,
        };
        // No sync of an autoscaler begins before the one before has ended.
        self.concluded(at);
        if let Some(seen) = decided.seen {
            self.sees(at, seen);
        }
        self.decisions.push_back(decided);
        if self.decisions.len() > DECISIONS {
            self.decisions.pop_front();
        }
    }

    /// The most bytes that remembering it takes.
    pub(super) fn needs(&self) -> u64 {
        kept::needed(self.specs.iter().map(|(_, spec)| spec))
    }

    /// What the count tells.
    fn sees(&mut self, now: Duration, count: i32) {
        self.found.get_or_insert(Found {
            count,
            at: now,
            is_kept: false,
        });
        for decided in self.decisions.iter_mut().filter(|decided| decided.is_taken_for_count) {
            decided.is_taken_for_count = false;
            decided.recommended = decided.recommended.map(|recommended| recommended.min(count));
        }
        // Whether an open write took place, unless somebody else has changed the count.
        if let Some(last) = self.scaled.last_mut().filter(|scaled| scaled.is_open) {
            if count == last.to {
                (last.counts, last.known) = (Counts::Found, now);
            }
            last.is_open = false;
        }
    }

    /// The count that the last decision saw, and what it recommended.
    pub(super) fn last_counts(&self) -> (Option<i32>, Option<i32>) {
        let last = self.decisions.back();
        last.map_or((None, None), |decided| (decided.seen, decided.recommended))
    }

    pub(super) fn last_decision_at(&self) -> Option<Duration> {
        self.decisions.back().map(|decided| decided.at)
    }

    pub(super) fn concluded(&mut self, at: Duration) {
        if let Some(last) = self.decisions.back_mut() {
            last.concluded.get_or_insert(at);
        }
    }

    /// A term begins that could not read what is stored: windows begin anew with what is found, and policies too. The next
    /// one may read it.
    pub(super) fn begins_anew(&mut self, is_stored_still: bool) {
        let aside = is_stored_still.then(|| Aside {
            decisions: std::mem::take(&mut self.decisions),
            found: self.found,
            scaled: self
                .scaled
                .iter()
                .map(|scaled| (scaled.counts, scaled.is_open))
                .collect(),
        });
        self.doubt();
        (self.found, self.aside) = (None, aside);
    }

    /// What was stored is not any more: something else is in its place.
    pub(super) fn is_replaced(&mut self) {
        self.aside = None;
    }

    /// All may be forgotten, or not.
    pub(super) fn doubt(&mut self) {
        self.decisions.clear();
        self.found = self.found.or(self.aside.take().and_then(|aside| aside.found));
        self.found = self.found.map(|_| Found::UNKNOWN);
        self.scaled
            .iter_mut()
            .for_each(|scaled| (scaled.counts, scaled.is_open) = (Counts::Perhaps, false));
    }

    /// Another process, or another life of the same, takes over what is stored: what was saved counts on, and so does what had
    /// the time to be saved while nothing was wrong with that. What was decided before the Lease was renewed for the last time, at
    /// `told`, is known to be missing where it was not saved.
    pub(super) fn handed_over(&mut self, saves: SavesOf, told: Option<Duration>) {
        let last = self.last_decision_at();
        if let Some(aside) = self.aside.take() {
            // Of the term between them nothing was saved.
            let between = std::mem::replace(&mut self.decisions, aside.decisions);
            self.decisions.extend(between);
            self.found = aside.found;
            for (scaled, (counts, is_open)) in self.scaled.iter_mut().zip(aside.scaled) {
                (scaled.counts, scaled.is_open) = (counts, is_open);
            }
        }
        let had_time = |at: Duration| last.is_some_and(|last| at + SAVED_WITHIN < last) && saves.went_well_since(at);
        self.decisions.retain_mut(|decided| {
            let is_saved = decided.concluded.is_some_and(|at| saves.has(at)) || had_time(decided.at);
            if !(decided.is_kept || is_saved) {
                decided.is_kept = told.is_some_and(|told| told > decided.at + ON_THE_WAY);
                decided.is_taken_for_count = decided.is_kept;
                return decided.is_kept;
            }
            decided.is_kept = true;
            true
        });
        if let Some(found) = &mut self.found {
            found.is_kept |= saves.has(found.at) || had_time(found.at);
            // What a term found that could not read what was stored, and could not save either, the next one does not know.
            // Nor does what is found first count in a term that has something stored to go by.
            if !found.is_kept {
                *found = Found::UNKNOWN;
            }
        }
        for scaled in &mut self.scaled {
            scaled.is_kept |= scaled.counts != Counts::Perhaps && (saves.has(scaled.known) || had_time(scaled.known));
            if !scaled.is_kept {
                // The intent is all that is left of it, until its count is seen.
                scaled.is_open = scaled.saved && (scaled.is_open || scaled.counts != Counts::Perhaps);
                scaled.counts = Counts::Perhaps;
            }
        }
    }

    /// What is wrong with a write `from` a count `to` another; `least`: the lowest count that the answers allow by a spec.
    pub(super) fn check(
        &self,
        now: Duration,
        (from, to): (i32, i32),
        answers: &Answers,
        least: impl Fn(&Value) -> Option<i64>,
    ) -> Vec<String> {
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
        let problems = specs.map(|(_, (_, spec))| self.check_by(spec, decision, (from, to), answers, &least));
        wrong.extend(problems.min_by_key(Vec::len).unwrap_or_default());
        wrong
    }

    fn check_by(
        &self,
        spec: &Value,
        decision: &Decided,
        (from, to): (i32, i32),
        answers: &Answers,
        least: impl Fn(&Value) -> Option<i64>,
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
                let source = answers.source(metric);
                let answered = answers.last(source);
                if answered.is_none_or(|at| decision.at.saturating_sub(at) > ANSWERS_COUNT_FOR) {
                    wrong.push(format!("down, and the last answer of {source:?} came at {answered:?}"));
                }
            }
            if let Some(least) = least(spec)
                && i64::from(to) < least.min(max).min(from.into())
            {
                wrong.push(format!("down, though what was answered wants {least} at least"));
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
    /// recommendation.
    fn highest(&self, now: Duration, window: Duration) -> (i32, Duration) {
        let recommended = self
            .decisions
            .iter()
            .filter_map(|decided| Some((decided.recommended?, decided.at)));
        // A recommendation as old as the window does not count any more, and clocks are read some milliseconds apart.
        let within = |at: &Duration| now.saturating_sub(*at) + SLACK < window;
        let found = self.found.map(|found| (found.count, found.at));
        let within = recommended.chain(found).filter(|(_, at)| within(at));
        within.max_by_key(|(count, _)| *count).unwrap_or((0, now))
    }
}
