//! Beside Kubernetes' own autoscaler: to the same counts, and in agreement.

use std::cell::Cell;

use futures_util::future::{join, join_all};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerStatus;
use serde_json::{Value, json};
use tokio::time::Instant;
use trimtab::quantity::Quantity;

use crate::harness::{Autoscaler, Cluster, Controller, Load, Record, Workload, seconds, utilization, wait_until};
use crate::scaling::HOLD;

/// The same workload and autoscaler on one of two clusters.
struct Side {
    workload: Workload,
    load: Load,
    record: Record,
    hpa: Autoscaler,
}

impl Side {
    async fn new(workload: &Workload, spec: &Value) -> Side {
        let hpa = Autoscaler::of(workload, &workload.name, spec.clone());
        Side {
            workload: workload.clone(),
            load: Load::on(workload, 200, 128),
            record: Record::of(workload).await,
            hpa,
        }
    }

    fn set(&self, (cpu, memory): (u32, u32)) {
        self.load.cpu(cpu);
        self.load.memory(memory);
    }

    /// The count that it comes to rest at: longer than any window or period of these specs, the status has said that
    /// count, of a usage that adds up to the load, and every pod has been sampled: one without a sample counts as idle, which
    /// holds a rise back. So no lag of metrics is taken for rest, however slow the machine is.
    async fn rest(&self, (cpu_milli, memory_mi): (u32, u32)) -> i32 {
        let since = Cell::new(None);
        wait_until("the count comes to rest", seconds(200), async || {
            let count = self.record.now();
            let status = self.hpa.status().await;
            let told = status.desired_replicas == count && status.current_replicas == Some(count);
            let cpu = total(&status, "cpu").is_none_or(|milli| near(milli, f64::from(cpu_milli)));
            let mi = |milli: f64| milli / 1000.0 / 1024.0 / 1024.0;
            let memory = total(&status, "memory").is_none_or(|milli| near(mi(milli), f64::from(memory_mi)));
            let seen = status
                .current_metrics
                .as_ref()
                .is_some_and(|metrics| !metrics.is_empty());
            let sampled = self.workload.sampled_pods().await == usize::try_from(count).expect("no negative count");
            let (since_count, start) = since.get().unwrap_or((count, Instant::now()));
            let holds = told && seen && cpu && memory && sampled && since_count == count;
            since.set(holds.then_some((count, start)));
            let rests = holds && start.elapsed() >= seconds(14);
            if rests {
                Ok(count)
            } else {
                Err(format!("{}; status {status:?}", self.record))
            }
        })
        .await
    }
}

/// The usage of all pods together, in milli, as a status has it.
fn total(status: &HorizontalPodAutoscalerStatus, resource: &str) -> Option<f64> {
    let metrics = status
        .current_metrics
        .iter()
        .flatten()
        .filter_map(|metric| metric.resource.as_ref());
    let average = metrics
        .clone()
        .find(|metric| metric.name == resource)?
        .current
        .average_value
        .clone()?;
    let milli = average.0.parse::<Quantity>().expect("a quantity").milli().0;
    Some(milli as f64 * f64::from(status.current_replicas?))
}

fn near(found: f64, wanted: f64) -> bool {
    (found / wanted - 1.0).abs() < 0.03
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_load_settles_at_the_same_counts_as_under_kubernetes_own_autoscaler() {
    let average = |quantity: &str| {
        json!({"type": "Resource", "resource": {
            "name": "memory", "target": {"type": "AverageValue", "averageValue": quantity},
        }})
    };
    let quick = json!({"scaleDown": {"stabilizationWindowSeconds": 5}});
    let slow = json!({
        "scaleUp": {"policies": [{"type": "Percent", "value": 50, "periodSeconds": 5}]},
        "scaleDown": {"stabilizationWindowSeconds": 5, "policies": [{"type": "Pods", "value": 3, "periodSeconds": 10}]},
    });
    // What a pod is meant to use of the CPU stands beside the spec.
    let specs = [
        (
            "cpu",
            100,
            json!({"minReplicas": 2, "maxReplicas": 12, "metrics": [utilization("cpu", 50)], "behavior": quick}),
        ),
        (
            "both",
            160,
            json!({
                "minReplicas": 1, "maxReplicas": 12, "metrics": [utilization("cpu", 80), average("100Mi")], "behavior": quick,
            }),
        ),
        (
            "slow",
            70,
            json!({"minReplicas": 2, "maxReplicas": 12, "metrics": [utilization("cpu", 35)], "behavior": slow}),
        ),
    ];
    // In pods' worth of CPU and of memory, less a tenth of one: then there is one count alone to come to rest at.
    let script = [(5, 1), (8, 7), (26, 7), (3, 4), (1, 1)];

    let (ours, theirs) = (Cluster::main().await, Cluster::reference().await);
    let (ours, theirs) = (
        ours.namespace("side-by-side").await,
        theirs.namespace("side-by-side").await,
    );
    let _controller = Controller::on(&ours, &[]);
    let mut sides = Vec::new();
    for (name, pod_cpu_milli, spec) in &specs {
        let (a, b) = (
            Workload::deployment(&ours, name, 2),
            Workload::deployment(&theirs, name, 2),
        );
        sides.push((
            name,
            *pod_cpu_milli,
            Side::new(&a, spec).await,
            Side::new(&b, spec).await,
        ));
    }
    for (step, (cpu, memory)) in script.into_iter().enumerate() {
        let load = |pod_cpu_milli: u32| (cpu * pod_cpu_milli - pod_cpu_milli / 10, memory * 100 - 10);
        for (_, pod_cpu_milli, a, b) in &sides {
            a.set(load(*pod_cpu_milli));
            b.set(load(*pod_cpu_milli));
        }
        let rests = sides
            .iter()
            .map(|(_, pod, a, b)| join(a.rest(load(*pod)), b.rest(load(*pod))));
        let counts = join_all(rests).await;
        for ((name, _, a, b), (count, wanted)) in sides.iter().zip(counts) {
            assert_eq!(
                count, wanted,
                "step {step} of {name}\ntrimtab:    {}\nKubernetes: {}",
                a.record, b.record
            );
        }
    }
    // Both really went somewhere.
    for (name, _, a, _) in &sides {
        assert!(a.record.highest() >= 8, "{name}: {}", a.record);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn compared_with_a_running_kube_controller_manager_it_agrees() {
    let namespace = Cluster::reference().await.namespace("compare").await;
    let web = Workload::deployment(&namespace, "web", 3);
    Autoscaler::of(
        &web,
        "web",
        json!({
            "minReplicas": 2, "maxReplicas": 10, "metrics": [utilization("cpu", 50)],
            // Longer than metrics of pods that went lag behind: what is seen for a moment only depends on whose turn it is.
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 30}},
        }),
    );
    let load = Load::on(&web, 290, 100);
    let record = Record::of(&web).await;
    // Twice the other's period, so that the other has always had its turn; and a short time of "early" differences.
    let flags = [
        "--sync-period=4s",
        "--downscale-stabilization=10s",
        "--dry-run",
        "--compare",
        "--output=json",
    ];
    let controller = Controller::on(&namespace, &flags);
    // Within what one step may be, so that the other is there after one sync.
    for (cpu, count) in [(290, 3), (590, 6), (290, 3)] {
        load.cpu(cpu);
        record.settles(count, HOLD, seconds(150)).await;
    }
    let last = wait_until("it has compared", seconds(30), async || {
        let log = controller.log();
        let mut latest_first = log
            .lines()
            .rev()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let tally = latest_first.find(|line| line["agreements"].is_u64());
        tally.filter(|line| line["agreements"].as_u64() > Some(10)).ok_or(log)
    })
    .await;
    assert_eq!(last["differences"], 0, "{last}\n{}", controller.log());
    assert_eq!(record.now(), 3, "{record}");
}
