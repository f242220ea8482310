//! The workloads of the demo: each shows something else that an autoscaler has to do.

use std::time::Duration;

use serde_json::{Value, json};

use crate::promql::definition::DEFAULT_FRESHNESS;
use crate::promql::{Answers, Definition, Missing, Template};
use crate::quantity::Milli;
use crate::sim::api::{Prometheus, Refusal};
use crate::sim::fleet::{Behaviour, WorkloadMetric};
use crate::sim::load::Load;
use crate::sim::load::trace::Trace;
use crate::sim::simulated::Simulated;
use crate::spec::Key;

/// Where they all are.
const NAMESPACE: &str = "shop";

/// A workload, and what there is to see.
struct Scene {
    name: &'static str,
    story: &'static str,
    replicas: i32,
    behaviour: Behaviour,
    autoscaler: Value,
}

/// What the cluster's Prometheus answers for.
pub(super) fn metrics() -> Vec<Definition> {
    let query = r#"sum by (pod) (rate(orders_total{namespace="$namespace",pod=~"$pods",$selector}[1m]))"#;
    let pod_label = "pod".into();
    let definition = Template::parse(query).map(|template| Definition {
        name: "orders_per_second".into(),
        answers: Answers::Pods { pod_label },
        endpoint: Prometheus::NAME.into(),
        template,
        step: Duration::ZERO,
        freshness: Some(DEFAULT_FRESHNESS),
        missing: Missing::Fails,
    });
    definition.into_iter().collect()
}

/// What there is to see of a workload of the demo; empty for others.
pub(super) fn story(key: &Key) -> &'static str {
    let mut scenes = scenes(0)
        .into_iter()
        .chain([recorded(Trace::even(Duration::ZERO, &[]))]);
    let scene = scenes.find(|scene| *key.name == *scene.name && &*key.namespace == NAMESPACE);
    scene.map_or("", |scene| scene.story)
}

/// Puts all of them into the cluster, and one that has the load of a `trace` where there is one.
///
/// # Errors
///
/// As the API refuses one.
pub(super) fn deploy(simulated: &Simulated, seed: u64, trace: Option<Trace>) -> Result<(), Refusal> {
    for scene in scenes(seed).into_iter().chain(trace.map(recorded)) {
        let key = Key::new(NAMESPACE, scene.name);
        simulated.deploy(&key, scene.replicas, 100, scene.behaviour)?;
        simulated.autoscale(&key, scene.autoscaler)?;
    }
    Ok(())
}

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

fn of_cpu(load: Load) -> Behaviour {
    Behaviour {
        cpu: load,
        cpu_of_pod_at_most: 400.0,
        ..Behaviour::default()
    }
}

fn cpu(percent: i32) -> Value {
    json!({ "type": "Resource", "resource": { "name": "cpu",
        "target": { "type": "Utilization", "averageUtilization": percent } } })
}

/// A workload whose pods share a load that was recorded, in whatever unit: its peak takes ten of them.
fn recorded(trace: Trace) -> Scene {
    const NAME: &str = "recorded_load";
    let target = Milli(((trace.peak() * 100.0).ceil() as i64).max(1));
    Scene {
        name: "recorded",
        story: "what was recorded, from a file",
        replicas: 2,
        behaviour: Behaviour {
            metrics: vec![WorkloadMetric::Pods {
                name: NAME.to_owned(),
                load: Load::Trace(trace),
            }],
            ..of_cpu(Load::Steady(60.0))
        },
        autoscaler: json!({ "minReplicas": 1, "maxReplicas": 15, "metrics": [{ "type": "Pods", "pods": {
            "metric": { "name": NAME }, "target": { "type": "AverageValue", "averageValue": target.to_string() } } }] }),
    }
}

fn scenes(seed: u64) -> Vec<Scene> {
    let wave = Scene {
        name: "web",
        story: "a day lasts an hour",
        replicas: 4,
        behaviour: of_cpu(Load::Sum(vec![
            Load::Wave {
                low: 150.0,
                high: 900.0,
                period: minutes(60),
                crest: minutes(35),
            },
            Load::Walk {
                seed,
                low: 0.0,
                high: 80.0,
                pace: minutes(4),
            },
        ])),
        autoscaler: json!({ "minReplicas": 2, "maxReplicas": 20, "metrics": [cpu(60)] }),
    };
    let spike = Scene {
        name: "checkout",
        story: "a rush every 25 minutes",
        replicas: 2,
        behaviour: of_cpu(Load::Spikes {
            base: 90.0,
            peak: 1_400.0,
            first: minutes(8),
            every: minutes(25),
            half_life: minutes(2),
        }),
        autoscaler: json!({ "minReplicas": 2, "maxReplicas": 30, "metrics": [cpu(60)], "behavior": {
            "scaleUp": { "policies": [{ "type": "Percent", "value": 200, "periodSeconds": 15 }] },
            "scaleDown": { "stabilizationWindowSeconds": 120,
                "policies": [{ "type": "Percent", "value": 25, "periodSeconds": 60 }] } } }),
    };
    let ramp = Scene {
        name: "search",
        story: "rises and falls slowly",
        replicas: 3,
        behaviour: of_cpu(Load::Trace(Trace::even(minutes(40), &[120.0, 900.0]))),
        autoscaler: json!({ "minReplicas": 2, "maxReplicas": 12, "metrics": [cpu(70)] }),
    };
    let requests = Load::Walk {
        seed: seed.wrapping_add(1),
        low: 20.0,
        high: 400.0,
        pace: minutes(20),
    };
    let rate = Scene {
        name: "api",
        story: "requests a second, of each pod",
        replicas: 4,
        behaviour: Behaviour {
            metrics: vec![WorkloadMetric::Pods {
                name: "http_requests_per_second".to_owned(),
                load: requests,
            }],
            ..of_cpu(Load::Steady(60.0))
        },
        autoscaler: json!({ "minReplicas": 2, "maxReplicas": 15, "metrics": [{ "type": "Pods", "pods": {
            "metric": { "name": "http_requests_per_second" },
            "target": { "type": "AverageValue", "averageValue": "30" } } }] }),
    };
    let orders = Load::Walk {
        seed: seed.wrapping_add(2),
        low: 10.0,
        high: 200.0,
        pace: minutes(15),
    };
    let counted = Scene {
        name: "orders",
        story: "a counter, asked of Prometheus",
        replicas: 4,
        behaviour: Behaviour {
            metrics: vec![WorkloadMetric::Counter {
                name: "orders_total".to_owned(),
                load: orders,
            }],
            ..of_cpu(Load::Steady(60.0))
        },
        autoscaler: json!({ "minReplicas": 2, "maxReplicas": 15, "metrics": [{ "type": "Pods", "pods": {
            "metric": { "name": "orders_per_second" },
            "target": { "type": "AverageValue", "averageValue": "20" } } }] }),
    };
    let broken = Scene {
        name: "reports",
        story: "one metric that nobody answers",
        replicas: 5,
        behaviour: of_cpu(Load::Steady(100.0)),
        autoscaler: json!({ "minReplicas": 1, "maxReplicas": 8, "metrics": [cpu(50), { "type": "Pods", "pods": {
            "metric": { "name": "jobs_waiting" }, "target": { "type": "AverageValue", "averageValue": "10" } } }] }),
    };
    let flaps = Scene {
        name: "batch",
        story: "load that comes and goes",
        replicas: 3,
        behaviour: of_cpu(Load::Steps {
            steps: vec![(minutes(0), 100.0), (minutes(2), 380.0)],
            every: Some(minutes(4)),
        }),
        autoscaler: json!({ "minReplicas": 2, "maxReplicas": 10, "metrics": [cpu(60)] }),
    };
    vec![wave, spike, ramp, rate, counted, broken, flaps]
}
