//! Condition types, and the reasons of conditions and Events: Kubernetes' words, in one place.

/// The controller can read and write the scale.
pub const ABLE_TO_SCALE: &str = "AbleToScale";
/// The metrics give a count.
pub const SCALING_ACTIVE: &str = "ScalingActive";
/// A limit holds the count.
pub const SCALING_LIMITED: &str = "ScalingLimited";
/// The autoscaler itself brought the count to zero (feature gate HPAScaleToZero).
pub const SCALED_TO_ZERO: &str = "ScaledToZero";

/// AbleToScale: the scale could not be read. Also an Event.
pub const FAILED_GET_SCALE: &str = "FailedGetScale";
/// AbleToScale: the scale was read.
pub const SUCCEEDED_GET_SCALE: &str = "SucceededGetScale";
/// AbleToScale: no window holds the recommendation.
pub const READY_FOR_NEW_SCALE: &str = "ReadyForNewScale";
/// AbleToScale: higher recommendations of the window hold it.
pub const SCALE_DOWN_STABILIZED: &str = "ScaleDownStabilized";
/// AbleToScale: lower recommendations of the window hold it.
pub const SCALE_UP_STABILIZED: &str = "ScaleUpStabilized";
/// AbleToScale: the count was written.
pub const SUCCEEDED_RESCALE: &str = "SucceededRescale";
/// AbleToScale: the count could not be written.
pub const FAILED_UPDATE_SCALE: &str = "FailedUpdateScale";
/// ScalingActive: a metric gave a count.
pub const VALID_METRIC_FOUND: &str = "ValidMetricFound";
/// ScalingActive: the count is zero.
pub const SCALING_DISABLED: &str = "ScalingDisabled";
/// ScalingActive: the scale's selector is absent or does not parse. Also an Event, for the latter.
pub const INVALID_SELECTOR: &str = "InvalidSelector";
/// ScalingActive: another autoscaler selects the same pods. Also an Event.
pub const AMBIGUOUS_SELECTOR: &str = "AmbiguousSelector";
/// ScaledToZero does not hold.
pub const NOT_SCALED_TO_ZERO: &str = "NotScaledToZero";

/// Event: the scale has no selector.
pub const SELECTOR_REQUIRED: &str = "SelectorRequired";
/// Event: the count was written.
pub const SUCCESSFUL_RESCALE: &str = "SuccessfulRescale";
/// Event: the count could not be written.
pub const FAILED_RESCALE: &str = "FailedRescale";
/// Event: the metrics give no count.
pub const FAILED_COMPUTE_METRICS_REPLICAS: &str = "FailedComputeMetricsReplicas";
/// Event: the status could not be written.
pub const FAILED_UPDATE_STATUS: &str = "FailedUpdateStatus";

/// trimtab's own. ScalingActive, and an Event: the object is no valid autoscaler.
pub const INVALID_SPEC: &str = "InvalidSpec";
/// trimtab's own. ScalingActive: the autoscaler stands in a file, and its namespace is not there.
pub const NAMESPACE_NOT_FOUND: &str = "NamespaceNotFound";
/// trimtab's own. ScalingActive, and an Event: the decision broke one of its own rules.
pub const INTERNAL_ERROR: &str = "InternalError";
