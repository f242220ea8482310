//! A controller with the rights of a Role: given, taken away, given back.

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::harness::{
    Autoscaler, Cluster, Controller, Load, Record, Workload, cluster_role_rules, seconds, utilization,
};
use crate::scaling::HOLD;

#[tokio::test(flavor = "multi_thread")]
async fn rights_taken_away_and_given_back_cost_time_and_never_capacity() {
    let cluster = Cluster::main().await;
    let namespace = cluster.namespace("rights").await;
    let rules = cluster_role_rules(&cluster, "manifests");
    let kubeconfig = namespace.account("controller", &rules);
    let web = Workload::deployment(&namespace, "web", 2);
    let hpa = Autoscaler::of(
        &web,
        "web",
        json!({
            "minReplicas": 2, "maxReplicas": 10, "metrics": [utilization("cpu", 50)],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}},
        }),
    );
    let load = Load::on(&web, 390, 100);
    let record = Record::of(&web).await;
    let mut controller = Controller::start(
        &namespace,
        &kubeconfig,
        &["--namespace", &namespace.name, "--leader-elect=false"],
    );
    // A Role is enough for named namespaces.
    record.settles(4, HOLD, seconds(120)).await;

    namespace.kubectl(&["delete", "rolebinding", "controller"]);
    load.cpu(690);
    sleep(seconds(25)).await;
    assert_eq!(record.now(), 4, "without rights: {record}");
    assert!(controller.runs(), "it ended:\n{}", controller.log());
    namespace.bind("controller");
    record.settles(7, HOLD, seconds(120)).await;

    namespace.role("controller", &without_scale_writes(&rules));
    load.cpu(390);
    hpa.says("AbleToScale", "False/FailedUpdateScale", seconds(60)).await;
    assert_eq!(record.now(), 7, "without the right to write: {record}");
    namespace.role("controller", &rules);
    record.settles(4, HOLD, seconds(90)).await;
    assert!(controller.runs(), "it ended:\n{}", controller.log());
}

fn without_scale_writes(rules: &Value) -> Value {
    let mut rules = rules.clone();
    for rule in rules.as_array_mut().expect("a list of rules") {
        if rule["resources"] == json!(["*/scale"]) {
            rule["verbs"] = json!(["get"]);
        }
    }
    rules
}
