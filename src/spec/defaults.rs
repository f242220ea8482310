//! What an autoscaler wishes for where it says nothing.
//!
//! Source: Kubernetes v1.36 `pkg/apis/autoscaling/v2/defaults.go`.

use super::written::{
    WrittenBehavior, WrittenHpa, WrittenMetric, WrittenPolicy, WrittenResource, WrittenRules, WrittenTarget,
};

/// The lowest count.
const MIN_REPLICAS: i32 = 1;

/// The utilization of the metric that is taken where none is given, in percent of the requested cpu.
const CPU_UTILIZATION_PERCENT: i32 = 80;

/// The period of all default policies.
const PERIOD_SECONDS: i32 = 15;

/// The lowest count, and the metric.
pub(super) fn fill(hpa: &mut WrittenHpa) {
    hpa.min_replicas.get_or_insert(MIN_REPLICAS);
    if hpa.metrics.is_empty() {
        hpa.metrics.push(cpu(CPU_UTILIZATION_PERCENT));
    }
}

/// A cpu metric with a utilization target.
pub(super) fn cpu(utilization_percent: i32) -> WrittenMetric {
    let target = WrittenTarget {
        kind: "Utilization".into(),
        average_utilization: Some(utilization_percent),
        ..WrittenTarget::default()
    };
    WrittenMetric {
        kind: "Resource".into(),
        resource: Some(WrittenResource {
            name: "cpu".into(),
            container: String::new(),
            target,
        }),
        ..WrittenMetric::default()
    }
}

/// Both directions of a behavior that is there; one that is not stays away, and with it the older normalization.
pub(super) fn fill_behavior(hpa: &mut WrittenHpa) {
    if let Some(behavior) = &mut hpa.behavior {
        let WrittenBehavior { scale_up, scale_down } = behavior;
        let up = scale_up.get_or_insert_default();
        up.stabilization_window_seconds.get_or_insert(0);
        fill_rules(up, vec![policy("Pods", 4), policy("Percent", 100)]);
        // Without a window the controller's own applies, which is a setting.
        fill_rules(scale_down.get_or_insert_default(), vec![policy("Percent", 100)]);
    }
}

fn fill_rules(rules: &mut WrittenRules, policies: Vec<WrittenPolicy>) {
    rules.select_policy.get_or_insert_with(|| "Max".into());
    // A list that is given replaces the default as a whole, even an empty one, which validation then refuses.
    rules.policies.get_or_insert(policies);
}

fn policy(kind: &str, value: i32) -> WrittenPolicy {
    WrittenPolicy {
        kind: kind.into(),
        value,
        period_seconds: PERIOD_SECONDS,
    }
}
