//! `custom.metrics.k8s.io` of a cluster: each question once a pass, and one for all pods of a namespace where many ask.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kube::Client;
use parking_lot::Mutex;
use rustc_hash::{FxHashMap, FxHashSet};

use super::plan::{CustomPlan, PodsMetric};
use super::version::VersionChoice;
use super::{CustomValue, LIST, PodValues, decode, object_reading};
use crate::metrics::allowance::Allowance;
use crate::metrics::api::{Answers, Api, PASS_BYTES};
use crate::metrics::decode::{DecodeError, text};
use crate::metrics::failure::{MetricsApi, SourceError};
use crate::metrics::guard::{Guard, GuardSettings};
use crate::observe::{FailureKind, MetricFailure, Pod, Reading};
use crate::selector::Selector;
use crate::spec::{MetricIdentifier, ObjectRef};
use crate::wire::path_segment;

/// The largest answer: 150 000 pods (Kubernetes' own limit) at some 400 bytes.
const ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// Passes until the question for all pods is tried again where an adapter answered only for fewer: ten minutes at the
/// usual 15 s.
const PASSES_APART: u64 = 40;

/// Metrics that are remembered as asked apart; more than that are tried together in each pass.
const MOST_APART: usize = 10_000;

/// Whether a namespace has a pod of this name.
pub type IsPod = Arc<dyn Fn(&str, &str) -> bool + Send + Sync>;

/// The custom metrics of a cluster.
#[derive(Clone)]
pub struct CustomMetricsSource {
    api: Api,
    version: Arc<VersionChoice>,
    /// Passes begun.
    passes: Arc<AtomicU64>,
    /// Metrics that an adapter does not give for all pods at once, with the pass from which on that is tried again.
    apart: Arc<Mutex<FxHashMap<PodsMetric, u64>>>,
}

/// The resource of a described object as custom metrics APIs want it: `services`, `ingresses.networking.k8s.io`.
pub type ResourceName = Arc<str>;

impl CustomMetricsSource {
    /// The source behind `client`, asked within the bounds of `settings`; the API's version is looked up once each `period`, as
    /// Kubernetes does once a sync period. `seed` varies how long it rests after failures.
    pub fn new(client: Client, settings: GuardSettings, period: Duration, seed: u64) -> Self {
        let api = Api::new(client, MetricsApi::Custom, settings, ANSWER_BYTES, seed);
        Self {
            version: Arc::new(VersionChoice::new(api.clone(), period)),
            api,
            passes: Arc::default(),
            apart: Arc::default(),
        }
    }

    /// Begins a pass. Nothing is asked before someone waits for an answer.
    pub fn pass(&self, plan: &CustomPlan, pods_of: impl Fn(&str) -> usize, is_pod: IsPod) -> CustomPass {
        let number = self.passes.fetch_add(1, Ordering::Relaxed);
        let mut shared = plan.shared(pods_of);
        let mut apart = self.apart.lock();
        apart.retain(|_, until| *until > number);
        shared.retain(|metric| !apart.contains_key(metric));
        CustomPass {
            source: self.clone(),
            number,
            shared,
            is_pod,
            pods: Answers::default(),
            trials: Mutex::default(),
            objects: Answers::default(),
            allowance: Allowance::new(PASS_BYTES),
        }
    }

    /// What stands before the API.
    pub fn guard(&self) -> &Guard {
        self.api.guard()
    }
}

/// The answers of one pass: each is asked for once, and all who wait for it get the same one.
pub struct CustomPass {
    source: CustomMetricsSource,
    number: u64,
    shared: FxHashSet<PodsMetric>,
    is_pod: IsPod,
    pods: Answers<Question, Arc<PodValues>>,
    /// Where nothing was given for all pods: the pods that are asked about next, those of whoever came first.
    trials: Mutex<FxHashMap<PodsMetric, Selector>>,
    objects: Answers<Question, Arc<Vec<CustomValue>>>,
    allowance: Allowance,
}

/// A question without the API's version: the path below it, and the two selectors.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Question {
    path: String,
    pods: String,
    metric: String,
}

impl CustomPass {
    /// A Pods metric, for the autoscaler whose `selector` picks `pods` of `namespace`.
    pub async fn pods(
        &self,
        namespace: &Arc<str>,
        metric: &MetricIdentifier,
        selector: &Selector,
        pods: &[Pod],
    ) -> Reading {
        let Some(wanted) = PodsMetric::new(namespace, metric) else {
            return bad_selector(metric);
        };
        if self.shared.contains(&wanted) {
            let together = self.of_pods(&wanted, &Selector::everything()).await;
            match &together {
                Ok(values) if !values.is_empty() => return values.reading_among_all(pods),
                Err(error) if !error.is_of_question() => return Reading::Failed(error.failure()),
                _ => {}
            }
            if !self.is_given_apart(&wanted, selector, &together).await {
                return read(together, |values| values.reading(pods));
            }
        }
        read(self.of_pods(&wanted, selector).await, |values| values.reading(pods))
    }

    /// An Object metric of an object of `namespace`; `resource` is what its kind is called in the API, not needed for a
    /// Namespace.
    pub async fn object(
        &self,
        namespace: &str,
        described: &ObjectRef,
        metric: &MetricIdentifier,
        resource: impl Future<Output = Result<ResourceName, String>>,
    ) -> Reading {
        let Ok(selector) = &metric.selector else {
            return bad_selector(metric);
        };
        let (namespace, name) = (path_segment(namespace), path_segment(&metric.name));
        let path = if is_namespace(described) {
            // The described name plays no part: an autoscaler sees its own namespace only.
            format!("/namespaces/{namespace}/metrics/{name}")
        } else {
            match resource.await {
                Ok(resource) => {
                    let (resource, object) = (path_segment(&resource), path_segment(&described.name));
                    format!("/namespaces/{namespace}/{resource}/{object}/{name}")
                }
                Err(problem) => return unmapped(&described.kind, &problem),
            }
        };
        let question = Question {
            path,
            pods: String::new(),
            metric: selector.to_string(),
        };
        let answer = self.objects.get(question.clone(), || {
            let (source, allowance) = (self.source.clone(), self.allowance.clone());
            async move {
                source
                    .ask(&question, &allowance, |body| decode(text(body, LIST)?))
                    .await
                    .map(Arc::new)
            }
        });
        read(answer.await, |values| object_reading(values.iter()))
    }

    /// The values of `metric` for the pods that `selector` picks.
    async fn of_pods(&self, metric: &PodsMetric, selector: &Selector) -> Result<Arc<PodValues>, SourceError> {
        let (namespace, name) = (path_segment(&metric.namespace), path_segment(&metric.name));
        let question = Question {
            path: format!("/namespaces/{namespace}/pods/{}/{name}", path_segment("*")),
            pods: selector.to_string(),
            metric: metric.selector.to_string(),
        };
        let answer = self.pods.get(question.clone(), || {
            let (source, is_pod, namespace) = (self.source.clone(), self.is_pod.clone(), metric.namespace.clone());
            let read = move |body: &Bytes| {
                let mut values = PodValues::decode(text(body, LIST)?)?;
                values.mark_unknown(|name| is_pod(&namespace, name));
                Ok(values)
            };
            let allowance = self.allowance.clone();
            async move { source.ask(&question, &allowance, read).await.map(Arc::new) }
        });
        answer.await
    }

    /// Whether an adapter that gave nothing for all pods, but `together`, gives something for those of `selector`, or of whoever
    /// came first. If so, each asks for its own, in the next passes too. If not, that was the answer for everybody: a source
    /// that is down is not asked by each autoscaler in vain.
    async fn is_given_apart(&self, metric: &PodsMetric, selector: &Selector, together: &PodAnswer) -> bool {
        let first = self
            .trials
            .lock()
            .entry(metric.clone())
            .or_insert_with(|| selector.clone())
            .clone();
        let trial = self.of_pods(metric, &first).await;
        let held_nothing = match together {
            Ok(_) => true,
            Err(error) => error.kind == FailureKind::Empty,
        };
        let given = trial.is_ok_and(|values| !held_nothing || !values.is_empty());
        if given {
            let mut apart = self.source.apart.lock();
            if apart.len() < MOST_APART {
                apart.insert(metric.clone(), self.number + 1 + PASSES_APART);
            }
        }
        given
    }
}

type PodAnswer = Result<Arc<PodValues>, SourceError>;

impl CustomMetricsSource {
    async fn ask<T: Send + 'static>(
        &self,
        question: &Question,
        allowance: &Allowance,
        read: impl FnOnce(&Bytes) -> Result<T, DecodeError> + Send + 'static,
    ) -> Result<T, SourceError> {
        let Question { path, pods, metric } = question;
        let whole = async {
            // Looked up within the guard, so that a lookup that fails is counted, and one that succeeds says nothing about
            // the adapter.
            let version = self.version.now().await?;
            let query = [
                ("labelSelector", pods.as_str()),
                ("metricLabelSelector", metric.as_str()),
            ];
            self.api
                .get(&format!("{}{path}", version.root()), &query, allowance, read)
                .await
        };
        self.api.guard().ask(whole).await
    }
}

/// Whether an object is the Namespace itself, which has a path of its own.
///
/// Source: Kubernetes v1.36 `podautoscaler/metrics/client.go`, `GetObjectMetric`.
fn is_namespace(described: &ObjectRef) -> bool {
    &*described.kind == "Namespace" && group_of(&described.api_version).is_empty()
}

/// The API group of a described object; one that does not parse counts as the core group.
///
/// Source: Kubernetes v1.36 apimachinery `schema.FromAPIVersionAndKind`.
pub fn group_of(api_version: &str) -> &str {
    match api_version.split_once('/') {
        Some((group, version)) if !version.contains('/') => group,
        _ => "",
    }
}

fn read<T>(answer: Result<Arc<T>, SourceError>, reading: impl FnOnce(&T) -> Reading) -> Reading {
    match answer {
        Ok(values) => reading(&values),
        Err(error) => Reading::Failed(error.failure()),
    }
}

fn unmapped(kind: &str, problem: &str) -> Reading {
    let message = format!("unable to map kind {kind} to resource: {problem}");
    Reading::Failed(SourceError::of_question(MetricsApi::Custom, FailureKind::BadQuery, message).failure())
}

/// Kubernetes asks nothing where the metric's selector does not convert.
fn bad_selector(metric: &MetricIdentifier) -> Reading {
    let problem = metric.selector.as_ref().err().cloned().unwrap_or_default();
    Reading::Failed(MetricFailure::new(FailureKind::BadSelector, problem))
}

#[cfg(test)]
mod tests;
