//! What was decided against what was expected, field by field.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::scenario::{Expectation, ExpectedEvent};
use crate::quantity::Quantity;

/// Past so many Events of one autoscaler Kubernetes merges and drops them: scenarios hold no more.
pub(super) const EVENTS_RECORDED: usize = 8;

/// One field that came out otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldDifference {
    /// The field, such as `status.conditions[0].reason`.
    pub field: String,
    /// What the file expects; `nothing` where it expects none.
    pub expected: String,
    /// What was decided.
    pub got: String,
}

/// What one sync did, in the shape of expectations.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    pub scaled_to: Option<i32>,
    /// In Kubernetes' shape.
    pub status: Value,
    pub events: Vec<ExpectedEvent>,
}

/// Every difference. `expected_status` is the latest that the file names; `recorded` counts the Events of this
/// autoscaler in the steps before.
pub(super) fn differences(
    expected: &Expectation,
    expected_status: Option<&Value>,
    got: &Outcome,
    recorded: usize,
) -> Vec<FieldDifference> {
    let mut out = Vec::new();
    let count = |c: Option<i32>| c.map_or(Value::Null, Value::from);
    field("scaledTo", &count(expected.scaled_to), &count(got.scaled_to), &mut out);
    if let Some(status) = expected_status {
        field(
            "status",
            &canonical(status),
            &canonical(&without_unasked(&got.status, status)),
            &mut out,
        );
    }
    let events = |events: &[ExpectedEvent]| -> Value {
        events
            .iter()
            .map(|e| Value::from(format!("{} {}", e.kind, e.reason)))
            .collect()
    };
    // A file made by hand may name more than Kubernetes would have recorded.
    let room = EVENTS_RECORDED.saturating_sub(recorded).max(expected.events.len());
    let seen = &got.events[..got.events.len().min(room)];
    field("events", &events(&expected.events), &events(seen), &mut out);
    out
}

/// Leaves out of a status what the oracle never writes, unless the file names it: the sentences of conditions.
fn without_unasked(got: &Value, expected: &Value) -> Value {
    let mut got = got.clone();
    let named = |i: usize| !expected["conditions"][i]["message"].is_null();
    if let Some(conditions) = got.get_mut("conditions").and_then(Value::as_array_mut) {
        for (i, condition) in conditions.iter_mut().enumerate() {
            if let Some(condition) = condition.as_object_mut().filter(|_| !named(i)) {
                condition.remove("message");
            }
        }
    }
    if expected.get("observedGeneration").is_none()
        && let Some(got) = got.as_object_mut()
    {
        got.remove("observedGeneration");
    }
    got
}

/// Equal things made equal: quantities by value, times to the second, absent and empty alike.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut out = Map::new();
            for (name, field) in fields {
                let field = match (name.as_str(), field) {
                    ("value" | "averageValue", Value::String(text)) => quantity(text),
                    ("lastTransitionTime" | "lastScaleTime", Value::String(text)) => time(text),
                    _ => canonical(field),
                };
                let empty = match &field {
                    Value::Null => true,
                    Value::Array(items) => items.is_empty(),
                    _ => false,
                };
                if !empty {
                    out.insert(name.clone(), field);
                }
            }
            Value::Object(out)
        }
        Value::Array(items) => items.iter().map(canonical).collect(),
        other => other.clone(),
    }
}

fn quantity(text: &str) -> Value {
    text.parse::<Quantity>().map_or_else(
        |_| text.into(),
        |q| Quantity::from_milli(q.milli(), Default::default()).to_string().into(),
    )
}

fn time(text: &str) -> Value {
    text.parse::<Timestamp>()
        .map_or_else(|_| text.into(), |t| t.as_second().into())
}

fn field(path: &str, expected: &Value, got: &Value, out: &mut Vec<FieldDifference>) {
    match (expected, got) {
        (Value::Object(e), Value::Object(g)) => {
            let mut names: Vec<&String> = e.keys().chain(g.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let nothing = Value::Null;
                field(
                    &format!("{path}.{name}"),
                    e.get(name).unwrap_or(&nothing),
                    g.get(name).unwrap_or(&nothing),
                    out,
                );
            }
        }
        (Value::Array(e), Value::Array(g)) => {
            for i in 0..e.len().max(g.len()) {
                let nothing = Value::Null;
                field(
                    &format!("{path}[{i}]"),
                    e.get(i).unwrap_or(&nothing),
                    g.get(i).unwrap_or(&nothing),
                    out,
                );
            }
        }
        _ if expected == got => {}
        _ => out.push(FieldDifference {
            field: path.to_owned(),
            expected: show(expected),
            got: show(got),
        }),
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
