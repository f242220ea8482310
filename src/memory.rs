//! What a decision must remember: recommendations and scale events, compact and bounded.
//!
//! Kubernetes keeps three lists an autoscaler and recycles at most one old slot of each per sync, so that a longer
//! window set later can bring back what was not yet overwritten. [`Memory`] keeps just what those lists could still
//! bring back, slot by slot, at 8 bytes an entry: an entry too old for any window that Kubernetes allows is only
//! counted. What outlives the process is in [`stored`].

mod slots;
pub mod stored;
mod thin;

use jiff::{SignedDuration, Timestamp};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::spec::ScalingRules;
use slots::Slots;

/// No behavior's stabilization window may be longer: Kubernetes' own validation.
const LONGEST_WINDOW: SignedDuration = SignedDuration::from_secs(3600);
/// No scaling policy's period may be longer: Kubernetes' own validation.
const LONGEST_PERIOD: SignedDuration = SignedDuration::from_secs(1800);
/// A window of an hour with a sync each second, and the entry on each edge: 28.8 KB.
const MOST_RECOMMENDATIONS: usize = 3602;
/// Scale events each way. Kubernetes has no bound; past this one, neighbours are merged. 1.6 KB.
const MOST_SCALE_EVENTS: usize = 200;

/// One autoscaler's memory. `Memory::default()` is what a new autoscaler, or a controller just started, has.
///
/// At most 32 KB, some 200 bytes with the default window and sync period. Times are kept to the millisecond.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    recommendations: Slots<MOST_RECOMMENDATIONS>,
    scale_ups: Slots<MOST_SCALE_EVENTS>,
    scale_downs: Slots<MOST_SCALE_EVENTS>,
}

/// Which way a count changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Direction {
    /// It grew.
    Up,
    /// It fell.
    Down,
}

impl Memory {
    /// Whether nothing was ever recommended.
    pub fn is_new(&self) -> bool {
        self.recommendations.is_empty()
    }

    /// The largest recommendation made at `from` or later. The legacy window counts its own edge.
    pub fn largest_from(&self, from: Timestamp) -> Option<i32> {
        self.recommendations.values(|at| at >= from.as_millisecond()).max()
    }

    /// The largest recommendation made later than `after`. A behavior's window does not count its own edge.
    pub fn largest_after(&self, after: Timestamp) -> Option<i32> {
        self.recommendations.values(|at| at > after.as_millisecond()).max()
    }

    /// The smallest recommendation made later than `after`.
    pub fn smallest_after(&self, after: Timestamp) -> Option<i32> {
        self.recommendations.values(|at| at > after.as_millisecond()).min()
    }

    /// How many pods the scale events of `direction` that are later than `after` moved, saturating.
    pub fn moved_after(&self, direction: Direction, after: Timestamp) -> i32 {
        let events = match direction {
            Direction::Up => &self.scale_ups,
            Direction::Down => &self.scale_downs,
        };
        events
            .values(|at| at > after.as_millisecond())
            .fold(0, i32::saturating_add)
    }

    /// Remembers a recommendation in place of the last one that is older than `old_before`, or beside the others.
    ///
    /// `longest_legacy_window` is the controller's downscale stabilization: with an hour, or where it is longer, it
    /// bounds what is kept. A negative count is remembered as 0.
    pub fn recommend(
        &mut self,
        replicas: i32,
        now: Timestamp,
        old_before: Timestamp,
        longest_legacy_window: SignedDuration,
    ) {
        let reach = LONGEST_WINDOW.max(longest_legacy_window);
        self.recommendations.retire(millis_before(now, reach));
        self.recommendations.store(
            replicas.max(0),
            now.as_millisecond(),
            Replace::LastOlderThan(old_before.as_millisecond()),
            i32::max,
        );
    }

    /// Remembers a scale event of `change` pods in place of the last outdated one, or beside the others. Events older
    /// than the longest period of the direction's `rules` become outdated first, and stay so.
    ///
    /// Source: Kubernetes v1.36 `horizontal.go`, `storeScaleEvent`.
    pub fn scaled(&mut self, direction: Direction, change: i32, now: Timestamp, rules: &ScalingRules) {
        let events = match direction {
            Direction::Up => &mut self.scale_ups,
            Direction::Down => &mut self.scale_downs,
        };
        let longest = SignedDuration::from_secs(rules.longest_period_seconds().into());
        events.retire(millis_before(now, LONGEST_PERIOD));
        events.flag_older_than(millis_before(now, longest));
        events.store(
            change.max(0),
            now.as_millisecond(),
            Replace::LastFlagged,
            i32::saturating_add,
        );
    }

    /// Moves all that is remembered by so many milliseconds: the clock by which it was remembered was set.
    pub fn shift(&mut self, by: i64) {
        self.recommendations.shift(by);
        self.scale_ups.shift(by);
        self.scale_downs.shift(by);
    }

    /// The bytes that the entries take, without the fixed part.
    pub fn entry_bytes(&self) -> usize {
        self.recommendations.bytes() + self.scale_ups.bytes() + self.scale_downs.bytes()
    }
}

/// The instant `reach` before `now` in milliseconds, at the edge of time where there is none.
fn millis_before(now: Timestamp, reach: SignedDuration) -> i64 {
    let reach = i64::try_from(reach.as_millis()).unwrap_or(i64::MAX);
    now.as_millisecond().saturating_sub(reach)
}

/// Which slot a new entry takes.
enum Replace {
    LastOlderThan(i64),
    LastFlagged,
}

/// A remembered entry, as it is shown and stored.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, serde::Deserialize)]
#[serde(untagged)]
pub enum Entry {
    /// A recommendation or a scale event.
    Live {
        /// When.
        at: Timestamp,
        /// The count recommended, or how many pods were added or taken away.
        replicas: i32,
        /// A scale event that may be overwritten.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        outdated: bool,
    },
    /// So many slots in a row whose entries no window can reach any more.
    Spent {
        /// How many.
        spent: u32,
    },
}

impl Serialize for Memory {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Memory", 3)?;
        out.serialize_field("recommendations", &self.recommendations.entries().collect::<Vec<_>>())?;
        out.serialize_field("scaleUps", &self.scale_ups.entries().collect::<Vec<_>>())?;
        out.serialize_field("scaleDowns", &self.scale_downs.entries().collect::<Vec<_>>())?;
        out.end()
    }
}

impl<'de> serde::Deserialize<'de> for Memory {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase", default, deny_unknown_fields)]
        #[derive(Default)]
        struct Stored {
            recommendations: Vec<Entry>,
            scale_ups: Vec<Entry>,
            scale_downs: Vec<Entry>,
        }
        let stored = Stored::deserialize(deserializer)?;
        Ok(Self {
            recommendations: Slots::from_entries(&stored.recommendations),
            scale_ups: Slots::from_entries(&stored.scale_ups),
            scale_downs: Slots::from_entries(&stored.scale_downs),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{PolicyKind, ScalingPolicy, SelectPolicy};
    use proptest::prelude::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_767_600_000 + seconds).unwrap()
    }

    /// Kubernetes' own lists, copied naively.
    #[derive(Default)]
    struct Naive {
        recommendations: Vec<(i32, i64)>,
        ups: Vec<(i32, i64, bool)>,
        downs: Vec<(i32, i64, bool)>,
    }

    impl Naive {
        fn recommend(&mut self, replicas: i32, now: i64, cutoff: i64) {
            match self.recommendations.iter().rposition(|r| r.1 < cutoff) {
                Some(i) => self.recommendations[i] = (replicas, now),
                None => self.recommendations.push((replicas, now)),
            }
        }

        fn scaled(&mut self, direction: Direction, change: i32, now: i64, longest: i64) {
            let events = if direction == Direction::Up {
                &mut self.ups
            } else {
                &mut self.downs
            };
            events
                .iter_mut()
                .filter(|e| e.1 < now - longest)
                .for_each(|e| e.2 = true);
            match events.iter().rposition(|e| e.2) {
                Some(i) => events[i] = (change, now, false),
                None => events.push((change, now, false)),
            }
        }
    }

    fn rules(period_seconds: i32) -> ScalingRules {
        ScalingRules {
            stabilization_window_seconds: None,
            select_policy: SelectPolicy::Max,
            policies: vec![ScalingPolicy {
                kind: PolicyKind::Pods,
                value: 1,
                period_seconds,
            }],
            tolerance: None,
        }
    }

    const FIVE_MINUTES: SignedDuration = SignedDuration::from_mins(5);

    #[test]
    fn the_usual_case_takes_some_two_hundred_bytes() {
        let mut memory = Memory::default();
        for i in 0..5000 {
            let now = at(15 * i);
            memory.recommend(3, now, now - FIVE_MINUTES, FIVE_MINUTES);
        }
        assert_eq!(memory.entry_bytes(), 21 * 8);
    }

    #[test]
    fn an_hour_at_a_sync_each_second_stays_below_32_kilobytes() {
        let mut memory = Memory::default();
        for i in 0..20_000 {
            let now = at(i);
            memory.recommend(3, now, now - LONGEST_WINDOW, FIVE_MINUTES);
            memory.scaled(
                if i % 2 == 0 { Direction::Up } else { Direction::Down },
                1,
                now,
                &rules(1800),
            );
        }
        let whole = memory.entry_bytes() + size_of::<Memory>();
        assert!(whole <= 32 * 1024, "{whole} bytes");
        assert_eq!(memory.recommendations.bytes(), 3601 * 8);
    }

    #[test]
    fn past_the_bound_a_scale_event_counts_longer_rather_than_shorter() {
        let mut memory = Memory::default();
        for i in 0..600 {
            memory.scaled(Direction::Up, 1, at(i), &rules(1800));
        }
        assert_eq!(memory.moved_after(Direction::Up, at(-1)), 600);
        assert!(memory.moved_after(Direction::Up, at(300)) >= 299);
    }

    #[test]
    fn what_is_moved_with_a_clock_that_was_set_counts_as_before() {
        let mut memory = Memory::default();
        let none = SignedDuration::ZERO;
        memory.recommend(5, at(0), at(-300), none);
        memory.recommend(3, at(100), at(-200), none);
        for hours in [1, -2] {
            let by = hours * 3600;
            memory.shift(by * 1000);
            let counted = |memory: &Memory, after| memory.largest_after(at(by + after));
            assert_eq!((counted(&memory, -1), counted(&memory, 0)), (Some(5), Some(3)));
            memory.shift(-by * 1000);
        }
        memory.shift(i64::MAX);
        memory.shift(i64::MAX);
    }

    #[test]
    fn a_clock_that_jumps_either_way_loses_no_recent_entry() {
        let mut memory = Memory::default();
        for seconds in [0, 5_000_000_000, -5_000_000_000, 10] {
            let now = at(seconds);
            memory.recommend(7, now, now - FIVE_MINUTES, FIVE_MINUTES);
            assert_eq!(memory.largest_from(now), Some(7), "at {seconds}");
        }
    }

    #[test]
    fn survives_being_stored() {
        let mut memory = Memory::default();
        for i in 0..40 {
            let now = at(300 * i);
            memory.recommend(
                i as i32,
                now,
                now - SignedDuration::from_secs(i * 60 % 3600),
                FIVE_MINUTES,
            );
            memory.scaled(Direction::Down, i as i32, now, &rules(60));
        }
        let text = serde_json::to_string(&memory).unwrap();
        let back: Memory = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
        for since in 0..40 {
            assert_eq!(back.largest_from(at(since * 300)), memory.largest_from(at(since * 300)));
        }
    }

    proptest! {
        /// Windows, periods and the flag change under way; whatever window is asked for at any sync, the answers are
        /// those of Kubernetes' lists.
        #[test]
        fn answers_as_kubernetes_lists_do(
            steps in prop::collection::vec((1i64..400, 0i32..50, 0i64..=3600, 0i64..=3600, 0i32..10, 1i32..=1800), 1..200),
        ) {
            let (mut memory, mut naive, mut now) = (Memory::default(), Naive::default(), 0);
            for (gap, replicas, old, window, change, period) in steps {
                now += gap;
                let t = at(now);
                for w in [window, 0, 300, 3600] {
                    let since = at(now - w);
                    let inside = |edge: bool| naive.recommendations.iter()
                        .filter(move |r| r.1 > now - w || edge && r.1 == now - w).map(|r| r.0);
                    prop_assert_eq!(memory.largest_from(since), inside(true).max());
                    prop_assert_eq!(memory.largest_after(since), inside(false).max());
                    prop_assert_eq!(memory.smallest_after(since), inside(false).min());
                }
                for p in [i64::from(period), 1, 60, 1800] {
                    let sum = |events: &[(i32, i64, bool)]| events.iter().filter(|e| e.1 > now - p).map(|e| e.0).sum::<i32>();
                    prop_assert_eq!(memory.moved_after(Direction::Up, at(now - p)), sum(&naive.ups));
                    prop_assert_eq!(memory.moved_after(Direction::Down, at(now - p)), sum(&naive.downs));
                }
                memory.recommend(replicas, t, at(now - old), FIVE_MINUTES);
                naive.recommend(replicas, now, now - old);
                if change > 0 {
                    let direction = if replicas % 2 == 0 { Direction::Up } else { Direction::Down };
                    memory.scaled(direction, change, t, &rules(period));
                    naive.scaled(direction, change, now, period.into());
                }
                prop_assert!(memory.recommendations.bytes() <= naive.recommendations.len() * 8);
            }
        }
    }
}
