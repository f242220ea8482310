//! A derivation as text for people, step by step.

use std::fmt::{self, Write};

use crate::decide::Decision;
use crate::decide::derivation::{
    Branch, Calculation, Combined, Ignored, Limit, MetricDerivation, PodClass, PodUse, Stabilization, Unready, Usage,
    Verdict,
};
use crate::observe::{Condition, MetricStatus, MetricValue, SelectorFailure, Status, Unusable};
use crate::spec::{Key, MetricTarget, PolicyKind, SelectPolicy, Spec};

/// More pods than these are counted by class, with the first few named.
const PODS_SHOWN: usize = 20;

/// The whole derivation: what was seen, and what each step made of it.
pub fn explain(spec: &Spec, decision: &Decision) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_all(&mut out, spec, decision);
    out
}

/// The conditions that the autoscaler's status has now, a line each: what its controller said last, which may be
/// another one, or may know of other autoscalers.
pub fn conditions(status: &Status) -> String {
    let line = |c: &Condition| {
        format!(
            "last said        {} {}, {}: {}\n",
            c.kind,
            c.status.as_str(),
            c.reason,
            c.message
        )
    };
    status.conditions.iter().map(line).collect()
}

fn write_all(out: &mut String, spec: &Spec, decision: &Decision) -> fmt::Result {
    let derivation = &decision.derivation;
    writeln!(out, "{} at {:.0}", spec.key, decision.at)?;
    let target = &spec.scale_target;
    match &derivation.scale {
        Some(scale) => writeln!(
            out,
            "scale target     {}/{}: spec.replicas {}, status.replicas {}, selector {:?}",
            target.kind, target.name, scale.spec_replicas, scale.status_replicas, scale.selector
        )?,
        None => writeln!(out, "scale target     {}/{}: not read", target.kind, target.name)?,
    }
    writeln!(
        out,
        "bounds           minReplicas {}, maxReplicas {}",
        spec.min_replicas, spec.max_replicas
    )?;
    match &derivation.branch {
        Branch::ScaleUnknown(failure) => writeln!(out, "stopped          {}", failure.message())?,
        Branch::SelectorFailed(failure) => writeln!(out, "stopped          {}", selector_failure(failure))?,
        Branch::Disabled => writeln!(out, "stopped          scaling is off while the count is zero")?,
        Branch::AboveMax => writeln!(
            out,
            "out of bounds    the count is above maxReplicas: no metric is asked"
        )?,
        Branch::BelowMin => writeln!(
            out,
            "out of bounds    the count is below minReplicas: no metric is asked"
        )?,
        Branch::Metrics => {}
    }
    for metric in &derivation.metrics {
        write_metric(out, metric)?;
    }
    if let Some(combination) = derivation.combination {
        let winner = combination.winner.map_or("", |i| derivation.metrics[i].metric.as_str());
        match combination.outcome {
            Combined::Recommended => writeln!(out, "recommendation   {} by {winner}", combination.largest.max(0))?,
            Combined::Blocked => writeln!(
                out,
                "recommendation   none: {} of {} metrics failed, and the others ask for {}, which is less than there is",
                combination.invalid,
                combination.valid + combination.invalid,
                combination.largest
            )?,
            Combined::NoneValid => writeln!(out, "recommendation   none: every metric failed")?,
        }
    }
    if let Some(stabilization) = &derivation.stabilization {
        write_stabilization(out, stabilization)?;
    }
    if let Some(limit) = &derivation.limit {
        write_limit(out, limit)?;
    }
    if derivation.raised_to_min {
        writeln!(out, "from zero        raised to minReplicas {}", spec.min_replicas)?;
    }
    match (&decision.write, derivation.desired) {
        (Some(write), _) if write.reason.is_empty() => writeln!(out, "decision         {} -> {}", write.from, write.to),
        (Some(write), _) => writeln!(
            out,
            "decision         {} -> {} ({})",
            write.from, write.to, write.reason
        ),
        (None, Some(desired)) => writeln!(out, "decision         stays at {desired}"),
        (None, None) => writeln!(out, "decision         the count stays as it is"),
    }
}

fn write_metric(out: &mut String, metric: &MetricDerivation) -> fmt::Result {
    writeln!(
        out,
        "metric           {}, target {}",
        metric.metric,
        target(metric.target)
    )?;
    write_pods(out, &metric.pods)?;
    match &metric.calculation {
        Some(Calculation::PerPod {
            first,
            ready,
            filled,
            verdict,
        }) => {
            writeln!(out, "  usage          {}; {ready} ready", usage(first))?;
            if let Some(filled) = filled {
                writeln!(out, "  filled in      {}, over {} pods", usage(filled), filled.samples)?;
            }
            writeln!(out, "  verdict        {}", self::verdict(*verdict))?;
        }
        Some(Calculation::Whole {
            value,
            ratio,
            ready,
            verdict,
        }) => {
            let ready = ready
                .map(|r| format!(", times {r} running and ready pods"))
                .unwrap_or_default();
            writeln!(out, "  usage          {value}, ratio {ratio:.4}{ready}")?;
            writeln!(out, "  verdict        {}", self::verdict(*verdict))?;
        }
        Some(Calculation::Spread {
            value,
            over,
            ratio,
            verdict,
        }) => {
            writeln!(
                out,
                "  usage          {value} over status.replicas {over}, ratio {ratio:.4}"
            )?;
            writeln!(out, "  verdict        {}", self::verdict(*verdict))?;
        }
        None => {}
    }
    match &metric.proposal {
        Ok(replicas) => writeln!(out, "  proposal       {replicas}"),
        Err(failure) => writeln!(out, "  failed         {}", failure.message),
    }
}

fn write_pods(out: &mut String, pods: &[PodUse]) -> fmt::Result {
    for pod in pods.iter().take(PODS_SHOWN) {
        write!(out, "  pod            {}: {}", pod.pod, class(pod.class))?;
        if let Some(why) = pod.unusable {
            write!(out, " ({})", unusable(why))?;
        }
        if let Some(sample) = pod.sample {
            write!(out, ", sample {sample}")?;
        }
        if let Some(request) = pod.request {
            write!(out, ", request {request}")?;
        }
        match pod.counted {
            Some(counted) if pod.sample != Some(counted) => writeln!(out, ", counted as {counted}")?,
            Some(_) => writeln!(out)?,
            None => writeln!(out, ", left out")?,
        }
    }
    if pods.len() > PODS_SHOWN {
        writeln!(out, "  pod            … and {} more", pods.len() - PODS_SHOWN)?;
    }
    Ok(())
}

fn write_stabilization(out: &mut String, s: &Stabilization) -> fmt::Result {
    let up = s
        .up_window_seconds
        .map(|w| format!("lowest of the last {w} s up {}, ", s.lowest))
        .unwrap_or_default();
    let held = if s.held.is_some() { "held at" } else { "leaves" };
    writeln!(
        out,
        "stabilization    {up}highest of the last {} s {}: {held} {}",
        s.down_window_seconds, s.highest, s.stabilized
    )
}

fn write_limit(out: &mut String, limit: &Limit) -> fmt::Result {
    for policy in &limit.policies {
        let unit = if policy.kind == PolicyKind::Percent {
            " %"
        } else {
            " pods"
        };
        writeln!(
            out,
            "scaling policy   {}{unit} in {} s, from {} at its start: allows {}",
            policy.value, policy.period_seconds, policy.period_start, policy.allows
        )?;
    }
    if limit.select == Some(SelectPolicy::Disabled) {
        writeln!(out, "scaling policy   this direction is disabled")?;
    }
    writeln!(out, "limits           {:?}: {}", limit.limited, limit.desired)
}

fn usage(usage: &Usage) -> String {
    match usage.utilization_percent {
        Some(percent) => format!(
            "{percent} % of requests, {} on average, ratio {:.4}",
            usage.average, usage.ratio
        ),
        None => format!("{} on average, ratio {:.4}", usage.average, usage.ratio),
    }
}

fn target(target: MetricTarget) -> String {
    match target {
        MetricTarget::Utilization(percent) => format!("{percent} % of requests"),
        MetricTarget::AverageValue(value) => format!("{value} on average"),
        MetricTarget::Value(value) => value.to_string(),
        MetricTarget::Mismatched => "that does not fit its type".into(),
    }
}

fn unusable(why: Unusable) -> &'static str {
    match why {
        Unusable::NotANumber => "its value is NaN",
        Unusable::Infinite => "its value is infinite",
        Unusable::Several => "it has several series",
    }
}

fn class(class: PodClass) -> &'static str {
    match class {
        PodClass::Ready => "ready",
        PodClass::Unready(Unready::Pending) => "unready (pending)",
        PodClass::Unready(Unready::NoReadiness) => "unready (no Ready condition or no start time)",
        PodClass::Unready(Unready::Initializing) => "unready (not ready, and young)",
        PodClass::Unready(Unready::SampleTooEarly) => "unready (its sample began before it was ready)",
        PodClass::Unready(Unready::NeverReady) => "unready (never was ready)",
        PodClass::Missing => "missing (no sample)",
        PodClass::Ignored(Ignored::Terminating) => "ignored (being deleted)",
        PodClass::Ignored(Ignored::Failed) => "ignored (failed)",
        PodClass::Stranger => "a sample of no selected pod",
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::WithinTolerance => "within the tolerance: the count stays",
        Verdict::Scaled => "outside of the tolerance",
        Verdict::TurnedRound => "with missing pods filled in it is on the other side of the target: the count stays",
        Verdict::WrongWay => "the new count would go against the usage: the count stays",
    }
}

/// Why no pods can be told.
pub(super) fn selector_failure(failure: &SelectorFailure) -> String {
    match failure {
        SelectorFailure::Absent => "the scale has no selector".into(),
        SelectorFailure::Invalid(problem) => format!("the scale's selector cannot be read: {problem}"),
        SelectorFailure::Ambiguous { selector, autoscalers } => {
            let keys: Vec<String> = autoscalers.iter().map(Key::to_string).collect();
            format!("several autoscalers select pods of {selector}: {}", keys.join(", "))
        }
    }
}

/// A metric's value and target as `kubectl get hpa` prints them.
pub(super) fn metric_in_short(metric: &MetricDerivation) -> String {
    let current = match &metric.status {
        MetricStatus::Failed => None,
        MetricStatus::Resource { current, .. }
        | MetricStatus::ContainerResource { current, .. }
        | MetricStatus::Pods { current, .. }
        | MetricStatus::Object { current, .. }
        | MetricStatus::External { current, .. } => Some(*current),
    };
    let shown = |pick: fn(MetricValue) -> Option<String>| current.and_then(pick).unwrap_or_else(|| "<unknown>".into());
    match metric.target {
        MetricTarget::Utilization(target) => format!(
            "{}/{target}%",
            shown(|c| c.average_utilization.map(|u| format!("{u}%")))
        ),
        MetricTarget::AverageValue(target) => {
            format!("{}/{target} (avg)", shown(|c| c.average_value.map(|q| q.to_string())))
        }
        MetricTarget::Value(target) => format!("{}/{target}", shown(|c| c.value.map(|q| q.to_string()))),
        MetricTarget::Mismatched => "<unknown>/<invalid>".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::ConditionStatus;

    #[test]
    fn conditions_are_what_the_controller_said_last() {
        let condition = Condition {
            kind: "ScalingActive".into(),
            status: ConditionStatus::False,
            reason: "AmbiguousSelector".into(),
            message: "pods by selector app=web are controlled by multiple HPAs: [shop/a shop/b]".into(),
            last_transition: None,
        };
        let status = Status {
            conditions: vec![condition],
            ..Status::default()
        };
        let expected = "last said        ScalingActive False, AmbiguousSelector: pods by selector app=web are controlled by \
                        multiple HPAs: [shop/a shop/b]\n";
        assert_eq!(conditions(&status), expected);
    }
}
