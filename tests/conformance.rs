//! The kept scenarios: what Kubernetes' own controller decided is decided again; and a replay can fail in every place.

use std::path::PathBuf;

use serde_json::{Value, json};
use trimtab::sim::replay::{Difference, replay};

fn scenarios() -> Vec<(PathBuf, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/scenarios");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 230, "only {} scenarios are there", files.len());
    files
        .into_iter()
        .map(|file| (file.clone(), std::fs::read_to_string(&file).unwrap()))
        .collect()
}

fn differences(text: &str) -> Vec<Difference> {
    replay(text, |_| {}).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn every_kept_scenario_holds() {
    let mut failed = Vec::new();
    for (file, text) in scenarios() {
        let found = differences(&text);
        failed.extend(
            found
                .first()
                .map(|d| format!("{}: {d} (and {} more)", file.display(), found.len() - 1)),
        );
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Changes every value that is expected, and expects one Event, one condition and one metric too many: each change must
/// be refused in its own place.
#[test]
fn a_falsified_expectation_is_refused_in_every_place() {
    let mut refused = 0;
    for (file, text) in scenarios() {
        let mut scenario: Value = serde_json::from_str(&text).unwrap();
        let mut places = Vec::new();
        for (i, step) in scenario["steps"].as_array_mut().unwrap().iter_mut().enumerate() {
            for (autoscaler, expected) in step
                .get_mut("expect")
                .and_then(Value::as_object_mut)
                .into_iter()
                .flatten()
            {
                let mut fields = Vec::new();
                falsify(expected, "", &mut fields);
                surplus(expected, &mut fields);
                places.extend(fields.into_iter().map(|field| (i, autoscaler.clone(), field)));
            }
        }
        let found = differences(&scenario.to_string());
        for (step, autoscaler, field) in &places {
            let told = found
                .iter()
                .any(|d| d.step == *step && d.autoscaler == *autoscaler && covers(&d.field.field, field));
            assert!(
                told,
                "{}: step {step}: {autoscaler}: a false {field} was let through",
                file.display()
            );
        }
        refused += places.len();
    }
    assert!(refused > 10_000, "only {refused} places were falsified");
}

/// A difference in a field covers what lies inside of it.
fn covers(told: &str, falsified: &str) -> bool {
    falsified
        .strip_prefix(told)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn falsify(value: &mut Value, path: &str, fields: &mut Vec<String>) {
    let false_value = match value {
        Value::Object(object) => {
            for (name, field) in object {
                let inner = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                falsify(field, &inner, fields);
            }
            return;
        }
        Value::Array(items) => {
            // An Event is compared as a whole.
            let whole = path == "events";
            for (i, item) in items.iter_mut().enumerate() {
                let inner = format!("{path}[{i}]");
                if whole {
                    item["reason"] = "Falsified".into();
                    fields.push(inner);
                } else {
                    falsify(item, &inner, fields);
                }
            }
            return;
        }
        Value::Null => json!(12_345),
        Value::Number(n) => json!(n.as_i64().unwrap() + 1),
        Value::Bool(b) => json!(!*b),
        Value::String(_) if path.ends_with("Time") => json!("2031-01-01T00:00:00Z"),
        Value::String(text) if path.ends_with("alue") => {
            json!(format!("{}1", text.trim_end_matches(char::is_alphabetic)))
        }
        Value::String(text) => json!(format!("{text}Falsified")),
    };
    *value = false_value;
    fields.push(path.to_owned());
}

fn surplus(expected: &mut Value, fields: &mut Vec<String>) {
    let mut add = |list: &mut Value, path: &str, item: Value| {
        if list.is_null() {
            *list = json!([]);
        }
        let items = list.as_array_mut().unwrap();
        fields.push(format!("{path}[{}]", items.len()));
        items.push(item);
    };
    add(
        &mut expected["events"],
        "events",
        json!({"type": "Normal", "reason": "Surplus"}),
    );
    if expected.get("status").is_some_and(|s| !s.is_null()) {
        add(
            &mut expected["status"]["conditions"],
            "status.conditions",
            json!({"type": "Surplus"}),
        );
        add(
            &mut expected["status"]["currentMetrics"],
            "status.currentMetrics",
            json!({"type": "Surplus"}),
        );
    }
}

#[test]
fn an_expectation_of_an_autoscaler_that_is_not_there_is_refused() {
    let (_, text) = scenarios().swap_remove(0);
    let mut scenario: Value = serde_json::from_str(&text).unwrap();
    scenario["steps"][0]["expect"]["shop/nobody"] = json!({"scaledTo": null});
    let found = differences(&scenario.to_string());
    assert!(found.iter().any(|d| d.autoscaler == "shop/nobody"), "{found:?}");
}

#[test]
fn what_cannot_be_read_is_told_with_its_place() {
    let head = r#"{"name":"a","controller":{"syncPeriod":"15s","downscaleStabilization":"5m","tolerance":0.1,
        "cpuInitializationPeriod":"5m","initialReadinessDelay":"30s"},"start":"2026-01-05T08:00:00Z","steps":["#;
    for (steps, place) in [
        ("{\"at\":\"0s\",\n\"attt\":1}]}", "line 3, column 6"),
        ("{\"at\":\"0 seconds\"}]}", "line 2, column "),
        (
            "{\"at\":\"0s\",\"apply\":[\n {\"kind\":\"Node\"}]}]}",
            "line 3, column 2",
        ),
        (
            "{\"at\":\"0s\",\n\"podMetrics\":{\"items\":[{\"metadata\":{}}]}}]}",
            "line 3, column 14",
        ),
        ("{\"at\":\"0s\"", "line 2, column "),
    ] {
        let text = format!("{head}{steps}");
        let problem = replay(&text, |_| {}).expect_err(steps).to_string();
        assert!(problem.starts_with(place), "{steps}: {problem}");
    }
}
