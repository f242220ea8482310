//! The scenario file: Kubernetes objects over virtual time, and the decisions that are expected.
//!
//! `tests/conformance/FORMAT.md` describes it. Objects stay as raw text until they are applied, so that a mistake in
//! one is reported with its line and column.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::decide::Settings;
use crate::duration;
use crate::memory::Memory;

/// A scenario file's content. Borrows the file's text.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario<'a> {
    /// Family and seed, or whatever tells it from others.
    pub name: String,
    /// What it is about.
    #[serde(default)]
    pub about: String,
    /// Who took the expected decisions.
    #[serde(default)]
    pub oracle: String,
    /// The controller's settings.
    pub controller: Controller,
    /// The virtual time of the first step.
    pub start: Timestamp,
    /// What happens, in order.
    #[serde(borrow)]
    pub steps: Vec<Step<'a>>,
    /// In a snapshot: what the controller remembers of the one autoscaler.
    #[serde(default)]
    pub memory: Option<Memory>,
}

/// The controller's settings, by the names of kube-controller-manager's flags.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Controller {
    /// The time between two syncs; steps say their own time, so that it decides nothing here.
    #[serde(deserialize_with = "go_duration")]
    pub sync_period: SignedDuration,
    /// The legacy window.
    #[serde(deserialize_with = "go_duration")]
    pub downscale_stabilization: SignedDuration,
    /// The band around a usage ratio of 1.
    pub tolerance: f64,
    /// How long a pod counts as young.
    #[serde(deserialize_with = "go_duration")]
    pub cpu_initialization_period: SignedDuration,
    /// How long a pod may take to its first readiness.
    #[serde(deserialize_with = "go_duration")]
    pub initial_readiness_delay: SignedDuration,
    /// Those that differ from Kubernetes' defaults.
    #[serde(default)]
    pub feature_gates: BTreeMap<String, bool>,
}

impl Controller {
    /// The settings of decisions.
    ///
    /// # Errors
    /// The name of a feature gate that says nothing about autoscaling.
    pub fn settings(&self) -> Result<Settings, String> {
        let mut settings = Settings {
            downscale_stabilization: self.downscale_stabilization,
            tolerance: self.tolerance,
            cpu_initialization_period: self.cpu_initialization_period,
            initial_readiness_delay: self.initial_readiness_delay,
            ..Settings::default()
        };
        for (gate, on) in &self.feature_gates {
            match gate.as_str() {
                "HPAScaleToZero" => settings.scale_to_zero = *on,
                "HPAConfigurableTolerance" => settings.configurable_tolerance = *on,
                "PodLevelResources" => settings.pod_level_resources = *on,
                other => return Err(other.to_owned()),
            }
        }
        Ok(settings)
    }
}

/// The cluster's changes before one sync of every autoscaler, and what that sync should do.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Step<'a> {
    /// Time since the start.
    #[serde(deserialize_with = "go_duration")]
    pub at: SignedDuration,
    /// HorizontalPodAutoscalers and Pods that appear or change.
    #[serde(borrow)]
    pub apply: Vec<&'a RawValue>,
    /// Those that go.
    pub remove: Vec<Reference>,
    /// Scales that appear or change.
    pub scales: Vec<TargetScale>,
    /// From now on, all that metrics.k8s.io has.
    #[serde(borrow)]
    pub pod_metrics: Option<&'a RawValue>,
    /// From now on, all that custom.metrics.k8s.io has.
    #[serde(borrow)]
    pub custom_metrics: Option<Vec<&'a RawValue>>,
    /// From now on, all that external.metrics.k8s.io has.
    pub external_metrics: Option<Vec<ExternalValue>>,
    /// From now on, what fails, with which message.
    pub failing: Option<BTreeMap<String, String>>,
    /// By autoscaler, what the sync should do.
    pub expect: BTreeMap<String, Expectation>,
}

/// An object by kind and name.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// `Pod` or `HorizontalPodAutoscaler`.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A scale target's scale.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetScale {
    /// Whose scale.
    pub target: Target,
    /// The scale.
    pub scale: ScaleObject,
}

/// A workload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Target {
    /// Group and version.
    pub api_version: String,
    /// The kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// `autoscaling/v1` Scale.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ScaleObject {
    /// What is asked for.
    pub spec: ScaleSpec,
    /// What there is.
    pub status: ScaleStatus,
}

/// A scale's spec.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScaleSpec {
    /// The count asked for; absent means 0.
    pub replicas: i32,
}

/// A scale's status.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScaleStatus {
    /// The count there is.
    pub replicas: i32,
    /// The pods' selector, as text.
    pub selector: String,
}

/// `external.metrics.k8s.io/v1beta1` ExternalMetricValue, with its namespace.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalValue {
    /// Where it is asked for.
    pub namespace: String,
    /// The metric.
    pub metric_name: String,
    /// Its labels.
    #[serde(default)]
    pub metric_labels: BTreeMap<String, String>,
    /// In a snapshot: the selector that the API was asked with, a LabelSelector. It answers that one, whatever the labels.
    #[serde(default)]
    pub selector: Option<Value>,
    /// The value.
    pub value: crate::quantity::Quantity,
}

impl ExternalValue {
    /// The value as the metrics API answers it.
    pub(super) fn as_answered(&self) -> crate::metrics::external::ExternalValue {
        crate::metrics::external::ExternalValue {
            metric: self.metric_name.as_str().into(),
            labels: self
                .metric_labels
                .iter()
                .map(|(k, v)| (k.as_str().into(), v.as_str().into()))
                .collect(),
            at: None,
            value: self.value.milli(),
        }
    }
}

/// What one sync of one autoscaler should do.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Expectation {
    /// The count that is written to the scale, if any.
    pub scaled_to: Option<i32>,
    /// The status after the sync, in Kubernetes' shape; `None`: as after the step before.
    pub status: Option<Value>,
    /// The Events, in order.
    pub events: Vec<ExpectedEvent>,
}

/// An Event by type and reason.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedEvent {
    /// `Normal` or `Warning`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The reason.
    pub reason: String,
}

fn go_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SignedDuration, D::Error> {
    let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
    duration::parse(&text)
        .ok_or_else(|| serde::de::Error::custom(format_args!("{text:?} is no duration; write it as in 15s, 5m0s")))
}

/// Why a scenario file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The text is not of the format.
    #[error("line {line}, column {column}: {problem}")]
    At {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
        /// What is wrong there.
        problem: String,
    },
}

impl<'a> Scenario<'a> {
    /// Reads a scenario from a file's text.
    ///
    /// # Errors
    /// What does not fit the format, with line and column.
    pub fn parse(text: &'a str) -> Result<Self, ScenarioError> {
        serde_json::from_str(text).map_err(|e| {
            let full = e.to_string();
            // serde_json adds the place to its text; it is given apart.
            let problem = full
                .rsplit_once(" at line ")
                .map_or(full.as_str(), |(problem, _)| problem)
                .to_owned();
            ScenarioError::At {
                line: e.line(),
                column: e.column(),
                problem,
            }
        })
    }
}

/// An error in a part of a scenario's text that was left raw, at the part's own place.
pub(super) fn error_in(text: &str, part: &RawValue, problem: String) -> ScenarioError {
    // `part` borrows from `text`; where it does not, the place is the text's start.
    let offset = (part.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    let before = text.get(..offset).unwrap_or("");
    let line = before.matches('\n').count() + 1;
    let column = before.len() - before.rfind('\n').map_or(0, |i| i + 1) + 1;
    ScenarioError::At { line, column, problem }
}
