//! YAML documents whose every node knows where it stands.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use serde_saphyr::{Location, Spanned};

use super::Position;

/// The most documents of one file, and the most nodes of all of them: some ten thousand autoscalers, at 150 bytes a node.
const DOCUMENTS: usize = 10_000;
const NODES: usize = 500_000;

/// A mapping, a list or a scalar.
pub(super) struct Node {
    at: Position,
    content: Content,
}

enum Content {
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

struct Entry {
    key: String,
    at: Position,
    value: Node,
}

/// The documents of a text; or what is wrong with it, and where.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, (Option<Position>, String)> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        budget: serde_saphyr::budget! { max_documents: DOCUMENTS, max_nodes: NODES },
    };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|error| {
        let place = error.location().map(position);
        (place, without_place(&error))
    })
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

fn position(location: Location) -> Position {
    Position {
        line: location.line().max(1),
        column: location.column().max(1),
    }
}

impl Node {
    /// Where it begins.
    pub(super) fn start(&self) -> Position {
        match &self.content {
            Content::Map(entries) => entries.first().map_or(self.at, |entry| entry.at),
            Content::Scalar(_) | Content::List(_) => self.at,
        }
    }

    /// The text of a field.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match &self.field(key)?.content {
            Content::Scalar(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// The entries of a field that is a list.
    pub(super) fn items(&self, key: &str) -> impl Iterator<Item = &Node> {
        let items = match self.field(key).map(|field| &field.content) {
            Some(Content::List(items)) => items.as_slice(),
            _ => &[],
        };
        items.iter()
    }

    fn field(&self, key: &str) -> Option<&Node> {
        match &self.content {
            Content::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value),
            Content::Scalar(_) | Content::List(_) => None,
        }
    }

    /// The same without places.
    pub(super) fn value(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::List(items) => items.iter().map(Node::value).collect(),
            Content::Map(entries) => {
                let fields = entries.iter().map(|entry| (entry.key.clone(), entry.value.value()));
                Value::Object(fields.collect())
            }
        }
    }

    /// Where the field `path` stands, in Kubernetes' form (`spec.metrics[0].type`): its key. Of what is not there, the last
    /// field on the way to it.
    pub(super) fn position_of(&self, path: &str) -> Position {
        let (mut at, mut node, mut rest) = (self.start(), self, path);
        while !rest.is_empty() {
            let (next, value, after) = match &node.content {
                Content::Map(entries) => {
                    let rest = rest.strip_prefix('.').unwrap_or(rest);
                    match entry_at(entries, rest) {
                        Some((entry, after)) => (entry.at, &entry.value, after),
                        None => return at,
                    }
                }
                Content::List(items) => match item_at(items, rest) {
                    Some((item, after)) => (item.start(), item, after),
                    None => return at,
                },
                Content::Scalar(_) => return at,
            };
            (at, node, rest) = (next, value, after);
        }
        at
    }
}

/// The entry that a path begins with, and the path's rest. Keys may have dots themselves: the longest is meant.
fn entry_at<'a>(entries: &'a [Entry], path: &'a str) -> Option<(&'a Entry, &'a str)> {
    let begins = |entry: &'a Entry| {
        let rest = path.strip_prefix(entry.key.as_str())?;
        (rest.is_empty() || rest.starts_with(['.', '['])).then_some((entry, rest))
    };
    entries.iter().filter_map(begins).min_by_key(|(_, rest)| rest.len())
}

/// The item that a path begins with, as `[3]`, and the path's rest.
fn item_at<'a>(items: &'a [Node], path: &'a str) -> Option<(&'a Node, &'a str)> {
    let (number, rest) = path.strip_prefix('[')?.split_once(']')?;
    Some((items.get(number.parse::<usize>().ok()?)?, rest))
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Content>::deserialize(deserializer)?;
        Ok(Self {
            at: position(spanned.referenced),
            content: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value, a list or a mapping")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Content, E> {
        Ok(Content::Scalar(
            Number::from_f64(value).map_or(Value::Null, Value::Number),
        ))
    }

    fn visit_str<E>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Content, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Content::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Content, A::Error> {
        let mut map = Vec::new();
        while let Some((key, value)) = entries.next_entry::<Spanned<String>, Node>()? {
            map.push(Entry {
                at: position(key.referenced),
                key: key.value,
                value,
            });
        }
        Ok(Content::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(text: &str, path: &str) -> (u64, u64) {
        let documents = parse(text).unwrap_or_else(|(_, error)| panic!("{error}"));
        let Position { line, column } = documents.last().unwrap().position_of(path);
        (line, column)
    }

    #[test]
    fn a_path_leads_to_its_key_or_as_far_as_there_is_one() {
        let text = "a:\n  b.c:\n  - d: 1\n    e: {f: 2}\n  b: 3\n";
        assert_eq!(found(text, ""), (1, 1));
        assert_eq!(found(text, "a"), (1, 1));
        assert_eq!(found(text, "a.b"), (5, 3));
        assert_eq!(found(text, "a.b.c[0].e.f"), (4, 9));
        assert_eq!(found(text, "a.b.c[0].e.g"), (4, 5));
        assert_eq!(found(text, "a.b.c[0]"), (3, 5));
        assert_eq!(found(text, "a.b.c[7].d"), (2, 3));
        assert_eq!(found(text, "x.y"), (1, 1));
    }

    #[test]
    fn lines_are_those_of_the_file_in_every_document() {
        let text = "a: 1\n---\n# a comment\n\nb: |\n  two\n  lines\nc: 2\n";
        assert_eq!(found(text, "c"), (8, 1));
        assert_eq!(found(&text.replace('\n', "\r\n"), "c"), (8, 1));
        assert_eq!(found("a: &x {b: 1}\nc: *x\n", "c.d"), (2, 1));
    }

    #[test]
    fn values_are_those_of_yaml() {
        let text = "{a: 1, b: -2, c: 1.5, d: text, e: null, f: [true, ~], '1': x, g: '7'}";
        let expected =
            json!({"a": 1, "b": -2, "c": 1.5, "d": "text", "e": null, "f": [true, null], "1": "x", "g": "7"});
        let documents = parse(text).unwrap_or_else(|(_, error)| panic!("{error}"));
        assert_eq!(documents[0].value(), expected);
    }

    #[test]
    fn what_grows_without_end_is_refused() {
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                    d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n\
                    g: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n";
        assert!(parse(bomb).is_err());
        assert!(parse(&"[".repeat(100_000)).is_err());
        assert!(parse(&"---\na\n".repeat(DOCUMENTS + 1)).is_err());
    }
}
