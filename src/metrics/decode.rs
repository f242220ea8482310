//! What the answers of all metrics APIs have in common: a list with a kind, items, pairs and durations.
//!
//! The lists can be large (564 bytes a pod, 100,000 pods), so items are handed on one by one while the text is
//! read, and nothing is kept that nobody asked for.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use jiff::SignedDuration;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::wire::protobuf::ProtobufError;

/// An answer that is not what the metrics API promises.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The answer is not text.
    #[error("decode the {kind}")]
    NotText {
        /// The list that was expected.
        kind: &'static str,
        /// Where it ends to be UTF-8.
        #[source]
        source: std::str::Utf8Error,
    },
    /// The answer is not JSON of the expected shape.
    #[error("decode the {kind}: {problem}")]
    Json {
        /// The list that was expected.
        kind: &'static str,
        /// What is wrong, with line and column.
        problem: String,
    },
    /// The answer is not protobuf of the expected shape.
    #[error("decode the {kind}")]
    Protobuf {
        /// The list that was expected.
        kind: &'static str,
        /// What is wrong.
        #[source]
        source: ProtobufError,
    },
    /// Something in the answer cannot be, or there is too much of it.
    #[error("decode the {kind}: {problem}")]
    Content {
        /// The list that was expected.
        kind: &'static str,
        /// What it is.
        problem: String,
    },
    /// The answer is another object than the one asked for.
    #[error("decode the {kind}: the answer is a {found:?} of {version:?}")]
    Kind {
        /// The list that was expected.
        kind: &'static str,
        /// The kind that came.
        found: String,
        /// Its apiVersion.
        version: String,
    },
}

/// The most characters of what is said about an answer that is wrong, and of what it calls itself: errors quote what they could not
/// read, which may be megabytes, and go into conditions.
const PROBLEM_CHARS: usize = 300;

/// As much of it as is told.
pub(crate) fn told(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(PROBLEM_CHARS) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// An answer that is not JSON of the expected shape.
pub(crate) fn not_json(kind: &'static str, error: &serde_json::Error) -> DecodeError {
    DecodeError::Json {
        kind,
        problem: match error.to_string() {
            short if short.len() <= PROBLEM_CHARS => short,
            long => format!("{} at line {} column {}", told(long), error.line(), error.column()),
        },
    }
}

/// A list's kind and the versions in which it can be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListKind {
    pub kind: &'static str,
    pub versions: &'static [&'static str],
}

impl ListKind {
    /// Whether an answer is such a list.
    pub(crate) fn check(self, found: String, version: String) -> Result<(), DecodeError> {
        if found == self.kind && self.versions.contains(&version.as_str()) {
            return Ok(());
        }
        Err(DecodeError::Kind {
            kind: self.kind,
            found: told(found),
            version: told(version),
        })
    }
}

/// The text of an answer.
///
/// One check of the whole is cheaper than one of each string in it.
pub(crate) fn text(body: &[u8], expected: ListKind) -> Result<&str, DecodeError> {
    std::str::from_utf8(body).map_err(|source| DecodeError::NotText {
        kind: expected.kind,
        source,
    })
}

/// Reads a list and hands each item to `take`, in order.
///
/// As in Kubernetes, the list must name a known kind and version; `items: null` is an empty list.
pub(crate) fn each_item<'de, T: Deserialize<'de>>(
    text: &'de str,
    expected: ListKind,
    take: impl FnMut(T),
) -> Result<(), DecodeError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let bad = |error| not_json(expected.kind, &error);
    let head = json
        .deserialize_map(ListVisitor {
            take,
            item: PhantomData,
        })
        .map_err(bad)?;
    json.end().map_err(bad)?;
    expected.check(head.kind, head.version)
}

/// What a list says about itself.
#[derive(Default)]
struct Head {
    kind: String,
    version: String,
}

struct ListVisitor<F, T> {
    take: F,
    item: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>, F: FnMut(T)> Visitor<'de> for ListVisitor<F, T> {
    type Value = Head;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Head, A::Error> {
        let mut head = Head::default();
        while let Some(field) = map.next_key::<Text<'de>>()? {
            match &*field.0 {
                "kind" => head.kind = map.next_value()?,
                "apiVersion" => head.version = map.next_value()?,
                "items" => map.next_value_seed(Items {
                    take: &mut self.take,
                    item: PhantomData,
                })?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(head)
    }
}

struct Items<'f, F, T> {
    take: &'f mut F,
    item: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>, F: FnMut(T)> DeserializeSeed<'de> for Items<'_, F, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Deserialize<'de>, F: FnMut(T)> Visitor<'de> for Items<'_, F, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of items, or null")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(item) = seq.next_element()? {
            (self.take)(item);
        }
        Ok(())
    }
}

/// A string of an answer, borrowed where it has no escapes. (A bare `Cow` inside of a collection is always copied.)
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// A JSON object as pairs.
pub(crate) struct Pairs<'a, V>(Vec<(Text<'a>, V)>);

impl<'a, V> Pairs<'a, V> {
    /// No pairs.
    pub(crate) fn empty() -> Self {
        Self(Vec::new())
    }

    /// Sorted by key; of several equal keys the last, as in Go.
    pub(crate) fn sorted(self) -> Vec<(Cow<'a, str>, V)> {
        let mut pairs: Vec<_> = self.0.into_iter().map(|(key, value)| (key.0, value)).collect();
        pairs.reverse();
        pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
        pairs.dedup_by(|(later, _), (kept, _)| later == kept);
        pairs
    }
}

impl<'de: 'a, 'a, V: Deserialize<'de>> Deserialize<'de> for Pairs<'a, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor(PhantomData))
    }
}

struct PairsVisitor<'a, V>(PhantomData<(&'a str, V)>);

impl<'de: 'a, 'a, V: Deserialize<'de>> Visitor<'de> for PairsVisitor<'a, V> {
    type Value = Pairs<'a, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::with_capacity(2);
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Pairs(pairs))
    }
}

/// A duration as Go's `metav1.Duration` writes one: `30s`, `1m0s`, `17.23s`.
pub(crate) struct GoDuration(pub SignedDuration);

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?.0;
        let duration = crate::duration::parse(&text);
        duration
            .map(GoDuration)
            .ok_or_else(|| D::Error::custom(format_args!("{text:?} is no duration such as 30s")))
    }
}
