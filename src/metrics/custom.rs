//! Custom metrics: values that adapters give for pods and other objects, as `custom.metrics.k8s.io` answers them.
//!
//! Decoding and joining are pure; [`CustomMetricsSource`] asks the API.

mod plan;
mod pods;
mod source;
mod version;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::decode::{DecodeError, ListKind, each_item};
use crate::observe::{FailureKind, MetricFailure, Pod, Reading};
use crate::quantity::{Milli, Quantity};
pub use plan::{CustomPlan, PodsMetric};
pub use pods::PodValues;
pub use source::{CustomMetricsSource, CustomPass, IsPod, ResourceName, group_of};

const LIST: ListKind = ListKind {
    kind: "MetricValueList",
    versions: &["custom.metrics.k8s.io/v1beta2", "custom.metrics.k8s.io/v1beta1"],
};

/// What a value covers where it does not say: Kubernetes' `metricServerDefaultMetricWindow`.
const DEFAULT_WINDOW: SignedDuration = SignedDuration::from_secs(60);

/// One value of a custom metric: a `MetricValue` of `v1beta2` or `v1beta1`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "RawValue")]
pub struct CustomValue {
    /// The kind of the object that the value is about.
    pub kind: Arc<str>,
    /// Its namespace; empty where it has none.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// The metric's name.
    pub metric: Arc<str>,
    /// The selector by which the metric was asked (a `LabelSelector` object), where the value repeats it.
    pub selector: Option<Value>,
    /// When it was measured; `None` where the value does not say.
    pub at: Option<Timestamp>,
    /// The time before `at` that it covers; a minute where the value does not say.
    pub window: SignedDuration,
    /// The value.
    pub value: Milli,
}

/// Both versions in one: `v1beta1` has the metric's name and selector, and the window, under other names.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawValue {
    described_object: RawObject,
    #[serde(default)]
    metric: Option<RawMetric>,
    #[serde(default)]
    metric_name: Option<Arc<str>>,
    #[serde(default)]
    selector: Option<Value>,
    #[serde(default)]
    timestamp: Option<Timestamp>,
    #[serde(default, alias = "window")]
    window_seconds: Option<i64>,
    value: Quantity,
}

#[derive(Deserialize)]
struct RawObject {
    #[serde(default)]
    kind: Arc<str>,
    #[serde(default)]
    namespace: Arc<str>,
    #[serde(default)]
    name: Arc<str>,
}

#[derive(Deserialize)]
struct RawMetric {
    #[serde(default)]
    name: Arc<str>,
    #[serde(default)]
    selector: Option<Value>,
}

impl From<RawValue> for CustomValue {
    fn from(raw: RawValue) -> Self {
        let metric = raw.metric.unwrap_or_else(|| RawMetric {
            name: raw.metric_name.unwrap_or_default(),
            selector: raw.selector,
        });
        Self {
            kind: raw.described_object.kind,
            namespace: raw.described_object.namespace,
            name: raw.described_object.name,
            metric: metric.name,
            selector: metric.selector,
            at: raw.timestamp,
            window: raw.window_seconds.map_or(DEFAULT_WINDOW, SignedDuration::from_secs),
            value: raw.value.milli(),
        }
    }
}

/// Reads a `MetricValueList` of `custom.metrics.k8s.io/v1beta2` or `v1beta1`.
///
/// # Errors
/// Where the text is not such a list, or one of its quantities or times cannot be read.
pub fn decode(text: &str) -> Result<Vec<CustomValue>, DecodeError> {
    let mut values = Vec::new();
    each_item(text, LIST, |value| values.push(value))?;
    Ok(values)
}

/// A Pods metric's reading: what the API answered for all pods of a selector, joined with these pods by name.
///
/// Of two values for one pod the last counts. Values of other names are samples of strangers, sorted by name.
/// Fails with [`FailureKind::Empty`] where there is no value.
///
/// Source: Kubernetes v1.36 `podautoscaler/metrics/client.go`, `GetRawMetric`.
pub fn pods_reading<'a>(values: impl IntoIterator<Item = &'a CustomValue>, pods: &[Pod]) -> Reading {
    values.into_iter().collect::<PodValues>().reading(pods)
}

/// An Object metric's reading: the one value that the API answered.
///
/// Fails with [`FailureKind::Empty`] where there is none and with [`FailureKind::BadAnswer`] where there are several.
///
/// Source: Kubernetes v1.36 `metrics/pkg/client/custom_metrics/versioned_client.go`, `GetForObject`.
pub fn object_reading<'a>(values: impl IntoIterator<Item = &'a CustomValue>) -> Reading {
    let mut values = values.into_iter();
    match (values.next(), values.count()) {
        (Some(value), 0) => Reading::Single(value.value),
        (None, _) => Reading::Failed(MetricFailure::new(
            FailureKind::Empty,
            "no metrics returned from custom metrics API",
        )),
        (Some(value), more) => Reading::Failed(MetricFailure::new(
            FailureKind::BadAnswer,
            format!(
                "the custom metrics API gave {} values of {} for one object",
                more + 1,
                value.metric
            ),
        )),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const V1BETA2: &str = r#"{"kind":"MetricValueList","apiVersion":"custom.metrics.k8s.io/v1beta2","metadata":{},"items":[
        {"describedObject":{"kind":"Pod","namespace":"shop","name":"web-1","apiVersion":"/v1"},
         "metric":{"name":"qps","selector":null},"timestamp":"2026-01-05T08:00:00Z","windowSeconds":30,"value":"1500m"}]}"#;
    const V1BETA1: &str = r#"{"kind":"MetricValueList","apiVersion":"custom.metrics.k8s.io/v1beta1","metadata":{},"items":[
        {"describedObject":{"kind":"Pod","namespace":"shop","name":"web-1","apiVersion":"/v1"},
         "metricName":"qps","timestamp":"2026-01-05T08:00:00Z","window":30,"value":"1500m","selector":null}]}"#;

    #[test]
    fn both_versions_say_the_same() {
        let values = decode(V1BETA2).unwrap();
        assert_eq!(values, decode(V1BETA1).unwrap());
        assert_eq!(
            (&*values[0].kind, &*values[0].name, &*values[0].metric),
            ("Pod", "web-1", "qps")
        );
        assert_eq!(
            (values[0].value, values[0].window),
            (Milli(1500), SignedDuration::from_secs(30))
        );
        assert_eq!(values[0].selector, None);
    }

    pub(in crate::metrics) fn value(name: &str, milli: i64) -> CustomValue {
        serde_json::from_value(serde_json::json!({
            "describedObject": {"kind": "Pod", "name": name}, "metric": {"name": "qps"}, "value": format!("{milli}m"),
        }))
        .unwrap()
    }

    pub(in crate::metrics) fn pod(name: &str) -> Pod {
        Pod {
            name: name.into(),
            phase: crate::observe::PodPhase::Running,
            terminating: false,
            ready: None,
            started: None,
            requests: Arc::default(),
        }
    }

    #[test]
    fn a_value_without_a_window_covers_a_minute() {
        assert_eq!(value("a", 1).window, SignedDuration::from_secs(60));
    }

    #[test]
    fn an_object_has_exactly_one_value() {
        let kind = |reading| match reading {
            Reading::Failed(failure) => Some(failure.kind),
            _ => None,
        };
        assert_eq!(object_reading(&[value("a", 7)]), Reading::Single(Milli(7)));
        assert_eq!(kind(object_reading(&[])), Some(FailureKind::Empty));
        assert_eq!(
            kind(object_reading(&[value("a", 7), value("a", 7)])),
            Some(FailureKind::BadAnswer)
        );
        assert_eq!(kind(pods_reading(&[], &[pod("a")])), Some(FailureKind::Empty));
    }
}
