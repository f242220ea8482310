//! The scale subresource of workloads.

use serde_json::{Value, json};

use super::admit::negative;
use super::refusal::Refusal;
use super::resources::{Resource, SCALES};
use crate::selector::Selector;

/// The scale of a workload.
pub(super) fn of(resource: &Resource, workload: &Value) -> Value {
    let metadata = &workload["metadata"];
    let mut kept = json!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        kept[field] = metadata[field].clone();
    }
    let mut spec = json!({});
    // As all numbers in Kubernetes' own types that are left out where they are 0.
    if let Some(replicas) = workload["spec"]["replicas"].as_i64().filter(|replicas| *replicas != 0) {
        spec["replicas"] = replicas.into();
    }
    let mut status = json!({ "replicas": workload["status"]["replicas"].as_i64().unwrap_or(0) });
    let selector = match resource.group {
        "" => json!({ "matchLabels": workload["spec"]["selector"] }),
        _ => workload["spec"]["selector"].clone(),
    };
    if let Ok(selector) = Selector::from_label_selector(&selector)
        && !selector.is_everything()
    {
        status["selector"] = selector.to_string().into();
    }
    json!({ "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": kept, "spec": spec, "status": status })
}

/// The workload with the count of the scale `wish`.
///
/// # Errors
///
/// 409 where the workload has changed since the scale was read, 422 for a count below zero.
pub(super) fn written(resource: &'static Resource, workload: &Value, wish: &Value) -> Result<Value, Refusal> {
    let name = workload["metadata"]["name"].as_str().unwrap_or_default();
    let version = wish["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    if !version.is_empty() && workload["metadata"]["resourceVersion"] != version {
        return Err(Refusal::stale(resource, name));
    }
    let replicas = match &wish["spec"]["replicas"] {
        Value::Null => 0,
        count => count
            .as_i64()
            .filter(|count| i32::try_from(*count).is_ok())
            .ok_or_else(|| Refusal::bad_request(format!("spec.replicas: {count} is no 32-bit integer")))?,
    };
    if replicas < 0 {
        let cause = ("spec.replicas".to_owned(), negative(replicas));
        return Err(Refusal::invalid(&SCALES, name, vec![cause]));
    }
    let mut after = workload.clone();
    after["spec"]["replicas"] = replicas.into();
    Ok(after)
}
