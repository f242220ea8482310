//! What the user wants of one autoscaler: its [`Spec`], valid by construction.
//!
//! A `Spec` is made once per generation of an object, by [`Spec::from_stored`] or [`Spec::from_manifest`], which fill in
//! defaults and validate as kube-apiserver does.

mod annotations;
mod defaults;
pub(crate) mod fields;
mod hpa;
mod print;
mod problem;
mod resolve;
mod v1;
mod v2;
mod v2beta1;
mod validate;
mod written;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::quantity::{Milli, Tolerance};
use crate::selector::Selector;
pub use hpa::ManifestOptions;
pub use problem::{Problem, SpecError};

/// An autoscaler's identity: its namespace and name. Prints as `namespace/name`.
///
/// All that is remembered about an autoscaler is kept under this key, not under its UID, as in Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// The namespace of the autoscaler, of its scale target and of its pods.
    pub namespace: Arc<str>,
    /// The name of the autoscaler.
    pub name: Arc<str>,
}

impl Key {
    /// The key of the autoscaler `name` in `namespace`.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// An autoscaler's whole wish, with every default filled in.
///
/// Holds what the validation of Kubernetes v1.36 allows; `min_replicas <= max_replicas`, and `metrics` is never empty.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// Whose wish this is.
    pub key: Key,
    /// The workload whose count is set.
    pub scale_target: ObjectRef,
    /// The lowest count: 1 unless said; 0 only with the HPAScaleToZero gate or where it was stored.
    pub min_replicas: i32,
    /// The highest count, at least 1.
    pub max_replicas: i32,
    /// What to hold, in the object's order.
    pub metrics: Vec<MetricSpec>,
    /// `None`: Kubernetes' older normalization (one window, one limit) applies.
    pub behavior: Option<Behavior>,
}

impl Spec {
    /// Whether a metric does not need pods, so that it can bring a workload back from zero replicas.
    pub fn has_object_or_external_metric(&self) -> bool {
        self.metrics
            .iter()
            .any(|m| matches!(m.source, MetricSource::Object { .. } | MetricSource::External { .. }))
    }
}

/// A reference to an object of the autoscaler's namespace, as written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// `group/version`, or `version` for the core group; may not parse (a sync then fails, as in Kubernetes).
    pub api_version: Arc<str>,
    /// The kind, as written.
    pub kind: Arc<str>,
    /// The object's name.
    pub name: Arc<str>,
}

/// One metric and the value to hold it at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MetricSpec {
    /// Where the metric comes from.
    pub source: MetricSource,
    /// The value to hold.
    pub target: MetricTarget,
}

/// The five kinds of metric that Kubernetes knows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum MetricSource {
    /// A resource of the pods, all containers together.
    Resource {
        /// `cpu`, `memory`, or whatever the metrics server answers for.
        name: Arc<str>,
    },
    /// A resource of one container in each pod.
    ContainerResource {
        /// The resource.
        name: Arc<str>,
        /// The container.
        container: Arc<str>,
    },
    /// A custom metric of each pod.
    Pods {
        /// Which metric.
        metric: MetricIdentifier,
    },
    /// A custom metric of one other object of the namespace.
    Object {
        /// Whose metric.
        described: ObjectRef,
        /// Which metric.
        metric: MetricIdentifier,
    },
    /// A metric of something outside of the cluster.
    External {
        /// Which metric.
        metric: MetricIdentifier,
    },
}

impl MetricSource {
    /// The name that Kubernetes gives the kind in `type`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Resource { .. } => "Resource",
            Self::ContainerResource { .. } => "ContainerResource",
            Self::Pods { .. } => "Pods",
            Self::Object { .. } => "Object",
            Self::External { .. } => "External",
        }
    }
}

/// A custom or external metric's name and selector.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MetricIdentifier {
    /// The metric's name.
    pub name: Arc<str>,
    /// The selector as written (a `LabelSelector` object), which the status repeats; `None` where absent.
    pub written: Option<Arc<serde_json::Value>>,
    /// The selector to ask with: everything where absent; the text of what is wrong where it does not convert, which
    /// fails the metric at each sync, as in Kubernetes.
    pub selector: Result<Selector, String>,
}

impl MetricIdentifier {
    /// The metric `name`, with the selector as written.
    pub(crate) fn new(name: &str, written: Option<serde_json::Value>) -> Self {
        let selector = match &written {
            None => Ok(Selector::everything()),
            Some(written) => Selector::from_label_selector(written).map_err(|e| e.to_string()),
        };
        Self {
            name: name.into(),
            written: written.map(Arc::new),
            selector,
        }
    }
}

/// The value to hold a metric at, already settled between the fields that an HPA may set.
///
/// Source: Kubernetes v1.36 `horizontal.go`, `computeStatusFor…Metric`: which field wins differs by metric type.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum MetricTarget {
    /// Percent of the pods' requests, at least 1.
    Utilization(i32),
    /// The value that each pod should have on average.
    AverageValue(Milli),
    /// The value as a whole.
    Value(Milli),
    /// What is set does not fit `type`: the metric fails at each sync (Object metrics only).
    Mismatched,
}

/// How fast the count may change, and how long recommendations count, each way.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Behavior {
    /// Rules for a growing count.
    pub scale_up: ScalingRules,
    /// Rules for a falling count.
    pub scale_down: ScalingRules,
}

/// One direction's scaling rules.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScalingRules {
    /// The stabilization window, 0 to 3600 s. `None` (scale down only): the controller's downscale stabilization.
    pub stabilization_window_seconds: Option<i32>,
    /// Which of the policies' limits holds.
    pub select_policy: SelectPolicy,
    /// The scaling policies, at least one.
    pub policies: Vec<ScalingPolicy>,
    /// How far the usage ratio may be from 1 in this direction; `None`: the controller's tolerance.
    pub tolerance: Option<Tolerance>,
}

impl ScalingRules {
    /// The longest period of the policies, in seconds: older scale events count no more.
    pub fn longest_period_seconds(&self) -> i32 {
        self.policies.iter().map(|p| p.period_seconds).max().unwrap_or(0)
    }
}

/// Which policy's limit holds when there are several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum SelectPolicy {
    /// The one that allows the largest change.
    Max,
    /// The one that allows the smallest change.
    Min,
    /// No change in this direction.
    Disabled,
}

/// One rate rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScalingPolicy {
    /// What `value` counts.
    pub kind: PolicyKind,
    /// Pods or percent, above 0, without an upper bound.
    pub value: i32,
    /// The time that the value is for, 1 to 1800 s.
    pub period_seconds: i32,
}

/// What a scaling policy's value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum PolicyKind {
    /// Pods.
    Pods,
    /// Percent of the count at the period's start.
    Percent,
}
