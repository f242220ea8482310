//! A status in the JSON that Kubernetes stores.

use jiff::Timestamp;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Value;

use crate::observe::{Condition, MetricStatus, MetricValue, Status};
use crate::spec::{MetricIdentifier, ObjectRef};

/// The status of an autoscaling/v2 object.
///
/// What is not set is left out; `currentMetrics` is null where there are none, and a failed metric's entry is
/// `{"type": ""}`. Times are cut to whole seconds, since Kubernetes keeps no finer ones.
pub fn to_json(status: &Status) -> Value {
    let stored = Stored {
        status,
        unset: Unset::LeftOut,
    };
    serde_json::to_value(stored).expect("text, numbers and JSON values become JSON")
}

/// A status as it is stored, to be written without a tree of values in between.
pub struct Stored<'a> {
    /// The status.
    pub status: &'a Status,
    /// What becomes of its own fields that are not set.
    pub unset: Unset,
}

/// What is said of a field that is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unset {
    /// Nothing.
    LeftOut,
    /// That it is null: a merge patch leaves alone what it does not name.
    Null,
}

impl Serialize for Stored<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { status, unset } = self;
        let metrics = (!status.current_metrics.is_empty()).then_some(List(&status.current_metrics));
        let conditions = (!status.conditions.is_empty()).then_some(List(&status.conditions));
        let mut map = Object(serializer.serialize_map(None)?, *unset);
        map.field("observedGeneration", status.observed_generation)?;
        map.field("lastScaleTime", status.last_scale_time.map(Seconds))?;
        map.field("currentReplicas", Some(status.current_replicas))?;
        map.field("desiredReplicas", Some(status.desired_replicas))?;
        map.field("currentMetrics", Some(metrics))?;
        map.field("conditions", conditions)?;
        map.0.end()
    }
}

/// An object that is being written.
struct Object<M>(M, Unset);

impl<M: SerializeMap> Object<M> {
    fn field(&mut self, name: &'static str, value: Option<impl Serialize>) -> Result<(), M::Error> {
        match (value, self.1) {
            (None, Unset::LeftOut) => Ok(()),
            (value, _) => self.0.serialize_entry(name, &value),
        }
    }
}

fn object<S: Serializer>(serializer: S) -> Result<Object<S::SerializeMap>, S::Error> {
    Ok(Object(serializer.serialize_map(None)?, Unset::LeftOut))
}

struct List<'a, T>(&'a [T]);

/// Something in the form in which it is stored, which is not the one that traces have.
struct As<'a, T>(&'a T);

impl<'a, T> Serialize for List<'a, T>
where
    As<'a, T>: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for item in self.0 {
            list.serialize_element(&As(item))?;
        }
        list.end()
    }
}

/// A time without its fraction.
struct Seconds(Timestamp);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Timestamp::from_second(self.0.as_second()).unwrap_or(self.0))
    }
}

fn text(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

impl Serialize for As<'_, Condition> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = object(serializer)?;
        map.field("type", Some(&*self.0.kind))?;
        map.field("status", Some(self.0.status.as_str()))?;
        map.field("lastTransitionTime", self.0.last_transition.map(Seconds))?;
        map.field("reason", text(&self.0.reason))?;
        map.field("message", text(&self.0.message))?;
        map.0.end()
    }
}

impl Serialize for As<'_, MetricStatus> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (kind, field) = match self.0 {
            MetricStatus::Failed => ("", ""),
            MetricStatus::Resource { .. } => ("Resource", "resource"),
            MetricStatus::ContainerResource { .. } => ("ContainerResource", "containerResource"),
            MetricStatus::Pods { .. } => ("Pods", "pods"),
            MetricStatus::Object { .. } => ("Object", "object"),
            MetricStatus::External { .. } => ("External", "external"),
        };
        let mut map = object(serializer)?;
        map.field("type", Some(kind))?;
        if !field.is_empty() {
            map.field(field, Some(Source(self.0)))?;
        }
        map.0.end()
    }
}

/// What stands under the name of a metric's kind.
struct Source<'a>(&'a MetricStatus);

impl Serialize for Source<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = object(serializer)?;
        let current = match self.0 {
            MetricStatus::Failed => None,
            MetricStatus::Resource { name, current } => {
                map.field("name", Some(&**name))?;
                Some(current)
            }
            MetricStatus::ContainerResource {
                name,
                container,
                current,
            } => {
                map.field("name", Some(&**name))?;
                map.field("container", Some(&**container))?;
                Some(current)
            }
            MetricStatus::Object {
                metric,
                described,
                current,
            } => {
                map.field("metric", Some(As(metric)))?;
                map.field("describedObject", Some(As(described)))?;
                Some(current)
            }
            MetricStatus::Pods { metric, current } | MetricStatus::External { metric, current } => {
                map.field("metric", Some(As(metric)))?;
                Some(current)
            }
        };
        map.field("current", current.map(As))?;
        map.0.end()
    }
}

impl Serialize for As<'_, MetricValue> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = object(serializer)?;
        map.field("value", self.0.value)?;
        map.field("averageValue", self.0.average_value)?;
        map.field("averageUtilization", self.0.average_utilization)?;
        map.0.end()
    }
}

impl Serialize for As<'_, MetricIdentifier> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = object(serializer)?;
        map.field("name", Some(&*self.0.name))?;
        map.field("selector", self.0.written.as_deref())?;
        map.0.end()
    }
}

impl Serialize for As<'_, ObjectRef> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = object(serializer)?;
        map.field("kind", Some(&*self.0.kind))?;
        map.field("name", Some(&*self.0.name))?;
        map.field("apiVersion", text(&self.0.api_version))?;
        map.0.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
    fn what_a_patch_does_not_set_is_null() {
        let stored = |status, unset| serde_json::to_value(Stored { status, unset }).unwrap();
        let none = Status::default();
        let expected = json!({
            "observedGeneration": null, "lastScaleTime": null, "currentReplicas": 0, "desiredReplicas": 0,
            "currentMetrics": null, "conditions": null,
        });
        assert_eq!(stored(&none, Unset::Null), expected);
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
