//! The calculations for metrics that are one value: Object and External.
//!
//! Source: Kubernetes v1.36 `replica_calculator.go`, `getUsageRatioReplicaCount`, `GetObjectPerPodMetricReplicas` and
//! `GetExternalPerPodMetricReplicas`.

use super::derivation::{Calculation, Verdict};
use super::per_pod::Context;
use super::pods::is_running_and_ready;
use super::usage::count;
use crate::observe::{FailureKind, MetricFailure};
use crate::quantity::Milli;

/// The sum of an External metric's values. It stops at the largest number, as in Kubernetes; a negative sum is a
/// number (Kubernetes takes it for an overflow where the target is an average).
pub(super) fn sum(values: &[Milli]) -> Milli {
    let mut sum = 0i64;
    for Milli(value) in values {
        match sum.checked_add(*value) {
            Some(next) => sum = next,
            None if *value > 0 => return Milli(i64::MAX),
            None => sum = i64::MIN,
        }
    }
    Milli(sum)
}

/// The count that brings a value as a whole back to its target.
pub(super) fn propose_whole(value: Milli, target: Milli, cx: Context<'_>) -> Result<(i32, Calculation), MetricFailure> {
    let ratio = value.0 as f64 / target.0 as f64;
    let derived = |replicas, ready, verdict| {
        Ok((
            replicas,
            Calculation::Whole {
                value,
                ratio,
                ready,
                verdict,
            },
        ))
    };
    if cx.current == 0 {
        return derived(count(ratio)?, None, Verdict::Scaled);
    }
    if cx.band.holds(ratio) {
        return derived(cx.current, None, Verdict::WithinTolerance);
    }
    if cx.pods.is_empty() {
        return Err(MetricFailure::new(
            FailureKind::NoPods,
            "unable to calculate ready pods: no pods returned by selector while calculating replica count",
        ));
    }
    let ready = cx.pods.iter().filter(|p| is_running_and_ready(p)).count();
    derived(count(ratio * ready as f64)?, Some(ready), Verdict::Scaled)
}

/// The count that brings a value, spread over the replicas that there are, back to its target.
pub(super) fn propose_spread(
    value: Milli,
    target: Milli,
    over: i32,
    cx: Context<'_>,
) -> Result<(i32, Calculation), MetricFailure> {
    let ratio = value.0 as f64 / (target.0 as f64 * f64::from(over));
    let (replicas, verdict) = match cx.band.holds(ratio) {
        true => (over, Verdict::WithinTolerance),
        false => (count(value.0 as f64 / target.0 as f64)?, Verdict::Scaled),
    };
    Ok((
        replicas,
        Calculation::Spread {
            value,
            over,
            ratio,
            verdict,
        },
    ))
}

/// What the status shows for a value spread over replicas; nothing over none.
pub(super) fn spread_average(value: Milli, over: i32) -> Option<Milli> {
    // An External sum at its cap is shown as it is, whatever it is spread over.
    if value.0 as f64 >= i64::MAX as f64 {
        return Some(Milli(i64::MAX));
    }
    let average = (value.0 as f64 / f64::from(over)).ceil();
    (over != 0 && average.is_finite()).then_some(Milli(average as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_stops_at_the_largest_number_and_may_be_negative() {
        let sum = |values: &[i64]| sum(&values.iter().copied().map(Milli).collect::<Vec<_>>()).0;
        assert_eq!(sum(&[60_000, 90_000, 15_000]), 165_000);
        assert_eq!(sum(&[i64::MAX, 1, -5]), i64::MAX);
        assert_eq!(sum(&[-1]), -1);
        assert_eq!(sum(&[i64::MIN, -1, 5]), i64::MIN + 5);
    }
}
