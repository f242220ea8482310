//! From a HorizontalPodAutoscaler object to its [`Status`].

use jiff::Timestamp;
use serde_json::Value;

use super::{Condition, ConditionStatus, MetricStatus, MetricValue, Status};
use crate::spec::fields::{Fields, Findings, Names};
use crate::spec::{MetricIdentifier, ObjectRef, Problem, SpecError};

impl Status {
    /// The status of an autoscaling/v2 object, as an API server gives it; empty where it has none.
    ///
    /// # Errors
    /// Fields that are not what autoscaling/v2 has there, which no API server gives.
    pub fn from_stored(object: &Value) -> Result<Self, SpecError> {
        let findings = Findings::new(Names::Lenient);
        let fields = Fields::of(object, "", &findings);
        let status = read(&fields.object_or_empty("status"));
        let metadata = fields.object_or_empty("metadata");
        let text = |name| metadata.text(name).unwrap_or_default();
        let object = format!("HorizontalPodAutoscaler {}/{}", text("namespace"), text("name"));
        match findings.into_problems() {
            problems if problems.is_empty() => Ok(status),
            problems => Err(SpecError { object, problems }),
        }
    }
}

fn read(status: &Fields<'_>) -> Status {
    Status {
        observed_generation: status.long_count("observedGeneration"),
        last_scale_time: time(status, "lastScaleTime"),
        current_replicas: status.count("currentReplicas").unwrap_or(0),
        desired_replicas: status.count("desiredReplicas").unwrap_or(0),
        current_metrics: status
            .list("currentMetrics")
            .unwrap_or_default()
            .iter()
            .map(metric)
            .collect(),
        conditions: status
            .list("conditions")
            .unwrap_or_default()
            .iter()
            .map(condition)
            .collect(),
    }
}

fn time(fields: &Fields<'_>, name: &'static str) -> Option<Timestamp> {
    let time = fields.text(name)?;
    let read = time.parse().ok();
    if read.is_none() {
        fields.note(Problem::new(
            fields.path_of(name),
            Some(&time.into()),
            "a time as in RFC 3339",
        ));
    }
    read
}

fn text<'r>(fields: &Fields<'r>, name: &'static str) -> &'r str {
    fields.text(name).unwrap_or_default()
}

fn condition(fields: &Fields<'_>) -> Condition {
    Condition {
        kind: text(fields, "type").into(),
        status: match text(fields, "status") {
            "True" => ConditionStatus::True,
            "False" => ConditionStatus::False,
            _ => ConditionStatus::Unknown,
        },
        reason: text(fields, "reason").into(),
        message: text(fields, "message").into(),
        last_transition: time(fields, "lastTransitionTime"),
    }
}

/// An entry without a known type is the place that a failed metric left.
fn metric(fields: &Fields<'_>) -> MetricStatus {
    match text(fields, "type") {
        "Resource" => {
            let resource = fields.object_or_empty("resource");
            MetricStatus::Resource {
                name: text(&resource, "name").into(),
                current: current(&resource),
            }
        }
        "ContainerResource" => {
            let resource = fields.object_or_empty("containerResource");
            MetricStatus::ContainerResource {
                name: text(&resource, "name").into(),
                container: text(&resource, "container").into(),
                current: current(&resource),
            }
        }
        "Pods" => {
            let pods = fields.object_or_empty("pods");
            MetricStatus::Pods {
                metric: identifier(&pods),
                current: current(&pods),
            }
        }
        "Object" => {
            let object = fields.object_or_empty("object");
            let described = object.object_or_empty("describedObject");
            let described = ObjectRef {
                api_version: text(&described, "apiVersion").into(),
                kind: text(&described, "kind").into(),
                name: text(&described, "name").into(),
            };
            MetricStatus::Object {
                metric: identifier(&object),
                described,
                current: current(&object),
            }
        }
        "External" => {
            let external = fields.object_or_empty("external");
            MetricStatus::External {
                metric: identifier(&external),
                current: current(&external),
            }
        }
        _ => MetricStatus::Failed,
    }
}

fn identifier(source: &Fields<'_>) -> MetricIdentifier {
    let metric = source.object_or_empty("metric");
    MetricIdentifier::new(text(&metric, "name"), metric.value("selector").cloned())
}

fn current(source: &Fields<'_>) -> MetricValue {
    let current = source.object_or_empty("current");
    MetricValue {
        value: current.quantity("value"),
        average_value: current.quantity("averageValue"),
        average_utilization: current.count("averageUtilization"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_object_without_a_status_has_an_empty_one() {
        assert_eq!(
            Status::from_stored(&json!({"metadata": {"name": "web"}})).unwrap(),
            Status::default()
        );
    }

    #[test]
    fn every_misfit_is_told() {
        let object = json!({
            "metadata": {"name": "web", "namespace": "shop"},
            "status": {"currentReplicas": "1", "lastScaleTime": "noon", "conditions": {}},
        });
        let message = Status::from_stored(&object).unwrap_err().to_string();
        let expected = "HorizontalPodAutoscaler shop/web: \
            status.lastScaleTime: found \"noon\", want a time as in RFC 3339; \
            status.currentReplicas: found \"1\", want a whole number of 32 bits; \
            status.conditions: found {}, want a list";
        assert_eq!(message, expected);
    }
}
