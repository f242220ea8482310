//! Up under load and down after it, to the right count, within the limits.

use serde_json::json;
use tokio::time::Instant;

use crate::harness::{Autoscaler, Cluster, Controller, Load, Record, Workload, seconds, utilization};

/// Longer than a metrics-server's round: what holds that long will stay.
pub const HOLD: std::time::Duration = seconds(13);

#[tokio::test(flavor = "multi_thread")]
async fn an_autoscaler_made_by_kubectl_scales_out_under_load_and_back_after_its_window() {
    let namespace = Cluster::main().await.namespace("out-and-back").await;
    let web = Workload::deployment(&namespace, "web", 2);
    let hpa = Autoscaler::by_kubectl(&web, &["--cpu-percent=50", "--min=2", "--max=10"]);
    let load = Load::on(&web, 590, 100);
    let record = Record::of(&web).await;
    let _controller = Controller::on(&namespace, &["--horizontal-pod-autoscaler-downscale-stabilization=20s"]);

    record.settles(6, HOLD, seconds(150)).await;
    let shown = namespace.kubectl(&["get", "hpa", "web"]);
    let line = shown.lines().last().expect("a line for web").to_owned();
    assert!(line.contains("Deployment/web") && line.contains("%/50%"), "{shown}");
    assert_eq!(line.split_whitespace().rev().nth(1), Some("6"), "{shown}");
    let told = hpa.tells("Normal", "SuccessfulRescale", seconds(5)).await;
    assert!(
        told.starts_with("New size: ") && told.contains("; reason: cpu resource utilization"),
        "{told}"
    );
    let described = namespace.kubectl(&["describe", "hpa", "web"]);
    for words in [
        "AbleToScale",
        "ScalingActive",
        "ValidMetricFound",
        "ScalingLimited",
        "SuccessfulRescale",
    ] {
        assert!(described.contains(words), "{words} is missing from\n{described}");
    }

    load.cpu(3000);
    record.settles(10, HOLD, seconds(120)).await;
    hpa.says("ScalingLimited", "True/TooManyReplicas", seconds(20)).await;

    let quiet = Instant::now();
    load.cpu(250);
    record.settles(3, HOLD, seconds(180)).await;
    let fall = record.first_fall(quiet).expect("it fell to 3");
    // The last recommendation of 10 may be one sync of 2 s older than the end of the load.
    assert!(fall.at - quiet >= seconds(18), "fell before its window: {record}");
    assert!(record.highest() <= 10, "{record}");
    load.cpu(10);
    record.settles(2, HOLD, seconds(120)).await;
    hpa.says("ScalingLimited", "True/TooFewReplicas", seconds(20)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_cpu_and_memory_the_one_that_asks_for_more_wins() {
    let namespace = Cluster::main().await.namespace("two-metrics").await;
    let web = Workload::deployment(&namespace, "web", 2);
    // 100m of CPU and 64Mi of memory a pod.
    let hpa = Autoscaler::of(
        &web,
        "web",
        json!({
            "minReplicas": 2, "maxReplicas": 10, "metrics": [utilization("cpu", 50), utilization("memory", 50)],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}},
        }),
    );
    let load = Load::on(&web, 290, 320);
    let record = Record::of(&web).await;
    let _controller = Controller::on(&namespace, &[]);

    record.settles(5, HOLD, seconds(150)).await;
    let metrics = hpa.status().await.current_metrics.unwrap_or_default();
    let names: Vec<_> = metrics
        .iter()
        .filter_map(|metric| metric.resource.as_ref())
        .map(|r| r.name.as_str())
        .collect();
    assert_eq!(names, ["cpu", "memory"]);
    load.memory(70);
    record.settles(3, HOLD, seconds(120)).await;
    load.cpu(690);
    record.settles(7, HOLD, seconds(120)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_behavior_limits_how_fast_the_count_changes_each_way() {
    let namespace = Cluster::main().await.namespace("behavior").await;
    let web = Workload::deployment(&namespace, "web", 2);
    let hpa = Autoscaler::of(
        &web,
        "web",
        json!({
            "minReplicas": 2, "maxReplicas": 10, "metrics": [utilization("cpu", 50)],
            "behavior": {
                "scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 10}]},
                "scaleDown": {
                    "stabilizationWindowSeconds": 0,
                    "policies": [{"type": "Pods", "value": 2, "periodSeconds": 15}],
                },
            },
        }),
    );
    let load = Load::on(&web, 590, 100);
    let record = Record::of(&web).await;
    let _controller = Controller::on(&namespace, &[]);

    hpa.says("ScalingLimited", "True/ScaleUpLimit", seconds(60)).await;
    record.settles(6, HOLD, seconds(150)).await;
    load.cpu(190);
    hpa.says("ScalingLimited", "True/ScaleDownLimit", seconds(60)).await;
    record.settles(2, HOLD, seconds(120)).await;

    let changes = record.changes();
    for pair in changes.windows(2) {
        let step = pair[1].replicas - pair[0].replicas;
        assert!((-2..=1).contains(&step), "a step of {step}: {record}");
    }
    // The policies' periods are counted from write to write; half a second is for the watch's delay.
    for pair in changes[1..].windows(2) {
        let (first, then) = (pair[0], pair[1]);
        let period = if then.replicas > first.replicas { 10.0 } else { 15.0 };
        let rises = first.replicas <= 6 && then.replicas > first.replicas;
        let falls = then.replicas < first.replicas && first.replicas < 6;
        let apart = (then.at - first.at).as_secs_f64();
        assert!(
            !(rises || falls) || apart > period - 0.5,
            "only {apart:.1}s apart: {record}"
        );
    }
}
