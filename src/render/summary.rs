//! A decision in one line: what changes, and what held it.

use serde::Serialize;

use crate::decide::Decision;
use crate::decide::derivation::{Branch, Combined, Derivation, Limited, Stabilized};
use crate::spec::Spec;

/// The most failed metrics that are named in a sentence: an autoscaler of 1.5 MiB has twenty thousand.
const MOST_FAILURES: usize = 5;

/// The most bytes of what is said of one: a selector of a thousand values stands in it.
const LONGEST_FAILURE: usize = 1024;

/// One autoscaler's decision in short, for tables, logs and JSON lines.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// The autoscaler's namespace.
    pub namespace: String,
    /// The autoscaler's name.
    pub name: String,
    /// The scale target, as `Kind/name`.
    pub scale_target: String,
    /// The count that was seen; absent where it could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spec_replicas: Option<i32>,
    /// The count that is wanted; absent where none could be decided, so that the count stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired_replicas: Option<i32>,
    /// Each metric's value and target.
    pub metrics: Vec<String>,
    /// Why, in a sentence.
    pub why: String,
}

/// The summary of a decision.
pub fn summary(spec: &Spec, decision: &Decision) -> Summary {
    let derivation = &decision.derivation;
    let seen = derivation.scale.as_ref().map(|s| s.spec_replicas);
    Summary {
        namespace: spec.key.namespace.to_string(),
        name: spec.key.name.to_string(),
        scale_target: format!("{}/{}", spec.scale_target.kind, spec.scale_target.name),
        spec_replicas: seen,
        desired_replicas: derivation
            .desired
            .or(seen.filter(|_| derivation.branch == Branch::Disabled)),
        metrics: derivation.metrics.iter().map(super::text::metric_in_short).collect(),
        why: why(decision),
    }
}

/// Why the count is what it is, in a sentence.
pub fn why(decision: &Decision) -> String {
    let derivation = &decision.derivation;
    let mut parts = Vec::new();
    match &derivation.branch {
        Branch::ScaleUnknown(failure) => return format!("the scale is not known: {}", failure.message()),
        Branch::Disabled => return "scaling is off while the count is zero".into(),
        Branch::AboveMax => return "the count is above maxReplicas".into(),
        Branch::BelowMin => return "the count is below minReplicas".into(),
        Branch::SelectorFailed(failure) => return super::text::selector_failure(failure),
        Branch::Metrics => {}
    }
    parts.extend(proposals(derivation));
    if let Some(stabilization) = derivation.stabilization
        && let Some(held) = stabilization.held
    {
        parts.push(match held {
            Stabilized::Up => format!("the scale-up window holds it at {}", stabilization.stabilized),
            Stabilized::Down => format!("the scale-down window holds it at {}", stabilization.stabilized),
        });
    }
    if let Some(limit) = &derivation.limit {
        let limited = match limit.limited {
            Limited::DesiredWithinRange => None,
            Limited::TooFewReplicas => Some("minReplicas"),
            Limited::TooManyReplicas => Some("maxReplicas"),
            Limited::ScaleUpLimit => Some("the rate of scaling up"),
            Limited::ScaleDownLimit => Some("the rate of scaling down"),
        };
        parts.extend(limited.map(|by| format!("{by} limits it to {}", limit.desired)));
    }
    if derivation.raised_to_min {
        parts.push("raised from zero to minReplicas".into());
    }
    parts.join("; ")
}

fn short(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_FAILURE)]
}

fn proposals(derivation: &Derivation) -> Vec<String> {
    let Some(combination) = derivation.combination else {
        return Vec::new();
    };
    let failed = || {
        let failures = || {
            let metrics = derivation.metrics.iter();
            metrics.filter_map(|m| m.proposal.as_ref().err().map(|failure| (&m.metric, failure)))
        };
        let named = failures().take(MOST_FAILURES);
        let more = failures().count().saturating_sub(MOST_FAILURES);
        named
            .map(|(metric, failure)| format!("{}: {}", short(metric), short(&failure.message)))
            .chain((more > 0).then(|| format!("{more} more metrics failed")))
    };
    match combination.outcome {
        Combined::Recommended => {
            let winner = combination.winner.map_or("", |i| derivation.metrics[i].metric.as_str());
            let mut out = vec![format!("{winner} asks for {}", combination.largest)];
            out.extend(failed());
            out
        }
        Combined::Blocked => {
            let mut out = vec![format!(
                "the metrics that answer ask for {}, and a failed one forbids scaling down",
                combination.largest
            )];
            out.extend(failed());
            out
        }
        Combined::NoneValid => failed().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_at_a_character() {
        let long = "ä".repeat(LONGEST_FAILURE);
        assert_eq!(short(&long).len(), LONGEST_FAILURE);
        assert_eq!(short(&format!("x{long}")).len(), LONGEST_FAILURE - 1);
        assert_eq!(short("short"), "short");
    }
}
