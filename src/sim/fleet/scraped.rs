//! What the pods of a cluster show to its Prometheus: cAdvisor's figures of their containers, and their own metrics.
//!
//! Nothing here is drawn by chance, so that a cluster with a Prometheus and one without are otherwise the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::behaviour::WorkloadMetric;
use super::measure::ready;
use super::{PodLife, Workload, Workloads};
use crate::clock::Clock;
use crate::promql::Series;
use crate::sim::api::{Api, PODS};
use crate::spec::Key;

/// How often it scrapes.
const SCRAPE_INTERVAL: Duration = Duration::from_secs(15);

/// When it scrapes first: at a time of its own.
const FIRST: Duration = Duration::from_secs(2);

/// What a pod has counted since it started.
#[derive(Debug, Default)]
pub(super) struct Counted {
    restarts: u32,
    cpu_seconds: f64,
    served: BTreeMap<String, f64>,
}

/// The scrapes that were made.
#[derive(Debug, Default)]
pub(super) struct Scraped {
    scrapes: Option<u64>,
    counted_at: Duration,
}

impl Scraped {
    /// Counts on, and scrapes where it is time to.
    pub(super) fn tick(&mut self, api: &Api, clock: &dyn Clock, now: Duration, workloads: &mut Workloads) {
        let passed = now.saturating_sub(self.counted_at).as_secs_f64();
        self.counted_at = now;
        if !api.prometheus.is_up() {
            return;
        }
        workloads.values_mut().for_each(|workload| count(workload, now, passed));
        if super::measure::is_due(&mut self.scrapes, FIRST, SCRAPE_INTERVAL, now) {
            let shown = workloads
                .iter()
                .flat_map(|((key, _), workload)| shown(api, key, workload, now));
            api.prometheus.scraped(clock.now(), shown);
        }
    }
}

fn count(workload: &mut Workload, now: Duration, passed: f64) {
    let ready = ready(workload).max(1) as f64;
    let Workload {
        behaviour,
        pods,
        counted,
        ..
    } = workload;
    counted.retain(|name, _| pods.iter().any(|pod| pod.name == *name));
    let share = (behaviour.cpu.at(now) / ready).min(behaviour.cpu_of_pod_at_most);
    for pod in pods.iter().filter(|pod| pod.runs_since().is_some()) {
        let counts = counted.entry(pod.name.clone()).or_default();
        if counts.restarts != pod.restarts {
            *counts = Counted {
                restarts: pod.restarts,
                ..Counted::default()
            };
        }
        let milli = if pod.is_ready() {
            share
        } else {
            behaviour.cpu_while_starting
        };
        counts.cpu_seconds += passed * milli / 1000.0;
        for metric in behaviour.metrics.iter().filter(|_| pod.is_ready()) {
            if let WorkloadMetric::Counter { name, load } = metric {
                *counts.served.entry(name.clone()).or_default() += passed * load.at(now) / ready;
            }
        }
    }
}

/// Everything that a workload shows.
fn shown(api: &Api, key: &Key, workload: &Workload, now: Duration) -> Vec<Series> {
    let mut all = Vec::new();
    let of = |name: &str, more: &[(&str, &str)], value: f64| {
        let labels = [("__name__", name), ("namespace", &*key.namespace)];
        let labels = labels
            .iter()
            .chain(more)
            .map(|(name, value)| (Arc::from(*name), Arc::from(*value)));
        let mut labels: Vec<(Arc<str>, Arc<str>)> = labels.collect();
        labels.sort();
        Series {
            labels: labels.into(),
            value,
        }
    };
    let share = 1.0 / ready(workload).max(1) as f64;
    for metric in &workload.behaviour.metrics {
        match metric {
            WorkloadMetric::Service { name, load } => all.push(of(name, &[("service", &key.name)], load.at(now))),
            WorkloadMetric::Queue { name, .. } => {
                let waits = workload.queues.get(name).copied().unwrap_or_default();
                all.push(of(name, &[("queue", &key.to_string())], waits.floor()));
            }
            WorkloadMetric::Pods { .. } | WorkloadMetric::Counter { .. } => {}
        }
    }
    for pod in workload.pods.iter().filter(|pod| pod.runs_since().is_some()) {
        let named = [("pod", pod.name.as_str())];
        for (container, share_of_pod) in containers(api, key, pod) {
            // cAdvisor tells of the whole pod, too, without a container.
            let labels = [named[0], ("container", container.as_str())];
            let labels = if container.is_empty() { &named[..] } else { &labels[..] };
            let cpu = workload.counted.get(&pod.name).map_or(0.0, |counts| counts.cpu_seconds);
            all.push(of("container_cpu_usage_seconds_total", labels, cpu * share_of_pod));
            let bytes = workload.behaviour.memory.at(now) * 1024.0 * 1024.0 * share_of_pod;
            all.push(of("container_memory_working_set_bytes", labels, bytes));
        }
        for metric in workload.behaviour.metrics.iter().filter(|_| pod.is_ready()) {
            match metric {
                WorkloadMetric::Pods { name, load } => all.push(of(name, &named, load.at(now) * share)),
                WorkloadMetric::Counter { name, .. } => {
                    let counts = workload.counted.get(&pod.name);
                    let served = counts.and_then(|counts| counts.served.get(name)).copied();
                    all.push(of(name, &named, served.unwrap_or_default()));
                }
                WorkloadMetric::Service { .. } | WorkloadMetric::Queue { .. } => {}
            }
        }
    }
    all
}

/// Each container with its share of the pod, and the pod as a whole without a name.
fn containers(api: &Api, key: &Key, pod: &PodLife) -> Vec<(String, f64)> {
    let Some(object) = api.store.get(&PODS, &key.namespace, &pod.name) else {
        return Vec::new();
    };
    let containers = object["spec"]["containers"].as_array().map_or(&[][..], Vec::as_slice);
    let share = 1.0 / containers.len().max(1) as f64;
    let name = |container: &Value| container["name"].as_str().unwrap_or_default().to_owned();
    let each = containers.iter().map(|container| (name(container), share));
    each.chain([(String::new(), 1.0)]).collect()
}
