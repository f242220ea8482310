//! Which Events are written, and which raise the count of an earlier one. Pure: Events carry their time.
//!
//! The rules are client-go's, so that alerts and habits made for Kubernetes' autoscaler hold: see `events_cache.go`,
//! `EventCorrelator`, client-go v0.36.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::recent::Recent;
use crate::decide::EventKind;
use crate::spec::Key;

/// Entries that each cache keeps: client-go's `maxLruCacheEntries`.
const CACHE_ENTRIES: usize = 4096;

/// From the tenth distinct message on, similar Events are combined into one: `defaultAggregateMaxEvents`.
const DISTINCT_MESSAGES: usize = 10;

/// Similar Events further apart than this start anew: `defaultAggregateIntervalInSeconds`.
const SIMILAR_WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// Events of one type about one object that may follow one another at once: `defaultSpamBurst`.
const BURST: f64 = 25.0;

/// Further ones: `defaultSpamQPS`, one in five minutes.
const PER_SECOND: f64 = 1.0 / 300.0;

/// What an Event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InvolvedKind {
    /// An autoscaler.
    Autoscaler,
    /// A ConfigMap in which memory is kept.
    ConfigMap,
}

/// The object that an Event is about, nearly always an autoscaler.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Involved {
    /// What it is.
    pub kind: InvolvedKind,
    /// Its namespace and name.
    pub key: Key,
    /// Its UID; another autoscaler of the same name has another one. Empty where there is no object.
    pub uid: Arc<str>,
    /// Its resource version when the Event happened; empty where there is no object.
    pub resource_version: Arc<str>,
}

/// Something that happened to an autoscaler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// To which autoscaler.
    pub involved: Involved,
    /// Normal or Warning.
    pub kind: EventKind,
    /// One word.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
    /// When.
    pub at: Timestamp,
}

/// An Event as it is to stand in the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The Event's name.
    pub name: String,
    /// What happened; the message says so where several are combined.
    pub occurrence: Occurrence,
    /// How often.
    pub count: i32,
    /// When it happened first.
    pub first: Timestamp,
}

impl Entry {
    /// Whether it stands in the API already, unless that has forgotten it: then its count is raised.
    pub fn repeats(&self) -> bool {
        self.count > 1
    }
}

/// Object, type and reason.
type Similar = (Key, Arc<str>, EventKind, &'static str);

/// Stands for a message. The texts themselves, ten of each of thousands of entries, would be the most that a process of a small
/// cluster holds; where two messages had one digest, the second would raise the count of the first.
type Digest = u64;

fn digest(message: &str) -> Digest {
    let mut hasher = DefaultHasher::new();
    message.hash(&mut hasher);
    hasher.finish()
}

/// Remembers what was said lately.
#[derive(Debug)]
pub struct Correlator {
    buckets: Recent<(Key, Arc<str>, EventKind), Bucket>,
    similar: Recent<Similar, Messages>,
    /// By message; `None` for the combined one.
    said: Recent<(Similar, Option<Digest>), Said>,
    /// The time in the last name that was given.
    last_named: i128,
}

#[derive(Debug, Default)]
struct Bucket {
    /// How many of the burst are used up, and since when.
    used: f64,
    at: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Messages {
    distinct: BTreeSet<Digest>,
    last: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Said {
    count: i32,
    name: String,
    first: Timestamp,
}

impl Default for Correlator {
    fn default() -> Self {
        Self {
            buckets: Recent::new(CACHE_ENTRIES),
            similar: Recent::new(CACHE_ENTRIES),
            said: Recent::new(CACHE_ENTRIES),
            last_named: 0,
        }
    }
}

impl Correlator {
    /// What to write for `occurrence`; `None` where its autoscaler has had too many Events of the type.
    pub fn correlate(&mut self, occurrence: Occurrence) -> Option<Entry> {
        let Involved { key, uid, .. } = &occurrence.involved;
        let similar = (key.clone(), uid.clone(), occurrence.kind, occurrence.reason);
        let bucket = (key.clone(), uid.clone(), occurrence.kind);
        let at = occurrence.at;
        let entry = self.entry(similar, occurrence);
        // After the count was raised, as in client-go: an Event that is dropped counts all the same.
        self.buckets.entry(&bucket).take(at).then_some(entry)
    }

    fn entry(&mut self, similar: Similar, mut occurrence: Occurrence) -> Entry {
        let combined = self.similar.entry(&similar).combines(&occurrence);
        let message = (!combined).then(|| digest(&occurrence.message));
        if combined {
            occurrence.message.insert_str(0, "(combined from similar events): ");
        }
        let said = self.said.entry(&(similar, message));
        if said.count == 0 {
            // The Events of one sync have one time, and a name each.
            self.last_named = occurrence.at.as_nanosecond().max(self.last_named + 1);
            *said = Said {
                count: 0,
                name: name_of(&occurrence, self.last_named),
                first: occurrence.at,
            };
        }
        said.count = said.count.saturating_add(1);
        Entry {
            name: said.name.clone(),
            count: said.count,
            first: said.first,
            occurrence,
        }
    }
}

impl Messages {
    /// Whether this one and those like it have become too many different ones.
    fn combines(&mut self, occurrence: &Occurrence) -> bool {
        let apart = self
            .last
            .map_or(SignedDuration::ZERO, |last| occurrence.at.duration_since(last));
        if apart > SIMILAR_WITHIN {
            self.distinct.clear();
        }
        self.last = Some(occurrence.at);
        let message = digest(&occurrence.message);
        if self.distinct.len() + 1 >= DISTINCT_MESSAGES && !self.distinct.contains(&message) {
            return true;
        }
        self.distinct.insert(message);
        false
    }
}

impl Bucket {
    /// Takes one, where there is one.
    fn take(&mut self, now: Timestamp) -> bool {
        if let Some(at) = self.at {
            let seconds = now.duration_since(at).as_secs_f64().max(0.0);
            self.used = (self.used - seconds * PER_SECOND).max(0.0);
        }
        self.at = Some(now);
        let free = self.used + 1.0 <= BURST;
        if free {
            self.used += 1.0;
        }
        free
    }
}

/// The object's name and the time in hexadecimal nanoseconds, as client-go names Events. Where that is too long for a
/// name (253 characters), the UID stands for the object's name; of what has no UID, the kind does.
fn name_of(occurrence: &Occurrence, nanos: i128) -> String {
    let name = format!("{}.{nanos:x}", occurrence.involved.key.name);
    if name.len() <= 253 {
        name
    } else {
        let uid = &*occurrence.involved.uid;
        format!(
            "{}.{nanos:x}",
            if uid.is_empty() { "horizontalpodautoscaler" } else { uid }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Timestamp {
        "2026-01-05T08:00:00Z".parse().unwrap()
    }

    fn occurrence(kind: EventKind, message: &str, after_seconds: i64) -> Occurrence {
        let involved = Involved {
            kind: InvolvedKind::Autoscaler,
            key: Key::new("shop", "web"),
            uid: "u-1".into(),
            resource_version: "1".into(),
        };
        let at = start() + SignedDuration::from_secs(after_seconds);
        Occurrence {
            involved,
            kind,
            reason: "FailedGetResourceMetric",
            message: message.into(),
            at,
        }
    }

    fn warning(message: &str, after_seconds: i64) -> Occurrence {
        occurrence(EventKind::Warning, message, after_seconds)
    }

    #[test]
    fn identical_events_raise_a_count() {
        let mut correlator = Correlator::default();
        let first = correlator.correlate(warning("no", 0)).unwrap();
        assert_eq!((first.count, first.repeats()), (1, false));
        assert_eq!(first.name, format!("web.{:x}", start().as_nanosecond()));
        let second = correlator.correlate(warning("no", 15)).unwrap();
        assert_eq!((second.count, second.repeats(), &second.name), (2, true, &first.name));
        assert_eq!(
            (second.first, second.occurrence.at),
            (start(), start() + SignedDuration::from_secs(15))
        );
        let other = correlator.correlate(warning("never", 15)).unwrap();
        assert_eq!(other.count, 1);
    }

    #[test]
    fn events_of_one_instant_have_different_names() {
        let mut correlator = Correlator::default();
        let names = ["a", "b", "c"].map(|message| correlator.correlate(warning(message, 0)).unwrap().name);
        assert!(names[0] != names[1] && names[1] != names[2]);
    }

    #[test]
    fn the_tenth_distinct_message_is_combined() {
        let mut correlator = Correlator::default();
        for n in 0..9 {
            let entry = correlator.correlate(warning(&format!("no {n}"), n)).unwrap();
            assert_eq!((entry.count, entry.occurrence.message), (1, format!("no {n}")));
        }
        let tenth = correlator.correlate(warning("no 9", 9)).unwrap();
        assert_eq!(
            (tenth.count, &*tenth.occurrence.message),
            (1, "(combined from similar events): no 9")
        );
        let eleventh = correlator.correlate(warning("no 10", 10)).unwrap();
        assert_eq!((eleventh.count, eleventh.name == tenth.name), (2, true));
        assert_eq!(eleventh.occurrence.message, "(combined from similar events): no 10");
        // Ten quiet minutes, and they are told one by one again.
        let later = correlator.correlate(warning("no 11", 611)).unwrap();
        assert_eq!((later.count, &*later.occurrence.message), (1, "no 11"));
    }

    #[test]
    fn a_burst_is_25_and_then_one_in_five_minutes() {
        let mut correlator = Correlator::default();
        let mut written = |at| correlator.correlate(warning("no", at)).is_some();
        assert_eq!((0..40).filter(|_| written(0)).count(), 25);
        assert!(!written(299));
        assert!(written(300));
        assert!(!written(301));
        // Normal events have a bucket of their own; so has another object.
        assert!(
            correlator
                .correlate(occurrence(EventKind::Normal, "yes", 301))
                .is_some()
        );
        let mut other = warning("no", 301);
        other.involved.uid = "u-2".into();
        assert!(correlator.correlate(other).is_some());
    }

    #[test]
    fn dropped_events_count() {
        let mut correlator = Correlator::default();
        (0..40).for_each(|_| drop(correlator.correlate(warning("no", 0))));
        assert_eq!(correlator.correlate(warning("no", 300)).unwrap().count, 41);
    }

    #[test]
    fn a_name_that_would_be_too_long_has_the_uid() {
        let mut long = warning("no", 0);
        long.involved.key = Key::new("shop", "x".repeat(250));
        assert!(
            Correlator::default()
                .correlate(long.clone())
                .unwrap()
                .name
                .starts_with("u-1.")
        );
        let mut without_uid = long.clone();
        without_uid.involved.uid = "".into();
        let name = Correlator::default().correlate(without_uid).unwrap().name;
        assert!(name.starts_with("horizontalpodautoscaler."), "{name}");
    }
}
