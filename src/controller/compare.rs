//! Beside another autoscaler: does it come to the same counts? Pure.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::decide::Decision;
use crate::spec::Key;

/// Compares trimtab's decisions with the counts that another autoscaler, most likely kube-controller-manager's, writes.
///
/// They agree where the other comes to trimtab's count within one sync period, or trimtab to the other's. What differs
/// in the first stabilization window after the start is counted apart: until then the two remember different things.
#[derive(Debug)]
pub struct Comparison {
    sync_period: SignedDuration,
    settled_at: Timestamp,
    open: HashMap<Key, Wanted>,
    tally: Tally,
}

/// A decision that the other has yet to come to.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    at: Timestamp,
    seen: i32,
    desired: i32,
}

/// How often the two agreed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// Decisions that came to the same count.
    pub agreements: u64,
    /// Decisions that did not.
    pub differences: u64,
    /// Those in the first stabilization window after the start.
    pub early_differences: u64,
}

/// A decision that the other autoscaler did not come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// When trimtab decided.
    pub at: Timestamp,
    /// Whose count.
    pub autoscaler: Key,
    /// The count that both saw.
    pub from: i32,
    /// What trimtab wanted.
    pub trimtab: i32,
    /// What the count was a sync period later.
    pub other: i32,
    /// It is of the first stabilization window after the start.
    pub early: bool,
}

impl Comparison {
    /// A comparison that starts now; differences are early for as long as `stabilization_window`.
    pub fn new(sync_period: SignedDuration, stabilization_window: SignedDuration, now: Timestamp) -> Self {
        let settled_at = now.checked_add(stabilization_window).unwrap_or(Timestamp::MAX);
        Self {
            sync_period,
            settled_at,
            open: HashMap::new(),
            tally: Tally::default(),
        }
    }

    /// Takes a decision in, and judges the one before it: `None` while it is too early to tell, or where they agree.
    pub fn decided(&mut self, key: &Key, decision: &Decision) -> Option<Difference> {
        let (Some(scale), Some(desired)) = (&decision.derivation.scale, decision.derivation.desired) else {
            // trimtab has no opinion now; what it wanted before cannot be judged by a count that it did not want.
            self.open.remove(key);
            return None;
        };
        let now = Wanted {
            at: decision.at,
            seen: scale.spec_replicas,
            desired,
        };
        let Some(before) = self.open.get(key).copied() else {
            self.open.insert(key.clone(), now);
            return None;
        };
        // Syncs come a little early or late.
        let waited = now.at.duration_since(before.at);
        let due = waited.saturating_add(self.sync_period / 10) >= self.sync_period;
        let came_to_ours = now.seen == before.desired;
        let we_came_to_theirs = now.seen != before.seen && now.desired == now.seen;
        if came_to_ours || we_came_to_theirs {
            if due || now.seen != before.seen {
                self.tally.agreements += 1;
                self.open.insert(key.clone(), now);
            }
            return None;
        }
        if !due {
            return None;
        }
        self.open.insert(key.clone(), now);
        let early = before.at < self.settled_at;
        if early {
            self.tally.early_differences += 1;
        } else {
            self.tally.differences += 1;
        }
        Some(Difference {
            at: before.at,
            autoscaler: key.clone(),
            from: before.seen,
            trimtab: before.desired,
            other: now.seen,
            early,
        })
    }

    /// Forgets an autoscaler that is gone.
    pub fn forget(&mut self, key: &Key) {
        self.open.remove(key);
    }

    /// The count so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::derivation::{Branch, Derivation};
    use crate::observe::Scale;

    struct Case {
        comparison: Comparison,
        start: Timestamp,
    }

    impl Case {
        fn new() -> Self {
            let start = Timestamp::from_second(1_767_600_000).unwrap();
            let comparison = Comparison::new(SignedDuration::from_secs(15), SignedDuration::from_mins(5), start);
            Self { comparison, start }
        }

        fn decided(&mut self, seconds: i64, seen: i32, desired: i32) -> Option<(i32, i32, bool)> {
            let derivation = Derivation {
                scale: Some(Scale {
                    spec_replicas: seen,
                    status_replicas: seen,
                    selector: "app=web".into(),
                }),
                branch: Branch::Metrics,
                first_sync: false,
                metrics: Vec::new(),
                combination: None,
                stabilization: None,
                limit: None,
                raised_to_min: false,
                desired: Some(desired),
            };
            let at = self.start + SignedDuration::from_secs(seconds);
            let decision = Decision {
                at,
                write: None,
                derivation,
            };
            self.comparison
                .decided(&Key::new("shop", "web"), &decision)
                .map(|d| (d.trimtab, d.other, d.early))
        }
    }

    #[test]
    fn the_other_may_take_a_sync_period_to_come_to_the_same_count() {
        let mut case = Case::new();
        assert_eq!(case.decided(400, 3, 6), None);
        assert_eq!(case.decided(415, 6, 6), None);
        assert_eq!(case.decided(430, 6, 6), None);
        assert_eq!(
            case.comparison.tally(),
            Tally {
                agreements: 2,
                ..Tally::default()
            }
        );
    }

    #[test]
    fn trimtab_may_come_to_what_the_other_saw_first() {
        let mut case = Case::new();
        case.decided(400, 3, 3);
        assert_eq!(case.decided(415, 6, 6), None);
        assert_eq!(case.comparison.tally().agreements, 1);
    }

    #[test]
    fn a_count_that_the_other_never_comes_to_is_a_difference() {
        let mut case = Case::new();
        case.decided(400, 3, 6);
        assert_eq!(case.decided(415, 3, 6), Some((6, 3, false)));
        assert_eq!(case.decided(430, 4, 6), Some((6, 4, false)));
        assert_eq!(case.comparison.tally().differences, 2);
    }

    #[test]
    fn differences_of_the_first_window_are_counted_apart() {
        let mut case = Case::new();
        case.decided(0, 6, 6);
        assert_eq!(case.decided(15, 3, 6), Some((6, 3, true)));
        assert_eq!(
            case.comparison.tally(),
            Tally {
                early_differences: 1,
                ..Tally::default()
            }
        );
    }

    #[test]
    fn a_sync_between_two_periods_judges_nothing_yet() {
        let mut case = Case::new();
        case.decided(400, 3, 6);
        assert_eq!(case.decided(405, 3, 6), None);
        assert_eq!(case.decided(415, 3, 6), Some((6, 3, false)));
    }
}
