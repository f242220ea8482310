//! The other commands, and the endpoints, on a live cluster.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{
    Autoscaler, Cluster, Controller, Load, Record, Workload, free_port, seconds, trimtab, utilization, wait_until,
};
use crate::scaling::HOLD;

#[tokio::test(flavor = "multi_thread")]
async fn once_explain_and_snapshot_tell_what_the_running_controller_decides() {
    let namespace = Cluster::main().await.namespace("commands").await;
    let web = Workload::deployment(&namespace, "web", 3);
    Autoscaler::of(
        &web,
        "web",
        json!({"minReplicas": 2, "maxReplicas": 10, "metrics": [utilization("cpu", 50)]}),
    );
    let _load = Load::on(&web, 590, 100);
    let record = Record::of(&web).await;
    let _controller = Controller::on(&namespace, &[]);
    record.settles(6, HOLD, seconds(150)).await;

    let (cluster, name) = (&namespace.cluster, namespace.name.as_str());
    let table = trimtab(cluster, &["once", "--namespace", name]);
    assert!(
        table.lines().any(|line| line.contains("web") && line.contains('6')),
        "{table}"
    );
    let json = trimtab(cluster, &["once", "--namespace", name, "--output=json"]);
    assert!(
        json.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()) && json.contains("web"),
        "{json}"
    );

    let key = format!("{name}/web");
    let why = trimtab(cluster, &["explain", &key]);
    for words in ["cpu", "6", "stabiliz"] {
        assert!(why.contains(words), "no '{words}' in\n{why}");
    }
    let snapshot = trimtab(cluster, &["snapshot", &key]);
    let file = namespace.folder().join("snapshot.json");
    std::fs::write(&file, &snapshot).expect("write the snapshot");
    let file = file.to_str().expect("test paths are text");
    let scenario: Value = serde_json::from_str(&snapshot).expect("a snapshot is JSON");
    assert_eq!(scenario["steps"].as_array().map(Vec::len), Some(1));
    assert_eq!(trimtab(cluster, &["replay", file]), "");
    let why = trimtab(cluster, &["explain", "--file", file]);
    assert!(why.contains("cpu") && why.contains('6'), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_readiness_and_kubernetes_own_metrics_are_served() {
    let namespace = Cluster::main().await.namespace("endpoints").await;
    let web = Workload::deployment(&namespace, "web", 2);
    Autoscaler::by_kubectl(&web, &["--cpu-percent=50", "--min=3", "--max=10"]);
    let address = format!("127.0.0.1:{}", free_port());
    let _controller = Controller::on(&namespace, &[&format!("--listen={address}")]);
    wait_until("it is ready", seconds(20), async || get(&address, "/readyz")).await;
    get(&address, "/healthz").expect("it is healthy");
    let key = format!(
        "desired_replicas{{hpa_name=\"web\",namespace=\"{}\"}} 3",
        namespace.name
    );
    wait_until("the metrics tell of the scaling", seconds(20), async || {
        let text = get(&address, "/metrics")?;
        let there = |name: &str| text.contains(&format!("horizontal_pod_autoscaler_controller_{name}"));
        let names = [
            "reconciliations_total",
            "reconciliation_duration_seconds",
            "metric_computation_total",
        ];
        let same = text.contains(&key) || text.contains(&swapped(&namespace.name));
        if names.into_iter().all(there) && same {
            Ok(())
        } else {
            Err(text)
        }
    })
    .await;
}

/// The same series with its labels in the other order.
fn swapped(namespace: &str) -> String {
    format!("desired_replicas{{namespace=\"{namespace}\",hpa_name=\"web\"}} 3")
}

pub fn get(address: &str, path: &str) -> Result<String, String> {
    let url = format!("http://{address}{path}");
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--max-time", "5", &url])
        .output();
    let output = output.expect("run curl");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}
