//! What metrics APIs have answered, and how far down that allows a count to go.

use std::cell::OnceCell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use crate::quantity::Milli;
use crate::settings::sources::Sources;
use crate::sim::api::{Api, DEPLOYMENTS, PODS};
use crate::sim::trial::plan::REQUEST;
use crate::sim::trial::question::{self, Question, Source, Values};
use crate::spec::Key;

/// Answers that a decision may still go by: a sync lasts 30 s at most, and what is asked for once a pass is kept for one.
const KEPT_FOR: Duration = Duration::from_secs(61);

/// A pod that has been ready for so long counts, whatever is late: watches, metrics, and Kubernetes' five minutes in which the
/// CPU of a new pod may be left out.
const COUNTS_AFTER: Duration = Duration::from_secs(460);

/// Kubernetes' sums of larger values wrap round, in thousandths; what comes of that is not judged.
const ABSURD: i64 = 1_000_000_000_000_000;

/// One answer that arrived.
pub(super) struct Answer {
    at: Duration,
    source: Source,
    /// The namespace that it is of; `None`: all.
    namespace: Option<String>,
    body: Bytes,
    /// What it says, once somebody wants to know: only a scale-down does, which is one answer in many.
    values: OnceCell<Option<Values>>,
}

#[derive(Deserialize)]
struct List {
    items: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    metadata: Option<Named>,
    described_object: Option<Named>,
    #[serde(default)]
    containers: Vec<Container>,
    value: Option<String>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Container {
    usage: Usage,
}

#[derive(Deserialize)]
struct Usage {
    cpu: String,
}

impl Answer {
    pub(super) fn new(at: Duration, question: &Question, body: Bytes) -> Self {
        Self {
            at,
            source: question.source,
            namespace: question.namespace.clone(),
            body,
            values: OnceCell::new(),
        }
    }

    /// Nothing where one value is absurd, or no number.
    fn values(&self) -> Option<&Values> {
        let read = || match self.source.is_prometheus() {
            true => question::said(&self.body, self.namespace.as_deref(), ABSURD),
            false => values(&self.body),
        };
        self.values.get_or_init(read).as_ref()
    }
}

fn values(body: &[u8]) -> Option<Values> {
    let list: List = serde_json::from_slice(body).ok()?;
    let mut values = BTreeMap::new();
    for item in list.items {
        let milli = |text: &String| Milli::of_quantity(text).ok().map(|milli| milli.0);
        let value = match &item.value {
            Some(value) => milli(value)?,
            None => item
                .containers
                .iter()
                .map(|container| milli(&container.usage.cpu))
                .try_fold(0_i64, |sum, value| Some(sum.saturating_add(value?)))?,
        };
        if !(0..ABSURD).contains(&value) {
            return None;
        }
        let Named { namespace, name } = item.described_object.or(item.metadata)?;
        let least = values.entry(Key::new(namespace, name)).or_insert(value);
        *least = value.min(*least);
    }
    Some(values)
}

/// The answers of late.
#[derive(Default)]
pub(super) struct Answers {
    /// What Prometheus answers for.
    sources: Option<Arc<Sources>>,
    kept: VecDeque<Answer>,
    last: BTreeMap<Source, Duration>,
}

impl Answers {
    pub(super) fn of(sources: Option<Arc<Sources>>) -> Self {
        Self {
            sources,
            ..Self::default()
        }
    }

    /// Who answers for a metric of an autoscaler.
    pub(super) fn source(&self, metric: &Value) -> Source {
        Source::of_metric(metric, self.sources.as_deref())
    }

    pub(super) fn add(&mut self, answer: Answer) {
        let now = answer.at;
        self.last.insert(answer.source, now);
        self.kept.push_back(answer);
        while self
            .kept
            .front()
            .is_some_and(|answer| now.saturating_sub(answer.at) > KEPT_FOR)
        {
            self.kept.pop_front();
        }
    }

    /// When a source has answered last.
    pub(super) fn last(&self, source: Source) -> Option<Duration> {
        self.last.get(&source).copied()
    }

    /// The least that an autoscaler may come down to, by what was answered of those of its pods that count for sure: each at
    /// the least that an answer said of it, and as Kubernetes fills it in where an answer left it out: at what it requests,
    /// or at its target if that is more; at its target for other metrics.
    ///
    /// Source: Kubernetes v1.36 `replica_calculator.go`, `GetResourceReplicas` and `calcPlainMetricReplicas`.
    pub(super) fn least(&self, api: &Api, key: &Key, spec: &Value, now: Duration) -> Option<i64> {
        let metrics = spec["metrics"].as_array()?;
        metrics
            .iter()
            .filter_map(|metric| self.least_of(api, key, metric, now))
            .max()
    }

    fn least_of(&self, api: &Api, key: &Key, metric: &Value, now: Duration) -> Option<i64> {
        let source = self.source(metric);
        let answers: Vec<&Answer> = self
            .kept
            .iter()
            .filter(|answer| answer.source == source && now.saturating_sub(answer.at) <= KEPT_FOR)
            .filter(|answer| answer.namespace.as_deref().is_none_or(|n| n == &*key.namespace))
            .collect();
        let values: Option<Vec<_>> = answers.iter().map(|answer| answer.values()).collect();
        let values = values.filter(|values| !values.is_empty())?;
        let request = i64::from(REQUEST);
        let target = &metric[if source.is_of_pods() { "pods" } else { "resource" }]["target"];
        let (fill, per_pod) = match target["averageUtilization"].as_i64() {
            // Kubernetes cuts the utilization of all off to whole percents: one more for each pod.
            Some(percent) => (request * percent.max(100) / 100, request * percent / 100),
            None => {
                let average = Milli::of_quantity(target["averageValue"].as_str()?).ok()?.0;
                (average, average)
            }
        };
        let pods = counting(api, key);
        let least = |pod: &String| {
            let place = Key::new(key.namespace.clone(), pod.as_str());
            let said = values.iter().map(|values| values.get(&place).copied().unwrap_or(fill));
            said.min().unwrap_or(0)
        };
        let sum: i64 = pods.iter().map(least).sum();
        let cut_off = match source.is_of_pods() {
            true => replicas(api, key),
            false => replicas(api, key) * request / 100,
        };
        let per_pod = per_pod.max(1);
        Some(((sum - cut_off).max(0) + per_pod - 1) / per_pod)
    }
}

fn replicas(api: &Api, key: &Key) -> i64 {
    let deployment = api.store.get(&DEPLOYMENTS, &key.namespace, &key.name);
    // Before a write of a smaller count there were more.
    deployment
        .and_then(|deployment| deployment["status"]["replicas"].as_i64())
        .unwrap_or(0)
}

/// The pods of a workload that have been ready for so long that they count.
fn counting(api: &Api, key: &Key) -> Vec<String> {
    let before = api.store.now().saturating_sub(COUNTS_AFTER).unwrap_or_default();
    let (pods, _) = api.store.list(&PODS, Some(&key.namespace));
    let is_before = |time: &Value| {
        let time = time.as_str().and_then(|time| time.parse::<jiff::Timestamp>().ok());
        time.is_some_and(|time| time < before)
    };
    let counts = |pod: &Value| {
        let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
        let ready = conditions.find(|condition| condition["type"] == "Ready");
        pod["metadata"]["labels"]["app"] == *key.name
            && pod["metadata"]["deletionTimestamp"].is_null()
            && ready.is_some_and(|ready| ready["status"] == "True" && is_before(&ready["lastTransitionTime"]))
    };
    let counting = pods.iter().filter(|pod| counts(pod));
    let name = |pod: &Value| pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    counting.map(|pod| name(pod)).collect()
}
