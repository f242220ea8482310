//! Scaled by requests a second: real requests to real HTTP servers, counted by a real Prometheus. A whole day of load, from
//! one to five pods and back, with each way from the counter to the decision; all of them come to the same counts.

use serde_json::{Value, json};

use crate::harness::{
    Autoscaler, Cluster, Controller, Load, Namespace, Record, Service, Way, Workload, seconds, utilization, wait_until,
};
use crate::scaling::HOLD;

/// Clients of 5 requests a second each, the memory of all pods together in Mi, and the one count that these autoscalers
/// come to rest at: 19.4 requests a second and 80 % of 128 Mi a pod, where a tenth more or less is left alone.
const DAY: [(u32, u32, i32); 5] = [(6, 100, 2), (19, 100, 5), (10, 100, 3), (10, 490, 5), (6, 100, 2)];

/// A workload `web` that serves.
pub struct Scene {
    pub web: Workload,
    pub service: Service,
    pub load: Load,
    pub record: Record,
}

impl Scene {
    pub async fn of(namespace: &Namespace) -> Scene {
        let web = Workload::deployment(namespace, "web", 1);
        Scene {
            service: Service::of(&web).await,
            load: Load::on(&web, 10, 100),
            record: Record::of(&web).await,
            web,
        }
    }

    /// Through the whole day, at rest after each change; `at_rest` looks closer.
    async fn spend_the_day(&self, at_rest: impl AsyncFn(i32)) {
        for (clients, memory_mi, count) in DAY {
            self.load.memory(memory_mi);
            self.service.clients(clients);
            self.record.settles(count, HOLD, seconds(150)).await;
            at_rest(count).await;
        }
        let served = self.service.served();
        assert!(served.values().all(|count| *count > 0), "who served? {served:?}");
    }
}

/// As it stands in the README, with a smaller target and a shorter window.
fn spec() -> Value {
    json!({
        "minReplicas": 1, "maxReplicas": 8,
        "metrics": [
            {"type": "Pods", "pods": {
                "metric": {"name": "qps"}, "target": {"type": "AverageValue", "averageValue": "19400m"},
            }},
            utilization("memory", 80),
        ],
        // Longer than the rate's window: the requests that a pod served are gone from the sum when the pod is.
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 15}},
    })
}

/// A folder with the same autoscaler as it was written for `autoscaling/v2beta2`, for a workload `web` of this namespace.
fn folder_of_manifests(namespace: &Namespace) -> String {
    let folder = namespace.folder().join("autoscalers");
    std::fs::create_dir_all(&folder).expect("create a folder");
    let mut spec = spec();
    spec["scaleTargetRef"] = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
    let manifest = json!({
        "apiVersion": "autoscaling/v2beta2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": namespace.name}, "spec": spec,
    });
    std::fs::write(folder.join("web.yaml"), manifest.to_string()).expect("write a manifest");
    format!("--autoscalers={}", folder.display())
}

fn with<'a>(flags: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    flags.iter().map(String::as_str).chain(more.iter().copied()).collect()
}

/// What a dry run decided last for `web`.
fn last_decision(dry: &Controller) -> Option<i64> {
    let log = dry.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut of_web = lines.filter(|line| line["name"] == "web" && line["specReplicas"].is_i64());
    of_web.next_back()?["desiredReplicas"].as_i64()
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_kubernetes_own_autoscaler_and_prometheus_adapter_each_way_wants_the_same() {
    let namespace = Cluster::reference().await.namespace("qps").await;
    let scene = Scene::of(&namespace).await;
    Autoscaler::of(&scene.web, "web", spec());
    // Kubernetes' own is in charge; these look on.
    let dry = ["--dry-run", "--output=json"];
    let ways = Way::ALL.map(|way| {
        let flags = namespace.flags(way);
        (format!("{way:?}"), Controller::on(&namespace, &with(&flags, &dry)))
    });
    scene
        .spend_the_day(async |count| {
            for (way, controller) in &ways {
                wait_until(
                    &format!("{way} wants {count}"),
                    seconds(10),
                    async || match last_decision(controller) {
                        Some(wanted) if wanted == i64::from(count) => Ok(()),
                        wanted => Err(format!("{wanted:?}\n{}", controller.log())),
                    },
                )
                .await;
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_charge_by_queries_of_its_own() {
    let namespace = Cluster::main().await.namespace("qps-queries").await;
    let scene = Scene::of(&namespace).await;
    Autoscaler::of(&scene.web, "web", spec());
    let flags = namespace.flags(Way::Queries);
    let _controller = Controller::on(&namespace, &with(&flags, &[]));
    scene.spend_the_day(async |_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_charge_by_the_adapters_rules_for_an_old_manifest_from_a_folder() {
    let namespace = Cluster::main().await.namespace("qps-folder").await;
    let scene = Scene::of(&namespace).await;
    let (flags, folder) = (namespace.flags(Way::Rules), folder_of_manifests(&namespace));
    let _controller = Controller::on(&namespace, &with(&flags, &[&folder]));
    scene.spend_the_day(async |_| {}).await;
    assert_eq!(namespace.kubectl(&["get", "hpa", "--output=name"]), "");
}
