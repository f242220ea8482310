//! Objects in protobuf, as `kubectl autoscale` and `kubectl create deployment` send them, read into JSON.
//!
//! The fields that such commands can set; others are left out. Numbers from Kubernetes v1.36 `generated.proto`.

use serde_json::{Map, Value, json};

use super::refusal::Refusal;
use super::resources::Resource;
use crate::wire::protobuf::{self, Field, Fields, ProtobufError};

/// The fields of a message: number, JSON name, type.
type Message = &'static [(u32, &'static str, Kind)];

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Texts,
    Number,
    Quantity,
    /// Labels and annotations.
    Map,
    /// Requests and limits.
    Quantities,
    One(Message),
    Many(Message),
}

use Kind::{Many, Number, One, Quantities, Quantity, Text, Texts};

const METADATA: Message = &[
    (1, "name", Text),
    (2, "generateName", Text),
    (3, "namespace", Text),
    (11, "labels", Kind::Map),
    (12, "annotations", Kind::Map),
];
const EXPRESSION: Message = &[(1, "key", Text), (2, "operator", Text), (3, "values", Texts)];
const SELECTOR: Message = &[(1, "matchLabels", Kind::Map), (2, "matchExpressions", Many(EXPRESSION))];
const REFERENCE: Message = &[(1, "kind", Text), (2, "name", Text), (3, "apiVersion", Text)];
const TARGET: Message = &[
    (1, "type", Text),
    (2, "value", Quantity),
    (3, "averageValue", Quantity),
    (4, "averageUtilization", Number),
];
const IDENTIFIER: Message = &[(1, "name", Text), (2, "selector", One(SELECTOR))];
const OF_RESOURCE: Message = &[(1, "name", Text), (2, "target", One(TARGET)), (3, "container", Text)];
const OF_PODS: Message = &[(1, "metric", One(IDENTIFIER)), (2, "target", One(TARGET))];
const OF_OBJECT: Message = &[
    (1, "describedObject", One(REFERENCE)),
    (2, "target", One(TARGET)),
    (3, "metric", One(IDENTIFIER)),
];
const METRIC: Message = &[
    (1, "type", Text),
    (2, "object", One(OF_OBJECT)),
    (3, "pods", One(OF_PODS)),
    (4, "resource", One(OF_RESOURCE)),
    (5, "external", One(OF_PODS)),
    (7, "containerResource", One(OF_RESOURCE)),
];
const POLICY: Message = &[(1, "type", Text), (2, "value", Number), (3, "periodSeconds", Number)];
const RULES: Message = &[
    (1, "selectPolicy", Text),
    (2, "policies", Many(POLICY)),
    (3, "stabilizationWindowSeconds", Number),
    (4, "tolerance", Quantity),
];
const BEHAVIOR: Message = &[(1, "scaleUp", One(RULES)), (2, "scaleDown", One(RULES))];
const AUTOSCALER_SPEC: Message = &[
    (1, "scaleTargetRef", One(REFERENCE)),
    (2, "minReplicas", Number),
    (3, "maxReplicas", Number),
    (4, "metrics", Many(METRIC)),
    (5, "behavior", One(BEHAVIOR)),
];
const AUTOSCALER: Message = &[(1, "metadata", One(METADATA)), (2, "spec", One(AUTOSCALER_SPEC))];
const PORT: Message = &[(1, "name", Text), (3, "containerPort", Number), (4, "protocol", Text)];
const VARIABLE: Message = &[(1, "name", Text), (2, "value", Text)];
const RESOURCES: Message = &[(1, "limits", Quantities), (2, "requests", Quantities)];
const CONTAINER: Message = &[
    (1, "name", Text),
    (2, "image", Text),
    (3, "command", Texts),
    (4, "args", Texts),
    (6, "ports", Many(PORT)),
    (7, "env", Many(VARIABLE)),
    (8, "resources", One(RESOURCES)),
];
const POD_SPEC: Message = &[
    (2, "containers", Many(CONTAINER)),
    (20, "initContainers", Many(CONTAINER)),
];
const TEMPLATE: Message = &[(1, "metadata", One(METADATA)), (2, "spec", One(POD_SPEC))];
const DEPLOYMENT_SPEC: Message = &[
    (1, "replicas", Number),
    (2, "selector", One(SELECTOR)),
    (3, "template", One(TEMPLATE)),
];
const DEPLOYMENT: Message = &[(1, "metadata", One(METADATA)), (2, "spec", One(DEPLOYMENT_SPEC))];

/// The object in `body`, as JSON.
///
/// # Errors
///
/// 415 for a kind that is not read from protobuf here, 400 for what is no such object.
pub(super) fn to_json(resource: &Resource, body: &[u8]) -> Result<Value, Refusal> {
    let message = match resource.kind {
        "HorizontalPodAutoscaler" => AUTOSCALER,
        "Deployment" => DEPLOYMENT,
        _ => {
            return Err(Refusal::unsupported_media_type(
                protobuf::MEDIA_TYPE,
                "application/json",
            ));
        }
    };
    let read = protobuf::object(body).and_then(|object| object_of(Fields::of(object), message));
    read.map_err(|error| Refusal::bad_request(error.to_string()))
}

fn object_of(fields: Fields<'_>, message: Message) -> Result<Value, ProtobufError> {
    let mut object = Map::new();
    for field in fields {
        let field = field?;
        if let Some((_, name, kind)) = message.iter().find(|(number, ..)| *number == field.number) {
            add(&mut object, name, *kind, &field)?;
        }
    }
    Ok(object.into())
}

fn add(object: &mut Map<String, Value>, name: &str, kind: Kind, field: &Field<'_>) -> Result<(), ProtobufError> {
    let value = match kind {
        // Go leaves empty texts out of JSON, and sends them in protobuf.
        Text if field.text()?.is_empty() => return Ok(()),
        Text => field.text()?.into(),
        Number => field.integer()?.into(),
        Quantity => protobuf::quantity(field.bytes()?)?.unwrap_or("0").into(),
        One(message) => object_of(field.message()?, message)?,
        Texts => return push(object, name, field.text()?.into()),
        Many(message) => return push(object, name, object_of(field.message()?, message)?),
        Kind::Map => {
            let (key, value) = field.entry()?;
            let value = std::str::from_utf8(value).map_err(|_| ProtobufError::NotText)?;
            object.entry(name).or_insert_with(|| json!({}))[key] = value.into();
            return Ok(());
        }
        Quantities => {
            let (key, value) = field.entry()?;
            let amount = protobuf::quantity(value)?.unwrap_or("0");
            object.entry(name).or_insert_with(|| json!({}))[key] = amount.into();
            return Ok(());
        }
    };
    object.insert(name.to_owned(), value);
    Ok(())
}

fn push(object: &mut Map<String, Value>, name: &str, item: Value) -> Result<(), ProtobufError> {
    if let Value::Array(items) = object.entry(name).or_insert_with(|| json!([])) {
        items.push(item);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::resources::{AUTOSCALERS, PODS};
    use super::*;

    #[test]
    fn what_kubectl_autoscale_sends_is_read() {
        // As kubectl v1.36 sends it for `autoscale deployment web --name=web2 --min=2 --max=4`.
        let body = b"k8s\0\x0a\x29\x0a\x0eautoscaling/v2\x12\x17HorizontalPodAutoscaler\x12\x42\
            \x0a\x18\x0a\x04web2\x12\x00\x1a\x04shop\x22\x00\x2a\x00\x32\x00\x38\x00\x42\x00\
            \x12\x20\x0a\x1a\x0a\x0aDeployment\x12\x03web\x1a\x07apps/v1\x10\x02\x18\x04\x1a\x04\x18\x00\x20\x00\
            \x1a\x00\x22\x00";
        let expected = json!({ "metadata": { "name": "web2", "namespace": "shop" }, "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" },
            "minReplicas": 2, "maxReplicas": 4 } });
        assert_eq!(to_json(&AUTOSCALERS, body), Ok(expected));
        assert_eq!(
            to_json(&AUTOSCALERS, &body[..40]).map_err(|refusal| refusal.code),
            Err(400)
        );
        assert_eq!(to_json(&PODS, body).map_err(|refusal| refusal.code), Err(415));
    }
}
