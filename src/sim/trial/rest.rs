//! What autoscalers see at the end of a trial, as scenarios: so that Kubernetes' own controller can say what it would decide.
//!
//! At each decision of the last minutes the world is written down as it is at that moment: the autoscaler, its pods, the count,
//! all metrics. `tests/conformance/FORMAT.md` says how; `tests/convergence.rs` asks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::plan::{END, Plan};
use super::question::{self, Values};
use super::{Mutation, Trial, in_virtual_time};
use crate::clock::Clock;
use crate::promql::Answers;
use crate::settings::sources::Sources;
use crate::sim::api::{AUTOSCALERS, Api, DEPLOYMENTS, PODS, seconds};
use crate::sim::time::VirtualClock;
use crate::spec::Key;

/// How long before the end the worlds are written down: twice the longest window, since Kubernetes' controller begins with the
/// count that it finds, and holds it for a window.
const WRITTEN_DOWN: Duration = Duration::from_secs(600);

/// The sync period; steps of a scenario are so far apart for Kubernetes' controller.
const PERIOD: Duration = Duration::from_secs(15);

/// An autoscaler at the end of a trial.
#[derive(Clone, Debug)]
pub struct AtRest {
    /// Its name.
    pub key: Key,
    /// The count that its workload has.
    pub count: i64,
    /// The last minutes, without what is expected.
    pub scenario: Value,
}

/// Runs a plan, and gives what its autoscalers came to and what they saw last.
pub fn at_rest(plan: &Plan, mutation: Option<Mutation>) -> Vec<AtRest> {
    in_virtual_time(async {
        let mut trial = Trial::begin(plan, mutation);
        let rest = Arc::new(Rest {
            api: trial.simulated.api.clone(),
            clock: trial.simulated.clock.clone(),
            sources: trial.sources.clone(),
            seen: Mutex::default(),
        });
        trial.rest = Some(rest.clone());
        trial.run().await;
        rest.of_all(plan)
    })
}

/// Writes down what is seen.
pub(super) struct Rest {
    api: Arc<Api>,
    clock: Arc<VirtualClock>,
    /// What Prometheus answers for.
    sources: Option<Arc<Sources>>,
    seen: Mutex<BTreeMap<Key, Seen>>,
}

/// The steps of one autoscaler so far.
struct Seen {
    start: Timestamp,
    steps: Vec<Value>,
    pods: BTreeMap<String, Value>,
}

impl Rest {
    /// A decision for this autoscaler is made, on the world as it is now.
    pub(super) fn decided(&self, key: &Key) {
        if self.clock.elapsed() < END.saturating_sub(WRITTEN_DOWN) {
            return;
        }
        let mut seen = self.seen.lock();
        let of_key = seen.entry(key.clone()).or_insert_with(|| Seen {
            start: self.clock.now(),
            steps: Vec::new(),
            pods: BTreeMap::new(),
        });
        if let Some(step) = self.step(key, of_key) {
            of_key.steps.push(step);
        }
    }

    fn step(&self, key: &Key, before: &mut Seen) -> Option<Value> {
        let Key { namespace, name } = key;
        let autoscaler = self.api.store.get(&AUTOSCALERS, namespace, name)?;
        let deployment = self.api.store.get(&DEPLOYMENTS, namespace, name)?;
        let pods = self.pods(key);
        let mut apply = Vec::new();
        if before.steps.is_empty() {
            apply.push(json!({
                "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
                "metadata": { "name": name, "namespace": namespace }, "spec": autoscaler["spec"],
            }));
        }
        let changed = pods.iter().filter(|(name, pod)| before.pods.get(*name) != Some(pod));
        apply.extend(changed.map(|(_, pod)| pod.clone()));
        let gone = before.pods.keys().filter(|name| !pods.contains_key(*name));
        let remove: Vec<Value> = gone
            .map(|name| json!({ "kind": "Pod", "namespace": namespace, "name": name }))
            .collect();
        let metrics = autoscaler["spec"]["metrics"].as_array().map_or(&[][..], Vec::as_slice);
        let mut usages = self.usages(namespace, &pods);
        let mut custom = Vec::new();
        for metric in metrics {
            match (metric["pods"]["metric"]["name"].as_str(), self.of_prometheus(namespace, metric, &pods)) {
                (Some(name), None) => custom.extend(self.custom(namespace, name, &pods)),
                (Some(name), Some(values)) => custom.extend(values.iter().map(|(pod, milli)| {
                    json!({ "describedObject": { "kind": "Pod", "namespace": namespace, "name": pod.name, "apiVersion": "/v1" },
                        "metric": { "name": name, "selector": null }, "timestamp": seconds(self.clock.now()),
                        "value": format!("{milli}m") })
                })),
                (None, Some(values)) => usages = self.usages_of_prometheus(metric, &values, &pods),
                (None, None) => {}
            }
        }
        before.pods = pods;
        let seconds = PERIOD.as_secs() * u64::try_from(before.steps.len()).unwrap_or(u64::MAX);
        Some(json!({
            "at": format!("{seconds}s"),
            "apply": apply,
            "remove": remove,
            "scales": [{
                "target": { "apiVersion": "apps/v1", "kind": "Deployment", "namespace": namespace, "name": name },
                "scale": { "spec": { "replicas": deployment["spec"]["replicas"] },
                    "status": { "replicas": deployment["status"]["replicas"], "selector": format!("app={name}") } },
            }],
            "podMetrics": { "kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {}, "items": usages },
            "customMetrics": custom,
        }))
    }

    /// What metrics.k8s.io says of these pods.
    fn usages(&self, namespace: &str, pods: &BTreeMap<String, Value>) -> Vec<Value> {
        let meters = self.api.meters.lock();
        let usages = pods.keys().filter_map(|pod| meters.pod(namespace, pod));
        usages.map(|usage| (*usage).clone()).collect()
    }

    /// What custom.metrics.k8s.io says of them.
    fn custom(&self, namespace: &str, metric: &str, pods: &BTreeMap<String, Value>) -> Vec<Value> {
        let meters = self.api.meters.lock();
        let list = meters.custom(metric, (namespace, "pods", "*"), |pod| pods.contains_key(pod));
        match list.map(|mut list| list["items"].take()) {
            Ok(Value::Array(items)) => items,
            _ => Vec::new(),
        }
    }

    /// What Prometheus says of them; `None` where it is not asked for this.
    fn of_prometheus(&self, namespace: &str, metric: &Value, pods: &BTreeMap<String, Value>) -> Option<Values> {
        let definition = question::definition(metric, self.sources.as_deref())?;
        let pods: Vec<String> = pods.keys().cloned().collect();
        Some(question::known(&self.api, definition, namespace, &pods).unwrap_or_default())
    }

    /// Usage that Prometheus tells of, as metrics.k8s.io would tell it.
    fn usages_of_prometheus(&self, metric: &Value, values: &Values, pods: &BTreeMap<String, Value>) -> Vec<Value> {
        let definition = question::definition(metric, self.sources.as_deref());
        let window = definition.map_or(Duration::ZERO, |definition| match definition.answers {
            Answers::Resource { window, .. } => window,
            _ => Duration::ZERO,
        });
        let usage = |(pod, milli): (&Key, &i64)| {
            let labels = pods.get(&*pod.name).map(|pod| &pod["metadata"]["labels"]);
            json!({ "metadata": { "name": pod.name, "namespace": pod.namespace, "labels": labels },
                "timestamp": seconds(self.clock.now()), "window": format!("{}s", window.as_secs()),
                "containers": [{ "name": "main", "usage": { "cpu": format!("{milli}m"), "memory": "64Mi" } }] })
        };
        values.iter().map(usage).collect()
    }

    fn pods(&self, key: &Key) -> BTreeMap<String, Value> {
        let (pods, _) = self.api.store.list(&PODS, Some(&key.namespace));
        let own = pods.iter().filter(|pod| pod["metadata"]["labels"]["app"] == *key.name);
        let named = own.map(|pod| {
            let mut pod = (**pod).clone();
            pod["apiVersion"] = "v1".into();
            pod["kind"] = "Pod".into();
            (pod["metadata"]["name"].as_str().unwrap_or_default().to_owned(), pod)
        });
        named.collect()
    }

    fn of_all(&self, plan: &Plan) -> Vec<AtRest> {
        let seen = std::mem::take(&mut *self.seen.lock());
        let at_rest = seen.into_iter().map(|(key, seen)| {
            let deployment = self.api.store.get(&DEPLOYMENTS, &key.namespace, &key.name);
            let count = deployment.and_then(|deployment| deployment["spec"]["replicas"].as_i64());
            let scenario = json!({
                "name": format!("rest-{}-{}-{}", plan.seed, key.namespace, key.name),
                "about": "the last minutes of a simulated hour",
                "controller": { "syncPeriod": "15s", "downscaleStabilization": "5m0s", "tolerance": 0.1,
                    "cpuInitializationPeriod": "5m0s", "initialReadinessDelay": "30s" },
                "start": format!("{:.0}", seen.start),
                "steps": seen.steps,
            });
            AtRest {
                count: count.unwrap_or(-1),
                key,
                scenario,
            }
        });
        at_rest.collect()
    }
}
