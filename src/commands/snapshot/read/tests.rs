use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use kube::client::Body;
use serde_json::json;
use tower::service_fn;

use super::*;
use crate::cluster::client::ClientSettings;
use crate::commands::assembly;
use crate::commands::snapshot::scenario::scenario;
use crate::observe::Reading;
use crate::quantity::Milli;
use crate::sim::replay::replay;

/// Clients of an API that answers each URL, without its selector, as the table says, and all others with 404.
fn clients(answers: Vec<(&'static str, Value)>) -> Clients {
    let service = service_fn(move |request: Request<Body>| {
        let url = request
            .uri()
            .to_string()
            .replace("labelSelector=app%3Dweb&", "")
            .replace("?labelSelector=app%3Dweb", "");
        let answer = answers
            .iter()
            .find(|(known, _)| *known == url)
            .map(|(_, answer)| answer.to_string());
        async move {
            let (code, text) = match answer {
                Some(text) => (200, text),
                None => (
                    404,
                    json!({ "kind": "Status", "code": 404, "message": format!("no {url}") }).to_string(),
                ),
            };
            let response = Response::builder().status(code).body(Full::new(Bytes::from(text)));
            Ok::<_, Infallible>(response.expect("it has no odd headers"))
        }
    });
    let client = Client::new(service, "default");
    Clients::over(
        client,
        &ClientSettings::default(),
        "http://test".into(),
        "default".into(),
    )
}

fn autoscaler() -> (&'static str, Value) {
    let average = json!({ "type": "AverageValue", "averageValue": "10" });
    let answer = json!({
        "metadata": { "name": "web", "namespace": "shop", "managedFields": [{}] },
        "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" },
            "minReplicas": 1, "maxReplicas": 5,
            "metrics": [
                { "type": "Resource", "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 50 } } },
                { "type": "Pods", "pods": { "metric": { "name": "qps" }, "target": average } },
                { "type": "Object", "object": { "metric": { "name": "hits" }, "target": average,
                    "describedObject": { "apiVersion": "v1", "kind": "Namespace", "name": "shop" } } },
                { "type": "External", "external": { "metric": { "name": "queue" }, "target": average } },
            ],
        },
        "status": { "currentReplicas": 1 },
    });
    (
        "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/web",
        answer,
    )
}

fn deployments() -> Vec<(&'static str, Value)> {
    let resources = json!({ "resources": [
        { "name": "deployments", "kind": "Deployment", "namespaced": true },
        { "name": "deployments/scale", "kind": "Scale", "namespaced": true },
    ] });
    let scale = json!({
        "metadata": { "uid": "x" }, "spec": { "replicas": 2 }, "status": { "replicas": 2, "selector": "app=web" },
    });
    vec![
        (
            "/apis/apps",
            json!({ "versions": [{ "version": "v1" }], "preferredVersion": { "version": "v1" } }),
        ),
        ("/apis/apps/v1", resources),
        ("/apis/apps/v1/namespaces/shop/deployments/web/scale", scale),
    ]
}

async fn taken(answers: Vec<(&'static str, Value)>) -> anyhow::Result<Value> {
    taken_with(answers, None).await
}

async fn taken_with(answers: Vec<(&'static str, Value)>, filed: Option<Value>) -> anyhow::Result<Value> {
    let settings = Settings::default();
    let filed = filed.map(|object| (Place::file("web.yaml"), object));
    let at: Timestamp = "2026-01-05T08:00:33Z".parse()?;
    let clients = clients(answers);
    let sources = assembly::metric_sources(&settings, &clients).map_err(|failure| failure.error)?;
    let seen = read(&clients, &sources, &Key::new("shop", "web"), filed, &settings, at).await?;
    Ok(scenario(&seen, None, &settings))
}

#[tokio::test]
async fn all_that_a_decision_sees_is_in_one_step() {
    let pod = |name| json!({ "metadata": { "name": name, "namespace": "shop" }, "spec": { "nodeName": "n" } });
    let mut answers = deployments();
    answers.extend([
        autoscaler(),
        (
            "/api/v1/namespaces/shop/pods?limit=500",
            json!({ "metadata": { "continue": "more" }, "items": [pod("web-1")] }),
        ),
        (
            "/api/v1/namespaces/shop/pods?limit=500&continue=more",
            json!({ "items": [pod("web-2")] }),
        ),
        (
            "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods",
            json!({ "items": [{ "timestamp": "2026-01-05T08:00:30Z" }] }),
        ),
    ]);
    let scenario = taken(answers).await.unwrap();
    let step = &scenario["steps"][0];
    let names: Vec<&str> = step["apply"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|o| o["metadata"]["name"].as_str())
        .collect();
    assert_eq!(names, ["web", "web-1", "web-2"]);
    assert_eq!(step["apply"][0]["kind"], "HorizontalPodAutoscaler");
    assert_eq!(step["apply"][0]["status"]["currentReplicas"], 1);
    assert_eq!(step["apply"][0]["metadata"].get("managedFields"), None);
    let scale = json!({ "spec": { "replicas": 2 }, "status": { "replicas": 2, "selector": "app=web" } });
    assert_eq!(step["scales"][0]["scale"], scale);
    assert_eq!(step["podMetrics"]["items"][0]["timestamp"], "2026-01-05T08:00:30Z");
    let failing = step["failing"].as_object().unwrap();
    let failing: Vec<&str> = failing.keys().map(String::as_str).collect();
    assert_eq!(
        failing,
        ["customMetrics/hits", "customMetrics/qps", "externalMetrics/queue"]
    );
    assert_eq!(scenario["start"], "2026-01-05T08:00:33Z");
}

#[tokio::test]
async fn a_replay_reads_what_the_metrics_apis_answered() {
    let pod = |name| {
        json!({
            "metadata": { "name": name, "namespace": "shop", "labels": { "app": "web" } },
            "status": { "phase": "Running" },
        })
    };
    let version = json!({ "groupVersion": "custom.metrics.k8s.io/v1beta2" });
    let value = |name, value| json!({ "describedObject": { "name": name }, "metricName": "queue", "value": value });
    let list = |kind, group, items| json!({ "kind": kind, "apiVersion": group, "items": items });
    let custom = |items: Value| list("MetricValueList", "custom.metrics.k8s.io/v1beta2", items);
    let external = |items: Value| list("ExternalMetricValueList", "external.metrics.k8s.io/v1beta1", items);
    let mut answers = deployments();
    answers.extend([
        autoscaler(),
        (
            "/api/v1/namespaces/shop/pods?limit=500",
            json!({ "items": [pod("web-1"), pod("web-2")] }),
        ),
        ("/apis/custom.metrics.k8s.io", json!({ "versions": [version] })),
        (
            "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/pods/%2A/qps",
            custom(json!([value("web-2", "1500m"), value("gone-1", "7")])),
        ),
        (
            "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/metrics/hits",
            custom(json!([value("shop", "12")])),
        ),
        (
            "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/queue",
            external(json!([value("", "3"), value("", "-1")])),
        ),
    ]);
    let text = taken(answers).await.unwrap().to_string();
    let mut readings = Vec::new();
    replay(&text, |replayed| readings = replayed.seen.readings.clone()).unwrap();
    let Reading::PerPod(samples) = &readings[1] else {
        panic!("{readings:?}")
    };
    let of_pods: Vec<_> = samples.of_pods.iter().map(|s| s.map(|s| s.value.0)).collect();
    assert_eq!(of_pods, [None, Some(1500)]);
    assert_eq!(samples.of_strangers[0].1.value.0, 7000);
    assert_eq!(
        readings[2..],
        [
            Reading::Single(Milli(12_000)),
            Reading::Several(vec![Milli(3000), Milli(-1000)])
        ]
    );
    // cpu, which nothing answers for.
    let Reading::Failed(failure) = &readings[0] else {
        panic!("{readings:?}")
    };
    assert!(
        failure.message.contains("GET /apis/metrics.k8s.io/v1beta1/"),
        "{}",
        failure.message
    );
}

#[tokio::test]
async fn what_does_not_answer_is_seen_as_failing() {
    let mut answers = deployments();
    answers.extend([
        autoscaler(),
        ("/api/v1/namespaces/shop/pods?limit=500", json!({ "items": [] })),
    ]);
    let failing = &taken(answers).await.unwrap()["steps"][0]["failing"];
    assert_eq!(
        failing["podMetrics"],
        "GET /apis/metrics.k8s.io/v1beta1/namespaces/shop/pods: no /apis/metrics.k8s.io/v1beta1/namespaces/shop/pods"
    );
    let failing = &taken(vec![autoscaler()]).await.unwrap()["steps"][0]["failing"];
    assert!(
        failing["scale.get"]
            .as_str()
            .unwrap()
            .starts_with("no resource of kind \"Deployment\""),
        "{failing}"
    );
}

#[tokio::test]
async fn an_autoscaler_of_a_file_stands_in_where_the_cluster_has_none() {
    let filed = || {
        let mut object = autoscaler().1;
        object["spec"]["maxReplicas"] = 7.into();
        Some(object)
    };
    let max = |scenario: &Value| scenario["steps"][0]["apply"][0]["spec"]["maxReplicas"].clone();
    assert_eq!(max(&taken_with(Vec::new(), filed()).await.unwrap()), 7);
    assert_eq!(max(&taken_with(vec![autoscaler()], filed()).await.unwrap()), 5);
}

#[tokio::test]
async fn without_the_autoscaler_there_is_nothing_to_save() {
    let error = taken(Vec::new()).await.unwrap_err();
    assert!(
        format!("{error:#}").starts_with("read autoscaler shop/web: GET /apis/autoscaling/v2"),
        "{error:#}"
    );
}
