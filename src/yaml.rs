//! YAML as a tree whose parts know where they stand, so that whatever is wrong with them is said with line and column.

mod mapping;
mod nearest;

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

pub use mapping::{Mapping, Mistake, key_path, shortened};
pub use nearest::nearest;

/// A place in a text, from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The column.
    pub column: u64,
}

/// A part of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where it stands; of an alias, where that stands; of a text in several lines (`|`), where that begins.
    pub place: Place,
    /// Where in the text it is written, in bytes, where that is known; of an alias, where its anchor stands.
    pub offset: Option<usize>,
    /// What it is.
    pub value: Value,
}

/// What a part of a document is. Scalars are the text that is written, whatever YAML would take it for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing, or `null`.
    Nothing,
    /// One value.
    Scalar(String),
    /// Several, in order.
    List(Vec<Node>),
    /// Values by keys, in order; no key twice.
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where the key stands.
    pub place: Place,
    /// The key.
    pub key: String,
    /// The value.
    pub value: Node,
}

/// Why a text is no YAML document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{}: {problem}", place.line, place.column)]
pub struct YamlError {
    /// Where it was found out.
    pub place: Place,
    /// What is wrong.
    pub problem: String,
}

/// Reads a text of one document. Depth, size and repetition by aliases are bounded by the parser.
///
/// # Errors
/// What is no YAML, and where.
pub fn parse(text: &str) -> Result<Node, YamlError> {
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options) {
        Ok(raw) => Ok(node(raw, text)),
        Err(error) => Err(YamlError {
            place: place(error.location().unwrap_or(Location::UNKNOWN)),
            problem: without_place(&error),
        }),
    }
}

impl Value {
    /// What it is, as a noun.
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Scalar(_) => "one value",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// The parser's message without the position that it ends with: ours stands in front.
fn without_place(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let first = text.lines().next().unwrap_or_default();
    // Advice to whoever calls the parser says nothing to whoever wrote the file.
    let end = [" at line ", ", set DuplicateKeyPolicy"]
        .iter()
        .filter_map(|tail| first.find(tail))
        .min();
    first[..end.unwrap_or(first.len())].to_owned()
}

fn place(location: Location) -> Place {
    Place {
        line: location.line().max(1),
        column: location.column().max(1),
    }
}

fn node(raw: Spanned<Raw>, text: &str) -> Node {
    let offset = raw
        .defined
        .span()
        .byte_offset()
        .and_then(|offset| usize::try_from(offset).ok());
    let value = match raw.value {
        Raw::Nothing => Value::Nothing,
        Raw::Text(text) => Value::Scalar(text),
        Raw::Number(number) => Value::Scalar(offset.and_then(|at| plain(text, at)).unwrap_or(number)),
        Raw::List(nodes) => Value::List(nodes.into_iter().map(|raw| node(raw, text)).collect()),
        Raw::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| Entry {
                    place: place(key.referenced),
                    key: key.value,
                    value: node(value, text),
                })
                .collect(),
        ),
    };
    Node {
        place: place(raw.referenced),
        offset,
        value,
    }
}

/// The plain scalar at `offset`: a tenant `0042` is not the number 42. No number has a blank or a bracket in it.
fn plain(text: &str, offset: usize) -> Option<String> {
    let rest = text.get(offset..)?;
    let end = rest.find(|c: char| c.is_whitespace() || ",]}".contains(c));
    let word = &rest[..end.unwrap_or(rest.len())];
    (word.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))).then(|| word.to_owned())
}

/// A part as the parser gives it.
enum Raw {
    Nothing,
    Text(String),
    Number(String),
    List(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<String>, Spanned<Self>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value, a list or a mapping")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Number(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Nothing)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Nothing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut nodes: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = nodes.next_element()? {
            list.push(node);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Vec<(u64, u64, String, Value)> {
        let Value::Map(entries) = parse(text).expect("it is YAML").value else {
            panic!("it is a mapping");
        };
        entries
            .into_iter()
            .map(|entry| {
                (
                    entry.value.place.line,
                    entry.value.place.column,
                    entry.key,
                    entry.value.value,
                )
            })
            .collect()
    }

    #[test]
    fn scalars_are_what_is_written() {
        for (text, scalar) in [
            ("a: 0042", "0042"),
            ("a: 1.50 # more", "1.50"),
            ("a: {b: 1e3}", ""),
            ("a: -1", "-1"),
            ("a: off", "off"),
            ("a: 'it''s'", "it's"),
            ("é: 007", "007"),
        ] {
            let (_, _, _, value) = entries(text).remove(0);
            match value {
                Value::Scalar(found) => assert_eq!(found, scalar, "{text}"),
                Value::Map(inner) => assert_eq!(inner[0].value.value, Value::Scalar("1e3".into())),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn everything_has_its_place() {
        let text = "a: 1\nb:\n  - x\n  - {c: d}\ne: |\n  text\n";
        let places: Vec<_> = entries(text)
            .into_iter()
            .map(|(line, column, key, _)| (key, line, column))
            .collect();
        assert_eq!(places, [("a".into(), 1, 4), ("b".into(), 3, 3), ("e".into(), 6, 3)]);
    }

    #[test]
    fn an_empty_text_is_nothing_and_broken_ones_say_where() {
        assert_eq!(parse("").expect("it is YAML").value, Value::Nothing);
        assert_eq!(
            parse("a: 1\na: 2\n").unwrap_err().to_string(),
            "2:1: duplicate mapping key: a"
        );
        assert_eq!(parse(&"[".repeat(10_000)).unwrap_err().place.line, 1);
    }
}
