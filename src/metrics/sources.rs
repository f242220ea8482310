//! Who answers for which metric: a Prometheus where one does, else the metrics API of the metric's kind.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use jiff::Timestamp;

use super::custom::{CustomMetricsSource, CustomPass, CustomPlan, PodsMetric, ResourceName};
use super::external::{ExternalMetricsSource, ExternalPass};
use super::guard::SourceHealth;
use super::prometheus::{Prometheus, PrometheusPass, Wanted};
use super::resource::{self, Labels, Plan, ResourceMetricsSource, ResourcePass, Shown, Subject};
use crate::observe::{Pod, Reading};
use crate::selector::Selector;
use crate::spec::{MetricSource, Spec};

/// All sources of metrics.
#[derive(Clone)]
pub struct MetricSources {
    /// `metrics.k8s.io`.
    pub resource: ResourceMetricsSource,
    /// `custom.metrics.k8s.io`.
    pub custom: CustomMetricsSource,
    /// `external.metrics.k8s.io`.
    pub external: ExternalMetricsSource,
    /// Every Prometheus that is configured; `None` where there is none.
    pub prometheus: Option<Prometheus>,
}

/// The pods that are known at the moment of asking.
pub trait KnownPods: Send + Sync + 'static {
    /// How many there are in a namespace.
    fn count_in(&self, namespace: &str) -> usize;
    /// How many there are in the whole cluster; `None` where only some namespaces are looked at, so that there is no right to
    /// ask for the whole cluster.
    fn count_in_cluster(&self) -> Option<usize>;
    /// Whether there is one of this name.
    fn has(&self, namespace: &str, name: &str) -> bool;
    /// Hands out the names of those that have exactly these labels, sorted.
    fn each_with_labels(&self, namespace: &str, labels: &Labels, each: &mut dyn FnMut(&str));
}

/// One autoscaler that takes part in a pass.
#[derive(Clone, Debug)]
pub struct Participant {
    /// What it wants.
    pub spec: Arc<Spec>,
    /// How many pods it has, as far as is known without looking: by this it is chosen whom to ask together.
    pub pods: usize,
}

impl MetricSources {
    /// Begins a pass of these autoscalers at `now`. Nothing is asked before someone waits for an answer.
    pub fn pass(&self, participants: &[Participant], pods: &Arc<impl KnownPods>, now: Timestamp) -> MetricPass {
        let (resource, custom) = plans(participants, &**pods);
        let with_labels = pods.clone();
        let by_name = pods.clone();
        MetricPass {
            resource: self.resource.pass(
                &resource,
                Arc::new(move |namespace, labels, each| with_labels.each_with_labels(namespace, labels, each)),
            ),
            custom: self.custom.pass(
                &custom,
                |namespace| pods.count_in(namespace),
                Arc::new(move |namespace, name| by_name.has(namespace, name)),
            ),
            external: self.external.pass(),
            prometheus: self
                .prometheus
                .as_ref()
                .map(|prometheus| prometheus.pass(wanted(participants), now)),
        }
    }

    /// How each source is doing, by the name that it has in exported metrics.
    pub fn health(&self) -> Vec<(String, SourceHealth)> {
        let apis = [
            ("resource", self.resource.guard()),
            ("custom", self.custom.guard()),
            ("external", self.external.guard()),
        ];
        let apis = apis.into_iter().map(|(name, guard)| (name.to_owned(), guard.health()));
        let endpoints = self.prometheus.iter().flat_map(Prometheus::health);
        let endpoints = endpoints.map(|known| (format!("prometheus/{}", known.endpoint), known.health));
        apis.chain(endpoints).collect()
    }
}

/// What the pass will ask of the metrics APIs.
fn plans(participants: &[Participant], pods: &impl KnownPods) -> (Plan, CustomPlan) {
    let mut pods_by_namespace: BTreeMap<Arc<str>, usize> = BTreeMap::new();
    let mut custom = CustomPlan::default();
    for Participant { spec, pods: count } in participants {
        let namespace = &spec.key.namespace;
        for metric in &spec.metrics {
            match &metric.source {
                MetricSource::Resource { .. } | MetricSource::ContainerResource { .. } => {
                    if !pods_by_namespace.contains_key(namespace) {
                        pods_by_namespace.insert(namespace.clone(), pods.count_in(namespace));
                    }
                }
                MetricSource::Pods { metric } => {
                    if let Some(metric) = PodsMetric::new(namespace, metric) {
                        custom.add(metric, *count);
                    }
                }
                MetricSource::Object { .. } | MetricSource::External { .. } => {}
            }
        }
    }
    let resource = Plan {
        pods_by_namespace,
        pods_of_cluster: pods.count_in_cluster(),
    };
    (resource, custom)
}

fn wanted(participants: &[Participant]) -> Vec<Wanted> {
    let metrics_of = |spec: &Spec| {
        let namespace = spec.key.namespace.clone();
        let metrics = spec.metrics.iter().map(move |metric| Wanted {
            namespace: namespace.clone(),
            source: metric.source.clone(),
        });
        metrics.collect::<Vec<_>>()
    };
    participants
        .iter()
        .flat_map(|participant| metrics_of(&participant.spec))
        .collect()
}

/// An answer that many autoscalers wait for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SharedAnswer {
    /// The resource metrics of the whole cluster.
    ResourcesOfCluster,
    /// Those of a namespace.
    ResourcesOf(Arc<str>),
}

/// The answers of one pass: each question is asked once, and all who wait for it get the same answer.
pub struct MetricPass {
    resource: ResourcePass,
    custom: CustomPass,
    external: ExternalPass,
    prometheus: Option<PrometheusPass>,
}

impl MetricPass {
    /// Notes what the resource metrics show of this subject; to be called before anything is asked.
    pub fn watch(&self, subject: Option<Subject>) {
        self.resource.watch(subject);
    }

    /// What the resource metrics have shown of the subject so far; `None` where they were not asked, or did not answer.
    pub fn shown(&self) -> Option<Shown> {
        self.resource.shown()
    }

    /// Whose pods could be looked at as the next subject; `None` where nobody has got resource metrics.
    pub fn candidate(&self) -> Option<Subject> {
        self.resource.candidate()
    }

    /// The one answer from which all metrics of this spec are read; `None` where there are several, or it cannot be told.
    pub fn shared_answer(&self, spec: &Spec) -> Option<SharedAnswer> {
        let of_resource = |source: &MetricSource| match source {
            MetricSource::Resource { .. } | MetricSource::ContainerResource { .. } => !self
                .prometheus
                .as_ref()
                .is_some_and(|prometheus| prometheus.answers(source)),
            MetricSource::Pods { .. } | MetricSource::Object { .. } | MetricSource::External { .. } => false,
        };
        let all = spec.metrics.iter().all(|metric| of_resource(&metric.source));
        all.then(|| match self.resource.is_of_cluster() {
            true => SharedAnswer::ResourcesOfCluster,
            false => SharedAnswer::ResourcesOf(spec.key.namespace.clone()),
        })
    }

    /// Asks for an answer and waits until it is there, or has failed.
    pub async fn wait(&self, answer: &SharedAnswer) {
        // Whoever reads it gets the same, failure or not.
        match answer {
            SharedAnswer::ResourcesOfCluster => self.resource.wait_for_cluster().await,
            SharedAnswer::ResourcesOf(namespace) => _ = self.resource.usages(namespace).await,
        }
    }

    /// One metric of an autoscaler of `namespace` whose `selector` picks `pods`.
    ///
    /// `described` finds what the API calls the kind of an Object metric's object; it is waited for only where an API is
    /// asked about one.
    pub async fn reading(
        &self,
        namespace: &Arc<str>,
        source: &MetricSource,
        selector: &Selector,
        pods: &[Pod],
        described: impl Future<Output = Result<ResourceName, String>>,
    ) -> Reading {
        if let Some(reading) = self.of_prometheus(namespace, source, selector, pods).await {
            return reading;
        }
        match source {
            MetricSource::Resource { name } => self.of_resource(namespace, selector, pods, name, None).await,
            MetricSource::ContainerResource { name, container } => {
                self.of_resource(namespace, selector, pods, name, Some(container)).await
            }
            MetricSource::Pods { metric } => self.custom.pods(namespace, metric, selector, pods).await,
            MetricSource::Object {
                described: object,
                metric,
            } => self.custom.object(namespace, object, metric, described).await,
            MetricSource::External { metric } => self.external.reading(namespace, metric).await,
        }
    }

    /// The same where a Prometheus answers for the metric; `None` where none does.
    pub async fn of_prometheus(
        &self,
        namespace: &Arc<str>,
        source: &MetricSource,
        selector: &Selector,
        pods: &[Pod],
    ) -> Option<Reading> {
        self.prometheus
            .as_ref()?
            .reading(namespace, source, selector, pods)
            .await
    }

    async fn of_resource(
        &self,
        namespace: &Arc<str>,
        selector: &Selector,
        pods: &[Pod],
        resource: &str,
        container: Option<&str>,
    ) -> Reading {
        match self.resource.usages(namespace).await {
            Ok(usages) => {
                self.resource.consider(namespace, selector, pods.len());
                resource::reading(&usages, selector, pods, resource, container)
            }
            Err(error) => Reading::Failed(error.failure()),
        }
    }
}

#[cfg(test)]
mod tests;
