//! The real controller on a simulated cluster, for a virtual hour.

mod gone;
mod prometheus;
mod sharded;

use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};

use super::*;
use crate::controller::report::PassReport;
use crate::sim::api::{AUTOSCALERS, DEPLOYMENTS, EVENTS};
use crate::sim::fleet::{Behaviour, Fleet, WorkloadMetric};
use crate::sim::load::Load;
use crate::spec::Key;

struct Nobody;

impl Listener for Nobody {
    fn pass(&self, _: PassReport) {}
    fn beat(&self) {}
}

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

/// A cluster with one workload, which has an autoscaler with these metrics.
struct Scene {
    api: Arc<Api>,
    clock: Arc<VirtualClock>,
    fleet: Arc<Fleet>,
    began: Instant,
}

impl Scene {
    fn begin(behaviour: Behaviour, metrics: serde_json::Value) -> Self {
        let clock = Arc::new(VirtualClock::new("2026-01-05T08:00:00Z".parse().unwrap()));
        let api = Api::new(clock.clone());
        api.store.ensure_namespace("shop");
        let fleet = Arc::new(Fleet::new(api.clone(), clock.clone(), 1));
        fleet.behave(Key::new("shop", "web"), behaviour);
        let metadata = || json!({ "name": "web", "namespace": "shop" });
        let deployment = json!({ "metadata": metadata(), "spec": { "replicas": 2,
            "selector": { "matchLabels": { "app": "web" } }, "template": { "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "main", "image": "v1",
                    "resources": { "requests": { "cpu": "100m" } } }] } } } });
        api.store.create(&DEPLOYMENTS, deployment).unwrap();
        let autoscaler = json!({ "metadata": metadata(), "spec": { "minReplicas": 2, "maxReplicas": 10,
            "metrics": metrics,
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" } } });
        api.store.create(&AUTOSCALERS, autoscaler).unwrap();
        let runs = fleet.clone();
        tokio::spawn(async move { runs.run().await });
        Self {
            api,
            clock,
            fleet,
            began: Instant::now(),
        }
    }

    fn start(&self) -> Process {
        Process::start(&self.api, &self.clock, ProcessOptions::default(), Arc::new(Nobody))
    }

    async fn until(&self, at: Duration) -> i64 {
        sleep_until(self.began + at).await;
        self.api.store.get(&DEPLOYMENTS, "shop", "web").unwrap()["spec"]["replicas"]
            .as_i64()
            .unwrap()
    }
}

fn cpu(percent: i64) -> serde_json::Value {
    json!([{ "type": "Resource", "resource": { "name": "cpu",
        "target": { "type": "Utilization", "averageUtilization": percent } } }])
}

fn steps(steps: &[(u64, f64)]) -> Load {
    Load::Steps {
        steps: steps.iter().map(|(at, load)| (minutes(*at), *load)).collect(),
        every: None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_workload_follows_its_cpu_load_up_and_down_in_a_virtual_hour() {
    let load = steps(&[(0, 90.0), (10, 380.0), (30, 90.0)]);
    let scene = Scene::begin(
        Behaviour {
            cpu: load,
            ..Behaviour::default()
        },
        cpu(50),
    );
    let process = scene.start();
    assert_eq!(scene.until(minutes(10)).await, 2);
    // 380 milli-CPUs at half of 100 each are 8 pods.
    assert_eq!(scene.until(minutes(14)).await, 8);
    assert_eq!(scene.fleet.ready(&Key::new("shop", "web")), 8);
    assert_eq!(scene.until(minutes(34)).await, 8, "the window of five minutes holds it");
    assert_eq!(scene.until(minutes(60)).await, 2);
    let autoscaler = scene.api.store.get(&AUTOSCALERS, "shop", "web").unwrap();
    assert_eq!(autoscaler["status"]["desiredReplicas"], 2);
    let events = scene.api.store.list(&EVENTS, Some("shop")).0;
    let rescaled = events
        .iter()
        .filter(|event| event["reason"] == "SuccessfulRescale")
        .count();
    assert!(rescaled >= 2, "{events:?}");
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn requests_a_second_and_a_queue_scale_too() {
    let metrics = vec![
        WorkloadMetric::Pods {
            name: "qps".into(),
            load: steps(&[(0, 20.0), (5, 60.0)]),
        },
        WorkloadMetric::Queue {
            name: "depth".into(),
            // More than ten pods work off.
            arrivals: steps(&[(0, 0.0), (10, 12.0)]),
            served_by_pod: 1.0,
        },
    ];
    let behaviour = Behaviour {
        metrics,
        ..Behaviour::default()
    };
    let wanted = json!([
        { "type": "Pods", "pods": { "metric": { "name": "qps" }, "target": { "type": "AverageValue", "averageValue": "10" } } },
        { "type": "External", "external": { "metric": { "name": "depth", "selector": { "matchLabels": { "queue": "web" } } },
            "target": { "type": "AverageValue", "averageValue": "30" } } },
    ]);
    let scene = Scene::begin(behaviour, wanted);
    let process = scene.start();
    assert_eq!(scene.until(minutes(5)).await, 2);
    assert_eq!(scene.until(minutes(8)).await, 6);
    assert_eq!(scene.until(minutes(10)).await, 6);
    // The requests go on as they were: it is the queue that takes all that there may be.
    assert_eq!(scene.until(minutes(20)).await, 10);
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_killed_writes_nothing_any_more_and_another_goes_on() {
    let load = steps(&[(0, 90.0), (10, 380.0)]);
    let scene = Scene::begin(
        Behaviour {
            cpu: load,
            ..Behaviour::default()
        },
        cpu(50),
    );
    let process = scene.start();
    assert_eq!(scene.until(minutes(9)).await, 2);
    process.kill().await;
    assert_eq!(scene.until(minutes(20)).await, 2);
    let process = scene.start();
    sleep(minutes(3)).await;
    assert_eq!(scene.until(minutes(24)).await, 8);
    process.stop().await;
}
