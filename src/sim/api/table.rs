//! Objects as kubectl prints them: the API server makes the table.
//!
//! Columns and cells as in Kubernetes v1.36 `pkg/printers/internalversion/printers.go`.

mod autoscaler;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::resources::Resource;

/// A column's name, and whether only `-o wide` shows it.
type Column = (&'static str, bool);

/// The table of some objects of a resource.
pub(super) fn of(resource: &Resource, objects: &[Arc<Value>], now: Timestamp) -> Value {
    let columns = columns(resource.kind);
    let definitions = columns.iter().map(|(name, wide)| {
        let format = if *name == "Name" { "name" } else { "" };
        json!({ "name": name, "type": "string", "format": format, "description": "", "priority": i32::from(*wide) })
    });
    let rows = objects.iter().map(|object| {
        let metadata = json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
            "metadata": object["metadata"] });
        json!({ "cells": cells(resource.kind, object, now), "object": metadata })
    });
    json!({ "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {},
        "columnDefinitions": definitions.collect::<Vec<_>>(), "rows": rows.collect::<Vec<_>>() })
}

fn columns(kind: &str) -> &'static [Column] {
    match kind {
        "Pod" => &[
            ("Name", false),
            ("Ready", false),
            ("Status", false),
            ("Restarts", false),
            ("Age", false),
            ("Node", true),
        ],
        "Deployment" => &[
            ("Name", false),
            ("Ready", false),
            ("Up-to-date", false),
            ("Available", false),
            ("Age", false),
        ],
        "ReplicaSet" => &[
            ("Name", false),
            ("Desired", false),
            ("Current", false),
            ("Ready", false),
            ("Age", false),
        ],
        "StatefulSet" => &[("Name", false), ("Ready", false), ("Age", false)],
        "HorizontalPodAutoscaler" => &[
            ("Name", false),
            ("Reference", false),
            ("Targets", false),
            ("MinPods", false),
            ("MaxPods", false),
            ("Replicas", false),
            ("Age", false),
        ],
        "Event" => &[
            ("Last Seen", false),
            ("Type", false),
            ("Reason", false),
            ("Object", false),
            ("Message", false),
        ],
        "Namespace" => &[("Name", false), ("Status", false), ("Age", false)],
        "Lease" => &[("Name", false), ("Holder", false), ("Age", false)],
        "ConfigMap" => &[("Name", false), ("Data", false), ("Age", false)],
        "Service" => &[("Name", false), ("Type", false), ("Cluster-IP", false), ("Age", false)],
        _ => &[("Name", false), ("Age", false)],
    }
}

fn cells(kind: &str, object: &Value, now: Timestamp) -> Vec<Value> {
    let name = object["metadata"]["name"].clone();
    let age = Value::from(age(&object["metadata"]["creationTimestamp"], now));
    let (spec, status) = (&object["spec"], &object["status"]);
    let ready = || {
        Value::from(format!(
            "{}/{}",
            count(&status["readyReplicas"]),
            count(&spec["replicas"])
        ))
    };
    let number = |value: &Value| Value::from(count(value));
    match kind {
        "Pod" => pod(object, name, age),
        "Deployment" => {
            let (updated, available) = (&status["updatedReplicas"], &status["availableReplicas"]);
            vec![name, ready(), number(updated), number(available), age]
        }
        "ReplicaSet" => {
            let (have, ready) = (&status["replicas"], &status["readyReplicas"]);
            vec![name, number(&spec["replicas"]), number(have), number(ready), age]
        }
        "StatefulSet" => vec![name, ready(), age],
        "HorizontalPodAutoscaler" => {
            let reference = &spec["scaleTargetRef"];
            let reference = format!("{}/{}", text(&reference["kind"]), text(&reference["name"]));
            let min = spec["minReplicas"]
                .as_i64()
                .map_or("<unset>".to_owned(), |min| min.to_string());
            let targets = autoscaler::targets(spec, status);
            let (max, has) = (number(&spec["maxReplicas"]), number(&status["currentReplicas"]));
            vec![name, reference.into(), targets.into(), min.into(), max, has, age]
        }
        "Event" => event(object, now),
        "Namespace" => vec![name, status["phase"].clone(), age],
        "Lease" => vec![name, text(&spec["holderIdentity"]).into(), age],
        "ConfigMap" => vec![
            name,
            object["data"].as_object().map_or(0, serde_json::Map::len).into(),
            age,
        ],
        "Service" => vec![name, "ClusterIP".into(), "None".into(), age],
        _ => vec![name, age],
    }
}

fn pod(object: &Value, name: Value, age: Value) -> Vec<Value> {
    let containers = object["status"]["containerStatuses"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let ready = containers.iter().filter(|container| container["ready"] == true).count();
    let all = object["spec"]["containers"].as_array().map_or(0, Vec::len);
    let restarts: i64 = containers
        .iter()
        .map(|container| count(&container["restartCount"]))
        .sum();
    let waiting = containers
        .iter()
        .find_map(|container| container["state"]["waiting"]["reason"].as_str());
    let status = match (&object["metadata"]["deletionTimestamp"], waiting) {
        (Value::Null, Some(reason)) => reason.to_owned(),
        (Value::Null, None) => text(&object["status"]["phase"]),
        _ => "Terminating".to_owned(),
    };
    let node = Value::from(text(&object["spec"]["nodeName"]));
    vec![
        name,
        format!("{ready}/{all}").into(),
        status.into(),
        restarts.to_string().into(),
        age,
        node,
    ]
}

fn event(object: &Value, now: Timestamp) -> Vec<Value> {
    let involved = &object["involvedObject"];
    let involved = format!("{}/{}", text(&involved["kind"]).to_lowercase(), text(&involved["name"]));
    vec![
        age(&object["lastTimestamp"], now).into(),
        object["type"].clone(),
        object["reason"].clone(),
        involved.into(),
        object["message"].clone(),
    ]
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn count(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

fn age(since: &Value, now: Timestamp) -> String {
    let since = since.as_str().and_then(|since| since.parse::<Timestamp>().ok());
    since.map_or_else(|| "<unknown>".to_owned(), |since| short(now.duration_since(since)))
}

/// A duration as kubectl prints it, in two units at most.
///
/// Source: Kubernetes v1.36 `apimachinery/pkg/util/duration/duration.go`, `HumanDuration`.
fn short(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let two = |large: i64, unit: &str, small: i64, small_unit: &str| match small {
        0 => format!("{large}{unit}"),
        small => format!("{large}{unit}{small}{small_unit}"),
    };
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1..0 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(hours / 24, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{}d", hours / 24),
        _ => two(hours / 24 / 365, "y", hours / 24 % 365, "d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_printed_as_kubectl_prints_them() {
        for (seconds, expected) in [
            (-5, "<invalid>"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (150, "2m30s"),
            (3_600, "60m"),
            (10_860, "3h1m"),
            (86_400, "24h"),
            (259_200, "3d"),
            (864_000, "10d"),
        ] {
            assert_eq!(short(SignedDuration::from_secs(seconds)), expected);
        }
    }
}
