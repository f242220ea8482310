//! From the text of a status to a [`Status`], without a tree of values in between: each status that we write comes back.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{Condition, ConditionStatus, MetricStatus, MetricValue, Status};
use crate::quantity::Quantity;
use crate::spec::{MetricIdentifier, ObjectRef};

impl Status {
    /// The status that stands as JSON in `text`, as [`from_stored`](Self::from_stored) reads it where nothing is wrong.
    ///
    /// # Errors
    /// Where a field is not what autoscaling/v2 has there.
    pub fn from_text(text: &str) -> Result<Self, serde_json::Error> {
        let read: Option<ReadStatus<'_>> = serde_json::from_str(text)?;
        Ok(read.unwrap_or_default().into())
    }
}

/// Null is absent everywhere.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ReadStatus<'a> {
    observed_generation: Option<i64>,
    last_scale_time: Option<Timestamp>,
    current_replicas: Option<i32>,
    desired_replicas: Option<i32>,
    #[serde(borrow)]
    current_metrics: Option<Vec<Option<ReadMetric<'a>>>>,
    #[serde(borrow)]
    conditions: Option<Vec<Option<ReadCondition<'a>>>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ReadCondition<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    status: Text<'a>,
    #[serde(borrow)]
    reason: Text<'a>,
    #[serde(borrow)]
    message: Text<'a>,
    last_transition_time: Option<Timestamp>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ReadMetric<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    resource: Option<ReadSource<'a>>,
    #[serde(borrow)]
    container_resource: Option<ReadSource<'a>>,
    #[serde(borrow)]
    pods: Option<ReadSource<'a>>,
    #[serde(borrow)]
    object: Option<ReadSource<'a>>,
    #[serde(borrow)]
    external: Option<ReadSource<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ReadSource<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    container: Text<'a>,
    #[serde(borrow)]
    metric: Option<ReadIdentifier<'a>>,
    #[serde(borrow)]
    described_object: Option<ReadReference<'a>>,
    current: Option<ReadValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ReadIdentifier<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    selector: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ReadReference<'a> {
    #[serde(borrow)]
    api_version: Text<'a>,
    #[serde(borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ReadValue {
    value: Option<Quantity>,
    average_value: Option<Quantity>,
    average_utilization: Option<i32>,
}

/// A text, empty where it is absent.
#[derive(Default, Deserialize)]
struct Text<'a>(#[serde(borrow)] Option<Borrowed<'a>>);

/// Borrowed where nothing in it is escaped.
#[derive(Deserialize)]
struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);

impl Text<'_> {
    fn get(&self) -> &str {
        self.0.as_ref().map_or("", |text| &text.0)
    }
}

impl From<ReadStatus<'_>> for Status {
    fn from(read: ReadStatus<'_>) -> Self {
        let metrics = read.current_metrics.into_iter().flatten();
        let conditions = read.conditions.into_iter().flatten();
        Self {
            observed_generation: read.observed_generation,
            last_scale_time: read.last_scale_time,
            current_replicas: read.current_replicas.unwrap_or(0),
            desired_replicas: read.desired_replicas.unwrap_or(0),
            current_metrics: metrics.map(|metric| metric.unwrap_or_default().into()).collect(),
            conditions: conditions
                .map(|condition| condition.unwrap_or_default().into())
                .collect(),
        }
    }
}

impl From<ReadCondition<'_>> for Condition {
    fn from(read: ReadCondition<'_>) -> Self {
        Self {
            kind: read.kind.get().into(),
            status: match read.status.get() {
                "True" => ConditionStatus::True,
                "False" => ConditionStatus::False,
                _ => ConditionStatus::Unknown,
            },
            reason: read.reason.get().into(),
            message: read.message.get().into(),
            last_transition: read.last_transition_time,
        }
    }
}

/// An entry without a known type is the place that a failed metric left.
impl From<ReadMetric<'_>> for MetricStatus {
    fn from(read: ReadMetric<'_>) -> Self {
        let kind = read.kind.get();
        let source = match kind {
            "Resource" => read.resource,
            "ContainerResource" => read.container_resource,
            "Pods" => read.pods,
            "Object" => read.object,
            "External" => read.external,
            _ => return Self::Failed,
        };
        let source = source.unwrap_or_default();
        let value = source.current.unwrap_or_default();
        let current = MetricValue {
            value: value.value,
            average_value: value.average_value,
            average_utilization: value.average_utilization,
        };
        let name = source.name.get();
        let metric = || {
            let metric = source.metric.unwrap_or_default();
            MetricIdentifier::new(metric.name.get(), metric.selector)
        };
        match kind {
            "Resource" => Self::Resource {
                name: name.into(),
                current,
            },
            "ContainerResource" => Self::ContainerResource {
                name: name.into(),
                container: source.container.get().into(),
                current,
            },
            "Pods" => Self::Pods {
                metric: metric(),
                current,
            },
            "Object" => {
                let described = source.described_object.unwrap_or_default();
                Self::Object {
                    described: ObjectRef {
                        api_version: described.api_version.get().into(),
                        kind: described.kind.get().into(),
                        name: described.name.get().into(),
                    },
                    metric: metric(),
                    current,
                }
            }
            _ => Self::External {
                metric: metric(),
                current,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_is_read_as_its_tree_is() {
        let metrics = json!([
            {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 90, "averageValue": "450m"}}},
            {"type": "ContainerResource", "containerResource": {"name": "memory", "container": "app", "current": {"averageValue": "150Mi"}}},
            {"type": "Pods", "pods": {"metric": {"name": "q\"ps", "selector": {"matchLabels": {"a": "b"}}}, "current": {"averageValue": "5k"}}},
            {"type": "Object", "object": {"metric": {"name": "load", "selector": null}, "current": {"value": "1500m"},
                "describedObject": {"kind": "Service", "name": "s", "apiVersion": "v1"}}},
            {"type": "External", "external": {"metric": {"name": "queue"}, "current": {"averageValue": "55"}}},
            {"type": ""}, {"type": "External", "external": null}, {"type": "Object", "object": {}}, {"type": null}, null, {"type": "Later"},
        ]);
        let conditions = json!([
            {"type": "AbleToScale", "status": "True", "lastTransitionTime": "2026-01-05T08:00:18Z", "reason": "R", "message": "a \u{e4} \"b\""},
            {"type": "ScalingActive", "status": "False", "lastTransitionTime": null}, {"status": "Unknown"}, null,
        ]);
        for status in [
            json!({"currentReplicas": 3, "desiredReplicas": 6, "observedGeneration": 3, "lastScaleTime": "2026-01-05T08:00:33Z",
                "currentMetrics": metrics, "conditions": conditions, "later": {"x": [1]}}),
            json!({"currentReplicas": null, "currentMetrics": null, "conditions": null}),
            json!({}),
            Value::Null,
        ] {
            let tree = Status::from_stored(&json!({"status": status})).unwrap();
            assert_eq!(Status::from_text(&status.to_string()).unwrap(), tree, "{status}");
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error_here_and_there() {
        for status in [
            json!({"currentReplicas": "1"}),
            json!({"lastScaleTime": "noon"}),
            json!({"conditions": {}}),
            json!({"conditions": [{"type": 1}]}),
            json!({"currentMetrics": [{"type": "Pods", "pods": {"current": {"value": "x"}}}]}),
        ] {
            assert!(Status::from_stored(&json!({"status": status})).is_err(), "{status}");
            assert!(Status::from_text(&status.to_string()).is_err(), "{status}");
        }
    }
}
