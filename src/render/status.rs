//! A status in the JSON that Kubernetes stores.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::observe::{Condition, MetricStatus, MetricValue, Status};
use crate::spec::{MetricIdentifier, ObjectRef};

/// The status of an autoscaling/v2 object.
///
/// What is not set is left out; `currentMetrics` is null where there are none, and a failed metric's entry is
/// `{"type": ""}`. Times are cut to whole seconds, since Kubernetes keeps no finer ones.
pub fn to_json(status: &Status) -> Value {
    let metrics: Vec<Value> = status.current_metrics.iter().map(metric).collect();
    let mut json = object([
        ("observedGeneration", status.observed_generation.map(Value::from)),
        ("lastScaleTime", status.last_scale_time.map(time)),
        ("currentReplicas", Some(status.current_replicas.into())),
        ("desiredReplicas", Some(status.desired_replicas.into())),
        (
            "currentMetrics",
            Some(if metrics.is_empty() {
                Value::Null
            } else {
                metrics.into()
            }),
        ),
    ]);
    if !status.conditions.is_empty() {
        json["conditions"] = status.conditions.iter().map(condition).collect();
    }
    json
}

fn object<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let fields = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(fields.collect::<Map<_, _>>())
}

fn time(at: Timestamp) -> Value {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string().into()
}

fn text(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| text.into())
}

fn condition(condition: &Condition) -> Value {
    object([
        ("type", Some((*condition.kind).into())),
        ("status", Some(condition.status.as_str().into())),
        ("lastTransitionTime", condition.last_transition.map(time)),
        ("reason", text(&condition.reason)),
        ("message", text(&condition.message)),
    ])
}

fn metric(status: &MetricStatus) -> Value {
    match status {
        MetricStatus::Failed => json!({"type": ""}),
        MetricStatus::Resource { name, current } => json!({
            "type": "Resource", "resource": {"name": name, "current": value(current)},
        }),
        MetricStatus::ContainerResource {
            name,
            container,
            current,
        } => json!({
            "type": "ContainerResource",
            "containerResource": {"name": name, "container": container, "current": value(current)},
        }),
        MetricStatus::Pods { metric, current } => json!({
            "type": "Pods", "pods": {"metric": identifier(metric), "current": value(current)},
        }),
        MetricStatus::Object {
            metric,
            described,
            current,
        } => json!({
            "type": "Object",
            "object": {"metric": identifier(metric), "describedObject": reference(described), "current": value(current)},
        }),
        MetricStatus::External { metric, current } => json!({
            "type": "External", "external": {"metric": identifier(metric), "current": value(current)},
        }),
    }
}

fn value(current: &MetricValue) -> Value {
    object([
        ("value", current.value.map(|q| q.to_string().into())),
        ("averageValue", current.average_value.map(|q| q.to_string().into())),
        ("averageUtilization", current.average_utilization.map(Value::from)),
    ])
}

fn identifier(metric: &MetricIdentifier) -> Value {
    object([
        ("name", Some((*metric.name).into())),
        ("selector", metric.written.as_deref().cloned()),
    ])
}

fn reference(described: &ObjectRef) -> Value {
    object([
        ("kind", Some((*described.kind).into())),
        ("name", Some((*described.name).into())),
        ("apiVersion", text(&described.api_version)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As kube-controller-manager v1.36.3 wrote it, but for the messages.
    fn stored() -> Value {
        json!({
            "observedGeneration": 3, "lastScaleTime": "2026-01-05T08:00:33Z", "currentReplicas": 3, "desiredReplicas": 6,
            "currentMetrics": [
                {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 90, "averageValue": "450m"}}},
                {"type": ""},
                {"type": "ContainerResource", "containerResource": {
                    "name": "memory", "container": "app", "current": {"averageValue": "150Mi"}}},
                {"type": "Pods", "pods": {
                    "metric": {"name": "qps", "selector": {"matchLabels": {"a": "b"}}}, "current": {"averageValue": "5k"}}},
                {"type": "Object", "object": {
                    "metric": {"name": "load"}, "describedObject": {"kind": "Service", "name": "s", "apiVersion": "v1"},
                    "current": {"value": "1500m"}}},
                {"type": "External", "external": {"metric": {"name": "queue"}, "current": {"averageValue": "55"}}},
            ],
            "conditions": [{"type": "AbleToScale", "status": "True", "lastTransitionTime": "2026-01-05T08:00:18Z",
                "reason": "SucceededRescale", "message": "m"}],
        })
    }

    #[test]
    fn what_is_stored_is_read_and_written_the_same() {
        let status = Status::from_stored(&json!({"status": stored()})).unwrap();
        assert_eq!(status.current_metrics.len(), 6);
        assert_eq!(to_json(&status), stored());
    }

    #[test]
    fn nothing_is_said_of_what_is_not_set() {
        let expected = json!({"currentReplicas": 0, "desiredReplicas": 0, "currentMetrics": null});
        assert_eq!(to_json(&Status::default()), expected);
    }

    #[test]
    fn times_are_cut_to_whole_seconds() {
        let at = "2026-01-05T08:00:33.987Z".parse().unwrap();
        let status = Status {
            last_scale_time: Some(at),
            ..Status::default()
        };
        assert_eq!(to_json(&status)["lastScaleTime"], "2026-01-05T08:00:33Z");
    }
}
