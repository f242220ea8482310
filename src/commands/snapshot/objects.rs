//! Objects cut down to what a decision sees of them: a snapshot holds no environment variables, no secrets' names.

use serde_json::{Map, Value};

/// What a decision sees of a HorizontalPodAutoscaler.
pub(super) const AUTOSCALER: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.generation",
    "metadata.creationTimestamp",
    "spec",
    "status",
];

/// What a decision sees of a Pod.
pub(super) const POD: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.labels",
    "metadata.deletionTimestamp",
    "spec.containers.name",
    "spec.containers.resources",
    "spec.initContainers.name",
    "spec.initContainers.restartPolicy",
    "spec.initContainers.resources",
    "spec.overhead",
    "spec.resources",
    "status.phase",
    "status.startTime",
    "status.conditions.type",
    "status.conditions.status",
    "status.conditions.lastTransitionTime",
];

/// What a decision sees of a PodMetricsList.
pub(super) const POD_METRICS: &[&str] = &[
    "items.metadata.name",
    "items.metadata.namespace",
    "items.metadata.labels",
    "items.timestamp",
    "items.window",
    "items.containers",
];

/// What a decision sees of a Scale.
pub(super) const SCALE: &[&str] = &["spec.replicas", "status.replicas", "status.selector"];

/// `object` with nothing but what `paths` lead to. A path leads through every entry of a list; what is not there is left out.
pub(super) fn keep(object: &Value, paths: &[&str]) -> Value {
    match object {
        Value::Array(items) => items.iter().map(|item| keep(item, paths)).collect(),
        Value::Object(fields) => {
            let kept = fields
                .iter()
                .filter_map(|(name, value)| Some((name.clone(), keep_field(name, value, paths)?)));
            Value::Object(kept.collect::<Map<_, _>>())
        }
        scalar => scalar.clone(),
    }
}

fn keep_field(name: &str, value: &Value, paths: &[&str]) -> Option<Value> {
    if paths.contains(&name) {
        return Some(value.clone());
    }
    let below: Vec<&str> = paths
        .iter()
        .filter_map(|path| path.strip_prefix(name)?.strip_prefix('.'))
        .collect();
    (!below.is_empty()).then(|| keep(value, &below))
}

/// `object` as something of this version and kind: entries of lists do not say what they are.
pub(super) fn of_kind(mut object: Value, api_version: &str, kind: &str) -> Value {
    if let Value::Object(fields) = &mut object {
        fields.insert("apiVersion".into(), api_version.into());
        fields.insert("kind".into(), kind.into());
    }
    object
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_a_pod_only_what_counts_is_kept() {
        let pod = json!({
            "metadata": { "name": "web-1", "labels": { "app": "web" }, "annotations": { "token": "secret" } },
            "spec": {
                "nodeName": "node-1",
                "containers": [
                    { "name": "main", "env": [{ "name": "PASSWORD", "value": "secret" }], "resources": { "requests": { "cpu": "1" } } },
                ],
            },
            "status": { "phase": "Running", "podIP": "10.0.0.1", "conditions": [{ "type": "Ready", "status": "True", "message": "x" }] },
        });
        let kept = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": "web-1", "labels": { "app": "web" } },
            "spec": { "containers": [{ "name": "main", "resources": { "requests": { "cpu": "1" } } }] },
            "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] },
        });
        assert_eq!(of_kind(keep(&pod, POD), "v1", "Pod"), kept);
    }

    #[test]
    fn a_field_is_not_kept_for_a_longer_name() {
        assert_eq!(
            keep(&json!({ "spec": 1, "specs": 2 }), &["specs"]),
            json!({ "specs": 2 })
        );
        assert_eq!(keep(&json!({ "spec": { "a": 1 } }), &["specs.a"]), json!({}));
    }
}
