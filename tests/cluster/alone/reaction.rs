//! From the instant that new values can be read of the real metrics-server to the write of the scale.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use serde_json::json;
use tokio::time::{Instant, sleep};
use trimtab::clock::{Clock, SystemClock};

use crate::harness::{Alone, Autoscaler, Controller, Namespace, Record, Workload, seconds, utilization, wait_until};

/// How much older samples are than the moment that they can be read, beside the time that metrics-server itself takes.
const AGE: Duration = seconds(3);

/// Waves while the phase is learnt, which takes two changes of the values, and those that count.
const LEARNING: usize = 4;
const WAVES: usize = 12;

/// metrics-server has new values every 10 s, and passes that know nothing of it begin every 15 s: by turns so long after a change
/// as 5, 10 and 15 s less some part of 5 s. Each wave is the next change, so that of these the median is above 5 s. Passes at no
/// regular time at all would come to a median under 2 s, from delays of up to 15 s, three times in ten thousand.
const PERIOD: &str = "--horizontal-pod-autoscaler-sync-period=15s";
const MEDIAN: Duration = seconds(2);

#[tokio::test(flavor = "multi_thread")]
async fn the_scale_is_written_just_after_metrics_server_has_new_values_to_read() {
    let cluster = Alone::with_slow_kubelets("reaction", AGE).await;
    let namespace = cluster.namespace("reaction").await;
    let mut workloads = Vec::new();
    for wave in 0..LEARNING + WAVES {
        let workload = Workload::deployment(&namespace, &format!("w{wave}"), 1);
        let spec = json!({"minReplicas": 1, "maxReplicas": 10, "metrics": [utilization("memory", 50)]});
        Autoscaler::of(&workload, &workload.name, spec);
        workloads.push(workload);
    }
    for workload in &workloads {
        wait_until("metrics-server has its pod", seconds(120), async || {
            match workload.sampled_pods().await {
                1 => Ok(()),
                other => Err(other),
            }
        })
        .await;
    }
    let _controller = Controller::on(&namespace, &[PERIOD]);

    let mut delays = Vec::new();
    for workload in &workloads {
        let wave = Wave::on(workload).await;
        println!("{}: {wave:?}", workload.name);
        assert!(wave.age >= AGE, "the sample is only {:?} old", wave.age);
        delays.push(wave.delay);
    }
    let learnt = &mut delays[LEARNING..];
    learnt.sort();
    let median = learnt[WAVES / 2];
    println!(
        "once learnt, the median is {median:?} and the longest {:?}",
        learnt[WAVES - 1]
    );
    assert!(median < MEDIAN, "{learnt:?}");
}

/// A rise of one pod's memory, which its autoscaler answers.
#[derive(Debug)]
struct Wave {
    /// How old the sample was when it could be read.
    age: Duration,
    /// From the last read that still showed the old value to when the new count was seen: more than the delay itself.
    delay: Duration,
}

impl Wave {
    async fn on(workload: &Workload) -> Wave {
        let record = Record::of(workload).await;
        let (before, _) = sample(workload).await.expect("there was a sample");
        use_more(workload).await;
        let end = Instant::now() + seconds(60);
        let mut last_old = Instant::now();
        let age = loop {
            let asked = Instant::now();
            match sample(workload).await {
                Some((value, at)) if value != before => {
                    let age = SystemClock.now().duration_since(at);
                    break Duration::try_from(age).expect("samples are not of the future");
                }
                _ => last_old = asked,
            }
            assert!(asked < end, "metrics-server does not show the new value");
            sleep(Duration::from_millis(50)).await;
        };
        record.settles(3, Duration::ZERO, seconds(60)).await;
        let scaled = record.changes().into_iter().find(|change| change.replicas == 3);
        let delay = scaled.expect("it has settled there").at - last_old;
        Wave { age, delay }
    }
}

/// The memory of the workload's one pod, as metrics-server writes it, and the sample's time.
async fn sample(workload: &Workload) -> Option<(String, Timestamp)> {
    let kind = GroupVersionKind::gvk("metrics.k8s.io", "v1beta1", "PodMetrics");
    let Namespace { cluster, name } = &workload.namespace;
    let resource = ApiResource::from_gvk_with_plural(&kind, "pods");
    let api: Api<DynamicObject> = Api::namespaced_with(cluster.client.clone(), name, &resource);
    let own = ListParams::default().labels(&format!("app={}", workload.name));
    let found = api.list(&own).await.ok()?.items.pop()?.data;
    let memory = found["containers"][0]["usage"]["memory"].as_str()?.to_owned();
    Some((memory, found["timestamp"].as_str()?.parse().ok()?))
}

/// 190Mi where one pod is to have 64Mi.
async fn use_more(workload: &Workload) {
    let pods = workload.namespace.api::<Pod>();
    let own = ListParams::default().labels(&format!("app={}", workload.name));
    for pod in pods.list(&own).await.expect("list pods").items {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {"trimtab.dev/memory": "190Mi"}}}));
        let name = pod.metadata.name.unwrap_or_default();
        pods.patch(&name, &PatchParams::default(), &patch)
            .await
            .expect("annotate the pod");
    }
}
