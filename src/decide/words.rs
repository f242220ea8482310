//! The sentences of conditions and Events.

use serde_json::Value;

use super::derivation::{Branch, Derivation, Limited};
use super::reasons;
use crate::observe::SelectorFailure;
use crate::spec::{Key, MetricIdentifier, MetricSource, MetricSpec, MetricTarget};

/// The longest message of a condition or an Event, in bytes. Kubernetes has no bound for conditions; whoever lists autoscalers
/// reads them all, and a selector or the names of a thousand autoscalers can make one of megabytes.
const LONGEST: usize = 8 * 1024;

/// What is said, with the end of what is too long left out.
pub(super) fn bounded(message: &str) -> &str {
    &message[..message.floor_char_boundary(LONGEST)]
}

/// A metric as Kubernetes describes it in conditions and rescale reasons.
pub(super) fn metric(metric: &MetricSpec) -> String {
    let utilization = matches!(metric.target, MetricTarget::Utilization(_));
    match &metric.source {
        MetricSource::Resource { name } if utilization => {
            format!("{name} resource utilization (percentage of request)")
        }
        MetricSource::ContainerResource { name, .. } if utilization => {
            format!("{name} container resource utilization (percentage of request)")
        }
        MetricSource::Resource { name } | MetricSource::ContainerResource { name, .. } => format!("{name} resource"),
        MetricSource::Pods { metric } => format!("pods metric {}", metric.name),
        MetricSource::Object { described, metric: id } => match metric.target {
            MetricTarget::AverageValue(_) => external(id),
            _ => format!("{} metric {}", described.kind, id.name),
        },
        MetricSource::External { metric } => external(metric),
    }
}

/// An External metric, and, as in Kubernetes, an Object metric held as an average: with Go's print of the selector.
fn external(id: &MetricIdentifier) -> String {
    format!("external metric {}({})", id.name, go_selector(id.written.as_deref()))
}

fn go_selector(written: Option<&Value>) -> String {
    let Some(written) = written else { return "nil".into() };
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let mut labels: Vec<(String, String)> = written["matchLabels"]
        .as_object()
        .map(|o| o.iter().map(|(k, v)| (k.clone(), text(v))).collect())
        .unwrap_or_default();
    labels.sort();
    let labels: String = labels.iter().map(|(k, v)| format!("{k}: {v},")).collect();
    let expressions: String = written["matchExpressions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|e| {
            let values: Vec<String> = e["values"].as_array().into_iter().flatten().map(text).collect();
            format!(
                "LabelSelectorRequirement{{Key:{},Operator:{},Values:[{}],}},",
                text(&e["key"]),
                text(&e["operator"]),
                values.join(" ")
            )
        })
        .collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
}

/// Why a metric failed, with what was attempted.
pub(super) fn metric_failure(metric: &MetricSpec, message: &str) -> String {
    match &metric.source {
        MetricSource::Resource { name } => match metric.target {
            MetricTarget::Utilization(_) => format!("failed to get {name} utilization: {message}"),
            _ => format!("failed to get {name} usage: {message}"),
        },
        MetricSource::ContainerResource { name, container } => {
            format!("failed to get {name} usage of container {container}: {message}")
        }
        MetricSource::Pods { metric } => format!("failed to get pods metric {}: {message}", metric.name),
        MetricSource::Object { metric, described } => {
            format!(
                "failed to get object metric {} of {} {}: {message}",
                metric.name, described.kind, described.name
            )
        }
        MetricSource::External { metric } => format!("failed to get external metric {}: {message}", metric.name),
    }
}

/// The reason of the condition and the Event of a metric that failed.
pub(super) fn metric_failure_reason(source: &MetricSource) -> &'static str {
    match source {
        MetricSource::Resource { .. } => "FailedGetResourceMetric",
        MetricSource::ContainerResource { .. } => "FailedGetContainerResourceMetric",
        MetricSource::Pods { .. } => "FailedGetPodsMetric",
        MetricSource::Object { .. } => "FailedGetObjectMetric",
        MetricSource::External { .. } => "FailedGetExternalMetric",
    }
}

/// Why a selector picks no pods: the Event's reason, the condition's reason, and the sentence.
pub(super) fn selector_failure(failure: &SelectorFailure) -> (&'static str, &'static str, String) {
    match failure {
        SelectorFailure::Absent => (
            reasons::SELECTOR_REQUIRED,
            reasons::INVALID_SELECTOR,
            "the HPA target's scale is missing a selector".to_owned(),
        ),
        SelectorFailure::Invalid(problem) => (
            reasons::INVALID_SELECTOR,
            reasons::INVALID_SELECTOR,
            format!("couldn't convert selector into a corresponding internal selector object: {problem}"),
        ),
        SelectorFailure::Ambiguous { selector, autoscalers } => {
            let keys: Vec<String> = autoscalers.iter().map(Key::to_string).collect();
            (
                reasons::AMBIGUOUS_SELECTOR,
                reasons::AMBIGUOUS_SELECTOR,
                format!(
                    "pods by selector {selector} are controlled by multiple HPAs: [{}]",
                    keys.join(" ")
                ),
            )
        }
    }
}

/// The reason that a rescale gives. It is fixed before windows and limits, as in Kubernetes, so that it can be empty.
pub(super) fn rescale(derivation: &Derivation, current: i32) -> String {
    const BELOW_MIN: &str = "Current number of replicas below Spec.MinReplicas";
    match derivation.branch {
        Branch::AboveMax => return "Current number of replicas above Spec.MaxReplicas".into(),
        Branch::BelowMin => return BELOW_MIN.into(),
        _ => {}
    }
    let Some(combination) = derivation.combination else {
        return String::new();
    };
    let wanted = combination.largest.max(0);
    if wanted > current {
        let winner = combination.winner.map_or("", |i| &derivation.metrics[i].metric);
        format!("{winner} above target")
    } else if wanted < current {
        "All metrics below target".into()
    } else if derivation.raised_to_min {
        BELOW_MIN.into()
    } else {
        String::new()
    }
}

/// The condition ScalingLimited: its reason and sentence.
pub(super) fn limited(limited: Limited) -> (&'static str, &'static str) {
    match limited {
        Limited::DesiredWithinRange => ("DesiredWithinRange", "the desired count is within the acceptable range"),
        Limited::TooFewReplicas => (
            "TooFewReplicas",
            "the desired replica count is less than the minimum replica count",
        ),
        Limited::TooManyReplicas => (
            "TooManyReplicas",
            "the desired replica count is more than the maximum replica count",
        ),
        Limited::ScaleUpLimit => (
            "ScaleUpLimit",
            "the desired replica count is increasing faster than the maximum scale rate",
        ),
        Limited::ScaleDownLimit => (
            "ScaleDownLimit",
            "the desired replica count is decreasing faster than the maximum scale rate",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_to_say_is_cut_at_a_character() {
        assert_eq!(bounded("short"), "short");
        let long = format!("{}é{}", "x".repeat(LONGEST - 1), "x".repeat(2_000_000));
        assert_eq!(bounded(&long).len(), LONGEST - 1);
        let exact = "x".repeat(LONGEST);
        assert_eq!(bounded(&exact).len(), LONGEST);
    }
}
