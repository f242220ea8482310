//! An autoscaler's status, as Kubernetes stores it: what the last decision said, and what conclusions build on.

mod read;
mod text;

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use crate::quantity::Quantity;
use crate::spec::{MetricIdentifier, ObjectRef};

/// The status of a HorizontalPodAutoscaler, `autoscaling/v2`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The generation that the status is about; Kubernetes' controller never sets it.
    pub observed_generation: Option<i64>,
    /// When the count was last written.
    pub last_scale_time: Option<Timestamp>,
    /// The scale's spec.replicas before the last decision's write.
    pub current_replicas: i32,
    /// The count that the last decision wanted.
    pub desired_replicas: i32,
    /// One entry for each metric of the spec, in order; empty where none was evaluated.
    pub current_metrics: Vec<MetricStatus>,
    /// The conditions, in the order in which their types first appeared.
    pub conditions: Vec<Condition>,
}

impl Status {
    /// The condition of this type, where there is one.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|c| &*c.kind == kind)
    }
}

/// A condition of an autoscaler.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// The type, such as `AbleToScale`.
    #[serde(rename = "type")]
    pub kind: Arc<str>,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Why, in one word.
    pub reason: Arc<str>,
    /// Why, in a sentence.
    pub message: Arc<str>,
    /// When `status` last changed.
    pub last_transition: Option<Timestamp>,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Nobody knows.
    Unknown,
}

impl ConditionStatus {
    /// Kubernetes' word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// What the last decision saw of one metric.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum MetricStatus {
    /// The metric failed; Kubernetes leaves `{"type": ""}` in its place.
    Failed,
    /// A resource of the pods.
    Resource {
        /// The resource.
        name: Arc<str>,
        /// Its value.
        current: MetricValue,
    },
    /// A resource of one container in each pod.
    ContainerResource {
        /// The resource.
        name: Arc<str>,
        /// The container.
        container: Arc<str>,
        /// Its value.
        current: MetricValue,
    },
    /// A custom metric of the pods.
    Pods {
        /// Which metric.
        metric: MetricIdentifier,
        /// Its value.
        current: MetricValue,
    },
    /// A custom metric of another object.
    Object {
        /// Which metric.
        metric: MetricIdentifier,
        /// Whose.
        described: ObjectRef,
        /// Its value.
        current: MetricValue,
    },
    /// An external metric.
    External {
        /// Which metric.
        metric: MetricIdentifier,
        /// Its value.
        current: MetricValue,
    },
}

/// A metric's current value; which fields are set depends on its type and target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricValue {
    /// The value as a whole.
    pub value: Option<Quantity>,
    /// The average over the pods.
    pub average_value: Option<Quantity>,
    /// Percent of the pods' requests.
    pub average_utilization: Option<i32>,
}
