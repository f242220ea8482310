//! Metrics that are missing, old, or absurd.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Storm, head_of, prometheus, whole};
use crate::clock::Clock;
use crate::sim::api::{AnswerBody, Api, PODS, seconds};
use crate::sim::random::Random;
use crate::sim::trial::plan::What;
use crate::sim::trial::question::{Question, Source};

/// What becomes of an answer of a metrics API, or of Prometheus.
pub(super) fn through(storm: &Storm, met: &[&What], question: &Question, body: Bytes) -> Bytes {
    if !met.contains(&&What::MetricsOld) {
        storm.old_answers.lock().remove(&question.text);
    }
    let is_met = |what: &&What| {
        matches!(
            what,
            What::MetricsOld | What::MetricsMissing | What::MetricsOdd | What::MetricsContradictory
        )
    };
    // Most answers pass untouched, unread.
    if !met.iter().any(is_met) {
        return body;
    }
    if question.source.is_prometheus() {
        return match met.contains(&&What::MetricsOld) {
            true => stood_still(storm, question, body),
            false => prometheus::spoilt(storm, met, body),
        };
    }
    let Ok(mut list) = serde_json::from_slice::<Value>(&body) else {
        return body;
    };
    let Some(items) = list["items"].as_array_mut() else {
        return body;
    };
    let name = |item: &Value| {
        let pod = &item["metadata"]["name"];
        let name = if pod.is_null() {
            &item["describedObject"]["name"]
        } else {
            pod
        };
        name.as_str().unwrap_or_default().to_owned()
    };
    let mut touched = false;
    for what in met {
        match what {
            What::MetricsOld => return stood_still(storm, question, body),
            What::MetricsMissing => {
                items.retain(|item| !Random::named(storm.seed, &name(item)).chance(0.5));
                touched = true;
            }
            What::MetricsOdd => {
                for item in items.iter_mut() {
                    let value = *Random::named(storm.seed, &name(item)).pick(&["NaN", "", "9e18", "1e-9"]);
                    match item["containers"].as_array_mut() {
                        Some(containers) => containers
                            .iter_mut()
                            .for_each(|container| container["usage"]["cpu"] = value.into()),
                        None => item["value"] = value.into(),
                    }
                }
                touched = true;
            }
            What::MetricsContradictory => {
                let others: Vec<Value> = items
                    .iter()
                    .map(|item| contradiction(storm, item, &name(item)))
                    .collect();
                items.extend(others);
                touched = true;
            }
            _ => {}
        }
    }
    if touched { Bytes::from(list.to_string()) } else { body }
}

/// The first answer to this question since metrics stand still.
fn stood_still(storm: &Storm, question: &Question, body: Bytes) -> Bytes {
    let mut old = storm.old_answers.lock();
    old.entry(question.text.clone()).or_insert(body).clone()
}

/// The same pod once more with another value, measured in an hour; or a pod that nobody knows.
fn contradiction(storm: &Storm, item: &Value, name: &str) -> Value {
    let mut random = Random::named(storm.seed, name);
    let mut other = item.clone();
    let soon = storm.clock.now().saturating_add(SignedDuration::from_hours(1));
    other["timestamp"] = seconds(soon.unwrap_or_default()).into();
    if random.chance(0.3) {
        let stranger = Value::from(format!("{name}-stranger"));
        match other["describedObject"].is_null() {
            true => other["metadata"]["name"] = stranger,
            false => other["describedObject"]["name"] = stranger,
        }
    }
    let value = *random.pick(&["0", "1m", "500m", "3"]);
    each_value(&mut other, |_| Some(value.to_owned()));
    other
}

/// Changes the values of an item; `None` leaves one as it is.
fn each_value(item: &mut Value, change: impl Fn(&str) -> Option<String>) {
    let set = |value: &mut Value| {
        if let Some(other) = change(value.as_str().unwrap_or_default()) {
            *value = other.into();
        }
    };
    match item["containers"].as_array_mut() {
        Some(containers) => containers
            .iter_mut()
            .for_each(|container| set(&mut container["usage"]["cpu"])),
        None => set(&mut item["value"]),
    }
}

/// As a controller understands an answer that takes everything for a half more than it is.
pub(super) fn overstated(question: &Question, body: Bytes) -> Bytes {
    if question.source.is_prometheus() {
        return prometheus::overstated(body);
    }
    let Ok(mut list) = serde_json::from_slice::<Value>(&body) else {
        return body;
    };
    for item in list["items"].as_array_mut().into_iter().flatten() {
        each_value(item, |value| {
            let milli = crate::quantity::Milli::of_quantity(value).ok()?.0;
            Some(format!("{}m", milli.saturating_mul(3) / 2))
        });
    }
    Bytes::from(list.to_string())
}

/// As a controller understands an answer that takes a pod without a value for one at 0.
pub(super) fn filled_with_nothing(api: &Api, at: Timestamp, question: &Question, body: Bytes) -> Bytes {
    if question.source.is_prometheus() {
        return prometheus::filled_with_nothing(api, at, body);
    }
    let Ok(mut list) = serde_json::from_slice::<Value>(&body) else {
        return body;
    };
    let name = |item: &Value| {
        let text = |pointer: &str| item.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        text("/describedObject/name").or(text("/metadata/name"))
    };
    let there: BTreeSet<_> = list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(name)
        .collect();
    let all = nothing_used_items(api, at, question);
    if let Some(items) = list["items"].as_array_mut() {
        let is_missing = |item: &Value| name(item).is_some_and(|name| !there.contains(&name));
        items.extend(all.into_iter().filter(is_missing));
    }
    Bytes::from(list.to_string())
}

/// What a controller would see that takes a failure for no usage at all: each pod that there is, at 0.
pub(super) fn nothing_used(api: &Api, at: Timestamp, question: &Question) -> Response<AnswerBody> {
    let (kind, version) = match question.source {
        Source::Resource => ("PodMetricsList", "metrics.k8s.io/v1beta1"),
        Source::Custom => ("MetricValueList", "custom.metrics.k8s.io/v1beta2"),
        Source::PrometheusResource | Source::PrometheusPods => {
            return whole(head_of(StatusCode::OK), prometheus::nothing_used(api, at));
        }
    };
    let items = nothing_used_items(api, at, question);
    let list = json!({ "kind": kind, "apiVersion": version, "metadata": {}, "items": items });
    whole(head_of(StatusCode::OK), Bytes::from(list.to_string()))
}

fn nothing_used_items(api: &Api, at: Timestamp, question: &Question) -> Vec<Value> {
    let (pods, _) = api.store.list(&PODS, None);
    let of_resource = question.source == Source::Resource;
    let usage = |pod: &Arc<Value>| {
        let metadata = &pod["metadata"];
        match of_resource {
            true => json!({ "metadata": metadata, "timestamp": seconds(at), "window": "15s",
                "containers": [{ "name": "main", "usage": { "cpu": "0", "memory": "1Mi" } }] }),
            false => json!({ "describedObject": { "kind": "Pod", "namespace": metadata["namespace"],
                "name": metadata["name"], "apiVersion": "/v1" }, "timestamp": seconds(at), "value": "0",
                "metric": { "name": question.text.rsplit('/').next(), "selector": null } }),
        }
    };
    pods.iter().map(usage).collect()
}
