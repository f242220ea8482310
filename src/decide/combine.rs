//! Proposals together: the largest wins, and a failed metric forbids scaling down.
//!
//! Source: Kubernetes v1.36 `horizontal.go`, `computeReplicasForMetrics`.

use super::derivation::{Combination, Combined, MetricDerivation};

/// What the metrics come to, `current` being the count that was seen.
pub(super) fn combine(metrics: &[MetricDerivation], current: i32) -> Combination {
    let (mut largest, mut winner, mut invalid) = (0, None, 0);
    for (i, metric) in metrics.iter().enumerate() {
        match metric.proposal {
            // A best of 0 is replaced by whatever comes, a negative proposal included.
            Ok(proposal) if largest == 0 || proposal > largest => (largest, winner) = (proposal, Some(i)),
            Ok(_) => {}
            Err(_) => invalid += 1,
        }
    }
    let outcome = if invalid == metrics.len() {
        Combined::NoneValid
    } else if invalid > 0 && largest < current {
        Combined::Blocked
    } else {
        Combined::Recommended
    };
    Combination {
        valid: metrics.len() - invalid,
        invalid,
        largest,
        winner,
        outcome,
    }
}
