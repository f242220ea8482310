//! One metric and its reading: the count that it asks for.

use super::derivation::{Calculation, MetricDerivation, PodUse};
use super::per_pod::{Context, Subject, propose};
use super::usage::{Band, Goal};
use super::whole::{propose_spread, propose_whole, spread_average, sum};
use super::words;
use super::{Settings, Spare};
use crate::observe::{FailureKind, MetricFailure, MetricStatus, MetricValue, Pod, Reading, Scale};
use crate::quantity::{Milli, Quantity, SuffixFamily};
use crate::spec::{MetricSource, MetricSpec, MetricTarget, Spec};
use jiff::Timestamp;

/// Everything that the metrics of one autoscaler share.
pub(super) struct Metrics<'a> {
    pub spec: &'a Spec,
    pub scale: &'a Scale,
    pub pods: &'a [Pod],
    pub settings: &'a Settings,
    pub now: Timestamp,
}

impl Metrics<'_> {
    /// The derivation of one metric. A reading of another kind than the metric's counts as none.
    pub(super) fn derive(&self, metric: &MetricSpec, reading: Option<&Reading>, spare: &mut Spare) -> MetricDerivation {
        let mut pods = match reading {
            Some(Reading::PerPod(samples)) => spare.pods(self.pods.len() + samples.of_strangers.len()),
            _ => Vec::new(),
        };
        let result = self.propose(metric, reading, &mut pods);
        let (calculation, proposal, status) = match result {
            Ok((replicas, calculation)) => {
                let status = status(metric, &calculation);
                (Some(calculation), Ok(replicas), status)
            }
            Err(failure) => (None, Err(failure), MetricStatus::Failed),
        };
        MetricDerivation {
            metric: words::metric(metric),
            target: metric.target,
            pods,
            calculation,
            proposal,
            status,
        }
    }

    fn propose(
        &self,
        metric: &MetricSpec,
        reading: Option<&Reading>,
        uses: &mut Vec<PodUse>,
    ) -> Result<(i32, Calculation), MetricFailure> {
        let cx = Context {
            current: self.scale.spec_replicas,
            pods: self.pods,
            band: Band::of(self.spec, self.settings),
            settings: self.settings,
            now: self.now,
        };
        if let MetricSource::Pods { metric: id }
        | MetricSource::Object { metric: id, .. }
        | MetricSource::External { metric: id } = &metric.source
            && let Err(problem) = &id.selector
        {
            return Err(MetricFailure::new(FailureKind::BadSelector, problem.clone()));
        }
        match (&metric.source, reading) {
            (_, Some(Reading::Failed(failure))) => Err(failure.clone()),
            (MetricSource::Resource { name }, Some(Reading::PerPod(samples))) => {
                let subject = Subject {
                    resource: Some(name),
                    container: None,
                    goal: goal(metric.target)?,
                };
                propose(subject, samples, cx, uses)
            }
            (MetricSource::ContainerResource { name, container }, Some(Reading::PerPod(samples))) => {
                let subject = Subject {
                    resource: Some(name),
                    container: Some(container),
                    goal: goal(metric.target)?,
                };
                propose(subject, samples, cx, uses)
            }
            (MetricSource::Pods { .. }, Some(Reading::PerPod(samples))) => {
                let subject = Subject {
                    resource: None,
                    container: None,
                    goal: goal(metric.target)?,
                };
                propose(subject, samples, cx, uses)
            }
            (MetricSource::Object { .. }, Some(Reading::Single(value))) => self.propose_one(*value, metric.target, cx),
            (MetricSource::External { .. }, Some(Reading::Several(values))) => {
                self.propose_one(sum(values), metric.target, cx)
            }
            _ => Err(MetricFailure::new(
                FailureKind::NoSource,
                "no source answered for this metric",
            )),
        }
    }

    fn propose_one(
        &self,
        value: Milli,
        target: MetricTarget,
        cx: Context<'_>,
    ) -> Result<(i32, Calculation), MetricFailure> {
        match target {
            MetricTarget::Value(target) => propose_whole(value, target, cx),
            MetricTarget::AverageValue(target) => propose_spread(value, target, self.scale.status_replicas, cx),
            MetricTarget::Utilization(_) | MetricTarget::Mismatched => Err(bad_target()),
        }
    }
}

fn goal(target: MetricTarget) -> Result<Goal, MetricFailure> {
    match target {
        MetricTarget::Utilization(percent) => Ok(Goal::Utilization(percent)),
        MetricTarget::AverageValue(value) => Ok(Goal::Average(value)),
        MetricTarget::Value(_) | MetricTarget::Mismatched => Err(bad_target()),
    }
}

fn bad_target() -> MetricFailure {
    MetricFailure::new(
        FailureKind::BadTarget,
        "invalid metric target: the value that is set does not fit the target's type",
    )
}

/// What the status shows: always of the first calculation, before missing pods are filled in.
fn status(metric: &MetricSpec, calculation: &Calculation) -> MetricStatus {
    let is_memory = match &metric.source {
        MetricSource::Resource { name } | MetricSource::ContainerResource { name, .. } => &**name == "memory",
        _ => false,
    };
    let family = if is_memory {
        SuffixFamily::BinarySi
    } else {
        SuffixFamily::DecimalSi
    };
    let quantity = |value: Milli| Some(Quantity::from_milli(value, family));
    let current = match calculation {
        Calculation::PerPod { first, .. } => MetricValue {
            value: None,
            average_value: quantity(first.average),
            average_utilization: first.utilization_percent,
        },
        Calculation::Whole { value, .. } => MetricValue {
            value: quantity(*value),
            ..MetricValue::default()
        },
        Calculation::Spread { value, over, .. } => MetricValue {
            average_value: spread_average(*value, *over).and_then(quantity),
            ..MetricValue::default()
        },
    };
    match metric.source.clone() {
        MetricSource::Resource { name } => MetricStatus::Resource { name, current },
        MetricSource::ContainerResource { name, container } => MetricStatus::ContainerResource {
            name,
            container,
            current,
        },
        MetricSource::Pods { metric } => MetricStatus::Pods { metric, current },
        MetricSource::Object { described, metric } => MetricStatus::Object {
            metric,
            described,
            current,
        },
        MetricSource::External { metric } => MetricStatus::External { metric, current },
    }
}
