//! Beside Kubernetes' own autoscaler: to the same counts, and in agreement.

use serde_json::{Value, json};
use trimtab::quantity::Quantity;

use crate::harness::{Autoscaler, Cluster, Controller, Load, Record, Workload, seconds, utilization, wait_until};
use crate::scaling::HOLD;

/// The same workload and autoscaler on one of two clusters.
struct Side {
    load: Load,
    record: Record,
    hpa: Autoscaler,
}

impl Side {
    async fn new(workload: &Workload, spec: &Value) -> Side {
        let hpa = Autoscaler::of(workload, &workload.name, spec.clone());
        Side {
            load: Load::on(workload, 200, 128),
            record: Record::of(workload).await,
            hpa,
        }
    }

    fn set(&self, (cpu, memory): (u32, u32)) {
        self.load.cpu(cpu);
        self.load.memory(memory);
    }

    /// The count that it comes to rest at: two rounds of metrics without a change, and the status says the same, of a
    /// usage that adds up to the load. So it is no rest while metrics lag behind, however slow the machine is.
    async fn rest(&self, (cpu_milli, memory_mi): (u32, u32)) -> i32 {
        let all = [
            ("cpu", f64::from(cpu_milli)),
            ("memory", f64::from(memory_mi) * 1024.0 * 1024.0 * 1000.0),
        ];
        wait_until("the count comes to rest", seconds(200), async || {
            let last = *self.record.changes().last().expect("a record begins with a count");
            let status = self.hpa.status().await;
            let told = status.desired_replicas == last.replicas && status.current_replicas == Some(last.replicas);
            let metrics = status
                .current_metrics
                .iter()
                .flatten()
                .filter_map(|metric| metric.resource.as_ref());
            let fresh = metrics.clone().count() > 0
                && metrics.clone().all(|metric| {
                    let average = metric
                        .current
                        .average_value
                        .as_ref()
                        .expect("a resource has an average");
                    let average = average.0.parse::<Quantity>().expect("a quantity").milli().0 as f64;
                    let total = all
                        .iter()
                        .find(|(name, _)| *name == metric.name)
                        .expect("cpu or memory")
                        .1;
                    (average * f64::from(last.replicas) / total - 1.0).abs() < 0.03
                });
            let rests = told && fresh && last.at.elapsed() >= seconds(24);
            if rests {
                Ok(last.replicas)
            } else {
                Err(format!("{}; status {status:?}", self.record))
            }
        })
        .await
    }
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
    // In pods' worth of CPU and of memory. Whole ones: only then is there one count alone within the tolerance of 10 %.
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
        let load = |pod_cpu_milli: u32| (cpu * pod_cpu_milli, memory * 100);
        for (_, pod_cpu_milli, a, b) in &sides {
            a.set(load(*pod_cpu_milli));
            b.set(load(*pod_cpu_milli));
        }
        for (name, pod_cpu_milli, a, b) in &sides {
            let (count, wanted) = (a.rest(load(*pod_cpu_milli)).await, b.rest(load(*pod_cpu_milli)).await);
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
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}},
        }),
    );
    let load = Load::on(&web, 300, 100);
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
    for (cpu, count) in [(300, 3), (600, 6), (300, 3)] {
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
