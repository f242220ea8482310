use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;

use super::*;
use crate::metrics::custom::tests::pod;
use crate::metrics::guard::GuardSettings;
use crate::metrics::script::server;
use crate::spec::{ManifestOptions, Spec};

/// Every namespace has a thousand pods.
struct Many;

impl KnownPods for Many {
    fn count_in(&self, _: &str) -> usize {
        1000
    }

    fn count_in_cluster(&self) -> Option<usize> {
        Some(500_000)
    }

    fn has(&self, _: &str, _: &str) -> bool {
        true
    }

    fn each_with_labels(&self, _: &str, _: &Labels, _: &mut dyn FnMut(&str)) {}
}

fn sources(
    answer: impl Fn(&str) -> (u16, String) + Clone + Send + 'static,
) -> (MetricSources, Arc<Mutex<Vec<String>>>) {
    let (client, asked) = server(answer);
    let settings = GuardSettings::default();
    let sources = MetricSources {
        resource: ResourceMetricsSource::new(client.clone(), settings, 1),
        custom: CustomMetricsSource::new(client.clone(), settings, Duration::from_secs(15), 1),
        external: ExternalMetricsSource::new(client, settings, 1),
        prometheus: None,
    };
    (sources, asked)
}

/// An autoscaler with a metric of each kind.
fn participant(namespace: &str, name: &str) -> Participant {
    let metric = json!({ "name": "qps" });
    let target = json!({ "type": "AverageValue", "averageValue": "100" });
    let manifest = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": { "name": name, "namespace": namespace },
        "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": name },
            "maxReplicas": 10,
            "metrics": [
                { "type": "Resource", "resource": { "name": "cpu", "target": target } },
                { "type": "ContainerResource", "containerResource": { "name": "cpu", "container": "main", "target": target } },
                { "type": "Pods", "pods": { "metric": metric, "target": target } },
                { "type": "Object", "object": {
                    "metric": metric, "target": target, "describedObject": { "apiVersion": "v1", "kind": "Service", "name": "front" } } },
                { "type": "External", "external": { "metric": metric, "target": target } },
            ],
        },
    });
    let spec = Spec::from_manifest(&manifest, &ManifestOptions::default()).unwrap();
    Participant {
        spec: Arc::new(spec),
        pods: 10,
    }
}

fn answer(target: &str) -> (u16, String) {
    let one = |kind: &str, group: &str, item: serde_json::Value| {
        (
            200,
            json!({ "kind": kind, "apiVersion": group, "items": [item] }).to_string(),
        )
    };
    let value = json!({ "describedObject": { "name": "web-1" }, "metricName": "qps", "value": "3" });
    match target {
        "/apis/custom.metrics.k8s.io" => {
            let version = json!({ "groupVersion": "custom.metrics.k8s.io/v1beta1" });
            (200, json!({ "versions": [version] }).to_string())
        }
        custom if custom.starts_with("/apis/custom") => one("MetricValueList", "custom.metrics.k8s.io/v1beta1", value),
        external if external.starts_with("/apis/external") => {
            one("ExternalMetricValueList", "external.metrics.k8s.io/v1beta1", value)
        }
        _ => {
            let containers =
                [("main", "1"), ("side", "2")].map(|(name, cpu)| json!({ "name": name, "usage": { "cpu": cpu } }));
            let metadata = json!({ "name": "web-1", "namespace": "shop", "labels": { "app": "web" } });
            one(
                "PodMetricsList",
                "metrics.k8s.io/v1beta1",
                json!({ "metadata": metadata, "containers": containers }),
            )
        }
    }
}

async fn readings(pass: &MetricPass, participant: &Participant) -> Vec<Reading> {
    let selector = Selector::parse("app=web").unwrap();
    let (selector, pods) = (&selector, &[pod("web-1")][..]);
    let metrics = participant.spec.metrics.iter();
    let questions = metrics.map(|metric| async move {
        let described = async { Ok("services".into()) };
        let namespace = &participant.spec.key.namespace;
        pass.reading(namespace, &metric.source, selector, pods, described).await
    });
    join_all(questions).await
}

/// Of each kind: the value, in units, or the start of the failure.
fn short(readings: &[Reading]) -> Vec<String> {
    let short = |reading: &Reading| match reading {
        Reading::PerPod(samples) => format!("{:?}", samples.of_pods[0].map(|sample| sample.value.0 / 1000)),
        Reading::Single(value) => format!("{}", value.0 / 1000),
        Reading::Several(values) => format!("{}", values[0].0 / 1000),
        Reading::Failed(failure) => failure
            .message
            .chars()
            .rev()
            .take(19)
            .collect::<Vec<_>>()
            .iter()
            .rev()
            .collect(),
    };
    readings.iter().map(short).collect()
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_metric_is_asked_of_its_api_once() {
    let (sources, asked) = sources(answer);
    let participants = [participant("shop", "a"), participant("shop", "b")];
    let pass = sources.pass(&participants, &Arc::new(Many), Timestamp::UNIX_EPOCH);
    for participant in &participants {
        let readings = readings(&pass, participant).await;
        assert_eq!(short(&readings), ["Some(3)", "Some(1)", "Some(3)", "3", "3"]);
    }
    let mut asked = asked.lock().clone();
    asked.sort();
    assert_eq!(
        asked,
        [
            "/apis/custom.metrics.k8s.io",
            "/apis/custom.metrics.k8s.io/v1beta1/namespaces/shop/pods/%2A/qps?labelSelector=app%3Dweb",
            "/apis/custom.metrics.k8s.io/v1beta1/namespaces/shop/services/front/qps",
            "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/qps",
            "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn an_api_that_hangs_costs_its_own_time_and_delays_no_other() {
    let (sources, _) = sources(|target| match target.contains("external") {
        true => (0, String::new()),
        false => answer(target),
    });
    // More autoscalers than an API has places for.
    let participants: Vec<_> = (0..20).map(|i| participant(&format!("shop-{i}"), "web")).collect();
    let pass = sources.pass(&participants, &Arc::new(Many), Timestamp::UNIX_EPOCH);
    let began = Instant::now();
    let external = participants.iter().map(|participant| readings(&pass, participant));
    let selector = Selector::parse("app=web").unwrap();
    let quick = async {
        let source = &participants[0].spec.metrics[2].source;
        let (namespace, pods) = ("shop-0".into(), [pod("web-1")]);
        let reading = pass.reading(&namespace, source, &selector, &pods, async { Err(String::new()) });
        (short(&[reading.await]), began.elapsed())
    };
    let (all, (quick, took)) = tokio::join!(join_all(external), quick);
    assert_eq!(quick, ["Some(3)"]);
    assert!(took < Duration::from_secs(1), "{took:?}");
    for readings in &all {
        assert_eq!(short(readings)[4], "o answer within 10s");
        assert_eq!(short(readings)[2..4], ["Some(3)", "3"]);
    }
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
}

#[test]
fn ten_thousand_autoscalers_are_planned_by_what_each_wants() {
    let participants: Vec<_> = (0..10_000)
        .map(|i| participant(&format!("ns-{}", i % 500), &format!("a-{i}")))
        .collect();
    let (resource, custom) = plans(&participants, &Many);
    assert_eq!(resource.pods_by_namespace.len(), 500);
    assert_eq!(custom.len(), 500);
    assert_eq!(wanted(&participants).len(), 50_000);
}
