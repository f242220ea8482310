//! What is wrong with a behavior.

use super::Place;
use crate::spec::written::{WrittenBehavior, WrittenPolicy, WrittenRules};

/// The longest stabilization window, in seconds.
const LONGEST_WINDOW: i32 = 3600;

/// The longest period of a scaling policy, in seconds.
const LONGEST_PERIOD: i32 = 1800;

pub(super) fn check(behavior: &WrittenBehavior, place: &Place<'_>) {
    for (name, rules) in [("scaleUp", &behavior.scale_up), ("scaleDown", &behavior.scale_down)] {
        if let Some(rules) = rules {
            check_rules(rules, &place.child(name));
        }
    }
}

fn check_rules(rules: &WrittenRules, place: &Place<'_>) {
    if let Some(window) = rules.stabilization_window_seconds
        && !(0..=LONGEST_WINDOW).contains(&window)
    {
        let want = format!("0 to {LONGEST_WINDOW} seconds");
        place.child("stabilizationWindowSeconds").wrong(window, want);
    }
    if let Some(select) = &rules.select_policy
        && !matches!(select.as_str(), "Max" | "Min" | "Disabled")
    {
        place
            .child("selectPolicy")
            .wrong(select.as_str(), "Max, Min or Disabled");
    }
    let policies = rules.policies.as_deref().unwrap_or_default();
    if policies.is_empty() {
        place
            .child("policies")
            .missing("at least one policy, or no such field for the default ones");
    }
    for (i, policy) in policies.iter().enumerate() {
        check_policy(policy, &place.child("policies").item(i));
    }
    if let Some(tolerance) = rules.tolerance
        && tolerance.is_negative()
    {
        place.child("tolerance").wrong(tolerance.to_string(), "0 or more");
    }
}

fn check_policy(policy: &WrittenPolicy, place: &Place<'_>) {
    if !matches!(policy.kind.as_str(), "Pods" | "Percent") {
        place
            .child("type")
            .text(&policy.kind, "Pods or Percent", |_| Some("Pods or Percent".into()));
    }
    if policy.value < 1 {
        place.child("value").wrong(policy.value, "at least 1");
    }
    if !(1..=LONGEST_PERIOD).contains(&policy.period_seconds) {
        place
            .child("periodSeconds")
            .wrong(policy.period_seconds, format!("1 to {LONGEST_PERIOD} seconds"));
    }
}
