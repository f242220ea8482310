//! External metrics: values about what is outside of the cluster, as `external.metrics.k8s.io` answers them.
//!
//! Decoding and joining are pure; [`ExternalMetricsSource`] asks the API.

mod source;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;

use super::decode::{DecodeError, ListKind, each_item};
use crate::observe::{FailureKind, MetricFailure, Reading};
use crate::quantity::{Milli, Quantity};
pub use source::{ExternalMetricsSource, ExternalPass};

const LIST: ListKind = ListKind {
    kind: "ExternalMetricValueList",
    versions: &["external.metrics.k8s.io/v1beta1"],
};

/// One value of an external metric: an `ExternalMetricValue` of `v1beta1`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "RawValue")]
pub struct ExternalValue {
    /// The metric's name.
    pub metric: Arc<str>,
    /// The labels by which the metric's selector picks values.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// When it was measured; `None` where the value does not say.
    pub at: Option<Timestamp>,
    /// The value.
    pub value: Milli,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawValue {
    #[serde(default)]
    metric_name: Arc<str>,
    #[serde(default)]
    metric_labels: Option<BTreeMap<Arc<str>, Arc<str>>>,
    #[serde(default)]
    timestamp: Option<Timestamp>,
    value: Quantity,
}

impl From<RawValue> for ExternalValue {
    fn from(raw: RawValue) -> Self {
        Self {
            metric: raw.metric_name,
            labels: raw.metric_labels.unwrap_or_default(),
            at: raw.timestamp,
            value: raw.value.milli(),
        }
    }
}

/// Reads an `ExternalMetricValueList` of `external.metrics.k8s.io/v1beta1`.
///
/// # Errors
/// Where the text is not such a list, or one of its quantities or times cannot be read.
pub fn decode(text: &str) -> Result<Vec<ExternalValue>, DecodeError> {
    let mut values = Vec::new();
    each_item(text, LIST, |value| values.push(value))?;
    Ok(values)
}

/// An External metric's reading: every value that the API answered.
///
/// Fails with [`FailureKind::Empty`] where there is none.
///
/// Source: Kubernetes v1.36 `podautoscaler/metrics/client.go`, `GetExternalMetric`.
pub fn reading<'a>(values: impl IntoIterator<Item = &'a ExternalValue>) -> Reading {
    let values: Vec<Milli> = values.into_iter().map(|value| value.value).collect();
    if values.is_empty() {
        return Reading::Failed(MetricFailure::new(
            FailureKind::Empty,
            "no metrics returned from external metrics API",
        ));
    }
    Reading::Several(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_of_the_list_counts() {
        let text = r#"{"kind":"ExternalMetricValueList","apiVersion":"external.metrics.k8s.io/v1beta1","metadata":{},"items":[
            {"metricName":"queue","metricLabels":{"q":"x"},"timestamp":"2026-01-05T08:00:00Z","window":30,"value":"42"},
            {"metricName":"queue","metricLabels":null,"timestamp":"2026-01-05T08:00:00Z","value":"-500m"}]}"#;
        let values = decode(text).unwrap();
        assert_eq!(values[0].labels.get("q").map(|v| &**v), Some("x"));
        assert_eq!(reading(&values), Reading::Several(vec![Milli(42_000), Milli(-500)]));
    }

    #[test]
    fn no_value_is_a_failure() {
        let Reading::Failed(failure) = reading(&[]) else {
            panic!()
        };
        assert_eq!(failure.kind, FailureKind::Empty);
    }
}
