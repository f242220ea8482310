//! Kinds of targets, and what happens to them while they are scaled.

use serde_json::json;

use crate::harness::{
    Autoscaler, Cluster, Controller, Load, Namespace, Record, Workload, gadget_definition, seconds, utilization,
    wait_until,
};
use crate::scaling::HOLD;

fn quick(workload: &Workload) -> Autoscaler {
    named(workload, "web")
}

fn named(workload: &Workload, name: &str) -> Autoscaler {
    Autoscaler::of(
        workload,
        name,
        json!({
            "minReplicas": 2, "maxReplicas": 10, "metrics": [utilization("cpu", 50)],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}},
        }),
    )
}

async fn namespace(purpose: &str) -> Namespace {
    Cluster::main().await.namespace(purpose).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stateful_set_is_scaled() {
    let namespace = namespace("stateful-set").await;
    let web = Workload::stateful_set(&namespace, "web", 2);
    quick(&web);
    let load = Load::on(&web, 490, 100);
    let record = Record::of(&web).await;
    let _controller = Controller::on(&namespace, &[]);
    record.settles(5, HOLD, seconds(150)).await;
    load.cpu(290);
    record.settles(3, HOLD, seconds(120)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_custom_resource_with_a_scale_subresource_is_scaled() {
    let namespace = namespace("custom-resource").await;
    namespace.apply(&gadget_definition());
    namespace.kubectl(&[
        "wait",
        "--for=condition=Established",
        "crd/gadgets.trimtab.test",
        "--timeout=20s",
    ]);
    let (web, _gadgets_controller) = Workload::gadget(&namespace, "web", 2);
    quick(&web);
    let load = Load::on(&web, 490, 100);
    let record = Record::of(&web).await;
    let _controller = Controller::on(&namespace, &[]);
    record.settles(5, HOLD, seconds(150)).await;
    load.cpu(290);
    record.settles(3, HOLD, seconds(120)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_in_the_middle_takes_no_capacity_away() {
    let namespace = namespace("rollout").await;
    let web = Workload::deployment(&namespace, "web", 4);
    web.patch_spec(json!({
        "minReadySeconds": 3, "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
    }))
    .await;
    let load = Load::on(&web, 390, 100);
    let hpa = quick(&web);
    let record = Record::of(&web).await;
    let _controller = Controller::on(&namespace, &[]);
    hpa.says("ScalingActive", "True/ValidMetricFound", seconds(60)).await;
    record.settles(4, HOLD, seconds(90)).await;

    web.patch_spec(json!({"template": {"metadata": {"labels": {"version": "2"}}}}))
        .await;
    tokio::time::sleep(seconds(6)).await;
    load.cpu(790);
    record.settles(8, HOLD, seconds(180)).await;
    let changes = record.changes();
    assert!(
        changes.iter().all(|change| change.replicas >= 4),
        "capacity was taken away: {record}"
    );
    wait_until("the rollout is through", seconds(60), async || {
        let pods = namespace.kubectl(&["get", "pods", "--selector=app=web,version!=2", "--output=name"]);
        if pods.trim().is_empty() { Ok(()) } else { Err(pods) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_autoscalers_on_one_target_leave_it_alone_until_one_is_gone() {
    let namespace = namespace("two-on-one").await;
    let web = Workload::deployment(&namespace, "web", 3);
    let (first, second) = (named(&web, "first"), named(&web, "second"));
    let load = Load::on(&web, 290, 100);
    let record = Record::of(&web).await;
    let _controller = Controller::on(&namespace, &[]);
    first
        .says("ScalingActive", "False/AmbiguousSelector", seconds(60))
        .await;
    second
        .says("ScalingActive", "False/AmbiguousSelector", seconds(60))
        .await;
    first.tells("Warning", "AmbiguousSelector", seconds(10)).await;

    load.cpu(690);
    tokio::time::sleep(seconds(30)).await;
    assert_eq!(record.changes().len(), 1, "somebody scaled it: {record}");

    namespace.kubectl(&["delete", "hpa", "second"]);
    record.settles(7, HOLD, seconds(120)).await;
    first.says("ScalingActive", "True/ValidMetricFound", seconds(20)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_without_requests_are_a_failed_metric_until_they_have_them() {
    let namespace = namespace("no-requests").await;
    let web = Workload::deployment_with(&namespace, "web", 3, json!({}));
    let hpa = quick(&web);
    let _load = Load::on(&web, 590, 100);
    let record = Record::of(&web).await;
    let _controller = Controller::on(&namespace, &[]);
    hpa.says("ScalingActive", "False/FailedGetResourceMetric", seconds(60))
        .await;
    hpa.tells("Warning", "FailedGetResourceMetric", seconds(10)).await;
    // Before the first samples are there, their absence is the reason; then it is the missing request. By then the
    // Events' budget may be used up, as it may be in Kubernetes, so this is read from the condition.
    wait_until("the condition names the missing request", seconds(60), async || {
        let said = hpa.status().await.conditions.unwrap_or_default();
        let named = said.iter().any(|one| {
            one.message
                .as_deref()
                .unwrap_or_default()
                .contains("missing request for cpu")
        });
        if named { Ok(()) } else { Err(format!("{said:?}")) }
    })
    .await;
    assert_eq!(record.changes().len(), 1, "a failed metric scaled it: {record}");

    web.patch_spec(json!({"template": {"spec": {"containers": [
        {"name": "app", "image": "app", "resources": {"requests": {"cpu": "200m"}}},
    ]}}}))
    .await;
    record.settles(6, HOLD, seconds(150)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_set_by_hand_is_taken_up_and_brought_back_into_the_limits() {
    let namespace = namespace("by-hand").await;
    let web = Workload::deployment(&namespace, "web", 4);
    let hpa = quick(&web);
    let _load = Load::on(&web, 390, 100);
    let record = Record::of(&web).await;
    let _controller = Controller::on(&namespace, &[]);
    hpa.says("ScalingActive", "True/ValidMetricFound", seconds(60)).await;
    record.settles(4, HOLD, seconds(90)).await;

    web.scale_by_hand(15);
    wait_until("15 is above the maximum of 10", seconds(10), async || {
        let counts: Vec<i32> = record.changes().iter().map(|change| change.replicas).collect();
        if counts.windows(2).any(|pair| pair == [15, 10]) {
            Ok(())
        } else {
            Err(record.to_string())
        }
    })
    .await;
    record.settles(4, HOLD, seconds(120)).await;

    web.scale_by_hand(7);
    record.settles(4, HOLD, seconds(90)).await;

    web.scale_by_hand(0);
    hpa.says("ScalingActive", "False/ScalingDisabled", seconds(20)).await;
    tokio::time::sleep(seconds(10)).await;
    assert_eq!(record.now(), 0, "zero switches an autoscaler off: {record}");
    web.scale_by_hand(1);
    record.settles(4, HOLD, seconds(120)).await;
}
