//! Lists and lines of watches as text: written from the objects as they are, since most of what a simulated API does is this.

use std::sync::Arc;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

use super::resources::Resource;

/// A list, its fields in the order of their names.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    api_version: String,
    items: Vec<Untyped<'a>>,
    kind: String,
    metadata: &'a Value,
}

/// An item of a list, whose kind the list has said.
struct Untyped<'a>(&'a Value);

/// One change.
#[derive(serde::Serialize)]
struct Line<'a> {
    object: &'a Value,
    r#type: &'a str,
}

impl Serialize for Untyped<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(fields) = self.0.as_object() else {
            return self.0.serialize(serializer);
        };
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in fields
            .iter()
            .filter(|(name, _)| *name != "kind" && *name != "apiVersion")
        {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// A list of a resource.
pub(super) fn text(resource: &Resource, metadata: &Value, items: &[Arc<Value>]) -> String {
    let list = List {
        api_version: resource.api_version(),
        items: items.iter().map(|item| Untyped(item)).collect(),
        kind: format!("{}List", resource.kind),
        metadata,
    };
    json(&list)
}

/// A line of a watch.
pub(super) fn line(kind: &str, object: &Value) -> String {
    let mut line = json(&Line { object, r#type: kind });
    line.push('\n');
    line
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("JSON values can be written as text")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::PODS;
    use super::*;

    #[test]
    fn items_say_no_kind_of_their_own_and_lines_do() {
        let pod = Arc::new(json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web-1" } }));
        let list = text(&PODS, &json!({ "resourceVersion": "7" }), std::slice::from_ref(&pod));
        assert_eq!(
            list,
            r#"{"apiVersion":"v1","items":[{"metadata":{"name":"web-1"}}],"kind":"PodList","metadata":{"resourceVersion":"7"}}"#
        );
        assert_eq!(
            line("ADDED", &pod),
            "{\"object\":{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"web-1\"}},\"type\":\"ADDED\"}\n"
        );
    }
}
