//! When autoscalers are synced in a scenario.
//!
//! By the format, each exactly once at each step's time. The oracle's files keep to that to the second and not beyond:
//! the real controller's queue wakes each autoscaler a sync period after its last sync ended, a refused write takes
//! 10 ms, and the oracle waits 60 ms after each step for the last sync to end, so that its steps drift apart from the
//! syncs. Over 17 steps that is a second, and with a sync period of a second a whole step. What the oracle recorded is
//! replayed by the oracle's own clock.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::spec::Key;

/// Between two autoscalers that appear in one step.
const LAG: SignedDuration = SignedDuration::from_millis(1);
/// What the oracle waits after the last sync of a step.
const GRACE: SignedDuration = SignedDuration::from_millis(60);
/// What Kubernetes waits before it tries a write again that was refused as a conflict, on average (10 ms and up to a
/// tenth more).
pub(super) const CONFLICT: SignedDuration = SignedDuration::from_micros(10_500);

/// The clock of a replay.
pub(super) enum Rhythm {
    /// Each autoscaler at each step's time.
    Exact,
    /// As the oracle's controller did.
    Oracle(OracleClock),
}

/// The oracle's clock, in time since the scenario's start.
pub(super) struct OracleClock {
    period: SignedDuration,
    /// How long after a step's time its last autoscaler is synced.
    settle: SignedDuration,
    /// When the next step's changes are applied.
    applied_at: SignedDuration,
    /// The end of the step's recording.
    recorded_at: SignedDuration,
    due: BTreeMap<Key, SignedDuration>,
    busy_until: SignedDuration,
}

impl Rhythm {
    pub(super) fn oracle(period: SignedDuration) -> Self {
        Self::Oracle(OracleClock {
            period,
            settle: SignedDuration::ZERO,
            applied_at: -period,
            recorded_at: SignedDuration::ZERO,
            due: BTreeMap::new(),
            busy_until: -period,
        })
    }

    /// A step's changes are applied: these autoscalers were written, sorted by name, and these are all.
    pub(super) fn step(&mut self, at: SignedDuration, written: &[Key], all: &[Key]) {
        let Self::Oracle(clock) = self else { return };
        clock.due.retain(|key, _| all.contains(key));
        let mut now = clock.applied_at;
        for (i, key) in written.iter().enumerate() {
            if i > 0 {
                now = now.saturating_add(LAG);
            }
            let first = now.saturating_add(clock.period);
            clock.due.entry(key.clone()).or_insert(first);
        }
        clock.settle = clock.settle.max(now.saturating_sub(at.saturating_sub(clock.period)));
        clock.recorded_at = at.saturating_add(clock.settle).saturating_add(GRACE);
        clock.applied_at = clock.recorded_at;
    }

    /// The syncs of a step, one after the other: `sync` is told which and when, and says how long it took.
    pub(super) fn run(
        &mut self,
        start: Timestamp,
        at: SignedDuration,
        all: &[Key],
        mut sync: impl FnMut(&Key, Timestamp) -> SignedDuration,
    ) {
        let time = |since: SignedDuration| start.checked_add(since).unwrap_or(Timestamp::MAX);
        let Self::Oracle(clock) = self else {
            for key in all {
                sync(key, time(at));
            }
            return;
        };
        while let Some((key, due)) = clock.next() {
            let began = due.max(clock.busy_until);
            let took = sync(&key, time(began));
            clock.busy_until = began.saturating_add(took);
            clock.due.insert(key, clock.busy_until.saturating_add(clock.period));
        }
    }
}

impl OracleClock {
    fn next(&self) -> Option<(Key, SignedDuration)> {
        let (key, due) = self.due.iter().min_by_key(|(_, due)| **due)?;
        (*due <= self.recorded_at).then(|| (key.clone(), *due))
    }
}
