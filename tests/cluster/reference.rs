//! Beside Kubernetes' own autoscaler: to the same counts, and in agreement.

use serde_json::{Value, json};
use tokio::time::Instant;

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

    /// The count that it comes to rest at: two rounds of metrics without a change, and the status says the same.
    async fn rest(&self, since: Instant) -> i32 {
        wait_until("the count comes to rest", seconds(150), async || {
            let last = *self.record.changes().last().expect("a record begins with a count");
            let quiet = last.at.max(since).elapsed() >= seconds(26);
            let status = self.hpa.status().await;
            let told = status.desired_replicas == last.replicas && status.current_replicas == Some(last.replicas);
            if quiet && told {
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
    let specs = [
        (
            "cpu",
            json!({"minReplicas": 2, "maxReplicas": 12, "metrics": [utilization("cpu", 50)], "behavior": quick}),
        ),
        (
            "both",
            json!({
                "minReplicas": 1, "maxReplicas": 12, "metrics": [utilization("cpu", 80), average("100Mi")], "behavior": quick,
            }),
        ),
        (
            "slow",
            json!({"minReplicas": 2, "maxReplicas": 12, "metrics": [utilization("cpu", 35)], "behavior": slow}),
        ),
    ];
    // Totals of CPU in milli and of memory in Mi.
    let script = [(520, 128), (830, 700), (2600, 700), (330, 450), (15, 64)];

    let (ours, theirs) = (Cluster::main().await, Cluster::reference().await);
    let (ours, theirs) = (
        ours.namespace("side-by-side").await,
        theirs.namespace("side-by-side").await,
    );
    let _controller = Controller::on(&ours, &[]);
    let mut sides = Vec::new();
    for (name, spec) in &specs {
        let (a, b) = (
            Workload::deployment(&ours, name, 2),
            Workload::deployment(&theirs, name, 2),
        );
        sides.push((name, Side::new(&a, spec).await, Side::new(&b, spec).await));
    }
    for (step, load) in script.into_iter().enumerate() {
        let since = Instant::now();
        sides.iter().for_each(|(_, a, b)| (a.set(load), b.set(load)).0);
        for (name, a, b) in &sides {
            let (count, wanted) = (a.rest(since).await, b.rest(since).await);
            assert_eq!(
                count, wanted,
                "step {step} of {name}\ntrimtab:    {}\nKubernetes: {}",
                a.record, b.record
            );
        }
    }
    // Both really went somewhere.
    for (name, a, _) in &sides {
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
