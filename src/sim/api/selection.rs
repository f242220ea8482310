//! Which objects a list or a watch is of: label and field selectors.

use serde_json::Value;

use super::refusal::Refusal;
use super::resources::Resource;
use super::target::Parameters;
use crate::selector::Selector;

/// Fields that can be selected by, beside name and namespace, with their kinds.
///
/// Source: Kubernetes v1.36 `pkg/apis/core/v1/conversion.go`.
const FIELDS: &[(&str, &[&str])] = &[
    (
        "Pod",
        &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "status.phase",
            "status.podIP",
        ],
    ),
    (
        "Event",
        &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
    ),
    ("Namespace", &["status.phase"]),
    ("ReplicaSet", &["status.replicas"]),
];

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Selection {
    namespace: Option<String>,
    labels: Selector,
    fields: Vec<FieldTest>,
}

#[derive(Clone, Debug)]
struct FieldTest {
    path: String,
    value: String,
    equals: bool,
}

impl Selection {
    /// # Errors
    ///
    /// 400 where a selector does not parse, or a field cannot be selected by.
    pub(super) fn new(resource: &Resource, namespace: Option<&str>, parameters: &Parameters) -> Result<Self, Refusal> {
        let labels = parameters.get("labelSelector");
        let labels = Selector::parse(labels)
            .map_err(|error| Refusal::bad_request(format!("unable to parse requirement: {error}")))?;
        let fields = parameters
            .get("fieldSelector")
            .split(',')
            .filter(|part| !part.is_empty());
        Ok(Self {
            namespace: namespace.map(str::to_owned),
            labels,
            fields: fields.map(|part| field(resource, part)).collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn picks(&self, object: &Value) -> bool {
        let metadata = &object["metadata"];
        self.namespace
            .as_ref()
            .is_none_or(|namespace| metadata["namespace"] == namespace.as_str())
            && self.picks_labels(&metadata["labels"])
            && self
                .fields
                .iter()
                .all(|test| (text_at(object, &test.path) == test.value) == test.equals)
    }

    fn picks_labels(&self, labels: &Value) -> bool {
        if self.labels.is_everything() {
            return true;
        }
        let pairs = labels.as_object().into_iter().flatten();
        let pairs: Vec<(std::sync::Arc<str>, std::sync::Arc<str>)> = pairs
            .map(|(key, value)| (key.as_str().into(), value.as_str().unwrap_or_default().into()))
            .collect();
        self.labels.matches(pairs.as_slice())
    }
}

fn field(resource: &Resource, part: &str) -> Result<FieldTest, Refusal> {
    let (path, value, equals) = if let Some((path, value)) = part.split_once("!=") {
        (path, value, false)
    } else if let Some((path, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        (path, value, true)
    } else {
        return Err(Refusal::bad_request(format!(
            "invalid selector: '{part}'; can't understand '{part}'"
        )));
    };
    let own = FIELDS.iter().find(|(kind, _)| *kind == resource.kind);
    let known =
        matches!(path, "metadata.name" | "metadata.namespace") || own.is_some_and(|(_, fields)| fields.contains(&path));
    if !known {
        return Err(Refusal::bad_request(format!("field label not supported: {path}")));
    }
    Ok(FieldTest {
        path: path.to_owned(),
        value: value.to_owned(),
        equals,
    })
}

fn text_at(object: &Value, path: &str) -> String {
    match path.split('.').fold(object, |value, part| &value[part]) {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        // An Event's source is an object, of which the component counts.
        Value::Object(fields) => fields
            .get("component")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::resources::{DEPLOYMENTS, EVENTS, PODS};
    use super::*;

    fn selection(resource: &Resource, query: &str) -> Result<Selection, u16> {
        Selection::new(resource, Some("shop"), &Parameters::parse(query)).map_err(|refusal| refusal.code)
    }

    #[test]
    fn labels_fields_and_the_namespace_must_all_fit() {
        let pod = json!({ "metadata": { "name": "a", "namespace": "shop", "labels": { "app": "web" } },
            "status": { "phase": "Running" } });
        let picks = |query: &str| selection(&PODS, query).unwrap().picks(&pod);
        assert!(picks("") && picks("labelSelector=app%3Dweb&fieldSelector=status.phase%3DRunning"));
        assert!(!picks("labelSelector=app%21%3Dweb") && !picks("fieldSelector=metadata.name!%3Da"));
        let elsewhere = Selection::new(&PODS, Some("bank"), &Parameters::default()).unwrap();
        assert!(!elsewhere.picks(&pod));
    }

    #[test]
    fn only_some_fields_can_be_selected_by() {
        assert_eq!(
            selection(&DEPLOYMENTS, "fieldSelector=spec.replicas%3D1").map(drop),
            Err(400)
        );
        assert_eq!(selection(&PODS, "labelSelector=a+b").map(drop), Err(400));
        let event = json!({ "metadata": { "namespace": "shop" }, "involvedObject": { "name": "web" },
            "source": { "component": "x" } });
        let query = "fieldSelector=involvedObject.name%3Dweb%2Csource%3Dx";
        assert!(selection(&EVENTS, query).unwrap().picks(&event));
    }
}
