//! Why a decision came out as it did, as data: what was seen, and what each step made of it, in order.

use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::observe::{MetricFailure, MetricStatus, Scale, ScaleFailure, SelectorFailure, Unusable};
use crate::quantity::Milli;
use crate::spec::{MetricTarget, PolicyKind, SelectPolicy};

/// The steps of one decision.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Derivation {
    /// The scale that was seen; `None` where it could not be read.
    pub scale: Option<Scale>,
    /// Which way the decision went.
    pub branch: Branch,
    /// The memory was empty: the count that was seen is remembered as the first recommendation.
    pub first_sync: bool,
    /// One for each metric of the spec, where metrics were evaluated.
    pub metrics: Vec<MetricDerivation>,
    /// What the metrics came to together.
    pub combination: Option<Combination>,
    /// What the stabilization windows made of it.
    pub stabilization: Option<Stabilization>,
    /// What scaling policies, min and max made of that.
    pub limit: Option<Limit>,
    /// The count was at zero by trimtab's own hand and `minReplicas` has been raised since: at least that many.
    pub raised_to_min: bool,
    /// The count wanted in the end; `None` where nothing could be decided.
    pub desired: Option<i32>,
}

/// Which way a decision goes, by the count that is seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Branch {
    /// The scale is not known: the count stays.
    ScaleUnknown(ScaleFailure),
    /// The count is zero, and trimtab did not set it: the autoscaler is off.
    Disabled,
    /// The count is above `maxReplicas`: down to it at once.
    AboveMax,
    /// The count is below `minReplicas`: up to it at once.
    BelowMin,
    /// The metrics were to decide, but no pods can be told: the count stays.
    SelectorFailed(SelectorFailure),
    /// The metrics decide.
    Metrics,
}

/// What one metric asks for, and how that came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricDerivation {
    /// The metric, as Kubernetes describes it.
    pub metric: String,
    /// The value to hold.
    pub target: MetricTarget,
    /// Each pod's part, for metrics of pods.
    pub pods: Vec<PodUse>,
    /// The calculation, as far as it got.
    pub calculation: Option<Calculation>,
    /// The count that this metric asks for, or why it asks for none. In JSON a number, or an object with `kind` and
    /// `message`.
    #[serde(serialize_with = "either")]
    pub proposal: Result<i32, MetricFailure>,
    /// What the autoscaler's status says of the metric.
    #[serde(skip)]
    pub status: MetricStatus,
}

/// A result without a word about which of both it is.
fn either<T: Serialize, E: Serialize, S: Serializer>(result: &Result<T, E>, serializer: S) -> Result<S::Ok, S::Error> {
    match result {
        Ok(value) => value.serialize(serializer),
        Err(error) => error.serialize(serializer),
    }
}

/// One pod's part in a metric.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodUse {
    /// The pod.
    pub pod: Arc<str>,
    /// How it counts.
    pub class: PodClass,
    /// Its sample, also where that does not count.
    pub sample: Option<Milli>,
    /// Why what the source says of it is no sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unusable: Option<Unusable>,
    /// Its request, for utilization.
    pub request: Option<Milli>,
    /// The value that it has in the last calculation; `None`: it is left out.
    pub counted: Option<Milli>,
}

/// How a pod counts in a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum PodClass {
    /// With its sample.
    Ready,
    /// Not at all, or as idle when the others ask for more.
    Unready(Unready),
    /// It has no sample: filled in against the change.
    Missing,
    /// Not at all.
    Ignored(Ignored),
    /// A sample of a name that no selected pod has; counts in plain averages.
    Stranger,
}

/// Why a pod is unready for a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Unready {
    /// Its phase is Pending.
    Pending,
    /// It has no Ready condition, or no start time.
    NoReadiness,
    /// It is in its initialization period and not ready.
    Initializing,
    /// It is in its initialization period, and its sample covers a time before it became ready.
    SampleTooEarly,
    /// It has not been ready since the initial readiness delay after its start.
    NeverReady,
}

/// Why a pod is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Ignored {
    /// It is being deleted.
    Terminating,
    /// Its phase is Failed.
    Failed,
}

/// How a metric's proposal was calculated.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Calculation {
    /// From a sample of each pod.
    #[serde(rename_all = "camelCase")]
    PerPod {
        /// Over the samples of ready pods.
        first: Usage,
        /// How many pods counted as ready.
        ready: usize,
        /// With missing and unready pods filled in, where that was needed.
        filled: Option<Usage>,
        /// What came of it.
        verdict: Verdict,
    },
    /// From one value, held as a whole.
    #[serde(rename_all = "camelCase")]
    Whole {
        /// The value.
        value: Milli,
        /// Value by target.
        ratio: f64,
        /// Running and ready pods, where they were counted.
        ready: Option<usize>,
        /// What came of it.
        verdict: Verdict,
    },
    /// From one value, spread over the replicas that there are.
    #[serde(rename_all = "camelCase")]
    Spread {
        /// The value.
        value: Milli,
        /// The scale's status.replicas.
        over: i32,
        /// Value by target and replicas; infinite or not a number over none.
        ratio: f64,
        /// What came of it.
        verdict: Verdict,
    },
}

/// A usage over several pods.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Samples that it is made of, those of unknown pods included.
    pub samples: usize,
    /// Usage by target.
    pub ratio: f64,
    /// Percent of the requests, truncated, for utilization.
    pub utilization_percent: Option<i32>,
    /// The average, truncated.
    pub average: Milli,
}

/// What came of a usage ratio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Within the tolerance: the count stays.
    WithinTolerance,
    /// Outside of it: a new count.
    Scaled,
    /// With the missing pods filled in, the ratio is on the other side of 1: the count stays.
    TurnedRound,
    /// The new count would go against the ratio: the count stays.
    WrongWay,
}

/// What the metrics came to together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Combination {
    /// Metrics with a proposal.
    pub valid: usize,
    /// Metrics without.
    pub invalid: usize,
    /// The largest proposal, before windows and limits; 0 without one.
    pub largest: i32,
    /// Whose it is, by its place in the spec; the last of several zeros.
    pub winner: Option<usize>,
    /// Whether it may be followed.
    pub outcome: Combined,
}

/// Whether the largest proposal may be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Combined {
    /// It is the recommendation.
    Recommended,
    /// A metric failed and the others ask for less than there is: the count stays.
    Blocked,
    /// No metric has a proposal: the count stays.
    NoneValid,
}

/// What the stabilization windows made of a recommendation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stabilization {
    /// The recommendation, not below 0; this is what is remembered.
    pub recommendation: i32,
    /// The scale-up window in seconds; `None` without `behavior`.
    pub up_window_seconds: Option<i64>,
    /// The scale-down window in seconds.
    pub down_window_seconds: i64,
    /// The lowest recommendation of the scale-up window, this one included.
    pub lowest: i32,
    /// The highest recommendation of the scale-down window, this one included.
    pub highest: i32,
    /// The count that is left.
    pub stabilized: i32,
    /// What held it.
    pub held: Option<Stabilized>,
}

/// Which window held a recommendation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Stabilized {
    /// `ScaleUpStabilized`
    Up,
    /// `ScaleDownStabilized`
    Down,
}

/// What the rate rules, min and max made of a stabilized recommendation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Limit {
    /// What each scaling policy allows; empty without `behavior`, when disabled, or when the count stays.
    pub policies: Vec<PolicyLimit>,
    /// How the policies were combined.
    pub select: Option<SelectPolicy>,
    /// The count that rates allow, not yet bounded by min and max; `None` where the count stays.
    pub rate: Option<i32>,
    /// What held the count.
    pub limited: Limited,
    /// The count that is left.
    pub desired: i32,
}

/// What one scaling policy allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyLimit {
    /// Pods or percent.
    pub kind: PolicyKind,
    /// How many.
    pub value: i32,
    /// In this time.
    pub period_seconds: i32,
    /// The count at the start of the period, by the scale events since.
    pub period_start: i32,
    /// The count that it allows.
    pub allows: i32,
}

/// What held a count. The names are the reasons of `ScalingLimited`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Limited {
    /// Nothing.
    DesiredWithinRange,
    /// `minReplicas`.
    TooFewReplicas,
    /// `maxReplicas`.
    TooManyReplicas,
    /// The rate of growing.
    ScaleUpLimit,
    /// The rate of falling.
    ScaleDownLimit,
}
