//! Beside Kubernetes' own autoscaler: to the same counts, in agreement, and in its place.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

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
    let web = Workload::deployment(&namespace, "web", 2);
    Autoscaler::of(
        &web,
        "web",
        json!({
            "minReplicas": 2, "maxReplicas": 10, "metrics": [utilization("cpu", 50)],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}},
        }),
    );
    let load = Load::on(&web, 200, 100);
    let record = Record::of(&web).await;
    let controller = Controller::on(&namespace, &["--dry-run", "--compare", "--output=json"]);
    for (cpu, count) in [(600, 6), (300, 3)] {
        load.cpu(cpu);
        record.settles(count, HOLD, seconds(150)).await;
    }
    let last = wait_until("it has compared", seconds(20), async || {
        let log = controller.log();
        let mut latest_first = log
            .lines()
            .rev()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let summary = latest_first.find(|line| line["agreements"].is_u64());
        summary.filter(|line| line["agreements"].as_u64() > Some(20)).ok_or(log)
    })
    .await;
    assert_eq!(last["differences"], 0, "{last}\n{}", controller.log());
    assert_eq!(record.now(), 3, "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn switching_to_trimtab_and_back_under_load_never_dips() {
    let cluster = Cluster::reference().await;
    let namespace = cluster.namespace("switch").await;
    let web = Workload::deployment(&namespace, "web", 2);
    Autoscaler::of(
        &web,
        "web",
        json!({
            "minReplicas": 2, "maxReplicas": 12, "metrics": [utilization("cpu", 50)],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 10}},
        }),
    );
    let load = Load::on(&web, 400, 100);
    let record = Record::of(&web).await;
    record.settles(4, HOLD, seconds(120)).await;

    cluster.script("kubernetes-hpa", &["off"]);
    let controller = Controller::on(&namespace, &[]);
    hold(&record, 4).await;
    load.cpu(600);
    record.settles(6, HOLD, seconds(120)).await;

    let (status, _) = controller.terminate();
    assert!(status.success(), "{status}");
    cluster.script("kubernetes-hpa", &["on"]);
    hold(&record, 6).await;
    load.cpu(800);
    record.settles(8, HOLD, seconds(150)).await;
    assert!(
        record.first_fall(record.changes()[0].at).is_none(),
        "it dipped: {record}"
    );
}

/// Past the window and two rounds of metrics, the count is still the same.
async fn hold(record: &Record, count: i32) {
    sleep(Duration::from_secs(30)).await;
    assert_eq!(record.now(), count, "{record}");
}
