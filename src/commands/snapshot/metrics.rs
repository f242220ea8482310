//! The metrics that a decision sees, asked by the same sources as the controller's, and written as the metrics APIs would have
//! answered them, whoever did.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::pod_metrics;
use crate::cluster::discovery::Discovery;
use crate::controller::gather::resource_of;
use crate::metrics::resource::Labels;
use crate::metrics::sources::{KnownPods, MetricPass, MetricSources, Participant};
use crate::observe::Reading;
use crate::quantity::{Milli, Quantity, SuffixFamily};
use crate::selector::Selector;
use crate::spec::{MetricIdentifier, MetricSource, Spec};

/// One autoscaler's pods, with what a snapshot needs beyond a decision.
pub(super) struct Pods {
    /// What picks them.
    pub selector: Selector,
    /// The pods.
    pub pods: crate::observe::Pods,
    /// Their labels, as the API has them, by name.
    pub labels: BTreeMap<Arc<str>, Value>,
}

/// The answers of metric sources in the form of a scenario.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Metrics {
    /// A PodMetricsList made of what a Prometheus said; `None` where metrics.k8s.io answers, or nobody asks.
    pub pod_metrics: Option<Value>,
    /// MetricValues of custom.metrics.k8s.io/v1beta2.
    pub custom: Vec<Value>,
    /// ExternalMetricValues, with their namespace and the selector that they answer.
    pub external: Vec<Value>,
    /// What does not answer, and why, by the keys of a scenario's `failing`.
    pub failing: BTreeMap<String, String>,
}

/// Asks for every metric of `spec` at `now`; of resources only where a Prometheus answers for them.
pub(super) async fn ask(
    sources: &MetricSources,
    discovery: &Discovery,
    spec: &Arc<Spec>,
    pods: &Pods,
    now: Timestamp,
) -> Metrics {
    let participant = Participant {
        spec: spec.clone(),
        pods: pods.pods.len(),
    };
    let pass = sources.pass(&[participant], &Arc::new(OnlyOurs), now);
    let prometheus = answers_resources(&pass, spec, pods).await;
    let questions = spec.metrics.iter().map(|metric| async {
        let source = &metric.source;
        let of_resource = matches!(
            source,
            MetricSource::Resource { .. } | MetricSource::ContainerResource { .. }
        );
        if of_resource && !prometheus {
            return None;
        }
        let described = resource_of(discovery, source);
        let namespace = &spec.key.namespace;
        Some(
            pass.reading(namespace, source, &pods.selector, &pods.pods, described)
                .await,
        )
    });
    let readings: Vec<Option<Reading>> = join_all(questions).await;
    let answered: Vec<(&MetricSource, &Reading)> = spec
        .metrics
        .iter()
        .zip(&readings)
        .filter_map(|(metric, reading)| Some((&metric.source, reading.as_ref()?)))
        .collect();
    as_answers(spec, &answered, pods, now)
}

/// Whether a Prometheus answers for a resource: then all of them are written by what the sources said.
async fn answers_resources(pass: &MetricPass, spec: &Spec, pods: &Pods) -> bool {
    for metric in &spec.metrics {
        if let MetricSource::Resource { .. } | MetricSource::ContainerResource { .. } = &metric.source {
            let asked = pass.of_prometheus(&spec.key.namespace, &metric.source, &pods.selector, &pods.pods);
            if asked.await.is_some() {
                return true;
            }
        }
    }
    false
}

fn as_answers(spec: &Spec, answered: &[(&MetricSource, &Reading)], pods: &Pods, now: Timestamp) -> Metrics {
    let namespace = &*spec.key.namespace;
    let mut metrics = Metrics::default();
    for (source, reading) in answered {
        match (source, reading) {
            (MetricSource::Pods { metric }, Reading::PerPod(samples)) => {
                let of_pods = pods.pods.iter().zip(&samples.of_pods);
                let own = of_pods.filter_map(|(pod, sample)| Some((&pod.name, sample.as_ref()?, None)));
                // Nobody knows a stranger's labels, but the selector picks them, as it picks those of our pods.
                let labels = pods.labels.values().next();
                let strangers = samples.of_strangers.iter();
                let strangers = strangers.map(|(name, sample)| (name, sample, labels));
                for (name, sample, labels) in own.chain(strangers) {
                    let object = json!({ "apiVersion": "/v1", "kind": "Pod", "namespace": namespace, "name": name });
                    let mut value = custom(object, metric, sample.value, sample.at.unwrap_or(now));
                    value["windowSeconds"] = sample.window.as_secs().into();
                    if let Some(labels) = labels {
                        value["labels"] = labels.clone();
                    }
                    metrics.custom.push(value);
                }
            }
            (MetricSource::Object { described, metric }, Reading::Single(value)) => {
                let object = json!({
                    "apiVersion": described.api_version, "kind": described.kind, "namespace": namespace,
                    "name": described.name,
                });
                metrics.custom.push(custom(object, metric, *value, now));
            }
            (MetricSource::External { metric }, Reading::Several(values)) => {
                metrics.external.extend(values.iter().map(|value| {
                    json!({
                        "namespace": namespace, "metricName": metric.name, "metricLabels": {},
                        "selector": selector(metric), "timestamp": now.to_string(), "value": quantity(*value),
                    })
                }));
            }
            _ => {}
        }
    }
    metrics.pod_metrics = pod_metrics::list(namespace, answered, pods);
    metrics.failing = failing(answered);
    metrics
}

fn custom(object: Value, metric: &MetricIdentifier, value: Milli, at: Timestamp) -> Value {
    json!({
        "describedObject": object,
        "metric": { "name": metric.name, "selector": selector(metric) },
        "timestamp": at.to_string(),
        "value": quantity(value),
    })
}

/// Written also where there is none: without it, a value answers every selector.
fn selector(metric: &MetricIdentifier) -> Value {
    metric.written.as_deref().cloned().unwrap_or_else(|| json!({}))
}

pub(super) fn quantity(value: Milli) -> String {
    Quantity::from_milli(value, SuffixFamily::DecimalSi).to_string()
}

/// The failures, each for all metrics of its name; where only some of them fail, their values are missing, which fails
/// them too, if in other words.
fn failing(answered: &[(&MetricSource, &Reading)]) -> BTreeMap<String, String> {
    let key = |source: &MetricSource| match source {
        MetricSource::Resource { name } | MetricSource::ContainerResource { name, .. } => format!("podMetrics/{name}"),
        MetricSource::Pods { metric } | MetricSource::Object { metric, .. } => {
            format!("customMetrics/{}", metric.name)
        }
        MetricSource::External { metric } => format!("externalMetrics/{}", metric.name),
    };
    let well: BTreeSet<String> = answered
        .iter()
        .filter(|(_, reading)| !matches!(reading, Reading::Failed(_)))
        .map(|(source, _)| key(source))
        .collect();
    let failed = answered.iter().filter_map(|(source, reading)| match reading {
        Reading::Failed(failure) => Some((key(source), failure.message.clone())),
        _ => None,
    });
    failed.filter(|(key, _)| !well.contains(key)).collect()
}

impl Metrics {
    /// Puts them into a scenario's step.
    pub(super) fn write(&self, step: &mut Value, failing: &mut Map<String, Value>) {
        if let Some(list) = &self.pod_metrics {
            step["podMetrics"] = list.clone();
        }
        for (key, values) in [("customMetrics", &self.custom), ("externalMetrics", &self.external)] {
            if !values.is_empty() {
                step[key] = values.clone().into();
            }
        }
        failing.extend(
            self.failing
                .iter()
                .map(|(key, message)| (key.clone(), message.as_str().into())),
        );
    }
}

/// A snapshot is of one autoscaler: nothing is asked for others too, and so nothing is split.
struct OnlyOurs;

impl KnownPods for OnlyOurs {
    fn count_in(&self, _: &str) -> usize {
        0
    }

    fn count_in_cluster(&self) -> Option<usize> {
        None
    }

    fn has(&self, _: &str, _: &str) -> bool {
        false
    }

    fn each_with_labels(&self, _: &str, _: &Labels, _: &mut dyn FnMut(&str)) {}
}
