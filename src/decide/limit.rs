//! Scaling policies, then min and max.

use jiff::{SignedDuration, Timestamp};

use super::derivation::{Limit, Limited, PolicyLimit};
use super::pods::before;
use crate::memory::{Direction, Memory};
use crate::spec::{PolicyKind, ScalingPolicy, ScalingRules, SelectPolicy, Spec};

/// The count that is left of a stabilized recommendation.
pub(super) fn limit(spec: &Spec, stabilized: i32, current: i32, memory: &Memory, now: Timestamp) -> Limit {
    match &spec.behavior {
        None => by_doubling(spec, stabilized, current),
        Some(b) if stabilized > current => up(spec, &b.scale_up, stabilized, current, memory, now),
        Some(b) if stabilized < current => down(spec, &b.scale_down, stabilized, current, memory, now),
        Some(_) => within(stabilized),
    }
}

/// At most twice the count, or 4 pods. There is no limit downward.
///
/// Source: Kubernetes v1.36 `horizontal.go`, `convertDesiredReplicasWithRules`.
fn by_doubling(spec: &Spec, stabilized: i32, current: i32) -> Limit {
    let rate = current.saturating_mul(2).max(4);
    let ceiling = spec.max_replicas.min(rate);
    let (desired, limited) = if stabilized < spec.min_replicas {
        (spec.min_replicas, Limited::TooFewReplicas)
    } else if stabilized > ceiling {
        (
            ceiling,
            if spec.max_replicas > rate {
                Limited::ScaleUpLimit
            } else {
                Limited::TooManyReplicas
            },
        )
    } else {
        (stabilized, Limited::DesiredWithinRange)
    };
    Limit {
        policies: Vec::new(),
        select: None,
        rate: Some(rate),
        limited,
        desired,
    }
}

/// Source: Kubernetes v1.36 `horizontal.go`, `convertDesiredReplicasWithBehaviorRate`. Going up is not checked against
/// min, going down not against max: a count outside of them never comes here.
fn up(spec: &Spec, rules: &ScalingRules, stabilized: i32, current: i32, memory: &Memory, now: Timestamp) -> Limit {
    let policies = allowances(rules, Direction::Up, current, memory, now);
    let rate = selected(rules.select_policy, Direction::Up, &policies, current).max(current);
    let ceiling = spec.max_replicas.min(rate);
    let (desired, limited) = if stabilized <= ceiling {
        (stabilized, Limited::DesiredWithinRange)
    } else if spec.max_replicas > rate {
        (ceiling, Limited::ScaleUpLimit)
    } else {
        (ceiling, Limited::TooManyReplicas)
    };
    Limit {
        policies,
        select: Some(rules.select_policy),
        rate: Some(rate),
        limited,
        desired,
    }
}

fn down(spec: &Spec, rules: &ScalingRules, stabilized: i32, current: i32, memory: &Memory, now: Timestamp) -> Limit {
    let policies = allowances(rules, Direction::Down, current, memory, now);
    let rate = selected(rules.select_policy, Direction::Down, &policies, current).min(current);
    let floor = spec.min_replicas.max(rate);
    let (desired, limited) = if stabilized >= floor {
        (stabilized, Limited::DesiredWithinRange)
    } else if spec.min_replicas < rate {
        (floor, Limited::ScaleDownLimit)
    } else {
        (floor, Limited::TooFewReplicas)
    };
    Limit {
        policies,
        select: Some(rules.select_policy),
        rate: Some(rate),
        limited,
        desired,
    }
}

fn within(desired: i32) -> Limit {
    Limit {
        policies: Vec::new(),
        select: None,
        rate: None,
        limited: Limited::DesiredWithinRange,
        desired,
    }
}

fn allowances(
    rules: &ScalingRules,
    direction: Direction,
    current: i32,
    memory: &Memory,
    now: Timestamp,
) -> Vec<PolicyLimit> {
    if rules.select_policy == SelectPolicy::Disabled {
        return Vec::new();
    }
    let allowance = |policy: &ScalingPolicy| {
        let since = before(now, SignedDuration::from_secs(policy.period_seconds.into()));
        let period_start = current
            .saturating_sub(memory.moved_after(Direction::Up, since))
            .saturating_add(memory.moved_after(Direction::Down, since));
        PolicyLimit {
            kind: policy.kind,
            value: policy.value,
            period_seconds: policy.period_seconds,
            period_start,
            allows: allowed(policy, direction, period_start),
        }
    };
    rules.policies.iter().map(allowance).collect()
}

/// Literally Kubernetes' floating point: 10 % more than 50 is 56, and 80 % less than 5 is 0.
fn allowed(policy: &ScalingPolicy, direction: Direction, period_start: i32) -> i32 {
    let (start, share) = (f64::from(period_start), f64::from(policy.value) / 100.0);
    match (policy.kind, direction) {
        (PolicyKind::Pods, Direction::Up) => period_start.saturating_add(policy.value),
        (PolicyKind::Pods, Direction::Down) => period_start.saturating_sub(policy.value),
        (PolicyKind::Percent, Direction::Up) => (start * (1.0 + share)).ceil() as i32,
        (PolicyKind::Percent, Direction::Down) => (start * (1.0 - share)) as i32,
    }
}

fn selected(select: SelectPolicy, direction: Direction, policies: &[PolicyLimit], current: i32) -> i32 {
    let allows = policies.iter().map(|p| p.allows);
    match (select, direction) {
        (SelectPolicy::Disabled, _) => None,
        (SelectPolicy::Max, Direction::Up) | (SelectPolicy::Min, Direction::Down) => allows.max(),
        (SelectPolicy::Min, Direction::Up) | (SelectPolicy::Max, Direction::Down) => allows.min(),
    }
    .unwrap_or(current)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the specification, section 5.3, produced by running Kubernetes.
    #[test]
    fn percent_policies_carry_the_noise_of_floating_point() {
        let up = |percent, start| {
            allowed(
                &ScalingPolicy {
                    kind: PolicyKind::Percent,
                    value: percent,
                    period_seconds: 60,
                },
                Direction::Up,
                start,
            )
        };
        let down = |percent, start| {
            allowed(
                &ScalingPolicy {
                    kind: PolicyKind::Percent,
                    value: percent,
                    period_seconds: 60,
                },
                Direction::Down,
                start,
            )
        };
        assert_eq!([up(10, 50), up(10, 100), up(12, 25)], [56, 111, 29]);
        assert_eq!([down(80, 5), down(80, 10), down(90, 10), down(55, 60)], [0, 1, 0, 26]);
        assert_eq!(up(i32::MAX, 99), 2_126_008_910);
        assert_eq!(up(i32::MAX, 100), i32::MAX, "Kubernetes on amd64 wraps round here");
    }
}
