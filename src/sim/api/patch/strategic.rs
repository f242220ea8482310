//! Strategic merge patches, as kubectl sends them: a merge patch that knows which lists are sets of named things.

use serde_json::{Map, Value, json};

use crate::sim::api::refusal::Refusal;

/// Lists whose items are told apart by a field, by the list's own name: those of workloads and their pods. All others are
/// replaced whole, as a HorizontalPodAutoscaler's metrics are.
///
/// Source: Kubernetes v1.36 `api/core/v1/types.go` and `api/apps/v1/types.go`, `patchMergeKey`.
const MERGE_KEYS: &[(&str, &str)] = &[
    ("containers", "name"),
    ("initContainers", "name"),
    ("env", "name"),
    ("volumes", "name"),
    ("volumeMounts", "mountPath"),
    ("ports", "containerPort"),
    ("conditions", "type"),
    ("ownerReferences", "uid"),
];

/// Merges `patch` into `target`.
///
/// # Errors
///
/// 400 where a directive is not known.
pub(in crate::sim::api) fn merge(patch: &Value, target: &mut Value) -> Result<(), Refusal> {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return Ok(());
    };
    if !target.is_object() {
        *target = json!({});
    }
    match fields.get("$patch").and_then(Value::as_str) {
        None | Some("merge") => {}
        Some("replace") => {
            let mut whole = fields.clone();
            whole.remove("$patch");
            *target = Value::Object(whole);
            return Ok(());
        }
        Some(other) => return Err(Refusal::bad_request(format!("Unknown patch type found: {other}"))),
    }
    retain_keys(fields, target);
    for (name, wish) in fields.iter().filter(|(name, _)| !name.starts_with('$')) {
        let merge_key = MERGE_KEYS.iter().find(|(list, _)| list == name).map(|(_, key)| *key);
        match (wish, merge_key) {
            (Value::Null, _) => drop(target.as_object_mut().map(|target| target.remove(name))),
            (Value::Array(items), Some(key)) => merge_list(items, key, &mut target[name.as_str()])?,
            _ => merge(wish, &mut target[name.as_str()])?,
        }
    }
    for (name, gone) in fields {
        if let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/")
            && let (Some(items), Some(gone)) = (target[list].as_array_mut(), gone.as_array())
        {
            items.retain(|item| !gone.contains(item));
        }
    }
    Ok(())
}

/// `$retainKeys`: fields that the patch does not list go.
fn retain_keys(fields: &Map<String, Value>, target: &mut Value) {
    if let (Some(kept), Some(target)) = (
        fields.get("$retainKeys").and_then(Value::as_array),
        target.as_object_mut(),
    ) {
        target.retain(|name, _| kept.iter().any(|kept| kept == name));
    }
}

fn merge_list(items: &[Value], key: &str, target: &mut Value) -> Result<(), Refusal> {
    let mut merged = match target.take() {
        Value::Array(merged) => merged,
        _ => Vec::new(),
    };
    for item in items {
        let same = |there: &Value| there[key] == item[key];
        let at = merged.iter().position(same);
        match (item["$patch"].as_str(), at) {
            (Some("delete"), Some(at)) => drop(merged.remove(at)),
            (Some("delete"), None) => {}
            (_, Some(at)) => merge(item, &mut merged[at])?,
            (_, None) => merged.push(item.clone()),
        }
    }
    *target = Value::Array(merged);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_merged_by_name_and_metrics_are_replaced() {
        let mut object = json!({ "spec": {
            "containers": [{ "name": "main", "image": "a", "resources": { "cpu": "1" } }, { "name": "side" }],
            "metrics": [{ "type": "Resource" }], "strategy": { "type": "RollingUpdate", "rollingUpdate": {} } } });
        let patch = json!({ "spec": {
            "$setElementOrder/containers": [{ "name": "main" }],
            "containers": [{ "name": "main", "image": "b" }, { "name": "side", "$patch": "delete" }, { "name": "new" }],
            "metrics": [{ "type": "Pods" }], "strategy": { "$retainKeys": ["type"], "type": "Recreate" } } });
        merge(&patch, &mut object).unwrap();
        let expected = json!({ "spec": {
            "containers": [{ "name": "main", "image": "b", "resources": { "cpu": "1" } }, { "name": "new" }],
            "metrics": [{ "type": "Pods" }], "strategy": { "type": "Recreate" } } });
        assert_eq!(object, expected);
    }
}
