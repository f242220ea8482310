//! The control plane fails, and comes back.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::harness::{
    Alone, Autoscaler, Cluster, Controller, Fault, Load, Namespace, Record, Workload, seconds, utilization, wait_until,
};
use crate::scaling::HOLD;

/// A Deployment `web` of 100m a pod, its autoscaler between 2 and 10, and its load.
struct Scene {
    namespace: Namespace,
    web: Workload,
    hpa: Autoscaler,
    load: Load,
    record: Record,
}

async fn scene(cluster: &Cluster, purpose: &str, replicas: i32, cpu_milli: u32) -> Scene {
    let namespace = cluster.namespace(purpose).await;
    let web = Workload::deployment(&namespace, "web", replicas);
    let hpa = Autoscaler::of(
        &web,
        "web",
        json!({
            "minReplicas": 2, "maxReplicas": 10, "metrics": [utilization("cpu", 50)],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}},
        }),
    );
    let load = Load::on(&web, cpu_milli, 100);
    let record = Record::of(&web).await;
    Scene {
        namespace,
        web,
        hpa,
        load,
        record,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_killed_in_the_middle_of_scaling() {
    let cluster = Alone::without_hpa("api-killed").await;
    let scene = scene(&cluster, "api-killed", 2, 590).await;
    let mut controller = Controller::on(&scene.namespace, &[]);
    wait_until("it has begun", seconds(90), async || {
        if scene.record.now() > 2 {
            Ok(())
        } else {
            Err(scene.record.to_string())
        }
    })
    .await;
    let (killed, count) = (Instant::now(), scene.record.now());
    let fault = Fault::begin(&cluster, "apiserver", "kill", "start");
    sleep(seconds(8)).await;
    assert!(controller.runs(), "it ended:\n{}", controller.log());
    fault.end();

    scene.record.settles(6, HOLD, seconds(150)).await;
    assert!(controller.runs(), "it ended:\n{}", controller.log());
    assert_eq!(scene.record.lowest_since(killed), count, "it dipped: {}", scene.record);
    scene.load.cpu(290);
    scene.record.settles(3, HOLD, seconds(120)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_server_missing_then_there_then_gone_again() {
    let cluster = Alone::without_hpa("no-metrics").await;
    let fault = Fault::begin(&cluster, "metrics-server", "stop", "start");
    let scene = scene(&cluster, "no-metrics", 3, 490).await;
    let _controller = Controller::on(&scene.namespace, &[]);
    scene
        .hpa
        .says("ScalingActive", "False/FailedGetResourceMetric", seconds(60))
        .await;
    scene
        .hpa
        .tells("Warning", "FailedComputeMetricsReplicas", seconds(10))
        .await;
    assert_eq!(scene.record.now(), 3, "{}", scene.record);

    fault.end();
    scene.record.settles(5, HOLD, seconds(150)).await;
    scene
        .hpa
        .says("ScalingActive", "True/ValidMetricFound", seconds(10))
        .await;

    let fault = Fault::begin(&cluster, "metrics-server", "stop", "start");
    scene.load.cpu(190);
    scene
        .hpa
        .says("ScalingActive", "False/FailedGetResourceMetric", seconds(60))
        .await;
    sleep(seconds(15)).await;
    assert_eq!(
        scene.record.now(),
        5,
        "a metric that fails took capacity away: {}",
        scene.record
    );
    fault.end();
    scene.record.settles(2, HOLD, seconds(120)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_metrics_server_that_hangs_delays_no_other_autoscaler() {
    let cluster = Alone::without_hpa("metrics-hang").await;
    let scene = scene(&cluster, "metrics-hang", 4, 390).await;
    let other = Workload::deployment(&scene.namespace, "other", 2);
    let others = Autoscaler::by_kubectl(&other, &["--cpu-percent=50", "--min=2", "--max=10"]);
    let others_record = Record::of(&other).await;
    let _controller = Controller::on(&scene.namespace, &["--resource-metrics-timeout=3s"]);
    scene
        .hpa
        .says("ScalingActive", "True/ValidMetricFound", seconds(90))
        .await;

    let fault = Fault::begin(&cluster, "metrics-server", "pause", "resume");
    scene
        .hpa
        .says("ScalingActive", "False/FailedGetResourceMetric", seconds(60))
        .await;
    // What needs no metric happens all the same: a minimum that was raised.
    let asked = Instant::now();
    others.patch_spec(json!({"minReplicas": 5})).await;
    others_record.settles(5, Duration::ZERO, seconds(8)).await;
    assert!(asked.elapsed() < seconds(8));
    assert_eq!(scene.record.now(), 4, "{}", scene.record);

    fault.end();
    scene.load.cpu(690);
    scene.record.settles(7, HOLD, seconds(150)).await;
    assert_eq!(scene.web.replicas().await, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_without_streamed_lists() {
    let cluster = Alone::with_api_server_flags("no-watch-list", "--feature-gates=WatchList=false", &[]).await;
    let scene = scene(&cluster, "no-watch-list", 2, 390).await;
    let _controller = Controller::on(&scene.namespace, &[]);
    scene.record.settles(4, HOLD, seconds(150)).await;
    scene.load.cpu(590);
    scene.record.settles(6, HOLD, seconds(150)).await;
}
