//! Nothing written, with no right to write.

use crate::harness::{
    Autoscaler, Cluster, Controller, Load, Record, Workload, cluster_role_rules, seconds, wait_until,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_prints_its_decisions_and_writes_nothing() {
    let cluster = Cluster::main().await;
    let namespace = cluster.namespace("dry-run").await;
    let kubeconfig = namespace.account("reader", &cluster_role_rules(&cluster, "manifests/read-only"));
    let web = Workload::deployment(&namespace, "web", 3);
    let hpa = Autoscaler::by_kubectl(&web, &["--cpu-percent=50", "--min=2", "--max=10"]);
    let _load = Load::on(&web, 590, 100);
    let record = Record::of(&web).await;
    let controller = Controller::start(
        &namespace,
        &kubeconfig,
        &["--namespace", &namespace.name, "--dry-run", "--output=json"],
    );
    let key = format!("{}/web", namespace.name);
    wait_until("it would scale to 6", seconds(90), async || {
        let log = controller.log();
        let decided = log
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let mut of_web = decided.filter(|line| line.to_string().contains(&key));
        if of_web.any(|line| line["desiredReplicas"] == 6) {
            Ok(())
        } else {
            Err(log)
        }
    })
    .await;

    assert_eq!(record.changes().len(), 1, "{record}");
    assert!(hpa.status().await.conditions.is_none(), "the status was written");
    assert_eq!(hpa.events().await, []);
    let requests = cluster.requests_of(&namespace.name, "reader");
    assert!(!requests.is_empty(), "the audit log knows nothing of it");
    for request in requests {
        assert!(
            ["get", "list", "watch"].contains(&request.verb.as_str()) && request.allowed,
            "{request:?}"
        );
    }
    let (status, took) = controller.terminate();
    assert!(status.success() && took < seconds(2), "{status} after {took:?}");
}
