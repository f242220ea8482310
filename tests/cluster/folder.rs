//! Autoscalers that stand in files: no object in the cluster.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::commands::get;
use crate::harness::{
    Autoscaler, Cluster, Controller, Load, Namespace, Record, Workload, free_port, seconds, trimtab, wait_until,
};
use crate::scaling::HOLD;

/// The folder that a test's controller reads.
fn manifests_of(namespace: &Namespace) -> PathBuf {
    let path = namespace.folder().join("autoscalers");
    fs::create_dir_all(&path).expect("make the folder of manifests");
    path
}

/// As it was written years ago.
fn v2beta2(web: &Workload, max_replicas: i32) -> String {
    json!({
        "apiVersion": "autoscaling/v2beta2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": web.namespace.name},
        "spec": {
            "scaleTargetRef": web.reference(), "minReplicas": 2, "maxReplicas": max_replicas,
            "metrics": [{"type": "Resource", "resource": {
                "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}},
        },
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_of_an_old_version_is_served_edited_and_taken_away() {
    let namespace = Cluster::main().await.namespace("folder").await;
    let (cluster, name) = (namespace.cluster.clone(), namespace.name.as_str());
    let web = Workload::deployment(&namespace, "web", 2);
    let folder = manifests_of(&namespace);
    let file = folder.join("web.json");
    fs::write(&file, v2beta2(&web, 10)).expect("write the manifest");
    let _load = Load::on(&web, 590, 100);
    let record = Record::of(&web).await;
    let address = format!("127.0.0.1:{}", free_port());
    let folder = format!("--autoscalers={}", folder.display());
    let controller = Controller::on(&namespace, &[&folder, &format!("--listen={address}")]);

    record.settles(6, HOLD, seconds(150)).await;
    assert_eq!(
        namespace.kubectl(&["get", "hpa", "--output=name"]),
        "",
        "there is no object"
    );
    let told = Autoscaler {
        namespace: namespace.clone(),
        name: "web".to_owned(),
    };
    let message = told.tells("Normal", "SuccessfulRescale", seconds(5)).await;
    assert!(message.starts_with("New size: "), "{message}");
    let table = trimtab(&cluster, &["once", "--namespace", name, &folder]);
    assert!(
        table.lines().any(|line| line.starts_with(&format!("{name}/web"))),
        "{table}"
    );
    let key = format!("{name}/web");
    let why = trimtab(&cluster, &["explain", &key, &folder, "--controller", &address]);
    for words in ["cpu", "ValidMetricFound", "AbleToScale"] {
        assert!(why.contains(words), "no '{words}' in\n{why}");
    }

    fs::write(&file, v2beta2(&web, 4)).expect("edit the manifest");
    record.settles(4, HOLD, seconds(30)).await;

    fs::write(&file, v2beta2(&web, 0)).expect("break the manifest");
    wait_until("the mistake is told", seconds(15), async || {
        let ready = get(&address, "/readyz")?;
        let told = ready.contains("[!]manifests ") && ready.contains("spec.maxReplicas");
        if told { Ok(()) } else { Err(ready) }
    })
    .await;
    let metrics = get(&address, "/metrics").expect("the port serves metrics");
    assert!(metrics.contains("trimtab_manifest_problems 1"), "{metrics}");
    web.scale_by_hand(3);
    // What stood there before is still in force.
    record.settles(4, HOLD, seconds(60)).await;

    fs::remove_file(&file).expect("take the manifest away");
    wait_until("nobody knows it any more", seconds(15), async || {
        match get(&address, &format!("/status/{key}")) {
            Ok(status) => Err(status),
            Err(refusal) if refusal.contains("404") => Ok(()),
            Err(other) => Err(other),
        }
    })
    .await;
    web.scale_by_hand(3);
    record.settles(3, HOLD, seconds(30)).await;
    let (status, took) = controller.terminate();
    assert!(status.success() && took < seconds(2), "{status} after {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_the_cluster_holds_and_the_manifest_of_its_name_does_not() {
    let namespace = Cluster::main().await.namespace("both").await;
    let web = Workload::deployment(&namespace, "web", 3);
    let folder = manifests_of(&namespace);
    fs::write(folder.join("web.json"), v2beta2(&web, 2)).expect("write the manifest");
    let hpa = Autoscaler::of(&web, "web", json!({"minReplicas": 5, "maxReplicas": 6}));
    let record = Record::of(&web).await;
    let controller = Controller::on(&namespace, &[&format!("--autoscalers={}", folder.display())]);
    record.settles(5, HOLD, seconds(60)).await;
    assert!(
        controller.log().contains("it holds, and the manifest does not"),
        "{}",
        controller.log()
    );
    let able = hpa.condition("AbleToScale").await;
    assert!(able.starts_with("True/"), "{able}");
    namespace.kubectl(&["delete", "hpa", "web"]);
    // The manifest's maximum.
    record.settles(2, HOLD, seconds(30)).await;
    let errors = json!(
        controller
            .log()
            .lines()
            .filter(|line| line.contains("ERROR"))
            .collect::<Vec<_>>()
    );
    assert_eq!(errors, json!([]));
}
