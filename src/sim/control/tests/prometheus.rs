//! The real controller on a simulated cluster that has a Prometheus.

use super::*;
use crate::promql::definition::{DEFAULT_FRESHNESS, DEFAULT_WINDOW, default_query};
use crate::promql::{Answers, Definition, Missing, Template};
use crate::sim::api::Prometheus;

fn definition(name: &str, answers: Answers, query: &str) -> Definition {
    Definition {
        name: name.into(),
        answers,
        endpoint: Prometheus::NAME.into(),
        template: Template::parse(query).unwrap(),
        step: Duration::ZERO,
        freshness: Some(DEFAULT_FRESHNESS),
        missing: Missing::Fails,
    }
}

fn requests() -> Definition {
    let query = r#"sum by (pod) (rate(requests_total{namespace="$namespace",pod=~"$pods",$selector}[1m]))"#;
    let pod_label = "pod".into();
    definition("requests_per_second", Answers::Pods { pod_label }, query)
}

fn start(scene: &Scene, metrics: Vec<Definition>) -> Process {
    scene.api.prometheus.start();
    let options = ProcessOptions {
        prometheus: Some(Arc::new(Prometheus::sources(metrics))),
        ..ProcessOptions::default()
    };
    Process::start(&scene.api, &scene.clock, options, Arc::new(Nobody))
}

fn per_pod(metric: &str, target: &str) -> serde_json::Value {
    json!([{ "type": "Pods", "pods": { "metric": { "name": metric },
        "target": { "type": "AverageValue", "averageValue": target } } }])
}

#[tokio::test(start_paused = true)]
async fn a_counter_that_prometheus_scrapes_scales_a_workload_up_and_down() {
    let served = WorkloadMetric::Counter {
        name: "requests_total".into(),
        load: steps(&[(0, 15.0), (10, 57.0), (20, 15.0)]),
    };
    let behaviour = Behaviour {
        metrics: vec![served],
        ..Behaviour::default()
    };
    let scene = Scene::begin(behaviour, per_pod("requests_per_second", "10"));
    let process = start(&scene, vec![requests()]);
    assert_eq!(scene.until(minutes(10)).await, 2);
    assert_eq!(scene.until(minutes(14)).await, 6);
    assert_eq!(scene.until(minutes(40)).await, 2);
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_cpu_of_containers_comes_from_cadvisor_and_a_prometheus_that_is_gone_never_scales_down() {
    let behaviour = Behaviour {
        cpu: steps(&[(0, 90.0), (10, 400.0), (30, 90.0)]),
        ..Behaviour::default()
    };
    let scene = Scene::begin(behaviour, cpu(50));
    let answers = Answers::Resource {
        pod_label: "pod".into(),
        container_label: "container".into(),
        namespace_label: "namespace".into(),
        window: DEFAULT_WINDOW,
    };
    let query = default_query("cpu", DEFAULT_WINDOW).unwrap();
    let process = start(&scene, vec![definition("cpu", answers, &query)]);
    assert_eq!(scene.until(minutes(10)).await, 2);
    assert_eq!(scene.until(minutes(29)).await, 8);
    scene.api.prometheus.stop();
    assert_eq!(scene.until(minutes(50)).await, 8);
    let autoscaler = scene.api.store.get(&AUTOSCALERS, "shop", "web").unwrap();
    let active = autoscaler["status"]["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|condition| condition["type"] == "ScalingActive");
    assert_eq!(active.unwrap()["reason"], "FailedGetResourceMetric", "{autoscaler}");
    scene.api.prometheus.start();
    assert_eq!(scene.until(minutes(70)).await, 2);
    process.stop().await;
}
