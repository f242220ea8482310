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

/// Whether a policy of `spec` could be exceeded later by a decision that does not know that the count was changed from `from`
/// to `to`: with this change counted, and all others of its direction, the policies allow less than the bounds do.
///
/// Changes the other way do not count here, since they are forgotten one day and this one may not yet be. A change only
/// tightens the policies of its own direction: without it, those of the other one allow less, not more.
pub fn must_be_remembered(spec: &Spec, from: i32, to: i32, memory: &Memory, now: Timestamp) -> bool {
    let Some(behavior) = &spec.behavior else {
        return false;
    };
    let (direction, rules) = match to > from {
        true => (Direction::Up, &behavior.scale_up),
        false => (Direction::Down, &behavior.scale_down),
    };
    let change = to.saturating_sub(from).saturating_abs();
    let allows = rules.policies.iter().map(|policy| {
        let since = before(now, SignedDuration::from_secs(policy.period_seconds.into()));
        let moved = memory.moved_after(direction, since).saturating_add(change);
        let start = match direction {
            Direction::Up => to.saturating_sub(moved),
            Direction::Down => to.saturating_add(moved),
        };
        allowed(policy, direction, start)
    });
    let allowed = match (rules.select_policy, direction) {
        (SelectPolicy::Disabled, _) => return false,
        (SelectPolicy::Max, Direction::Up) | (SelectPolicy::Min, Direction::Down) => allows.max(),
        (SelectPolicy::Min, Direction::Up) | (SelectPolicy::Max, Direction::Down) => allows.min(),
    };
    allowed.is_some_and(|allowed| match direction {
        Direction::Up => allowed < spec.max_replicas,
        Direction::Down => allowed > spec.min_replicas,
    })
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

    fn spec(behavior: serde_json::Value, min: i32, max: i32) -> Spec {
        let hpa = serde_json::json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"namespace": "shop", "name": "web"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                "minReplicas": min, "maxReplicas": max, "behavior": behavior,
            },
        });
        Spec::from_manifest(&hpa, &Default::default()).expect("it is valid")
    }

    #[test]
    fn only_a_change_that_a_policy_could_count_against_another_must_be_remembered() {
        use serde_json::{Value, json};
        let now = Timestamp::UNIX_EPOCH;
        let must = |behavior: Value, max, from, to| {
            must_be_remembered(&spec(behavior, 1, max), from, to, &Memory::default(), now)
        };
        assert!(
            !must(Value::Null, 100, 2, 4),
            "without a behavior there are no policies"
        );
        // The defaults: twice as many or 4 more; all away at once.
        assert!(must(json!({"scaleDown": {}}), 100, 2, 4));
        assert!(
            !must(json!({"scaleDown": {}}), 6, 2, 4),
            "6 are allowed within the period in any case"
        );
        assert!(!must(json!({"scaleUp": {}}), 100, 90, 2));
        let slow = json!({
            "scaleUp": {"selectPolicy": "Disabled"},
            "scaleDown": {"policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}]},
        });
        assert!(!must(slow.clone(), 100, 2, 4), "none is allowed, remembered or not");
        assert!(must(slow.clone(), 100, 8, 6));
        assert!(!must(slow, 100, 3, 1), "1 is allowed from 3 in any case");
    }

    #[test]
    fn what_was_changed_before_counts_with_it() {
        let now = Timestamp::UNIX_EPOCH;
        let behavior =
            serde_json::json!({"scaleUp": {"policies": [{"type": "Pods", "value": 6, "periodSeconds": 60}]}});
        let spec = spec(behavior, 1, 10);
        let mut memory = Memory::default();
        assert!(!must_be_remembered(&spec, 4, 6, &memory, now));
        memory.scaled(Direction::Up, 2, now, &spec.behavior.as_ref().unwrap().scale_up);
        assert!(must_be_remembered(&spec, 4, 6, &memory, now));
    }

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
