//! From Kubernetes' own autoscaler to trimtab and back, as an administrator does it.

use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::harness::{Alone, Autoscaler, Controller, Load, Record, Workload, seconds, utilization};
use crate::scaling::HOLD;

#[tokio::test(flavor = "multi_thread")]
async fn switching_to_trimtab_and_back_under_load_never_dips() {
    let cluster = Alone::with_hpa("switch").await;
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
    let load = Load::on(&web, 390, 100);
    let record = Record::of(&web).await;
    record.settles(4, HOLD, seconds(120)).await;

    let start = Instant::now();
    cluster.script("kubernetes-hpa", &["off"]);
    let controller = Controller::on(&namespace, &[]);
    hold(&record, 4).await;
    load.cpu(590);
    record.settles(6, HOLD, seconds(120)).await;
    assert_eq!(record.lowest_since(start), 4, "it dipped: {record}");

    let start = Instant::now();
    let (status, _) = controller.terminate();
    assert!(status.success(), "{status}");
    cluster.script("kubernetes-hpa", &["on"]);
    hold(&record, 6).await;
    load.cpu(790);
    record.settles(8, HOLD, seconds(150)).await;
    assert_eq!(record.lowest_since(start), 6, "it dipped: {record}");
}

/// Past the window and two rounds of metrics, the count is still the same.
async fn hold(record: &Record, count: i32) {
    sleep(seconds(30)).await;
    assert_eq!(record.now(), count, "{record}");
}
