//! Metrics that are missing, old, or absurd.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Storm, whole};
use crate::sim::api::{AnswerBody, Api, PODS, seconds};
use crate::sim::random::Random;
use crate::sim::trial::judge::Source;
use crate::sim::trial::plan::What;

/// What becomes of an answer of a metrics API.
pub(super) fn through(storm: &Storm, met: &[&What], path: &str, body: Bytes) -> Bytes {
    if !met.contains(&&What::MetricsOld) {
        storm.old_answers.lock().remove(path);
    }
    let is_met = |what: &&What| matches!(what, What::MetricsOld | What::MetricsMissing | What::MetricsOdd);
    // Most answers pass untouched, unread.
    if !met.iter().any(is_met) {
        return body;
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
            What::MetricsOld => {
                return storm.old_answers.lock().entry(path.to_owned()).or_insert(body).clone();
            }
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
            _ => {}
        }
    }
    if touched { Bytes::from(list.to_string()) } else { body }
}

/// What a controller would see that takes a failure for no usage at all: each pod that there is, at 0.
pub(super) fn nothing_used(api: &Api, at: Timestamp, path: &str) -> Response<AnswerBody> {
    let (pods, _) = api.store.list(&PODS, None);
    let of_resource = Source::of(path) == Source::Resource;
    let usage = |pod: &Arc<Value>| {
        let metadata = &pod["metadata"];
        match of_resource {
            true => json!({ "metadata": metadata, "timestamp": seconds(at), "window": "15s",
                "containers": [{ "name": "main", "usage": { "cpu": "0", "memory": "1Mi" } }] }),
            false => json!({ "describedObject": { "kind": "Pod", "namespace": metadata["namespace"],
                "name": metadata["name"], "apiVersion": "/v1" }, "timestamp": seconds(at), "value": "0",
                "metric": { "name": path.rsplit('/').next(), "selector": null } }),
        }
    };
    let (kind, version) = match of_resource {
        true => ("PodMetricsList", "metrics.k8s.io/v1beta1"),
        false => ("MetricValueList", "custom.metrics.k8s.io/v1beta2"),
    };
    let items: Vec<Value> = pods.iter().map(usage).collect();
    let list = json!({ "kind": kind, "apiVersion": version, "metadata": {}, "items": items });
    let (head, ()) = Response::new(()).into_parts();
    whole(head, Bytes::from(list.to_string()))
}
