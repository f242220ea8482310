//! Prometheus fails, and comes back: for autoscalers that ask it themselves, and for those that ask its adapter.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::harness::{
    Alone, Autoscaler, Controller, Fault, Load, Namespace, Record, Service, Workload, seconds, utilization, wait_until,
};
use crate::scaling::HOLD;

/// A workload that serves, scaled by a Pods metric at 20.
struct Scene {
    service: Service,
    record: Record,
    hpa: Autoscaler,
}

impl Scene {
    async fn of(namespace: &Namespace, name: &str, metric: &str) -> Scene {
        let workload = Workload::deployment(namespace, name, 1);
        let hpa = Autoscaler::of(
            &workload,
            name,
            json!({
                "minReplicas": 1, "maxReplicas": 8,
                "metrics": [{"type": "Pods", "pods": {
                    "metric": {"name": metric}, "target": {"type": "AverageValue", "averageValue": "20"},
                }}],
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": 15}},
            }),
        );
        Scene {
            service: Service::of(&workload).await,
            record: Record::of(&workload).await,
            hpa,
        }
    }

    async fn message(&self) -> String {
        let conditions = self.hpa.status().await.conditions.unwrap_or_default();
        let active = conditions
            .into_iter()
            .find(|condition| condition.type_ == "ScalingActive");
        active.and_then(|condition| condition.message).unwrap_or_default()
    }

    /// The condition's message comes to hold these words.
    async fn tells(&self, words: &str, limit: Duration) {
        wait_until(&format!("{} tells of {words:?}", self.hpa.name), limit, async || {
            let message = self.message().await;
            if message.contains(words) { Ok(()) } else { Err(message) }
        })
        .await;
    }
}

const FAILED: &str = "False/FailedGetPodsMetric";
const WELL: &str = "True/ValidMetricFound";

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_killed_and_hanging_takes_no_capacity_and_delays_nobody_else() {
    let cluster = Alone::with_prometheus_adapter("prometheus").await;
    let namespace = cluster.namespace("prometheus").await;
    let config = namespace.file(
        "trimtab.yaml",
        &json!({
            "prometheus": {"main": {"url": cluster.url("prometheus"), "timeout": "3s"}},
            "metrics": {
                "own": {"type": "Pods", "query": "sum by (pod) (rate(http_requests_total{namespace=\"$namespace\",pod=~\"$pods\"}[10s]))"},
                // A rate of what is no range.
                "wrong": {"type": "Pods", "query": "sum by (pod) (rate(http_requests_total{namespace=\"$namespace\",pod=~\"$pods\"}))"},
            },
        })
        .to_string(),
    );
    let own = Scene::of(&namespace, "own", "own").await;
    let adapter = Scene::of(&namespace, "adapter", "qps").await;
    let wrong = Scene::of(&namespace, "wrong", "wrong").await;
    let cpu = Workload::deployment(&namespace, "cpu", 1);
    let cpu_hpa = Autoscaler::of(
        &cpu,
        "cpu",
        json!({"minReplicas": 1, "maxReplicas": 8, "metrics": [utilization("cpu", 50)]}),
    );
    let (cpu_load, cpu_record) = (Load::on(&cpu, 190, 100), Record::of(&cpu).await);
    let config = format!("--config={}", config.display());
    let _controller = Controller::on(&namespace, &[&config]);

    // 73 requests a second: for 4 pods, and for nobody else.
    for scene in [&own, &adapter] {
        scene.service.clients(15);
    }
    for scene in [&own, &adapter] {
        scene.record.settles(4, HOLD, seconds(120)).await;
        scene.hpa.says("ScalingActive", WELL, seconds(10)).await;
    }
    cpu_record.settles(2, Duration::ZERO, seconds(60)).await;
    // What Prometheus says itself.
    wrong.hpa.says("ScalingActive", FAILED, seconds(10)).await;
    wrong.tells("expected type range vector", seconds(10)).await;

    let fault = Fault::begin(&cluster, "prometheus", "kill", "start");
    for scene in [&own, &adapter] {
        scene.service.clients(3);
        scene.hpa.says("ScalingActive", FAILED, seconds(30)).await;
    }
    own.tells("unable to fetch metrics from Prometheus main: ", seconds(10))
        .await;
    cpu_load.cpu(490);
    cpu_record.settles(5, HOLD, seconds(90)).await;
    for scene in [&own, &adapter] {
        assert_eq!(scene.record.now(), 4, "it fell without a metric: {}", scene.record);
    }
    fault.end();
    for scene in [&own, &adapter] {
        scene.hpa.says("ScalingActive", WELL, seconds(60)).await;
        scene.record.settles(1, HOLD, seconds(90)).await;
        scene.service.clients(15);
    }
    for scene in [&own, &adapter] {
        scene.record.settles(4, HOLD, seconds(90)).await;
    }

    let fault = Fault::begin(&cluster, "prometheus", "pause", "resume");
    for scene in [&own, &adapter] {
        scene.service.clients(3);
        scene.hpa.says("ScalingActive", FAILED, seconds(60)).await;
    }
    // Within its rhythm of 2 s, for as long as the others wait: each raise of the minimum is a sync.
    for count in [6, 7, 8] {
        let asked = Instant::now();
        cpu_hpa.patch_spec(json!({"minReplicas": count})).await;
        cpu_record.settles(count, Duration::ZERO, seconds(5)).await;
        assert!(asked.elapsed() < seconds(5), "{cpu_record}");
        sleep(seconds(5)).await;
    }
    for scene in [&own, &adapter] {
        assert_eq!(scene.record.now(), 4, "it fell without a metric: {}", scene.record);
    }
    fault.end();
    for scene in [&own, &adapter] {
        scene.hpa.says("ScalingActive", WELL, seconds(60)).await;
        scene.record.settles(1, HOLD, seconds(90)).await;
    }
    assert_eq!(wrong.record.now(), 1, "{}", wrong.record);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_whose_api_is_taken_away_under_load_costs_no_capacity_and_nobody_elses_time() {
    let cluster = Alone::with_prometheus_adapter("adapter-gone").await;
    let namespace = cluster.namespace("adapter-gone").await;
    let scene = Scene::of(&namespace, "adapter", "qps").await;
    let cpu = Workload::deployment(&namespace, "cpu", 1);
    let spec = json!({"minReplicas": 1, "maxReplicas": 8, "metrics": [utilization("cpu", 50)]});
    Autoscaler::of(&cpu, "cpu", spec);
    let (cpu_load, cpu_record) = (Load::on(&cpu, 190, 100), Record::of(&cpu).await);
    let _controller = Controller::on(&namespace, &[]);
    scene.service.clients(15);
    scene.record.settles(4, HOLD, seconds(120)).await;
    cpu_record.settles(2, Duration::ZERO, seconds(60)).await;

    let names = ["v1beta1", "v1beta2"].map(|version| format!("{version}.custom.metrics.k8s.io"));
    let kept = names.clone().map(|name| {
        let text = cluster.kubectl(&["get", "apiservice", &name, "--output=json"]);
        serde_json::from_str::<Value>(&text).expect("JSON")["spec"].take()
    });
    cluster.kubectl(&["delete", "apiservice", &names[0], &names[1]]);
    let fault = Fault::begin(&cluster, "prometheus-adapter", "kill", "start");
    // Its load is gone, and nobody says so.
    scene.service.clients(3);
    scene.hpa.says("ScalingActive", FAILED, seconds(60)).await;
    scene.tells("custom metrics API", seconds(10)).await;
    cpu_load.cpu(490);
    cpu_record.settles(5, HOLD, seconds(90)).await;
    assert_eq!(scene.record.now(), 4, "it fell without a metric: {}", scene.record);

    fault.end();
    for (name, spec) in names.iter().zip(&kept) {
        namespace.apply(&json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": name}, "spec": spec,
        }));
    }
    scene.hpa.says("ScalingActive", WELL, seconds(90)).await;
    scene.record.settles(1, HOLD, seconds(90)).await;
}
