//! autoscaling/v1: a cpu utilization, and the rest in annotations.

use super::fields::Fields;
use super::written::WrittenHpa;
use super::{annotations, defaults, v2};

/// Reads `spec` and the annotations of `metadata`: their metrics first, then the cpu utilization.
pub(super) fn read(metadata: &Fields<'_>, spec: &Fields<'_>) -> WrittenHpa {
    let mut metrics = annotations::metrics(metadata);
    metrics.extend(spec.count("targetCPUUtilizationPercentage").map(defaults::cpu));
    let written = WrittenHpa {
        scale_target: v2::reference(&spec.object_or_empty("scaleTargetRef")),
        min_replicas: spec.count("minReplicas"),
        max_replicas: spec.count("maxReplicas").unwrap_or(0),
        metrics,
        behavior: annotations::behavior(metadata),
        ..WrittenHpa::default()
    };
    spec.end();
    written
}
