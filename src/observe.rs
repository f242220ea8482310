//! What one sync of one autoscaler sees: an [`Observation`], with each way in which something can be missing.
//!
//! Types only. Whoever reads a cluster, a scenario file or a snapshot fills them in.

pub mod status;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::quantity::Milli;
use crate::spec::Key;
pub use status::{Condition, ConditionStatus, MetricStatus, MetricValue, Status};

/// Everything that one decision is made from, apart from the spec, the memory and the time.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Observation {
    /// The autoscaler's own status, as the API server has it.
    pub status: Status,
    /// The scale target's scale.
    pub scale: Result<Scale, ScaleFailure>,
    /// The pods that the scale's selector picks, or why it picks none. Not read where
    /// [`decide::asks_metrics`](crate::decide::asks_metrics) says no: leave it `Ok` and empty then.
    pub pods: Result<Pods, SelectorFailure>,
    /// One reading for each metric of the spec, in the same order; empty where no metric is asked.
    pub readings: Vec<Reading>,
}

/// Pods sorted by name. Where they are watched, the very list that their store keeps: no pod is copied for a decision.
pub type Pods = Arc<Vec<Pod>>;

/// A scale target's scale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Scale {
    /// The count asked for.
    pub spec_replicas: i32,
    /// The count there is.
    pub status_replicas: i32,
    /// The pods' selector as text; empty where the workload gives none.
    pub selector: Arc<str>,
}

/// Why the scale is not known. All become `FailedGetScale`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ScaleFailure {
    /// The reference's `apiVersion` has more than one slash.
    BadApiVersion(String),
    /// No resource is known for the kind, or discovery failed.
    NoKind(String),
    /// The scale could not be read.
    NotRead(String),
}

impl ScaleFailure {
    /// What went wrong, for people.
    pub fn message(&self) -> &str {
        match self {
            Self::BadApiVersion(m) | Self::NoKind(m) | Self::NotRead(m) => m,
        }
    }
}

/// Why the scale's selector picks no pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SelectorFailure {
    /// The scale has no selector.
    Absent,
    /// The selector does not parse.
    Invalid(String),
    /// Pods of this selector are also selected by other autoscalers; all the keys, sorted.
    Ambiguous {
        /// The selector, in canonical form.
        selector: String,
        /// This autoscaler and the others.
        autoscalers: Vec<Key>,
    },
}

/// What a decision needs of a pod.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pod {
    /// The pod's name.
    pub name: Arc<str>,
    /// Where it is in its life.
    pub phase: PodPhase,
    /// It has a deletion timestamp.
    pub terminating: bool,
    /// Its Ready condition, where it has one.
    pub ready: Option<ReadyCondition>,
    /// `status.startTime`.
    pub started: Option<Timestamp>,
    /// What its containers request.
    pub requests: Arc<PodRequests>,
}

/// A pod's phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum PodPhase {
    /// Not all containers run yet.
    Pending,
    /// At least one container runs.
    Running,
    /// All containers ended well.
    Succeeded,
    /// All containers ended, one of them badly.
    Failed,
    /// The node does not answer, or the phase is not known to trimtab.
    Unknown,
}

/// A pod's Ready condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ReadyCondition {
    /// True, False or Unknown.
    pub status: ConditionStatus,
    /// When it last changed; `None` where the pod does not say (then it counts as long ago).
    pub since: Option<Timestamp>,
}

/// What a pod's containers request. Shared by all pods of one template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodRequests {
    /// Containers and init containers, in the pod's order, init containers last.
    pub containers: Vec<ContainerRequests>,
    /// Requests of the pod as a whole (`spec.resources.requests`).
    pub pod_level: ResourceList,
    /// `spec.overhead`.
    pub overhead: ResourceList,
}

/// What one container requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct ContainerRequests {
    /// The container's name.
    pub name: Arc<str>,
    /// What kind of container it is.
    pub kind: ContainerKind,
    /// Its requests.
    pub requests: ResourceList,
}

/// A container's place in its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ContainerKind {
    /// An ordinary container.
    Main,
    /// An init container with `restartPolicy: Always`.
    Sidecar,
    /// An init container that ends before the next begins.
    Init,
}

/// Amounts by resource name, sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct ResourceList(pub Vec<(Arc<str>, Milli)>);

impl ResourceList {
    /// The amount of `resource`, where there is one.
    pub fn get(&self, resource: &str) -> Option<Milli> {
        self.0
            .iter()
            .find(|(name, _)| &**name == resource)
            .map(|(_, amount)| *amount)
    }
}

/// One metric's answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Reading {
    /// Of a Resource, ContainerResource or Pods metric.
    PerPod(PodSamples),
    /// Of an Object metric.
    Single(Milli),
    /// Of an External metric: every value that the selector matched, at least one.
    Several(Vec<Milli>),
    /// No answer.
    Failed(MetricFailure),
}

/// Samples joined with the pods of the observation.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSamples {
    /// One slot for each pod of [`Observation::pods`], in the same order; `None`: the source has no sample of it.
    pub of_pods: Vec<Option<Sample>>,
    /// Samples under names that no pod of the observation has. They count in plain averages, as in Kubernetes.
    pub of_strangers: Vec<(Arc<str>, Sample)>,
    /// Pods of the observation, in the same order, whose sample is missing for another reason than that the source has none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unusable: Vec<(Arc<str>, Unusable)>,
}

/// Why what a source says of a pod is no sample. The decision makes no difference between them and silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unusable {
    /// The value is NaN.
    NotANumber,
    /// The value is infinite.
    Infinite,
    /// There are several values for it.
    Several,
}

/// A value with its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// The value.
    pub value: Milli,
    /// When it was taken; `None` where the source does not say.
    pub at: Option<Timestamp>,
    /// The time before `at` that it covers.
    pub window: SignedDuration,
}

/// Why a metric has no proposal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MetricFailure {
    /// The kind of failure, from a closed list.
    pub kind: FailureKind,
    /// What went wrong, for people.
    pub message: String,
}

impl MetricFailure {
    /// A failure of `kind`.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

/// The ways in which a metric fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The API that serves the metric is not installed, or its server does not answer.
    Unavailable,
    /// The API did not answer in time.
    TimedOut,
    /// The API refused the question (RBAC).
    Forbidden,
    /// The answer could not be read, was too large, or says that this question failed.
    BadAnswer,
    /// The answer holds nothing.
    Empty,
    /// The selector picks no pods.
    NoPods,
    /// No pod that counts has a sample.
    NoSamples,
    /// A container or pod has no request for the resource.
    NoRequest,
    /// The requests add up to zero.
    ZeroRequests,
    /// The metric's target does not fit its type.
    BadTarget,
    /// The metric's selector does not convert.
    BadSelector,
    /// The proposal is not a number.
    NotANumber,
    /// The value is NaN or infinite.
    NotFinite,
    /// Several series where one is needed.
    Several,
    /// The source does not understand the query.
    BadQuery,
    /// The budget of the source for this pass, or that of the autoscaler, was used up.
    OverBudget,
    /// No source for this kind of metric is configured.
    NoSource,
}
