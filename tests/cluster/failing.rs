//! One of two metrics fails: capacity is added by the other, and never taken away. As kube-controller-manager does it.

use futures_util::future::join;
use serde_json::json;
use tokio::time::sleep;

use crate::harness::{Autoscaler, Cluster, Controller, Load, Record, Workload, seconds, utilization, wait_until};
use crate::scaling::HOLD;

/// CPU, and a metric that nobody has.
struct Side {
    hpa: Autoscaler,
    load: Load,
    record: Record,
}

impl Side {
    async fn on(cluster: Cluster) -> Side {
        let namespace = cluster.namespace("failing").await;
        let web = Workload::deployment(&namespace, "web", 2);
        let hpa = Autoscaler::of(
            &web,
            "web",
            json!({
                "minReplicas": 1, "maxReplicas": 8,
                "metrics": [
                    {"type": "Pods", "pods": {
                        "metric": {"name": "nobody_has_it"}, "target": {"type": "AverageValue", "averageValue": "20"},
                    }},
                    utilization("cpu", 50),
                ],
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
            }),
        );
        Side {
            hpa,
            load: Load::on(&web, 190, 100),
            record: Record::of(&web).await,
        }
    }

    /// Its conditions, `ScalingActive=False/FailedGetPodsMetric`, in order.
    async fn conditions(&self) -> Vec<String> {
        let conditions = self.hpa.status().await.conditions.unwrap_or_default();
        let text = conditions.into_iter().map(|condition| {
            format!(
                "{}={}/{}",
                condition.type_,
                condition.status,
                condition.reason.unwrap_or_default()
            )
        });
        text.collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_second_metric_allows_a_scale_up_and_no_scale_down() {
    let ours = Side::on(Cluster::main().await).await;
    let theirs = Side::on(Cluster::reference().await).await;
    let _controller = Controller::on(&ours.hpa.namespace, &[]);

    for (cpu, count) in [(190, 2), (490, 5)] {
        ours.load.cpu(cpu);
        theirs.load.cpu(cpu);
        let (a, b) = (&ours.record, &theirs.record);
        join(
            a.settles(count, HOLD, seconds(120)),
            b.settles(count, HOLD, seconds(120)),
        )
        .await;
        // One of them may still be at its first sync, before it had metrics.
        wait_until(&format!("the same conditions at {count}"), seconds(30), async || {
            let (a, b) = (ours.conditions().await, theirs.conditions().await);
            if a == b {
                Ok(())
            } else {
                Err(format!("{a:?} and {b:?}"))
            }
        })
        .await;
    }
    // The metrics of 90m in all are there after 20 s, in which nothing may happen, nor in the time after it.
    ours.load.cpu(90);
    theirs.load.cpu(90);
    let failed = "False/FailedGetPodsMetric";
    join(
        ours.hpa.says("ScalingActive", failed, seconds(60)),
        theirs.hpa.says("ScalingActive", failed, seconds(60)),
    )
    .await;
    sleep(seconds(40)).await;
    for side in [&ours, &theirs] {
        assert_eq!(side.record.now(), 5, "{}", side.record);
        assert_eq!(side.hpa.condition("ScalingActive").await, failed);
    }
    assert_eq!(ours.conditions().await, theirs.conditions().await);
    assert_eq!(ours.record.highest(), 5, "{}", ours.record);
}
