//! The configuration file: one YAML mapping from settings to values.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::declaration::Declaration;
use super::declared::DECLARATIONS;
use super::layers::{Given, Item, Origin};
use super::mistake::Mistakes;
use super::value::Shape;
use crate::yaml::{self, Node, Place, Value, nearest};

/// The largest file that is read: some hundred times what all settings together need, or 2,000 metrics.
pub const FILE_MAX_BYTES: u64 = 1 << 20;

/// The keys of the file that hold more than a setting: see [`sources`](super::sources).
const BLOCKS: [&str; 2] = ["prometheus", "metrics"];

/// What a file gives.
#[derive(Default)]
pub(super) struct FileLayer {
    /// The settings.
    pub settings: BTreeMap<&'static str, Given>,
    /// The block `prometheus:`.
    pub prometheus: Option<Node>,
    /// The block `metrics:`.
    pub metrics: Option<Node>,
}

/// Reads what `text`, the content of the file `path`, gives. Whatever is wrong with it becomes a mistake.
pub(super) fn read(path: &str, text: &str, mistakes: &mut Mistakes) -> FileLayer {
    let path: Arc<str> = path.into();
    let origin = |place: Place| Origin::of_place(&path, place);
    let mut layer = FileLayer::default();
    let entries = match yaml::parse(text) {
        Ok(Node {
            value: Value::Map(entries),
            ..
        }) => entries,
        Ok(Node {
            value: Value::Nothing, ..
        }) => return layer,
        Ok(node) => {
            mistakes.add(
                origin(node.place),
                None,
                "the file is not a mapping from settings to values",
            );
            return layer;
        }
        Err(error) => {
            mistakes.add(origin(error.place), None, error.problem);
            return layer;
        }
    };
    for entry in entries {
        match entry.key.as_str() {
            "prometheus" => layer.prometheus = Some(entry.value),
            "metrics" => layer.metrics = Some(entry.value),
            _ => setting(&entry, &origin, &mut layer.settings, mistakes),
        }
    }
    layer
}

fn setting(
    entry: &yaml::Entry,
    origin: &impl Fn(Place) -> Origin,
    layer: &mut BTreeMap<&'static str, Given>,
    mistakes: &mut Mistakes,
) {
    let place = origin(entry.place);
    let Some(declaration) = Declaration::find(&entry.key) else {
        mistakes.add(place, None, unknown_key(&entry.key));
        return;
    };
    let items = match items(declaration.shape, &entry.value, origin) {
        Ok(items) => items,
        Err((at, problem)) => {
            mistakes.add(origin(at), Some(declaration.name), problem);
            return;
        }
    };
    if let Some(before) = layer.get(declaration.name) {
        mistakes.add(
            place,
            Some(declaration.name),
            format!("is given twice, the first time at {}", before.origin),
        );
        return;
    }
    layer.insert(declaration.name, Given { origin: place, items });
}

fn unknown_key(key: &str) -> String {
    match nearest(key, DECLARATIONS.iter().flat_map(Declaration::names).chain(BLOCKS)) {
        Some(near) => format!("unknown key {key:?}; did you mean {near:?}?"),
        None => format!("unknown key {key:?}; `trimtab settings` lists the keys that there are"),
    }
}

/// The value's single texts. A mapping gives `key=value`, which is how feature gates are written elsewhere.
fn items(shape: Shape, node: &Node, origin: &impl Fn(Place) -> Origin) -> Result<Vec<Item>, (Place, &'static str)> {
    let item = |text: String, at: Place| Item {
        text,
        origin: origin(at),
    };
    let nested = "a value is nested too deeply";
    match &node.value {
        Value::Nothing => Ok(Vec::new()),
        Value::Scalar(text) if shape == Shape::Many => {
            Ok(text.split(',').map(|text| item(text.to_owned(), node.place)).collect())
        }
        Value::Scalar(text) => Ok(vec![item(text.clone(), node.place)]),
        Value::List(_) | Value::Map(_) if shape != Shape::Many => {
            Err((node.place, "one value is wanted, without list or mapping"))
        }
        Value::List(nodes) => nodes
            .iter()
            .map(|node| match &node.value {
                Value::Scalar(text) => Ok(item(text.clone(), node.place)),
                _ => Err((node.place, nested)),
            })
            .collect(),
        Value::Map(entries) => entries
            .iter()
            .map(|entry| match &entry.value.value {
                Value::Scalar(text) => Ok(item(format!("{}={text}", entry.key), entry.place)),
                _ => Err((entry.value.place, nested)),
            })
            .collect(),
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
        layer.settings[name]
            .items
            .iter()
            .map(|item| item.text.clone())
            .collect()
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
