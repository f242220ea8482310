//! Memory that outlives the process: what is stored, in how many parts, and what a new leader makes of it.
//!
//! Only what a new leader could not guess is stored: of an autoscaler for which nothing but its count was recommended, and
//! which was not scaled lately, there is no [`Record`]. Records are spread over [`Part`]s by a hash of their names. A part
//! that is read is not believed: every length is checked, and what it can cost is bounded ([`decode`]).

mod bytes;
mod decode;
mod encode;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::thin::within;
use super::{Direction, Memory};
use crate::spec::{Behavior, Key};
pub use decode::{Unreadable, decode};
pub use encode::{MOST_BYTES, encode};

/// The most parts that there are: 16 of [`MOST_BYTES`] hold some hundred thousand records.
pub const MOST_PARTS: usize = 16;

/// The most bytes of a part before its records are spread over twice as many: small enough to be written once a pass.
pub const PART_BYTES: usize = 128 * 1024;

/// So long after its writer was last known to be alive a write may still take place: as long as an API server goes on with a
/// request (kube-apiserver's `--request-timeout`).
pub const WRITES_LAND_WITHIN: SignedDuration = SignedDuration::from_secs(60);

/// A scale write that is about to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The count that was seen.
    pub from: i32,
    /// The count to be written.
    pub to: i32,
    /// When it was decided.
    pub at: Timestamp,
}

/// What is stored of one autoscaler.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its name.
    pub key: Key,
    /// Tells it from another of the same name: [`uid_mark`].
    pub uid: u32,
    /// What is remembered, [thinned](Memory::thinned).
    pub memory: Memory,
    /// The count that it stood at; `None` where that says nothing about what was recommended.
    pub count: Option<i32>,
    /// A write whose outcome is not known.
    pub intent: Option<Intent>,
    /// Up to then something may have been recommended that is not remembered.
    pub unknown_until: Option<Timestamp>,
}

impl Record {
    /// Moves all its times by so many milliseconds: the clock by which they were taken was set.
    pub fn shift(&mut self, by: i64) {
        self.memory.shift(by);
        if let Some(intent) = &mut self.intent {
            intent.shift(by);
        }
        self.unknown_until = self.unknown_until.map(|until| shifted(until, by));
    }
}

impl Intent {
    /// As [`Record::shift`].
    pub fn shift(&mut self, by: i64) {
        self.at = shifted(self.at, by);
    }

    /// Whether it took place, by the `count` that is seen: it has moved its way.
    pub fn took_place(&self, count: i32) -> bool {
        match self.to > self.from {
            true => count > self.from,
            false => count < self.from,
        }
    }

    /// Has policies count it, as having taken place at `at`.
    pub fn count_in(&self, memory: &mut Memory, behavior: &Behavior, at: Timestamp) {
        let (direction, rules) = match self.to > self.from {
            true => (Direction::Up, &behavior.scale_up),
            false => (Direction::Down, &behavior.scale_down),
        };
        let change = self.to.saturating_sub(self.from).saturating_abs();
        memory.scaled(direction, change, at, rules);
    }
}

/// A time, so many milliseconds later; itself at the edge of time.
pub fn shifted(at: Timestamp, by: i64) -> Timestamp {
    at.saturating_add(jiff::SignedDuration::from_millis(by)).unwrap_or(at)
}

/// Some of the records, as one object holds them.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Who stored it.
    pub writer: String,
    /// When.
    pub saved_at: Timestamp,
    /// Its number, from 0.
    pub number: usize,
    /// How many parts there were.
    pub parts: usize,
    /// The records, sorted by name.
    pub records: Vec<Record>,
}

/// The part that an autoscaler's record belongs to. The same for ever: stored memory depends on it.
pub fn place(key: &Key, parts: usize) -> usize {
    let mut hash = fnv(0xcbf2_9ce4_8422_2325, key.namespace.as_bytes());
    hash = fnv(hash, b"/");
    hash = fnv(hash, key.name.as_bytes());
    // The low bits of FNV alone are poor (SplitMix64's last step).
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let parts = u64::try_from(parts.max(1)).unwrap_or(u64::MAX);
    usize::try_from((hash ^ (hash >> 31)) % parts).unwrap_or(0)
}

/// A number that two UIDs hardly have in common; so stored names cost less than stored UIDs.
pub fn uid_mark(uid: &str) -> u32 {
    let hash = fnv(0xcbf2_9ce4_8422_2325, uid.as_bytes());
    (hash ^ (hash >> 32)) as u32
}

fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// What all parts say together, by name: of two records the one that was stored later. Parts that did not exist any more when the
/// last one was stored are left out: who stored it could not read them, and its own say nothing of what these do.
///
/// `last_alive` is when the former leader is last known to have led, and `lacking` whether something may have been recommended
/// until then that is not stored, by the part's number and the autoscaler. What is remembered for a time after `now` counts as
/// remembered now.
pub fn recollect(
    mut parts: Vec<Part>,
    lacking: impl Fn(usize, &Key) -> bool,
    last_alive: Timestamp,
    now: Timestamp,
) -> BTreeMap<Key, Record> {
    parts.sort_by_key(|part| part.saved_at);
    let there_are = parts.last().map_or(0, |last| last.parts);
    let mut records = BTreeMap::new();
    for part in parts.into_iter().filter(|part| part.number < there_are) {
        for mut record in part.records {
            let gap = lacking(part.number, &record.key).then(|| last_alive.min(now));
            record.memory.not_later_than(now);
            record.unknown_until = record.unknown_until.map(|until| until.min(now)).max(gap);
            record.intent = record.intent.map(|intent| Intent {
                at: intent.at.min(now),
                ..intent
            });
            records.insert(record.key.clone(), record);
        }
    }
    records
}

impl Record {
    /// What a former leader remembered, `now` that a new one sees the autoscaler's `count` for the first time: the one place where
    /// what is not known is decided, so that nothing falls early, and nothing is raised early.
    ///
    /// What may have been recommended and was not stored counts as having been the count itself; where the count is another than
    /// it was, something was. Between the two leaders nobody recommends anything: what was recommended last holds until now,
    /// since the load may have changed a moment ago. The second is as of [`settled`](Self::settled).
    pub fn inherited(mut self, count: i32, behavior: Option<&Behavior>, now: Timestamp) -> (Memory, Option<Intent>) {
        let remember = |memory: &mut Memory, replicas, at| {
            memory.recommend(replicas, at, Timestamp::MIN, SignedDuration::ZERO);
        };
        if let Some(until) = self.unknown_until {
            remember(&mut self.memory, count, until);
        }
        if self.count.is_some_and(|stood_at| stood_at != count) {
            remember(&mut self.memory, count, now);
        }
        let (mut memory, open) = self.settled(count, behavior, now);
        if let Some(last) = memory.last_recommendation() {
            remember(&mut memory, last, now);
        }
        (memory, open)
    }

    /// The memory, `now` that the autoscaler's `count` is seen, and the intent if it has not taken place yet. One that has counts
    /// from now on: nobody has looked since it was sent, and its write may have waited for a place, or been long on its way.
    pub fn settled(self, count: i32, behavior: Option<&Behavior>, now: Timestamp) -> (Memory, Option<Intent>) {
        let (mut memory, open) = (self.memory, self.intent);
        let took_place = open.filter(|intent| intent.took_place(count));
        if let (Some(intent), Some(behavior)) = (took_place, behavior) {
            intent.count_in(&mut memory, behavior, now);
        }
        (memory, open.filter(|_| took_place.is_none()))
    }
}

/// What was recommended last, as far as the bounds `min..=max` allow it.
pub fn last_within(memory: &Memory, (min, max): (i32, i32)) -> Option<i32> {
    memory.last_recommendation().map(|last| within(last, min, max))
}

/// Whether what was recommended last asks for another count than there is, and could be granted: a window or a policy holds
/// it back. From then on each recommendation counts for when it will be granted.
pub fn is_held(memory: &Memory, count: i32, bounds: (i32, i32)) -> bool {
    last_within(memory, bounds).is_some_and(|last| last != count)
}

#[cfg(test)]
mod tests;
