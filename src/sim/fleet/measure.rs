//! Who measures: a metrics server, and an adapter for custom and external metrics.
//!
//! Both look every 15 seconds, each at its own time, and what they saw can be read a moment later; so a value is up to
//! some 20 seconds old, as in real clusters.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::behaviour::WorkloadMetric;
use super::{Fleet, Workload, Workloads};
use crate::clock::Clock;
use crate::sim::api::{Api, Described, Gauge, PODS, Series, seconds};
use crate::spec::Key;

/// How often a metrics server and an adapter look.
pub const RESOLUTION: Duration = Duration::from_secs(15);

/// What a metrics server's values are averages over. A pod that has not run for so long has none yet.
pub const WINDOW: Duration = Duration::from_secs(15);

/// When the first looks are, so that they fall neither on each other nor on round times.
const METRICS_SERVER_FIRST: Duration = Duration::from_secs(4);
const ADAPTER_FIRST: Duration = Duration::from_secs(9);

/// How long before they can be read values were measured.
const AGE: SignedDuration = SignedDuration::from_secs(2);

/// Usage differs so much between pods with the same load, at most.
const SPREAD: f64 = 0.05;

/// The looks that were taken.
#[derive(Debug, Default)]
pub(super) struct Measured {
    usages: Option<u64>,
    metrics: Option<u64>,
    /// When queues were last worked on.
    queues_at: Duration,
}

impl Measured {
    pub(super) fn tick(&mut self, api: &Api, clock: &dyn Clock, now: Duration, workloads: &mut Workloads) {
        let at = clock.now().saturating_sub(AGE).unwrap_or_default();
        self.work_off(now, workloads);
        if is_due(&mut self.usages, METRICS_SERVER_FIRST, RESOLUTION, now) {
            let usages = workloads
                .iter_mut()
                .flat_map(|((key, _), workload)| usages(api, key, workload, now, at));
            let usages: Vec<Value> = usages.collect();
            api.meters.lock().set_pods(usages);
        }
        if is_due(&mut self.metrics, ADAPTER_FIRST, RESOLUTION, now) {
            publish(api, now, at, workloads);
        }
    }

    /// Moves what waits in queues.
    fn work_off(&mut self, now: Duration, workloads: &mut Workloads) {
        let passed = now.saturating_sub(self.queues_at).as_secs_f64();
        self.queues_at = now;
        for workload in workloads.values_mut() {
            let ready = ready(workload) as f64;
            for metric in &workload.behaviour.metrics {
                if let WorkloadMetric::Queue {
                    name,
                    arrivals,
                    served_by_pod,
                } = metric
                {
                    let waits = workload.queues.entry(name.clone()).or_default();
                    *waits = (*waits + passed * (arrivals.at(now) - served_by_pod * ready)).max(0.0);
                }
            }
        }
    }
}

/// Whether it is time for the next look.
pub(super) fn is_due(looks: &mut Option<u64>, first: Duration, every: Duration, now: Duration) -> bool {
    let Some(since) = now.checked_sub(first) else {
        return false;
    };
    let number = Some(since.as_secs() / every.as_secs().max(1));
    let due = *looks != number;
    *looks = number;
    due
}

pub(super) fn ready(workload: &Workload) -> usize {
    workload.pods.iter().filter(|pod| pod.is_ready()).count()
}

/// The `PodMetrics` of a workload.
fn usages(api: &Api, key: &Key, workload: &mut Workload, now: Duration, at: Timestamp) -> Vec<Value> {
    let share = {
        let middle = now.saturating_sub(WINDOW / 2);
        workload.behaviour.cpu.at(middle) / ready(workload).max(1) as f64
    };
    let memory = workload.behaviour.memory.at(now);
    let Workload {
        behaviour,
        random,
        pods,
        ..
    } = workload;
    let measured = pods.iter().filter(|pod| {
        let runs_long_enough = pod
            .runs_since()
            .is_some_and(|since| now.saturating_sub(since) >= WINDOW);
        runs_long_enough && !pod.is_ending()
    });
    let (at, window) = (seconds(at), format!("{}s", WINDOW.as_secs()));
    let usage = |pod: &super::PodLife| {
        let object = api.store.get(&PODS, &key.namespace, &pod.name)?;
        let cpu = if pod.is_ready() {
            share
        } else {
            behaviour.cpu_while_starting
        };
        let spread = 1.0 + random.between(-SPREAD, SPREAD);
        let cpu = (cpu * spread).min(behaviour.cpu_of_pod_at_most);
        let containers = object["spec"]["containers"].as_array().map_or(&[][..], Vec::as_slice);
        let each = containers.len().max(1) as f64;
        // Metrics servers give billionths of a CPU and Ki.
        let used = json!({ "cpu": format!("{}n", (cpu * 1e6 / each) as u64),
            "memory": format!("{}Ki", (memory * 1024.0 * spread / each) as u64) });
        let containers: Vec<Value> = containers
            .iter()
            .map(|c| json!({ "name": c["name"], "usage": used }))
            .collect();
        Some(json!({
            "apiVersion": "metrics.k8s.io/v1beta1", "kind": "PodMetrics", "timestamp": at,
            "window": window, "containers": containers,
            "metadata": { "name": pod.name, "namespace": key.namespace, "labels": object["metadata"]["labels"],
                "creationTimestamp": at },
        }))
    };
    measured.filter_map(usage).collect()
}

/// Gives the adapter's values to the API.
fn publish(api: &Api, now: Duration, at: Timestamp, workloads: &Workloads) {
    let gauge = |value: f64| Gauge {
        value: format!("{}m", (value * 1000.0).round() as i64),
        at,
    };
    let described = |key: &Key, resource: &str, name: &str| Described {
        namespace: key.namespace.to_string(),
        resource: resource.to_owned(),
        name: name.to_owned(),
    };
    let mut custom: BTreeMap<&str, Vec<(Described, Gauge)>> = BTreeMap::new();
    let mut external: BTreeMap<(&str, &str), Vec<Series>> = BTreeMap::new();
    for ((key, _), workload) in workloads {
        let ready = ready(workload);
        for metric in &workload.behaviour.metrics {
            match metric {
                WorkloadMetric::Pods { name, load } => {
                    let share = gauge(load.at(now) / ready.max(1) as f64);
                    let pods = workload.pods.iter().filter(|pod| pod.is_ready());
                    let values = pods.map(|pod| (described(key, "pods", &pod.name), share.clone()));
                    custom.entry(name).or_default().extend(values);
                }
                WorkloadMetric::Service { name, load } => {
                    let value = (described(key, "services", &key.name), gauge(load.at(now)));
                    custom.entry(name).or_default().push(value);
                }
                WorkloadMetric::Queue { name, .. } => {
                    let waits = workload.queues.get(name).copied().unwrap_or_default();
                    let labels = BTreeMap::from([("queue".to_owned(), key.name.to_string())]);
                    let series = external.entry((&key.namespace, name)).or_default();
                    series.push((labels, gauge(waits.floor())));
                }
                // Only Prometheus makes something of it.
                WorkloadMetric::Counter { .. } => {}
            }
        }
    }
    let mut meters = api.meters.lock();
    for (metric, values) in custom {
        meters.set_custom(metric, values);
    }
    // Namespaces come and go.
    meters.keep_external(|namespace, metric| external.contains_key(&(namespace, metric)));
    for ((namespace, metric), series) in external {
        meters.set_external(namespace, metric, series);
    }
}

impl Fleet {
    /// How many pods of a workload are ready.
    pub fn ready(&self, key: &Key) -> usize {
        let state = self.state.lock();
        let of_name = state.workloads.iter().filter(|((name, _), _)| name == key);
        of_name.map(|(_, workload)| ready(workload)).sum()
    }
}
