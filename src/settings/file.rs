//! The configuration file: one YAML mapping from settings to values.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::declaration::Declaration;
use super::declared::DECLARATIONS;
use super::layers::{Given, Item, Origin};
use super::mistake::Mistakes;
use super::nearest::nearest;
use super::value::Shape;

/// The largest file that is read: some hundred times what all settings together need.
pub const FILE_MAX_BYTES: u64 = 1 << 20;

/// Reads what `text`, the content of the file `path`, gives. Whatever is wrong with it becomes a mistake.
pub(super) fn read(path: &str, text: &str, mistakes: &mut Mistakes) -> BTreeMap<&'static str, Given> {
    let path: Arc<str> = path.into();
    let place = |location: Location| Origin::File {
        path: path.clone(),
        line: location.line().max(1),
        column: location.column().max(1),
    };
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    let document = match serde_saphyr::from_str_with_options::<Document>(text, options) {
        Ok(document) => document,
        Err(error) => {
            mistakes.add(
                place(error.location().unwrap_or(Location::UNKNOWN)),
                None,
                without_place(&error),
            );
            return BTreeMap::new();
        }
    };
    let mut layer: BTreeMap<&'static str, Given> = BTreeMap::new();
    for (key, value) in document.0 {
        let origin = place(key.referenced);
        let Some(declaration) = Declaration::find(&key.value) else {
            mistakes.add(origin, None, unknown_key(&key.value));
            continue;
        };
        let items = match items(declaration.shape, &value, &place) {
            Ok(items) => items,
            Err((location, problem)) => {
                mistakes.add(place(location), Some(declaration.name), problem);
                continue;
            }
        };
        if let Some(before) = layer.get(declaration.name) {
            mistakes.add(
                origin,
                Some(declaration.name),
                format!("is given twice, the first time at {}", before.origin),
            );
            continue;
        }
        layer.insert(declaration.name, Given { origin, items });
    }
    layer
}

fn unknown_key(key: &str) -> String {
    match nearest(key, DECLARATIONS.iter().flat_map(Declaration::names)) {
        Some(near) => format!("unknown key {key:?}; did you mean {near:?}?"),
        None => format!("unknown key {key:?}; `trimtab settings` lists the keys that there are"),
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

/// The value's single texts. A mapping gives `key=value`, which is how feature gates are written elsewhere.
fn items(
    shape: Shape,
    value: &Spanned<Node>,
    place: &impl Fn(Location) -> Origin,
) -> Result<Vec<Item>, (Location, &'static str)> {
    let item = |text: String, at: Location| Item {
        text,
        origin: place(at),
    };
    let nested = "a value is nested too deeply";
    match &value.value {
        Node::Nothing => Ok(Vec::new()),
        Node::Scalar(text) if shape == Shape::Many => Ok(text
            .split(',')
            .map(|text| item(text.to_owned(), value.referenced))
            .collect()),
        Node::Scalar(text) => Ok(vec![item(text.clone(), value.referenced)]),
        Node::List(_) | Node::Map(_) if shape != Shape::Many => {
            Err((value.referenced, "one value is wanted, without list or mapping"))
        }
        Node::List(nodes) => nodes
            .iter()
            .map(|node| match &node.value {
                Node::Scalar(text) => Ok(item(text.clone(), node.referenced)),
                _ => Err((node.referenced, nested)),
            })
            .collect(),
        Node::Map(entries) => entries
            .iter()
            .map(|(key, node)| match &node.value {
                Node::Scalar(text) => Ok(item(format!("{}={text}", key.value), key.referenced)),
                _ => Err((node.referenced, nested)),
            })
            .collect(),
    }
}

/// A whole file; an empty one gives nothing.
struct Document(Vec<(Spanned<String>, Spanned<Node>)>);

/// A YAML node, its scalars as text.
enum Node {
    Nothing,
    Scalar(String),
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Node::deserialize(deserializer)? {
            Node::Map(entries) => Ok(Self(entries)),
            Node::Nothing => Ok(Self(Vec::new())),
            Node::Scalar(_) | Node::List(_) => {
                Err(de::Error::custom("the file is not a mapping from settings to values"))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value, a list or a mapping")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Nothing)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Nothing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut nodes: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = nodes.next_element()? {
            list.push(node);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Node::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> Vec<String> {
        let mut mistakes = Mistakes::default();
        read("t.yaml", text, &mut mistakes);
        mistakes.0.iter().map(ToString::to_string).collect()
    }

    fn texts(text: &str, name: &str) -> Vec<String> {
        let mut mistakes = Mistakes::default();
        let layer = read("t.yaml", text, &mut mistakes);
        assert_eq!(mistakes, Mistakes::default());
        layer[name].items.iter().map(|item| item.text.clone()).collect()
    }

    #[test]
    fn unknown_keys_are_all_named_with_their_nearest() {
        assert_eq!(
            mistakes("sync-perid: 1s\ntolerance: 0.1\nlisten:\n  port: 1\ncolour: red\n"),
            [
                "t.yaml:1:1: unknown key \"sync-perid\"; did you mean \"sync-period\"?",
                "t.yaml:4:3: listen: one value is wanted, without list or mapping",
                "t.yaml:5:1: unknown key \"colour\"; `trimtab settings` lists the keys that there are",
            ]
        );
    }

    #[test]
    fn a_key_counts_once_under_both_names() {
        assert_eq!(
            mistakes("sync-period: 1s\nhorizontal-pod-autoscaler-sync-period: 2s\n"),
            ["t.yaml:2:1: sync-period: is given twice, the first time at t.yaml:1:1"]
        );
        assert_eq!(
            mistakes("tolerance: 1\ntolerance: 2\n"),
            ["t.yaml:2:1: duplicate mapping key: tolerance"]
        );
    }

    #[test]
    fn what_is_no_mapping_is_refused_where_it_stands() {
        assert_eq!(mistakes(""), [""; 0]);
        assert_eq!(
            mistakes("- a\n"),
            ["t.yaml:1:1: the file is not a mapping from settings to values"]
        );
        assert!(mistakes("tolerance: [1\n")[0].starts_with("t.yaml:"));
        assert!(mistakes(&format!("a: {}", "[".repeat(10_000)))[0].starts_with("t.yaml:1:"));
    }

    #[test]
    fn lists_and_mappings_become_values() {
        assert_eq!(texts("namespace: [shop, web]", "namespace"), ["shop", "web"]);
        assert_eq!(texts("namespace: shop,web", "namespace"), ["shop", "web"]);
        assert_eq!(
            texts("feature-gates: {HPAScaleToZero: true}", "feature-gates"),
            ["HPAScaleToZero=true"]
        );
        assert_eq!(texts("tolerance: 0.15", "tolerance"), ["0.15"]);
        assert_eq!(texts("log-filter: off", "log-filter"), ["off"]);
        assert_eq!(texts("context: '0123'", "context"), ["0123"]);
        assert_eq!(texts("context:", "context"), [""; 0]);
    }
}
