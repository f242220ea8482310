//! Scaled by requests a second: real requests to real HTTP servers, counted by a real Prometheus.

use serde_json::{Value, json};

use crate::harness::{Autoscaler, Cluster, Load, Namespace, Record, Service, Workload, seconds, utilization};
use crate::scaling::HOLD;

/// Clients of 5 requests a second each, the memory of all pods together in Mi, and the one count that these autoscalers
/// come to rest at: 20 requests a second and 80 % of 128 Mi a pod, where a tenth more or less is left alone.
const DAY: [(u32, u32, i32); 5] = [(6, 100, 2), (19, 100, 5), (10, 100, 3), (10, 490, 5), (6, 100, 2)];

/// A workload that serves.
struct Scene {
    service: Service,
    load: Load,
    record: Record,
}

impl Scene {
    async fn of(workload: &Workload) -> Scene {
        Scene {
            service: Service::of(workload).await,
            load: Load::on(workload, 10, 100),
            record: Record::of(workload).await,
        }
    }

    /// Through the whole day, at rest after each change.
    async fn spend_the_day(&self) {
        for (clients, memory_mi, count) in DAY {
            self.load.memory(memory_mi);
            self.service.clients(clients);
            self.record.settles(count, HOLD, seconds(150)).await;
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
                "metric": {"name": "qps"}, "target": {"type": "AverageValue", "averageValue": "20"},
            }},
            utilization("memory", 80),
        ],
        // Longer than the rate's window: the requests that a pod served are gone from the sum when the pod is.
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 15}},
    })
}

async fn web(namespace: &Namespace) -> Workload {
    Workload::deployment(namespace, "web", 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn kubernetes_own_autoscaler_by_prometheus_adapter() {
    let namespace = Cluster::reference().await.namespace("qps").await;
    let web = web(&namespace).await;
    let scene = Scene::of(&web).await;
    Autoscaler::of(&web, "web", spec());
    scene.spend_the_day().await;
    println!("{}", scene.record);
}
