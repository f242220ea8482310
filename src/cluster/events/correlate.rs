//! Which Events are written, and which raise the count of an earlier one. Pure: Events carry their time.
//!
//! The rules are client-go's, so that alerts and habits made for Kubernetes' autoscaler hold: see `events_cache.go`,
//! `EventCorrelator`, client-go v0.36.

use std::hash::{BuildHasher as _, Hash, RandomState};
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

/// Stands for an object and what is said of it. The texts themselves, thousands of them, would be the most that a process of a small
/// cluster holds. Where two had one digest, an Event would raise the count of another; whose digests meet nobody can know
/// beforehand, since each process has other ones.
type Digest = u64;

/// Remembers what was said lately.
#[derive(Debug)]
pub struct Correlator {
    digests: RandomState,
    /// By object and type.
    buckets: Recent<Digest, Bucket>,
    /// By object, type and reason.
    similar: Recent<Digest, Messages>,
    /// By object, type, reason and message; all that are combined have one.
    said: Recent<Digest, Said>,
    /// The time in the last name that was given.
    last_named: i64,
}

#[derive(Debug, Default)]
struct Bucket {
    /// How many of the burst are used up, and since when.
    used: f64,
    at: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Messages {
    /// Fewer than [`DISTINCT_MESSAGES`].
    distinct: Vec<Digest>,
    last: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Said {
    count: i32,
    first: Timestamp,
    /// The time in its name, in nanoseconds.
    named: i64,
}

impl Default for Correlator {
    fn default() -> Self {
        Self {
            digests: RandomState::new(),
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
        let at = occurrence.at;
        // client-go keeps these too, until their places are needed.
        self.similar.forget_spent(|messages| messages.are_long_ago(at));
        self.buckets.forget_spent(|bucket| bucket.is_full(at));
        let Involved { key, uid, .. } = &occurrence.involved;
        let bucket = self.digest((key, uid, occurrence.kind));
        let entry = self.entry(occurrence);
        // After the count was raised, as in client-go: an Event that is dropped counts all the same.
        self.buckets.entry(bucket).take(at).then_some(entry)
    }

    fn digest(&self, of: impl Hash) -> Digest {
        self.digests.hash_one(of)
    }

    fn entry(&mut self, mut occurrence: Occurrence) -> Entry {
        let Involved { key, uid, .. } = &occurrence.involved;
        let similar = self.digest((key, uid, occurrence.kind, occurrence.reason));
        let message = self.digest(&occurrence.message);
        let combined = self.similar.entry(similar).combines(message, occurrence.at);
        if combined {
            occurrence.message.insert_str(0, "(combined from similar events): ");
        }
        let of_it = self.digest((similar, (!combined).then_some(message)));
        let said = self.said.entry(of_it);
        if said.count == 0 {
            // The Events of one sync have one time, and a name each. As in Go, there is no later time than the year 2262.
            let at = i64::try_from(occurrence.at.as_nanosecond()).unwrap_or(i64::MAX);
            self.last_named = at.max(self.last_named.saturating_add(1));
            *said = Said {
                count: 0,
                first: occurrence.at,
                named: self.last_named,
            };
        }
        said.count = said.count.saturating_add(1);
        Entry {
            name: name_of(&occurrence, said.named),
            count: said.count,
            first: said.first,
            occurrence,
        }
    }
}

impl Messages {
    /// Whether this one and those like it have become too many different ones.
    fn combines(&mut self, message: Digest, at: Timestamp) -> bool {
        if self.are_long_ago(at) {
            self.distinct.clear();
        }
        self.last = Some(at);
        let is_known = self.distinct.contains(&message);
        if self.distinct.len() + 1 >= DISTINCT_MESSAGES && !is_known {
            return true;
        }
        if !is_known {
            self.distinct.push(message);
        }
        false
    }

    /// The next one is the first again.
    fn are_long_ago(&self, now: Timestamp) -> bool {
        self.last.is_some_and(|last| now.duration_since(last) > SIMILAR_WITHIN)
    }
}

impl Bucket {
    /// Takes one, where there is one.
    fn take(&mut self, now: Timestamp) -> bool {
        self.used = self.used_at(now);
        self.at = Some(now);
        let free = self.used + 1.0 <= BURST;
        if free {
            self.used += 1.0;
        }
        free
    }

    fn used_at(&self, now: Timestamp) -> f64 {
        let since = self.at.map_or(SignedDuration::ZERO, |at| now.duration_since(at));
        (self.used - since.as_secs_f64().max(0.0) * PER_SECOND).max(0.0)
    }

    /// The whole burst may follow again.
    fn is_full(&self, now: Timestamp) -> bool {
        self.used_at(now) == 0.0
    }
}

/// The object's name and the time in hexadecimal nanoseconds, as client-go names Events. Where that is too long for a
/// name (253 characters), the UID stands for the object's name; of what has no UID, the kind does.
fn name_of(occurrence: &Occurrence, nanos: i64) -> String {
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
    fn what_says_nothing_any_more_is_forgotten() {
        let mut correlator = Correlator::default();
        let kept = |correlator: &Correlator| {
            (
                correlator.similar.len(),
                correlator.buckets.len(),
                correlator.said.len(),
            )
        };
        let of = |number: u32, at: i64| {
            let mut one = warning("no", at);
            one.involved.uid = format!("u-{number}").into();
            one
        };
        for number in 0..100 {
            correlator.correlate(of(number, 0));
        }
        assert_eq!(kept(&correlator), (100, 100, 100));
        // After five minutes each has its whole burst again, after ten nothing is similar to what was; counts go on.
        correlator.correlate(of(100, 299));
        assert_eq!(kept(&correlator), (101, 101, 101));
        correlator.correlate(of(100, 301));
        assert_eq!(kept(&correlator), (101, 1, 101));
        correlator.correlate(of(100, 601));
        assert_eq!(kept(&correlator), (1, 1, 101));
        assert_eq!(correlator.correlate(of(7, 700)).unwrap().count, 2);
        // However many come later.
        for number in 0..10_000 {
            correlator.correlate(of(1_000 + number, 10_000 + 60 * i64::from(number)));
        }
        let (similar, buckets, said) = kept(&correlator);
        assert!(similar <= 11 && buckets <= 6, "{similar} and {buckets}");
        assert_eq!(said, CACHE_ENTRIES);
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
