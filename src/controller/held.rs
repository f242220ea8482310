//! What the controller holds of each autoscaler between two syncs.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::selectors::SelectorTable;
use crate::cluster::autoscalers::{Autoscaler, Origin};
use crate::memory::Memory;
use crate::memory::stored::{Intent, Record, WRITES_LAND_WITHIN, is_held, last_within, place, shifted, uid_mark};
use crate::observe::Status;
use crate::spec::{Behavior, Key, Spec};

/// Everything that is held, for all autoscalers. Each is synced by one task at a time, so that what is taken out is put
/// back before anybody asks for it.
#[derive(Debug, Default)]
pub(super) struct Held {
    by_key: Mutex<FxHashMap<Key, Kept>>,
    /// By how many milliseconds the clock was set so far. Changes only while `by_key` is locked.
    set_by: AtomicI64,
    /// Which autoscaler selects which pods.
    pub selectors: Mutex<SelectorTable>,
}

/// What is held of one autoscaler.
#[derive(Debug, Default)]
struct Kept {
    memory: Memory,
    /// What [`Held::set_by`] was when a sync took the memory out.
    taken_out_at: i64,
    /// What a former leader remembered, or we did when a write had no answer; until the count is seen: then it becomes `memory`.
    former: Option<Box<Former>>,
    /// A scale write whose outcome is not known yet.
    intent: Option<Intent>,
    /// One of which nobody knows whether it took place, and which had not when the count was seen last.
    open: Option<Open>,
    /// What `memory` is compared with; `None` before the first conclusion.
    standing: Option<Standing>,
    /// The status that was written last, with the resource version that the write returned: the cache may lag behind.
    written: Option<(Status, String)>,
    /// A status that waits for the budget.
    waiting: Option<Status>,
    /// Locked while a status that has waited is being written.
    late_write: Option<Arc<AsyncMutex<()>>>,
    /// The last status of an autoscaler that has no object to write it to.
    own: Option<Status>,
}

#[derive(Debug)]
struct Former {
    record: Record,
    last_alive: Timestamp,
    /// Another process remembered it.
    is_inherited: bool,
}

/// A write that may still take place.
#[derive(Clone, Copy, Debug)]
struct Open {
    intent: Intent,
    /// Not after this.
    until: Timestamp,
}

impl Open {
    fn new(intent: Intent, last_alive: Timestamp) -> Self {
        let sent = last_alive.max(intent.at);
        let until = sent.saturating_add(WRITES_LAND_WITHIN).unwrap_or(Timestamp::MAX);
        Self { intent, until }
    }
}

/// Where an autoscaler stood after its last decision.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    uid: u32,
    /// Its count, after the write if there was one.
    count: i32,
    bounds: (i32, i32),
    /// Scale events count for so long.
    longest_period: SignedDuration,
}

impl Standing {
    pub(super) fn new(autoscaler: &Autoscaler, spec: &Spec, count: i32) -> Self {
        let longest = spec.behavior.as_ref().map_or(0, |behavior| {
            let (up, down) = (&behavior.scale_up, &behavior.scale_down);
            up.longest_period_seconds().max(down.longest_period_seconds())
        });
        Self {
            uid: uid_mark(uid(autoscaler)),
            count,
            bounds: (spec.min_replicas, spec.max_replicas),
            longest_period: SignedDuration::from_secs(longest.into()),
        }
    }

    /// Whether a recommendation is held back.
    pub(super) fn holds_back(&self, memory: &Memory) -> bool {
        is_held(memory, self.count, self.bounds)
    }
}

/// The UID of an autoscaler's object; empty where it has none.
fn uid(autoscaler: &Autoscaler) -> &str {
    match &autoscaler.origin {
        Origin::Cluster { uid, .. } => uid,
        Origin::File(_) => "",
    }
}

/// Records of one part.
pub(super) struct Drafted {
    pub(super) number: usize,
    /// Sorted by name.
    pub(super) records: Vec<Record>,
    /// Whether one of them holds a recommendation back, or has a write under way.
    pub(super) is_held: bool,
}

impl Held {
    pub(super) fn appeared(&self, key: &Key) {
        self.selectors.lock().register(key);
        self.by_key.lock().entry(key.clone()).or_default();
    }

    pub(super) fn gone(&self, key: &Key) {
        self.selectors.lock().forget(key);
        self.by_key.lock().remove(key);
    }

    /// A copy of what is remembered, to show it; `None` where the autoscaler is not known.
    pub(super) fn known_memory(&self, key: &Key) -> Option<Memory> {
        self.by_key.lock().get(key).map(|kept| match &kept.former {
            Some(former) => former.record.memory.clone(),
            None => kept.memory.clone(),
        })
    }

    /// A copy of what is remembered, to decide with; and whether it depends on the count as it is now, and not as a cache has
    /// it, since there is a write of which nobody knows whether it took place.
    pub(super) fn memory(&self, key: &Key) -> (Memory, bool) {
        let mut held = self.by_key.lock();
        let Some(kept) = held.get_mut(key) else {
            return (Memory::default(), false);
        };
        kept.taken_out_at = self.set_by.load(Ordering::Relaxed);
        let is_open = kept
            .former
            .as_ref()
            .is_some_and(|former| former.record.intent.is_some());
        (kept.memory.clone(), is_open || kept.open.is_some())
    }

    /// The clock was set by so many milliseconds: moves all that is remembered with it.
    pub(super) fn clock_was_set(&self, by: i64) {
        let mut held = self.by_key.lock();
        self.set_by.fetch_add(by, Ordering::Relaxed);
        for kept in held.values_mut() {
            kept.memory.shift(by);
            if let Some(former) = &mut kept.former {
                former.record.shift(by);
                former.last_alive = shifted(former.last_alive, by);
            }
            if let Some(intent) = &mut kept.intent {
                intent.shift(by);
            }
            if let Some(open) = &mut kept.open {
                open.intent.shift(by);
                open.until = shifted(open.until, by);
            }
        }
    }

    /// Moves a memory that is taken out by what the clock was set since.
    pub(super) fn catch_up(&self, key: &Key, memory: &mut Memory) {
        if let Some(kept) = self.by_key.lock().get_mut(key) {
            let set_by = self.set_by.load(Ordering::Relaxed);
            memory.shift(set_by - kept.taken_out_at);
            kept.taken_out_at = set_by;
        }
    }

    /// Remembers, unless the autoscaler is gone meanwhile. The outcome of a write that was under way is in it. Gives whether a new
    /// leader would decide otherwise by what was remembered before.
    pub(super) fn remember(&self, key: &Key, memory: Memory, standing: Option<Standing>) -> bool {
        self.by_key.lock().get_mut(key).is_some_and(|kept| {
            let is_new = standing.is_some_and(|standing| kept.is_new(&memory, &standing));
            kept.memory = memory;
            kept.intent = None;
            kept.standing = standing.or(kept.standing);
            // Its test of the count fails from now on.
            kept.open = kept
                .open
                .filter(|open| standing.is_none_or(|standing| standing.count == open.intent.from));
            is_new
        })
    }

    /// Remembers after a write of which nobody knows whether it took place: the count that is seen next tells.
    pub(super) fn remember_open(&self, key: &Key, memory: Memory, standing: Standing, intent: Intent, now: Timestamp) {
        if let Some(kept) = self.by_key.lock().get_mut(key) {
            let record = Record {
                key: key.clone(),
                uid: standing.uid,
                memory: memory.clone(),
                count: None,
                intent: Some(intent),
                unknown_until: None,
            };
            (kept.memory, kept.intent, kept.standing) = (memory, None, Some(standing));
            // Of two writes that test the same count one can take place.
            kept.open = None;
            kept.former = Some(Box::new(Former {
                record,
                last_alive: now,
                is_inherited: false,
            }));
        }
    }

    /// Takes what a former leader remembered of `autoscaler`, unless that was another one of its name.
    pub(super) fn recollect(&self, autoscaler: &Autoscaler, record: Record, last_alive: Timestamp) {
        if record.uid == uid_mark(uid(autoscaler))
            && let Some(kept) = self.by_key.lock().get_mut(&autoscaler.key)
        {
            kept.former = Some(Box::new(Former {
                record,
                last_alive,
                is_inherited: true,
            }));
        }
    }

    /// What a former leader remembered, or what became of a write without an answer, now that the count is seen, at which the
    /// autoscaler stands; `None` where there is nothing new.
    pub(super) fn recall(&self, spec: &Spec, standing: Standing, now: Timestamp) -> Option<Memory> {
        let mut held = self.by_key.lock();
        let kept = held.get_mut(&spec.key)?;
        let behavior = spec.behavior.as_ref();
        match kept.former.take() {
            Some(former) => kept.take_in(*former, behavior, standing, now),
            None => kept.take_in_late(behavior, standing, now)?,
        }
        kept.taken_out_at = self.set_by.load(Ordering::Relaxed);
        Some(kept.memory.clone())
    }

    /// A scale write is about to be made.
    pub(super) fn intend(&self, key: &Key, intent: Intent, standing: Standing) {
        if let Some(kept) = self.by_key.lock().get_mut(key) {
            (kept.intent, kept.standing) = (Some(intent), Some(standing));
        }
    }

    /// Whether anything is to be stored of the autoscalers of a part.
    pub(super) fn is_worth_saving(&self, number: usize, parts: usize, now: Timestamp) -> bool {
        let held = self.by_key.lock();
        held.iter()
            .any(|(key, kept)| kept.is_worth_saving(now) && place(key, parts) == number)
    }

    /// What is to be stored of the autoscalers of these parts, of so many.
    pub(super) fn records(&self, numbers: &[usize], parts: usize, now: Timestamp) -> Vec<Drafted> {
        let mut drafted: Vec<Drafted> = numbers
            .iter()
            .map(|number| Drafted {
                number: *number,
                records: Vec::new(),
                is_held: false,
            })
            .collect();
        let held = self.by_key.lock();
        for (key, kept) in held.iter().filter(|(_, kept)| kept.is_worth_saving(now)) {
            let place = place(key, parts);
            if let Some(part) = drafted.iter_mut().find(|part| part.number == place) {
                part.is_held |= kept.is_held();
                part.records.extend(kept.record(key));
            }
        }
        drop(held);
        drafted
            .iter_mut()
            .for_each(|part| part.records.sort_unstable_by(|a, b| a.key.cmp(&b.key)));
        drafted
    }

    /// The status that the API server has: the cache's, or ours where the cache has not caught up with our write. Of an
    /// autoscaler without an object, the one that was kept.
    pub(super) fn status_of(&self, autoscaler: &Autoscaler) -> Status {
        let mut held = self.by_key.lock();
        let Some(kept) = held.get_mut(&autoscaler.key) else {
            return autoscaler.status.clone();
        };
        let Origin::Cluster { resource_version, .. } = &autoscaler.origin else {
            (kept.written, kept.waiting) = (None, None);
            return kept.own.as_ref().unwrap_or(&autoscaler.status).clone();
        };
        kept.own = None;
        match &kept.written {
            Some((status, version)) if is_older(resource_version, version) => status.clone(),
            _ => {
                kept.written = None;
                autoscaler.status.clone()
            }
        }
    }

    /// Keeps the status of an autoscaler that has no object to write it to.
    pub(super) fn keep_status(&self, key: &Key, status: Status) {
        if let Some(kept) = self.by_key.lock().get_mut(key) {
            kept.own = Some(status);
        }
    }

    pub(super) fn wrote_status(&self, key: &Key, status: Status, resource_version: String) {
        if let Some(kept) = self.by_key.lock().get_mut(key) {
            kept.written = Some((status, resource_version));
        }
    }

    /// A status that is to be written when its turn comes; `None`: there is none any more.
    pub(super) fn status_waits(&self, key: &Key, status: Option<Status>) {
        if let Some(kept) = self.by_key.lock().get_mut(key) {
            kept.waiting = status;
        }
    }

    /// Takes the status that waits, to write it while the guard is held; `None` where there is none, or one is being written.
    pub(super) fn take_waiting_status(&self, key: &Key) -> Option<(Status, OwnedMutexGuard<()>)> {
        let mut held = self.by_key.lock();
        let kept = held.get_mut(key)?;
        let gate = kept.late_write.get_or_insert_default().clone();
        let guard = gate.try_lock_owned().ok()?;
        Some((kept.waiting.take()?, guard))
    }

    /// Waits until no status that had waited is being written any more, so that a newer one does not come before it.
    pub(super) async fn late_write_ended(&self, key: &Key) {
        let gate = self.by_key.lock().get_mut(key).and_then(|kept| kept.late_write.take());
        if let Some(gate) = gate {
            _ = gate.lock().await;
        }
    }
}

impl Kept {
    fn take_in(&mut self, former: Former, behavior: Option<&Behavior>, standing: Standing, now: Timestamp) {
        let Former {
            record,
            last_alive,
            is_inherited,
        } = former;
        let (memory, open) = match is_inherited {
            true => record.inherited(standing.count, behavior, now),
            false => record.settled(standing.count, behavior, now),
        };
        self.memory = memory;
        self.open = open.map(|intent| Open::new(intent, last_alive));
        // A save that begins before this sync has ended has it, too.
        self.standing = Some(standing);
    }

    /// A write that had not taken place when the count was seen last, and has now, counts from now on. `None` where it has not.
    fn take_in_late(&mut self, behavior: Option<&Behavior>, standing: Standing, now: Timestamp) -> Option<()> {
        let open = self.open?;
        let took_place = open.intent.took_place(standing.count);
        self.open = self.open.filter(|_| !took_place && now < open.until);
        let behavior = behavior.filter(|_| took_place)?;
        open.intent.count_in(&mut self.memory, behavior, now);
        Some(())
    }

    fn is_worth_saving(&self, now: Timestamp) -> bool {
        let worth = |standing: &Standing| {
            let since = now.saturating_sub(standing.longest_period).unwrap_or(Timestamp::MIN);
            !self.memory.says_only(standing.count, standing.bounds, since)
        };
        let is_open = self.former.is_some() || self.intent.is_some() || self.open.is_some();
        is_open || self.standing.as_ref().is_some_and(worth)
    }

    fn is_held(&self) -> bool {
        let holds_back = |standing: &Standing| standing.holds_back(&self.memory);
        // What a former leader remembered does not change before it is taken in.
        self.former.is_none() && (self.intent.is_some() || self.standing.as_ref().is_some_and(holds_back))
    }

    /// Whether what was remembered before says something else of what is recommended, or of the count. What is repeated a new
    /// leader takes for granted.
    fn is_new(&self, memory: &Memory, standing: &Standing) -> bool {
        match last_within(&self.memory, standing.bounds) {
            None => standing.holds_back(memory),
            before => {
                before != last_within(memory, standing.bounds)
                    || self.standing.is_some_and(|before| before.count != standing.count)
            }
        }
    }

    fn record(&self, key: &Key) -> Option<Record> {
        if let Some(former) = &self.former {
            let memory = former.record.memory.thinned();
            return Some(Record {
                memory,
                ..former.record.clone()
            });
        }
        let standing = self.standing?;
        Some(Record {
            key: key.clone(),
            uid: standing.uid,
            memory: self.memory.thinned(),
            count: Some(standing.count),
            intent: self.intent.or(self.open.map(|open| open.intent)),
            unknown_until: None,
        })
    }
}

/// Whether resource version `a` was before `b`. Kubernetes compares them as whole numbers (KEP-5504); what is none is
/// taken as newer, so that the cache is believed.
fn is_older(a: &str, b: &str) -> bool {
    match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(a), Ok(b)) => a < b,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_767_600_000 + seconds).unwrap()
    }

    fn standing() -> Standing {
        Standing {
            uid: 1,
            count: 5,
            bounds: (1, 10),
            longest_period: SignedDuration::ZERO,
        }
    }

    /// What a former leader left that recommended 9 and was about to write 7.
    fn taken_in() -> Kept {
        let mut memory = Memory::default();
        memory.recommend(9, at(0), Timestamp::MIN, SignedDuration::ZERO);
        let record = Record {
            key: Key::new("shop", "web"),
            uid: 1,
            memory,
            count: Some(5),
            intent: Some(Intent {
                from: 5,
                to: 7,
                at: at(1),
            }),
            unknown_until: None,
        };
        let mut kept = Kept::default();
        let former = Former {
            record,
            last_alive: at(3),
            is_inherited: true,
        };
        kept.take_in(former, None, standing(), at(12));
        kept
    }

    #[test]
    fn what_is_taken_in_is_in_a_save_that_begins_before_the_sync_has_ended() {
        let kept = Kept {
            open: None,
            ..taken_in()
        };
        assert!(kept.is_worth_saving(at(12)));
        let record = kept.record(&Key::new("shop", "web")).unwrap();
        assert_eq!(record.memory.largest_after(at(0)), Some(9));
    }

    #[test]
    fn a_write_that_may_still_take_place_is_stored_until_it_cannot() {
        let intent = |kept: &Kept| kept.record(&Key::new("shop", "web")).and_then(|record| record.intent);
        let mut kept = taken_in();
        assert_eq!(intent(&kept).map(|intent| intent.to), Some(7));
        assert!(kept.take_in_late(None, standing(), at(62)).is_none());
        assert!(intent(&kept).is_some());
        // 60 s after its writer was last known to be alive.
        assert!(kept.take_in_late(None, standing(), at(63)).is_none());
        assert_eq!(intent(&kept), None);
    }
}
