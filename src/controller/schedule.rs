//! Who is due when. Pure: time comes as an argument, as the time since the controller's start.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::spec::Key;

/// When each autoscaler is synced: all together once a sync period, so that a pass can read in bulk, and one at once
/// when its spec changes. No autoscaler is ever synced twice at the same time.
#[derive(Debug)]
pub struct Schedule {
    period: Duration,
    /// The next pass over all.
    next_pass: Duration,
    autoscalers: BTreeMap<Key, Turn>,
    /// Those to be synced before the next pass.
    urgent: BTreeSet<Key>,
}

/// One autoscaler's place in the schedule.
#[derive(Clone, Copy, Debug)]
struct Turn {
    /// When its last sync began; never, at first.
    last_start: Option<Duration>,
    running: bool,
    /// Its turn came while it was still running.
    missed: bool,
}

impl Schedule {
    /// A schedule without autoscalers; the first pass is due at once. A period of zero counts as a millisecond.
    pub fn new(period: Duration) -> Self {
        Self {
            period: period.max(Duration::from_millis(1)),
            next_pass: Duration::ZERO,
            autoscalers: BTreeMap::new(),
            urgent: BTreeSet::new(),
        }
    }

    /// An autoscaler is there, or its spec has changed: it is due at once.
    pub fn wants(&mut self, key: Key) {
        self.autoscalers.entry(key.clone()).or_insert(Turn {
            last_start: None,
            running: false,
            missed: false,
        });
        self.urgent.insert(key);
    }

    /// An autoscaler is gone. A sync that is still running ends by itself.
    pub fn forget(&mut self, key: &Key) {
        self.autoscalers.remove(key);
        self.urgent.remove(key);
    }

    /// A sync of this autoscaler has ended.
    pub fn ended(&mut self, key: &Key) {
        if let Some(turn) = self.autoscalers.get_mut(key) {
            turn.running = false;
            if std::mem::take(&mut turn.missed) {
                self.urgent.insert(key.clone());
            }
        }
    }

    /// When something is due next.
    pub fn next_due(&self) -> Duration {
        let waiting = |k: &Key| self.autoscalers.get(k).is_some_and(|t| !t.running);
        if self.urgent.iter().any(waiting) {
            Duration::ZERO
        } else {
            self.next_pass
        }
    }

    /// The autoscalers to sync now, those that waited longest first. They count as running until [`Self::ended`].
    pub fn take_due(&mut self, now: Duration) -> Vec<Key> {
        let mut due: Vec<Key> = Vec::new();
        if now >= self.next_pass {
            for (key, turn) in &mut self.autoscalers {
                if turn.running {
                    turn.missed = true;
                } else {
                    due.push(key.clone());
                }
            }
            self.urgent
                .retain(|k| self.autoscalers.get(k).is_some_and(|t| t.running));
            // Passes keep their rhythm; what a long delay skipped is not made up for.
            let behind = now - self.next_pass;
            let skipped = (behind.as_nanos() / self.period.as_nanos()).min(u32::MAX.into()) as u32;
            self.next_pass += self.period.saturating_mul(skipped.saturating_add(1));
        } else {
            let ready = |k: &&Key| self.autoscalers.get(*k).is_some_and(|t| !t.running);
            due = self.urgent.iter().filter(ready).cloned().collect();
            self.urgent
                .retain(|k| self.autoscalers.get(k).is_some_and(|t| t.running));
        }
        due.sort_by_key(|k| self.autoscalers[k].last_start);
        for key in &due {
            if let Some(turn) = self.autoscalers.get_mut(key) {
                *turn = Turn {
                    last_start: Some(now),
                    running: true,
                    missed: false,
                };
            }
        }
        due
    }

    /// How many autoscalers there are.
    pub fn len(&self) -> usize {
        self.autoscalers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.autoscalers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new("shop", name)
    }

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn schedule(names: &[&str]) -> Schedule {
        let mut schedule = Schedule::new(at(15));
        names.iter().for_each(|n| schedule.wants(key(n)));
        schedule
    }

    #[test]
    fn all_are_due_together_once_a_period() {
        let mut schedule = schedule(&["a", "b"]);
        assert_eq!(schedule.take_due(at(0)), [key("a"), key("b")]);
        schedule.ended(&key("a"));
        schedule.ended(&key("b"));
        assert_eq!(schedule.next_due(), at(15));
        assert!(schedule.take_due(at(14)).is_empty());
        assert_eq!(schedule.take_due(at(15)), [key("a"), key("b")]);
    }

    #[test]
    fn a_new_or_edited_autoscaler_is_due_at_once_and_keeps_the_rhythm() {
        let mut schedule = schedule(&["a"]);
        schedule.take_due(at(0));
        schedule.ended(&key("a"));
        schedule.wants(key("b"));
        assert_eq!(schedule.next_due(), at(0));
        assert_eq!(schedule.take_due(at(4)), [key("b")]);
        schedule.ended(&key("b"));
        assert_eq!(schedule.take_due(at(15)), [key("a"), key("b")]);
    }

    #[test]
    fn one_that_runs_late_delays_nobody_and_follows_when_it_ends() {
        let mut schedule = schedule(&["slow", "quick"]);
        schedule.take_due(at(0));
        schedule.ended(&key("quick"));
        assert_eq!(schedule.take_due(at(15)), [key("quick")]);
        schedule.ended(&key("quick"));
        schedule.wants(key("slow"));
        assert_eq!(schedule.next_due(), at(30), "never twice at the same time");
        schedule.ended(&key("slow"));
        assert_eq!(schedule.take_due(at(20)), [key("slow")]);
    }

    #[test]
    fn those_that_waited_longest_come_first() {
        let mut schedule = schedule(&["a", "b"]);
        schedule.take_due(at(0));
        schedule.ended(&key("a"));
        schedule.wants(key("a"));
        schedule.take_due(at(5));
        schedule.ended(&key("a"));
        schedule.ended(&key("b"));
        assert_eq!(schedule.take_due(at(15)), [key("b"), key("a")]);
    }

    #[test]
    fn a_long_delay_is_not_made_up_for() {
        let mut schedule = schedule(&["a"]);
        schedule.take_due(at(0));
        schedule.ended(&key("a"));
        assert_eq!(schedule.take_due(at(100)), [key("a")]);
        schedule.ended(&key("a"));
        assert_eq!(schedule.next_due(), at(105));
    }

    #[test]
    fn one_that_is_gone_is_not_due() {
        let mut schedule = schedule(&["a"]);
        schedule.forget(&key("a"));
        assert!(schedule.take_due(at(0)).is_empty());
        schedule.ended(&key("a"));
        assert!(schedule.is_empty());
    }
}
