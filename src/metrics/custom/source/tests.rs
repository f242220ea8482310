use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use super::*;
use crate::metrics::custom::plan::PODS_PER_REQUEST;
use crate::metrics::custom::tests::pod;
use crate::metrics::guard::GuardCounts;
use crate::metrics::script::server;

const PERIOD: Duration = Duration::from_secs(15);

type Asked = Arc<Mutex<Vec<String>>>;

/// What the API server says of the group, and an adapter that answers as `answer` says below `v1beta2`.
fn source(answer: impl Fn(&str) -> (u16, String) + Clone + Send + 'static) -> (CustomMetricsSource, Asked) {
    let (client, asked) = server(move |target| match target {
        "/apis/custom.metrics.k8s.io" => (200, group("v1beta2")),
        other => answer(other),
    });
    (
        CustomMetricsSource::new(client, GuardSettings::default(), PERIOD, 1),
        asked,
    )
}

fn group(preferred: &str) -> String {
    let version =
        |version: &str| json!({ "groupVersion": format!("custom.metrics.k8s.io/{version}"), "version": version });
    let versions = [version("v1beta1"), version("v1beta2")];
    json!({ "kind": "APIGroup", "versions": versions, "preferredVersion": version(preferred) }).to_string()
}

/// A value for each of these objects.
fn values(of: &[(&str, i64)]) -> (u16, String) {
    let items: Vec<_> = of
        .iter()
        .map(|(name, value)| json!({ "describedObject": { "name": name }, "value": value.to_string() }))
        .collect();
    let list = json!({ "kind": "MetricValueList", "apiVersion": "custom.metrics.k8s.io/v1beta2", "items": items });
    (200, list.to_string())
}

fn refusal(code: u16, message: &str) -> (u16, String) {
    let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code });
    (code, status.to_string())
}

fn metric(name: &str, selector: Option<serde_json::Value>) -> MetricIdentifier {
    MetricIdentifier::new(name, selector)
}

fn described(api_version: &str, kind: &str, name: &str) -> ObjectRef {
    ObjectRef {
        api_version: api_version.into(),
        kind: kind.into(),
        name: name.into(),
    }
}

fn selector(text: &str) -> Selector {
    Selector::parse(text).unwrap()
}

/// A pass in which so many autoscalers, of two pods each, want `qps` of the namespace `shop`, which has so many pods.
fn pass(source: &CustomMetricsSource, autoscalers: usize, pods: usize) -> CustomPass {
    let mut plan = CustomPlan::default();
    for _ in 0..autoscalers {
        plan.add(PodsMetric::new(&"shop".into(), &metric("qps", None)).unwrap(), 2);
    }
    source.pass(&plan, |_| pods, Arc::new(|_, _| true))
}

/// The `qps` of the autoscaler whose pods are `app-1` and `app-2`.
async fn qps(pass: &CustomPass, app: &str) -> Reading {
    let pods = [pod(&format!("{app}-1")), pod(&format!("{app}-2"))];
    pass.pods(
        &"shop".into(),
        &metric("qps", None),
        &selector(&format!("app={app}")),
        &pods,
    )
    .await
}

fn sample_values(reading: &Reading) -> Vec<Option<i64>> {
    match reading {
        Reading::PerPod(samples) => {
            assert!(samples.of_strangers.is_empty());
            samples.of_pods.iter().map(|s| s.map(|s| s.value.0 / 1000)).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn message(reading: Reading) -> (FailureKind, String) {
    match reading {
        Reading::Failed(failure) => (failure.kind, failure.message),
        other => panic!("{other:?}"),
    }
}

const ALL: &str = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/pods/%2A/qps";
const WEB: &str = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/pods/%2A/qps?labelSelector=app%3Dweb";
const API: &str = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/pods/%2A/qps?labelSelector=app%3Dapi";

fn but_version(asked: &Asked) -> Vec<String> {
    let asked = asked.lock();
    asked
        .iter()
        .filter(|target| *target != "/apis/custom.metrics.k8s.io")
        .cloned()
        .collect()
}

/// The table of the paths that Kubernetes' own clients were seen to ask for.
#[tokio::test(start_paused = true)]
async fn kubernetes_paths_are_asked_for() {
    let root = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop";
    let pods = |pods: &'static str, wanted: Option<serde_json::Value>| async move {
        let (source, asked) = source(|_| values(&[]));
        let pass = source.pass(&CustomPlan::default(), |_| 0, Arc::new(|_, _| true));
        pass.pods(&"shop".into(), &metric("qps", wanted), &selector(pods), &[])
            .await;
        but_version(&asked).concat()
    };
    let sorted = "?labelSelector=app%3Dweb%2C%21canary%2Ctier+in+%28a%2Cb%29";
    assert_eq!(
        pods("tier in (b,a), app = web,!canary", None).await,
        format!("{root}/pods/%2A/qps{sorted}")
    );
    assert_eq!(
        pods("app=web", Some(json!({ "matchLabels": { "verb": "GET" } }))).await,
        format!("{root}/pods/%2A/qps?labelSelector=app%3Dweb&metricLabelSelector=verb%3DGET")
    );
    assert_eq!(
        pods("app=web", Some(json!({}))).await,
        format!("{root}/pods/%2A/qps?labelSelector=app%3Dweb")
    );

    let object = |object: ObjectRef, resource: &'static str, name: &'static str, wanted: Option<serde_json::Value>| async move {
        let (source, asked) = source(|_| values(&[("x", 1)]));
        let pass = source.pass(&CustomPlan::default(), |_| 0, Arc::new(|_, _| true));
        let resource = async move { Ok(resource.into()) };
        let reading = pass.object("shop", &object, &metric(name, wanted), resource).await;
        assert!(matches!(reading, Reading::Single(_)), "{reading:?}");
        but_version(&asked).concat()
    };
    let service = described("v1", "Service", "front");
    assert_eq!(
        object(service.clone(), "services", "qps", None).await,
        format!("{root}/services/front/qps")
    );
    let expressions = json!({ "matchExpressions": [{ "key": "verb", "operator": "In", "values": ["GET"] }] });
    assert_eq!(
        object(service, "services", "qps", Some(expressions)).await,
        format!("{root}/services/front/qps?metricLabelSelector=verb+in+%28GET%29")
    );
    let ingress = described("networking.k8s.io/v1", "Ingress", "main");
    assert_eq!(
        object(ingress, "ingresses.networking.k8s.io", "hits|s:1", None).await,
        format!("{root}/ingresses.networking.k8s.io/main/hits%7Cs:1")
    );
    let node = described("v1", "Node", "n1");
    assert_eq!(
        object(node, "nodes", "load", None).await,
        format!("{root}/nodes/n1/load")
    );
    for version in ["v1", "", "a/b/c"] {
        let namespace = described(version, "Namespace", "elsewhere");
        assert_eq!(
            object(namespace, "-", "jobs", None).await,
            format!("{root}/metrics/jobs"),
            "{version}"
        );
    }
    let other = described("example.com/v1", "Namespace", "n");
    assert_eq!(
        object(other, "namespaces.example.com", "jobs", None).await,
        format!("{root}/namespaces.example.com/n/jobs")
    );
}

#[tokio::test(start_paused = true)]
async fn the_version_is_looked_up_once_a_period() {
    let preferred = Arc::new(Mutex::new(Some("v1beta1")));
    let group_now = preferred.clone();
    let (client, asked) = server(move |target| match (target, *group_now.lock()) {
        ("/apis/custom.metrics.k8s.io", Some(version)) => (200, group(version)),
        ("/apis/custom.metrics.k8s.io", None) => (503, String::new()),
        _ => values(&[("web-1", 5)]),
    });
    let source = CustomMetricsSource::new(client, GuardSettings::default(), PERIOD, 1);
    let lookups = || {
        asked
            .lock()
            .iter()
            .filter(|target| *target == "/apis/custom.metrics.k8s.io")
            .count()
    };
    for _ in 0..3 {
        let pass = pass(&source, 2, 4);
        join_all(["web", "api"].map(|app| qps(&pass, app))).await;
    }
    assert_eq!(lookups(), 1);
    assert!(asked.lock().last().unwrap().contains("/v1beta1/"));
    for (now, expected) in [(Some("v1beta2"), "/v1beta2/"), (None, "/v1beta2/")] {
        *preferred.lock() = now;
        tokio::time::advance(PERIOD).await;
        let reading = qps(&pass(&source, 1, 4), "web").await;
        assert_eq!(sample_values(&reading), [Some(5), None]);
        assert!(asked.lock().last().unwrap().contains(expected));
    }
    assert_eq!(lookups(), 3);
}

#[tokio::test(start_paused = true)]
async fn without_the_group_the_failure_says_what_to_look_at() {
    for (group, part) in [
        (
            (404, "404 page not found".to_owned()),
            "no custom metrics API (custom.metrics.k8s.io) registered",
        ),
        (
            (
                200,
                r#"{"versions":[{"groupVersion":"custom.metrics.k8s.io/v1"}]}"#.to_owned(),
            ),
            "the API server offers",
        ),
    ] {
        let (client, asked) = server(move |_| group.clone());
        let source = CustomMetricsSource::new(client, GuardSettings::default(), PERIOD, 1);
        let pass = pass(&source, 2, 4);
        let (kind, message) = message(qps(&pass, "web").await);
        assert_eq!(kind, FailureKind::Unavailable);
        assert!(
            message.starts_with("unable to fetch metrics from custom metrics API: "),
            "{message}"
        );
        assert!(message.contains(part), "{message}");
        assert_eq!(asked.lock().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_that_many_ask_about_is_asked_about_once() {
    let (source, asked) = source(|_| values(&[("front", 7)]));
    let pass = pass(&source, 0, 0);
    let front = described("v1", "Service", "front");
    let id = metric("qps", None);
    let ask = || pass.object("shop", &front, &id, async { Ok("services".into()) });
    let readings = join_all((0..100).map(|_| ask())).await;
    assert!(
        readings
            .iter()
            .all(|reading| *reading == Reading::Single(crate::quantity::Milli(7000)))
    );
    assert_eq!(but_version(&asked).len(), 1);
    assert_eq!(
        source.guard().counts(),
        GuardCounts {
            answered: 1,
            failed: 0,
            refused: 0
        }
    );
}

#[tokio::test(start_paused = true)]
async fn one_question_for_all_pods_is_split_by_the_pods_of_each() {
    let (source, asked) = source(|_| values(&[("web-1", 1), ("web-2", 2), ("api-1", 3), ("other-9", 9)]));
    let pass = pass(&source, 2, 4);
    let readings = join_all(["web", "api"].map(|app| qps(&pass, app))).await;
    assert_eq!(sample_values(&readings[0]), [Some(1), Some(2)]);
    assert_eq!(sample_values(&readings[1]), [Some(3), None]);
    assert_eq!(but_version(&asked), [ALL]);
}

#[tokio::test(start_paused = true)]
async fn each_asks_for_its_own_pods_where_it_is_alone_or_the_namespace_is_large() {
    for (autoscalers, pods) in [(1, 4), (2, 4 + PODS_PER_REQUEST)] {
        let (source, asked) = source(|_| values(&[("web-1", 1)]));
        let pass = pass(&source, autoscalers, pods);
        assert_eq!(sample_values(&qps(&pass, "web").await), [Some(1), None]);
        assert_eq!(but_version(&asked), [WEB]);
    }
}

/// An adapter that answers `together` for all pods and has values for those of each.
fn picky(together: (u16, String)) -> (CustomMetricsSource, Asked) {
    source(move |target| match target {
        WEB => values(&[("web-1", 1)]),
        API => values(&[("api-1", 3)]),
        _ => together.clone(),
    })
}

#[tokio::test(start_paused = true)]
async fn what_is_not_given_for_all_pods_is_asked_for_apart_and_that_is_remembered() {
    for together in [
        refusal(400, "a label selector is needed"),
        refusal(500, "unable to fetch metrics"),
        refusal(404, "the server could not find the metric qps for pods"),
        values(&[]),
        (200, " ".repeat(ANSWER_BYTES + 1)),
    ] {
        let (source, asked) = picky(together.clone());
        for _ in 0..2 {
            let pass = pass(&source, 2, 4);
            let readings = join_all(["web", "api"].map(|app| qps(&pass, app))).await;
            assert_eq!(sample_values(&readings[0]), [Some(1), None], "{}", together.0);
            assert_eq!(sample_values(&readings[1]), [Some(3), None]);
        }
        assert_eq!(but_version(&asked), [ALL, WEB, API, WEB, API]);
        for _ in 0..PASSES_APART {
            pass(&source, 2, 4);
        }
        qps(&pass(&source, 2, 4), "web").await;
        assert_eq!(but_version(&asked)[5], ALL);
    }
}

#[tokio::test(start_paused = true)]
async fn an_adapter_without_the_metric_is_not_asked_by_everybody() {
    let none = refusal(404, "the server could not find the metric qps for pods");
    let (source, asked) = source(move |_| none.clone());
    let pass = pass(&source, 50, 100);
    let readings = join_all((0..50).map(|_| qps(&pass, "web"))).await;
    for reading in readings {
        assert_eq!(
            message(reading),
            (
                FailureKind::Empty,
                "unable to fetch metrics from custom metrics API: the server could not find the metric qps for pods"
                    .to_owned()
            )
        );
    }
    assert_eq!(but_version(&asked), [ALL, WEB]);
    assert!(!source.guard().is_resting());
}

#[tokio::test(start_paused = true)]
async fn each_failure_has_its_kind_and_says_what_to_look_at() {
    for (answer, kind, part) in [
        (
            (404, "404 page not found".to_owned()),
            FailureKind::Unavailable,
            "is a metrics adapter installed",
        ),
        (
            (503, "service unavailable".to_owned()),
            FailureKind::Unavailable,
            "is a metrics adapter installed",
        ),
        (
            refusal(403, "pods.custom.metrics.k8s.io is forbidden"),
            FailureKind::Forbidden,
            "is forbidden",
        ),
        ((0, String::new()), FailureKind::TimedOut, "no answer within 10s"),
        (
            (200, "{}".to_owned()),
            FailureKind::BadAnswer,
            "decode the MetricValueList",
        ),
        (refusal(500, "internal error"), FailureKind::BadAnswer, "internal error"),
    ] {
        let code = answer.0;
        let (source, _) = source(move |_| answer.clone());
        let (found, message) = message(qps(&pass(&source, 2, 4), "web").await);
        assert_eq!(found, kind, "{code}");
        assert!(
            message.starts_with("unable to fetch metrics from custom metrics API: "),
            "{message}"
        );
        assert!(message.contains(part), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_metric_that_fails_does_not_put_the_others_to_rest() {
    let (source, _) = source(|target| match target.contains("/bad") {
        true => refusal(500, "bad query"),
        false => values(&[("front", 7)]),
    });
    let pass = pass(&source, 0, 0);
    let front = described("v1", "Service", "front");
    for i in 0..20 {
        let id = metric(&format!("bad-{i}"), None);
        pass.object("shop", &front, &id, async { Ok("services".into()) }).await;
    }
    let good = metric("good", None);
    let reading = pass
        .object("shop", &front, &good, async { Ok("services".into()) })
        .await;
    assert_eq!(reading, Reading::Single(crate::quantity::Milli(7000)));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_asked_is_not() {
    let (source, asked) = source(|_| values(&[("front", 7)]));
    let pass = pass(&source, 0, 0);
    let bad = metric(
        "qps",
        Some(json!({ "matchExpressions": [{ "key": "a", "operator": "In" }] })),
    );
    let front = described("example.com/v1", "Widget", "front");
    let unknown = || async { Err("no resource of kind Widget".to_owned()) };
    assert_eq!(
        message(pass.pods(&"shop".into(), &bad, &selector("a=b"), &[]).await).0,
        FailureKind::BadSelector
    );
    assert_eq!(
        message(pass.object("shop", &front, &bad, unknown()).await).0,
        FailureKind::BadSelector
    );
    let (kind, text) = message(pass.object("shop", &front, &metric("qps", None), unknown()).await);
    assert_eq!(kind, FailureKind::BadQuery);
    assert!(
        text.ends_with("unable to map kind Widget to resource: no resource of kind Widget"),
        "{text}"
    );
    assert!(asked.lock().is_empty());
}
