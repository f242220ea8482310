//! Who is due when. Pure: time comes as an argument, as the time since the controller's start.

mod phase;
mod rhythm;

use std::collections::BTreeSet;
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::spec::Key;
pub use phase::Read;
use rhythm::Rhythm;

/// Autoscalers whose syncs ran over their next turn are synced together: so long after the first of them has ended.
const GATHERING: Duration = Duration::from_millis(100);

/// A pass that new values have brought forward waits until fewer than one in so many autoscalers are still being synced. A few that
/// are slow hold up nobody.
const PART_IN_THE_WAY: usize = 10;

/// When each autoscaler is synced: all together once a sync period, so that a pass can read in bulk, and one at once
/// when its spec changes. No autoscaler is ever synced twice at the same time.
///
/// Where the resource metrics have a phase, passes follow it: see [`Self::read`].
#[derive(Debug)]
pub struct Schedule {
    rhythm: Rhythm,
    autoscalers: FxHashMap<Key, Turn>,
    /// All of them, sorted; empty where it has to be made anew.
    sorted: Vec<Key>,
    /// How many of them are being synced.
    running: usize,
    /// Those to be synced before the next pass.
    urgent: BTreeSet<Key>,
    /// Those whose turn came while they were running, and when they follow: together, so that they ask together.
    overdue: BTreeSet<Key>,
    overdue_at: Duration,
}

/// Those whose turn it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// The autoscalers, those that waited longest first.
    pub autoscalers: Vec<Key>,
    /// How late it is; `None` where this is no pass over all, but autoscalers are new, edited, or had run late.
    pub late: Option<Duration>,
    /// How many were not started, since their sync before is still running: each follows when that ends.
    pub missed: usize,
    /// The longest time between the start of one of their syncs and that of the one before.
    pub longest_interval: Duration,
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
            rhythm: Rhythm::new(period),
            autoscalers: FxHashMap::default(),
            sorted: Vec::new(),
            running: 0,
            urgent: BTreeSet::new(),
            overdue: BTreeSet::new(),
            overdue_at: Duration::ZERO,
        }
    }

    /// An autoscaler is there, or its spec has changed: it is due at once.
    pub fn wants(&mut self, key: Key) {
        if !self.autoscalers.contains_key(&key) {
            let turn = Turn {
                last_start: None,
                running: false,
                missed: false,
            };
            self.autoscalers.insert(key.clone(), turn);
            self.sorted.clear();
        }
        self.urgent.insert(key);
    }

    /// An autoscaler is gone. A sync that is still running ends by itself.
    pub fn forget(&mut self, key: &Key) {
        let gone = self.autoscalers.remove(key);
        self.sorted.clear();
        self.running -= usize::from(gone.is_some_and(|turn| turn.running));
        self.urgent.remove(key);
        self.overdue.remove(key);
    }

    /// All autoscalers, in no particular order.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.autoscalers.keys()
    }

    /// A sync of this autoscaler has ended.
    pub fn ended(&mut self, key: &Key, now: Duration) {
        if let Some(turn) = self.autoscalers.get_mut(key) {
            self.running -= usize::from(std::mem::take(&mut turn.running));
            if std::mem::take(&mut turn.missed) {
                if self.overdue.is_empty() {
                    self.overdue_at = now + GATHERING;
                }
                self.overdue.insert(key.clone());
            }
        }
    }

    /// Whether the autoscaler is being synced.
    pub fn is_running(&self, key: &Key) -> bool {
        self.autoscalers.get(key).is_some_and(|turn| turn.running)
    }

    /// When the next pass begins; one that was brought forward not while a good part of the one before still runs.
    fn next_pass(&self) -> Duration {
        if self.running > self.autoscalers.len() / PART_IN_THE_WAY {
            self.rhythm.next_pass_unhurried()
        } else {
            self.rhythm.next_pass()
        }
    }

    /// When something is due next.
    pub fn next_due(&self) -> Duration {
        let waiting = |k: &Key| self.autoscalers.get(k).is_some_and(|t| !t.running);
        if self.urgent.iter().any(waiting) {
            Duration::ZERO
        } else if self.overdue.is_empty() {
            self.next_pass()
        } else {
            self.overdue_at.min(self.next_pass())
        }
    }

    /// When the resource metrics are to be probed: a small read, whose outcome is told to [`Self::read`] or
    /// [`Self::probe_failed`]. `None` while there is nothing to learn.
    pub fn next_probe(&self) -> Option<Duration> {
        self.rhythm.next_probe()
    }

    /// What a read of the resource metrics has shown; `probe`: it was asked for this alone, and a pass should follow where it
    /// shows new values.
    pub fn read(&mut self, read: Read, probe: bool) {
        self.rhythm.read(read, probe, self.running > 0);
    }

    /// A probe that was asked at this time got no answer.
    pub fn probe_failed(&mut self, asked: Duration) {
        self.rhythm.probe_failed(asked);
    }

    /// Reads show other pods than before from now on.
    pub fn forget_shown(&mut self) {
        self.rhythm.forget_shown();
    }

    /// The autoscalers to sync now, those that waited longest first. They count as running until [`Self::ended`].
    pub fn take_due(&mut self, now: Duration) -> Due {
        let mut due: Vec<(Option<Duration>, Key)> = Vec::new();
        let (mut late, mut missed) = (None, 0);
        if now >= self.next_pass() {
            if self.sorted.is_empty() {
                self.sorted.extend(self.autoscalers.keys().cloned());
                self.sorted.sort_unstable();
            }
            due.reserve(self.sorted.len());
            for key in &self.sorted {
                let Some(turn) = self.autoscalers.get_mut(key) else {
                    continue;
                };
                if turn.running {
                    turn.missed = true;
                    missed += 1;
                } else {
                    due.push((turn.last_start, key.clone()));
                }
            }
            self.urgent
                .retain(|k| self.autoscalers.get(k).is_some_and(|t| t.running));
            self.overdue.clear();
            late = Some(self.rhythm.pass_began(now));
        } else {
            if now >= self.overdue_at {
                self.urgent.append(&mut self.overdue);
            }
            let ready = |key: &Key| {
                let turn = self.autoscalers.get(key).filter(|turn| !turn.running)?;
                Some((turn.last_start, key.clone()))
            };
            due = self.urgent.iter().filter_map(ready).collect();
            self.urgent
                .retain(|k| self.autoscalers.get(k).is_some_and(|t| t.running));
            due.iter().for_each(|(_, key)| _ = self.overdue.remove(key));
        }
        due.sort_by_key(|(last_start, _)| *last_start);
        self.running += due.len();
        let mut longest = Duration::ZERO;
        for (last_start, key) in &due {
            if let Some(turn) = self.autoscalers.get_mut(key) {
                longest = longest.max(last_start.map_or(Duration::ZERO, |last| now.saturating_sub(last)));
                *turn = Turn {
                    last_start: Some(now),
                    running: true,
                    missed: false,
                };
            }
        }
        Due {
            autoscalers: due.into_iter().map(|(_, key)| key).collect(),
            late,
            missed,
            longest_interval: longest,
        }
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

    fn take(schedule: &mut Schedule, now: Duration) -> Vec<Key> {
        schedule.take_due(now).autoscalers
    }

    #[test]
    fn all_are_due_together_once_a_period() {
        let mut schedule = schedule(&["a", "b"]);
        assert_eq!(take(&mut schedule, at(0)), [key("a"), key("b")]);
        schedule.ended(&key("a"), at(1));
        schedule.ended(&key("b"), at(1));
        assert_eq!(schedule.next_due(), at(15));
        assert!(take(&mut schedule, at(14)).is_empty());
        assert_eq!(take(&mut schedule, at(15)), [key("a"), key("b")]);
    }

    #[test]
    fn a_new_or_edited_autoscaler_is_due_at_once_and_keeps_the_rhythm() {
        let mut schedule = schedule(&["a"]);
        take(&mut schedule, at(0));
        schedule.ended(&key("a"), at(1));
        schedule.wants(key("b"));
        assert_eq!(schedule.next_due(), at(0));
        assert_eq!(take(&mut schedule, at(4)), [key("b")]);
        schedule.ended(&key("b"), at(1));
        assert_eq!(take(&mut schedule, at(15)), [key("a"), key("b")]);
    }

    #[test]
    fn one_that_runs_late_delays_nobody_and_follows_when_it_ends() {
        let mut schedule = schedule(&["slow", "quick"]);
        take(&mut schedule, at(0));
        schedule.ended(&key("quick"), at(1));
        assert_eq!(take(&mut schedule, at(15)), [key("quick")]);
        schedule.ended(&key("quick"), at(1));
        schedule.wants(key("slow"));
        assert_eq!(schedule.next_due(), at(30), "never twice at the same time");
        schedule.ended(&key("slow"), at(19));
        assert_eq!(take(&mut schedule, at(20)), [key("slow")]);
    }

    #[test]
    fn those_that_run_late_together_follow_together() {
        let mut schedule = schedule(&["a", "b", "c"]);
        take(&mut schedule, at(0));
        let due = schedule.take_due(at(17));
        assert_eq!((due.autoscalers.len(), due.missed, due.late), (0, 3, Some(at(2))));
        let ended = Duration::from_millis(20_000);
        for (name, after) in [("b", 0), ("a", 5), ("c", 9)] {
            schedule.ended(&key(name), ended + Duration::from_millis(after));
            assert!(take(&mut schedule, ended + Duration::from_millis(after)).is_empty());
        }
        assert_eq!(schedule.next_due(), ended + GATHERING);
        let due = schedule.take_due(ended + GATHERING);
        assert_eq!(due.autoscalers, [key("a"), key("b"), key("c")]);
        assert_eq!((due.late, due.longest_interval), (None, ended + GATHERING));
        for name in ["a", "b", "c"] {
            schedule.ended(&key(name), at(21));
        }
        // The next pass keeps its time.
        assert_eq!(schedule.next_due(), at(30));
    }

    #[test]
    fn those_that_waited_longest_come_first() {
        let mut schedule = schedule(&["a", "b"]);
        take(&mut schedule, at(0));
        schedule.ended(&key("a"), at(1));
        schedule.wants(key("a"));
        take(&mut schedule, at(5));
        schedule.ended(&key("a"), at(1));
        schedule.ended(&key("b"), at(1));
        assert_eq!(take(&mut schedule, at(15)), [key("b"), key("a")]);
    }

    #[test]
    fn a_long_delay_is_not_made_up_for() {
        let mut schedule = schedule(&["a"]);
        take(&mut schedule, at(0));
        schedule.ended(&key("a"), at(1));
        assert_eq!(take(&mut schedule, at(100)), [key("a")]);
        schedule.ended(&key("a"), at(1));
        assert_eq!(schedule.next_due(), at(105));
    }

    #[test]
    fn values_that_come_early_in_a_pass_wait_for_the_next_one_while_a_sync_runs() {
        let read = |seconds: u64, sample: i64| Read {
            asked: at(seconds),
            answered: at(seconds),
            newest: Some(jiff::Timestamp::from_second(1_767_600_000 + sample).unwrap()),
        };
        for (is_running, next) in [(false, at(6)), (true, at(15))] {
            let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "slow"];
            let mut schedule = schedule(&names);
            take(&mut schedule, at(0));
            schedule.read(read(1, 0), false);
            let ended = names.iter().filter(|name| **name != "slow" || !is_running);
            ended.for_each(|name| schedule.ended(&key(name), at(2)));
            schedule.read(read(5, 0), true);
            schedule.read(read(6, 3), true);
            assert_eq!(schedule.next_due(), next, "running: {is_running}");
            let due = schedule.take_due(next);
            assert_eq!(due.missed, usize::from(is_running));
        }
    }

    #[test]
    fn one_that_is_gone_is_not_due() {
        let mut schedule = schedule(&["a"]);
        schedule.forget(&key("a"));
        assert!(take(&mut schedule, at(0)).is_empty());
        schedule.ended(&key("a"), at(1));
        assert!(schedule.is_empty());
    }
}
