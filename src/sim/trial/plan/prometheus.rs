//! Plans in which autoscalers take metrics from the cluster's Prometheus, as users configure it.

use serde_json::{Value, json};

use super::draw::seconds;
use super::{CALM, Event, Plan, Planned, RATE, What};
use crate::sim::api::Prometheus;
use crate::sim::fleet::WorkloadMetric;
use crate::sim::load::Load;
use crate::sim::random::Random;

/// What pods have served since they started.
const SERVED: &str = "served_total";

/// The metric that is made of it.
const SERVED_RATE: &str = "served_per_second";

/// The path below which the cluster's Prometheus is reached.
const BELOW: &str = "/api/v1/namespaces/monitoring";

impl Plan {
    /// The same where the cluster has a Prometheus, which answers for as much as can be.
    pub fn with_prometheus(self) -> Self {
        self.with(true, |_, _| true, &mut Random::new(1))
    }

    /// The same where the cluster has a Prometheus, which answers for some metrics, and with which more goes wrong.
    pub(super) fn asking_prometheus(self, random: &mut Random) -> Self {
        let mut plan = self.with(random.chance(0.5), |_, random| random.chance(0.6), random);
        let more = 1 + random.below(3);
        plan.events.extend((0..more).map(|_| event(plan.processes, random)));
        plan.events.sort_by_key(|event| event.at);
        plan
    }

    /// `cpu`: whether it answers for CPU; `asks`: whether one workload's autoscaler has a metric of its own from it.
    fn with(mut self, cpu: bool, asks: impl Fn(&Planned, &mut Random) -> bool, random: &mut Random) -> Self {
        for planned in &mut self.workloads {
            if asks(planned, random) {
                take_from_prometheus(planned);
            }
        }
        self.configuration = Some(configuration(cpu, random));
        self
    }
}

/// Its rate comes from Prometheus; by CPU, it has a rate from there beside that.
fn take_from_prometheus(planned: &mut Planned) {
    let has_it = |metric: &WorkloadMetric| matches!(metric, WorkloadMetric::Counter { .. });
    if planned.behaviour.metrics.iter().any(has_it) {
        return;
    }
    let counter = |load: &Load| WorkloadMetric::Counter {
        name: SERVED.to_owned(),
        load: load.clone(),
    };
    let metric = |target: &Value| {
        json!({ "type": "Pods", "pods": { "metric": { "name": SERVED_RATE },
            "target": { "type": "AverageValue", "averageValue": target } } })
    };
    let metrics = &mut planned.autoscaler["metrics"];
    if metrics[0]["pods"]["metric"]["name"] == RATE {
        let rates = planned.behaviour.metrics.iter_mut();
        for rate in rates {
            if let WorkloadMetric::Pods { load, .. } = rate {
                *rate = counter(load);
            }
        }
        metrics[0] = metric(&metrics[0]["pods"]["target"]["averageValue"].take());
    } else if let Value::Array(metrics) = metrics {
        // One request needs a thousandth of a CPU: both metrics want the same count.
        planned.behaviour.metrics.push(counter(&planned.behaviour.cpu));
        metrics.push(metric(&planned.target.to_string().into()));
    }
}

/// A configuration file. `cpu`: whether Prometheus answers for CPU too.
fn configuration(cpu: bool, random: &mut Random) -> String {
    let range = random.pick(&["1m", "2m"]);
    let step = random.pick(&["0s", "15s"]);
    let freshness = random.pick(&["45s", "2m", "off"]);
    let cpu = match cpu {
        true => format!("  cpu: {{type: Resource, window: {range}, freshness-limit: {freshness}}}\n"),
        false => String::new(),
    };
    format!(
        r#"prometheus:
  cluster:
    url: {url}
metrics:
  {SERVED_RATE}:
    type: Pods
    query: sum by (pod) (rate({SERVED}{{namespace="$namespace",pod=~"$pods",$selector}}[{range}]))
    step: {step}
    freshness-limit: {freshness}
{cpu}"#,
        url = Prometheus::ADDRESS,
    )
}

/// What goes wrong between processes and Prometheus, or with what it says.
fn event(processes: usize, random: &mut Random) -> Event {
    let at = seconds(random.between(60.0, CALM.as_secs_f64() - 120.0));
    let left = CALM.saturating_sub(at);
    let what = match random.below(6) {
        0 => What::Forbidden(BELOW.to_owned()),
        1 => What::PrometheusGone(seconds(random.between(5.0, 300.0)).min(left)),
        2 => What::MetricsMissing,
        3 => What::MetricsOld,
        4 => What::MetricsOdd,
        _ => What::MetricsContradictory,
    };
    let lasts = match what.is_at_once() {
        true => std::time::Duration::ZERO,
        false => seconds(random.between(5.0, 400.0)).min(left),
    };
    let one = usize::try_from(random.below(processes as u64)).unwrap_or(0);
    Event {
        at,
        lasts,
        share: *random.pick(&[0.1, 0.5, 1.0]),
        process: (processes > 1 && !what.is_at_once() && random.chance(0.5)).then_some(one),
        what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_all_plans_asks_prometheus_and_all_others_stay_what_they_are() {
        let plans: Vec<(Plan, Plan)> = (1..=400)
            .map(|seed| (Plan::new(seed), Plan::without_prometheus(seed)))
            .collect();
        let asking = plans.iter().filter(|(plan, _)| plan.configuration.is_some());
        let count = asking.clone().count();
        assert!((60..140).contains(&count), "{count}");
        for (plan, without) in &plans {
            assert!(without.configuration.is_none());
            if plan.configuration.is_none() {
                assert_eq!(plan, without);
                assert!(
                    !serde_json::to_string(plan)
                        .expect("it can be written")
                        .contains("configuration")
                );
            }
            let of_others = plan.events.iter().filter(|event| without.events.contains(event));
            assert_eq!(of_others.count(), without.events.len(), "what else goes wrong stays");
        }
        // By CPU and a rate together, by a rate alone, and by CPU from there.
        let text: String = asking
            .map(|(plan, _)| serde_json::to_string(plan).expect("it can be written"))
            .collect();
        assert!(text.contains("  cpu: {type: Resource") && text.contains(SERVED_RATE));
    }

    #[test]
    fn the_counter_that_prometheus_scrapes_has_the_load_of_the_metric_before() {
        let of = |asks_by_rate: bool| {
            let plans = (1..).map(Plan::without_prometheus);
            let mut workloads = plans.flat_map(|plan| plan.workloads);
            let found = workloads.find(|planned| planned.behaviour.metrics.is_empty() != asks_by_rate);
            let before = found.expect("there are some of each");
            let mut after = before.clone();
            take_from_prometheus(&mut after);
            (before, after)
        };
        let (by_rate, after) = of(true);
        let WorkloadMetric::Pods { load, .. } = &by_rate.behaviour.metrics[0] else {
            panic!("{by_rate:?}")
        };
        let counter = |load: &Load| WorkloadMetric::Counter {
            name: SERVED.to_owned(),
            load: load.clone(),
        };
        assert_eq!(after.behaviour.metrics, [counter(load)]);
        let target =
            |planned: &Planned, at: usize| planned.autoscaler["metrics"][at]["pods"]["target"]["averageValue"].clone();
        assert_eq!(target(&after, 0), target(&by_rate, 0));
        let (by_cpu, after) = of(false);
        assert_eq!(after.behaviour.metrics, [counter(&by_cpu.behaviour.cpu)]);
        assert_eq!(after.autoscaler["metrics"][0], by_cpu.autoscaler["metrics"][0]);
        assert_eq!(target(&after, 1), by_cpu.target.to_string());
    }
}
