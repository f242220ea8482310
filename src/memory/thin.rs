//! What of a memory is worth keeping outside of the process.

use jiff::Timestamp;

use super::slots::Slots;
use super::{Entry, MOST_SCALE_EVENTS, Memory};

impl Memory {
    /// The recommendations that windows can tell apart: one that the next in time repeats is left out, since every window that
    /// reaches the first has the second in it too. The answers stay the same, now and after further recommendations, as
    /// long as windows are not made longer; in that case less may come back than Kubernetes' lists would bring back.
    pub fn thinned(&self) -> Self {
        let mut kept: Vec<(Timestamp, i32)> = Vec::new();
        let mut all: Vec<(Timestamp, i32)> = self.recommendations.entries().filter_map(live).collect();
        all.sort_by_key(|(at, _)| *at);
        for (at, replicas) in all {
            match kept.last_mut() {
                Some(last) if last.1 == replicas => last.0 = at,
                _ => kept.push((at, replicas)),
            }
        }
        let entries: Vec<Entry> = kept
            .into_iter()
            .map(|(at, replicas)| Entry::Live {
                at,
                replicas,
                outdated: false,
            })
            .collect();
        let events = |entry: &Entry| matches!(entry, Entry::Live { .. });
        let (ups, downs): (Vec<_>, Vec<_>) = (
            self.scale_ups.entries().filter(events).collect(),
            self.scale_downs.entries().filter(events).collect(),
        );
        Self {
            recommendations: Slots::from_entries(&entries),
            scale_ups: Slots::from_entries(&ups),
            scale_downs: Slots::from_entries(&downs),
        }
    }

    /// Whether a new leader that took this memory for lost, and `count` for what was recommended last, would decide alike:
    /// there is no scale event later than `since`, and within `min..=max` each recommendation comes to `count`.
    pub fn says_only(&self, count: i32, (min, max): (i32, i32), since: Timestamp) -> bool {
        let since = since.as_millisecond();
        let is_empty = |events: &Slots<MOST_SCALE_EVENTS>| events.values(|at| at > since).next().is_none();
        is_empty(&self.scale_ups)
            && is_empty(&self.scale_downs)
            && self
                .recommendations
                .values(|_| true)
                .all(|replicas| within(replicas, min, max) == count)
    }

    /// The last recommendation in time.
    pub fn last_recommendation(&self) -> Option<i32> {
        self.recommendations.last()
    }

    /// Takes what was remembered for a time after `now`, by a clock that was ahead, for remembered now.
    pub(super) fn not_later_than(&mut self, now: Timestamp) {
        let now = now.as_millisecond();
        self.recommendations.not_later_than(now);
        self.scale_ups.not_later_than(now);
        self.scale_downs.not_later_than(now);
    }
}

/// `replicas` as bounds leave it. Unlike `clamp` it takes bounds in the wrong order.
pub(super) fn within(replicas: i32, min: i32, max: i32) -> i32 {
    replicas.min(max).max(min)
}

fn live(entry: Entry) -> Option<(Timestamp, i32)> {
    match entry {
        Entry::Live { at, replicas, .. } => Some((at, replicas)),
        Entry::Spent { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use proptest::prelude::*;

    use super::*;
    use crate::memory::Direction;
    use crate::spec::{PolicyKind, ScalingPolicy, ScalingRules, SelectPolicy};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_767_600_000 + seconds).unwrap()
    }

    const WINDOW: i64 = 300;

    fn recommend(memory: &mut Memory, replicas: i32, now: i64) {
        memory.recommend(replicas, at(now), at(now - WINDOW), SignedDuration::from_secs(WINDOW));
    }

    #[test]
    fn what_is_repeated_is_kept_once() {
        let mut memory = Memory::default();
        for i in 0..10 {
            recommend(&mut memory, if i < 5 { 8 } else { 3 }, 15 * i);
        }
        let thin = memory.thinned();
        assert_eq!(thin.entry_bytes(), 2 * 8);
        assert_eq!(thin.largest_after(at(60)), Some(3));
        assert_eq!(thin.largest_from(at(60)), Some(8));
        assert_eq!(thin.last_recommendation(), Some(3));
    }

    #[test]
    fn a_memory_that_says_only_the_count_is_not_worth_keeping() {
        let mut memory = Memory::default();
        recommend(&mut memory, 1, 0);
        assert!(memory.says_only(2, (2, 10), at(0)), "no lower count than 2 is allowed");
        assert!(!memory.says_only(3, (2, 10), at(0)));
        let rules = ScalingRules {
            stabilization_window_seconds: None,
            select_policy: SelectPolicy::Max,
            policies: vec![ScalingPolicy {
                kind: PolicyKind::Pods,
                value: 1,
                period_seconds: 60,
            }],
            tolerance: None,
        };
        memory.scaled(Direction::Up, 1, at(10), &rules);
        assert!(!memory.says_only(2, (2, 10), at(9)));
        assert!(memory.says_only(2, (2, 10), at(10)));
    }

    proptest! {
        /// Every window of at most the configured one sees the same, at once and after more of the same.
        #[test]
        fn thinning_changes_no_answer(
            before in prop::collection::vec((1i64..60, 0i32..4), 1..80),
            after in prop::collection::vec((1i64..60, 0i32..4), 0..40),
            window in 0i64..=WINDOW,
        ) {
            let (mut whole, mut now) = (Memory::default(), 0);
            for (gap, replicas) in before {
                now += gap;
                recommend(&mut whole, replicas, now);
            }
            let mut thin = whole.thinned();
            for (gap, replicas) in [(0, None)].into_iter().chain(after.into_iter().map(|(gap, r)| (gap, Some(r)))) {
                now += gap;
                if let Some(replicas) = replicas {
                    recommend(&mut whole, replicas, now);
                    recommend(&mut thin, replicas, now);
                }
                let since = at(now - window);
                prop_assert_eq!(whole.largest_from(since), thin.largest_from(since));
                prop_assert_eq!(whole.largest_after(since), thin.largest_after(since));
                prop_assert_eq!(whole.smallest_after(since), thin.smallest_after(since));
            }
        }
    }
}
