//! Defaults and validation of what is written, for the kinds that are about scaling.

use serde_json::{Value, json};

use super::refusal::Refusal;
use super::resources::{AUTOSCALERS, DEPLOYMENTS, Resource};
use crate::spec::{ManifestOptions, Problem, Spec};

/// Fills in what the API server fills in, and refuses what it refuses.
///
/// # Errors
///
/// 422 with every problem.
pub(super) fn check(resource: &'static Resource, before: Option<&Value>, object: &mut Value) -> Result<(), Refusal> {
    if resource == &AUTOSCALERS {
        autoscaler(object)
    } else if resource.has_scale {
        workload(resource, before, object)
    } else {
        Ok(())
    }
}

/// An autoscaler is read as trimtab reads manifests, by Kubernetes' rules, and stored with its defaults.
fn autoscaler(object: &mut Value) -> Result<(), Refusal> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let mut written = json!({ "apiVersion": "autoscaling/v2", "kind": AUTOSCALERS.kind });
    written["metadata"] = json!({ "name": name, "namespace": object["metadata"]["namespace"] });
    written["spec"] = object["spec"].clone();
    match Spec::from_manifest(&written, &ManifestOptions::default()) {
        Ok(spec) => {
            let mut filled = spec.to_v2()["spec"].take();
            keep_written(&mut filled, &object["spec"]);
            object["spec"] = filled;
            Ok(())
        }
        Err(error) => {
            let cause = |problem: &Problem| {
                let text = match &problem.found {
                    Some(found) => format!("Invalid value: {found}: must be {}", problem.want),
                    None => format!("Required value: must be {}", problem.want),
                };
                (problem.path.clone(), text)
            };
            Err(Refusal::invalid(
                &AUTOSCALERS,
                &name,
                error.problems.iter().map(cause).collect(),
            ))
        }
    }
}

/// What somebody has written stays as it was written: `1Gi`, and not its digits.
fn keep_written(filled: &mut Value, written: &Value) {
    match (filled, written) {
        (_, Value::Null) => {}
        (Value::Object(filled), Value::Object(written)) => {
            for (name, value) in written {
                keep_written(filled.entry(name).or_insert(Value::Null), value);
            }
        }
        (Value::Array(filled), Value::Array(written)) if filled.len() == written.len() => {
            filled
                .iter_mut()
                .zip(written)
                .for_each(|(filled, written)| keep_written(filled, written));
        }
        // No metrics are the one that is filled in.
        (Value::Array(_), Value::Array(written)) if written.is_empty() => {}
        (filled, written) => *filled = written.clone(),
    }
}

/// Source: Kubernetes v1.36 `pkg/apis/apps/validation/validation.go`, as far as scaling goes.
fn workload(resource: &'static Resource, before: Option<&Value>, object: &mut Value) -> Result<(), Refusal> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let spec = &mut object["spec"];
    if spec["replicas"].is_null() {
        spec["replicas"] = 1.into();
    }
    let mut causes: Vec<(String, String)> = Vec::new();
    let mut note = |field: &str, problem: String| causes.push((field.to_owned(), problem));
    match spec["replicas"].as_i64() {
        Some(replicas) if replicas < 0 => note("spec.replicas", negative(replicas)),
        Some(_) => {}
        None => return Err(Refusal::bad_request("spec.replicas is no whole number")),
    }
    if resource == &DEPLOYMENTS {
        let strategy = &mut spec["strategy"];
        for part in [&*strategy, &strategy["rollingUpdate"]] {
            if !part.is_null() && !part.is_object() {
                return Err(Refusal::bad_request("spec.strategy is no object, or a part of it"));
            }
        }
        fill_strategy(strategy);
        match strategy["type"].as_str() {
            Some("RollingUpdate") => {}
            Some("Recreate") if strategy["rollingUpdate"].is_null() => {}
            Some("Recreate") => {
                let problem = "Forbidden: may not be specified when strategy `type` is 'Recreate'";
                note("spec.strategy.rollingUpdate", problem.to_owned());
            }
            _ => {
                let known = r#"supported values: "Recreate", "RollingUpdate""#;
                let problem = format!("Unsupported value: {}: {known}", strategy["type"]);
                note("spec.strategy", problem);
            }
        }
    }
    // A ReplicationController's selector is a plain map of labels.
    if !resource.group.is_empty() {
        let selected = &spec["selector"]["matchLabels"];
        if spec["selector"].is_null() {
            note("spec.selector", "Required value".to_owned());
        }
        let labels = &spec["template"]["metadata"]["labels"];
        let fits = selected
            .as_object()
            .is_none_or(|selected| selected.iter().all(|(key, value)| labels[key] == *value));
        if !fits {
            let problem = format!("Invalid value: {labels}: `selector` does not match template `labels`");
            note("spec.template.metadata.labels", problem);
        }
        if before.is_some_and(|before| before["spec"]["selector"] != spec["selector"]) {
            note(
                "spec.selector",
                format!("Invalid value: {}: field is immutable", spec["selector"]),
            );
        }
    }
    if spec["template"]["spec"]["containers"]
        .as_array()
        .is_none_or(Vec::is_empty)
    {
        note("spec.template.spec.containers", "Required value".to_owned());
    }
    if causes.is_empty() {
        Ok(())
    } else {
        Err(Refusal::invalid(resource, &name, causes))
    }
}

/// Source: Kubernetes v1.36 `pkg/apis/apps/v1/defaults.go`, `SetDefaults_Deployment`.
fn fill_strategy(strategy: &mut Value) {
    if strategy["type"].as_str().unwrap_or_default().is_empty() {
        strategy["type"] = "RollingUpdate".into();
    }
    if strategy["type"] == "RollingUpdate" {
        for field in ["maxSurge", "maxUnavailable"] {
            let value = &mut strategy["rollingUpdate"][field];
            if value.is_null() {
                *value = "25%".into();
            }
        }
    }
}

/// What is said of a count below zero.
pub(super) fn negative(count: i64) -> String {
    format!("Invalid value: {count}: must be greater than or equal to 0")
}
