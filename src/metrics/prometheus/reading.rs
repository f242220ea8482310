//! The series of an answer -> the values in it -> an autoscaler's reading. Pure.

mod resource;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rustc_hash::FxHashMap;

use crate::observe::{FailureKind, MetricFailure, Pod, PodSamples, Reading, Sample, Unusable};
use crate::promql::{Answers, Definition, Missing, Series};
use crate::quantity::Milli;

/// One series' value, or why it is none.
type Value = Result<Milli, Unusable>;

/// What one answer says to all who ask the same: found by pod, so that each of them looks at its own pods only.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Values {
    /// Of a Pods metric, by the pod's name.
    PerPod(FxHashMap<Arc<str>, Value>),
    /// Of a resource, by the pod's and then the container's name.
    PerContainer(FxHashMap<Arc<str>, FxHashMap<Arc<str>, Value>>),
    /// Of an Object or External metric: all of them, in the answer's order.
    Plain(Vec<Value>),
}

/// Where and when values were asked for.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub definition: &'a Definition,
    /// The evaluation time.
    pub at: Timestamp,
}

impl Values {
    /// The values of `series`, the answer to `definition`'s query. Series without the labels that name a pod or a container
    /// belong to none.
    pub(super) fn of(definition: &Definition, series: &[&Series]) -> Self {
        match &definition.answers {
            Answers::Pods { pod_label } => {
                let mut by_pod = FxHashMap::default();
                for series in series {
                    if let Some(pod) = named(series, pod_label) {
                        note(&mut by_pod, pod, value(series.value));
                    }
                }
                Self::PerPod(by_pod)
            }
            Answers::Object { .. } | Answers::External => Self::Plain(series.iter().map(|s| value(s.value)).collect()),
            Answers::Resource {
                pod_label,
                container_label,
                ..
            } => {
                let mut by_pod: FxHashMap<Arc<str>, FxHashMap<Arc<str>, Value>> = FxHashMap::default();
                for series in series {
                    // cAdvisor has sums over the pod too, without a container's name.
                    if let (Some(pod), Some(container)) = (named(series, pod_label), named(series, container_label)) {
                        note(by_pod.entry(pod.clone()).or_default(), container, value(series.value));
                    }
                }
                Self::PerContainer(by_pod)
            }
        }
    }

    /// The reading of an autoscaler that has these `pods`; `container` for a ContainerResource metric.
    pub(super) fn reading(&self, asked: Asked<'_>, pods: &[Pod], container: Option<&str>) -> Reading {
        match self {
            Self::PerPod(by_pod) => per_pod(asked, pods, by_pod),
            Self::PerContainer(by_pod) => resource::reading(asked, pods, by_pod, container),
            Self::Plain(values) => match asked.definition.answers {
                Answers::Object { .. } => single(asked, values),
                _ => several(asked, values),
            },
        }
    }
}

/// A Pods metric. Only this autoscaler's pods count: an answer may hold those of the whole namespace.
fn per_pod(asked: Asked<'_>, pods: &[Pod], by_pod: &FxHashMap<Arc<str>, Value>) -> Reading {
    let samples = pods
        .iter()
        .map(|pod| match (by_pod.get(&pod.name), asked.definition.missing) {
            (Some(value), _) => Some(*value),
            (None, Missing::Is(value)) => Some(Ok(value)),
            (None, Missing::Fails) => None,
        });
    joined(asked, pods, samples, SignedDuration::ZERO)
}

/// Pods with their values. Fails where there is not one that counts.
fn joined(
    asked: Asked<'_>,
    pods: &[Pod],
    values: impl Iterator<Item = Option<Value>>,
    window: SignedDuration,
) -> Reading {
    let mut samples = PodSamples::default();
    for (pod, value) in pods.iter().zip(values) {
        let sample = match value {
            None => None,
            Some(Ok(value)) => Some(Sample {
                value,
                at: Some(asked.at),
                window,
            }),
            Some(Err(why)) => {
                samples.unusable.push((pod.name.clone(), why));
                None
            }
        };
        samples.of_pods.push(sample);
    }
    if pods.is_empty() || samples.of_pods.iter().any(Option::is_some) {
        return Reading::PerPod(samples);
    }
    match samples.unusable.first() {
        Some((pod, why)) => failed(
            asked,
            kind(*why),
            &format!("no pod has a usable value; of {pod}, {}", words(*why)),
        ),
        None => {
            let remedy = match &asked.definition.answers {
                Answers::Pods { pod_label } | Answers::Resource { pod_label, .. } => {
                    format!(" (does the query give series with the pods' names in the label {pod_label}?)")
                }
                _ => String::new(),
            };
            failed(
                asked,
                FailureKind::Empty,
                &format!("no series of this autoscaler's pods{remedy}"),
            )
        }
    }
}

/// An Object metric: exactly one series.
fn single(asked: Asked<'_>, values: &[Value]) -> Reading {
    match values {
        [Ok(value)] => Reading::Single(*value),
        [Err(why)] => failed(asked, kind(*why), words(*why)),
        [] => match asked.definition.missing {
            Missing::Is(value) => Reading::Single(value),
            Missing::Fails => failed(asked, FailureKind::Empty, "no series of this object"),
        },
        _ => failed(
            asked,
            FailureKind::Several,
            &format!(
                "{} series where one is needed (should the query have a sum around it?)",
                values.len()
            ),
        ),
    }
}

/// An External metric: all series count, each as a value of its own.
fn several(asked: Asked<'_>, values: &[Value]) -> Reading {
    match (values, asked.definition.missing) {
        ([], Missing::Is(value)) => Reading::Several(vec![value]),
        ([], Missing::Fails) => failed(asked, FailureKind::Empty, "no series"),
        _ => match values.iter().copied().collect::<Result<Vec<_>, _>>() {
            Ok(values) => Reading::Several(values),
            Err(why) => failed(asked, kind(why), words(why)),
        },
    }
}

fn failed(asked: Asked<'_>, kind: FailureKind, what: &str) -> Reading {
    let Definition { name, endpoint, .. } = asked.definition;
    Reading::Failed(MetricFailure::new(
        kind,
        format!("unable to fetch metrics from Prometheus {endpoint}: {name}: {what}"),
    ))
}

fn kind(why: Unusable) -> FailureKind {
    match why {
        Unusable::NotANumber | Unusable::Infinite => FailureKind::NotFinite,
        Unusable::Several => FailureKind::Several,
    }
}

fn words(why: Unusable) -> &'static str {
    match why {
        Unusable::NotANumber => "the value is not a number (a division by zero in the query?)",
        Unusable::Infinite => "the value is infinite (a division by zero in the query?)",
        Unusable::Several => "there are several series (should the query have a sum around it?)",
    }
}

/// The label's value, where the series has it.
fn named<'a>(series: &'a Series, label: &str) -> Option<&'a Arc<str>> {
    let found = series.labels.iter().find(|(name, _)| &**name == label);
    found.map(|(_, value)| value).filter(|value| !value.is_empty())
}

fn note(values: &mut FxHashMap<Arc<str>, Value>, name: &Arc<str>, value: Value) {
    values
        .entry(name.clone())
        .and_modify(|former| *former = Err(Unusable::Several))
        .or_insert(value);
}

/// A float as thousandths: cut off, as Prometheus Adapter does it, so that counts are the same; kept at the ends of the range.
///
/// Source: Prometheus Adapter v0.12 `pkg/custom-provider/provider.go`, `metricFor`: `NewMilliQuantity(int64(value*1000.0))`.
/// (It takes NaN for 0; here NaN is no value.)
fn value(float: f64) -> Value {
    if float.is_nan() {
        Err(Unusable::NotANumber)
    } else if float.is_infinite() {
        Err(Unusable::Infinite)
    } else {
        Ok(Milli((float * 1000.0) as i64))
    }
}
