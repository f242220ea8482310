//! Requests to the simulated API, and what it answers.

mod rehearsed;

use std::time::Duration;

use http_body_util::Full;
use jiff::Timestamp;
use tokio::time::{sleep, timeout};

use super::*;
use crate::sim::time::VirtualClock;

fn api() -> Arc<Api> {
    let clock = VirtualClock::new("2026-01-05T08:00:00Z".parse::<Timestamp>().unwrap());
    let api = Api::new(Arc::new(clock));
    api.store.ensure_namespace("shop");
    api
}

async fn send(api: &Api, method: Method, path: &str, kind: &str, body: Value) -> Response<AnswerBody> {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, kind);
    api.answer(request.body(Full::new(Bytes::from(body))).unwrap()).await
}

async fn ask(api: &Api, method: Method, path: &str, kind: &str, body: Value) -> (u16, Value) {
    let response = send(api, method, path, kind, body).await;
    let code = response.status().as_u16();
    let body = BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    (code, serde_json::from_slice(&body).unwrap())
}

async fn get(api: &Api, path: &str) -> (u16, Value) {
    ask(api, Method::GET, path, "", Value::Null).await
}

const DEPLOYMENTS_OF_SHOP: &str = "/apis/apps/v1/namespaces/shop/deployments";
const AUTOSCALERS_OF_SHOP: &str = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers";

fn deployment(name: &str) -> Value {
    json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": { "replicas": 2, "selector": { "matchLabels": { "app": name } },
            "template": { "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "main", "image": "x" }] } } } })
}

async fn make(api: &Api, name: &str) -> Value {
    let (code, made) = ask(
        api,
        Method::POST,
        DEPLOYMENTS_OF_SHOP,
        "application/json",
        deployment(name),
    )
    .await;
    assert_eq!(code, 201, "{made}");
    made
}

fn version(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap()
}

async fn next_line(body: &mut AnswerBody) -> Value {
    let frame = timeout(Duration::from_secs(100), body.frame())
        .await
        .expect("a line in time");
    serde_json::from_slice(&frame.unwrap().unwrap().into_data().unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_is_made_can_be_read_and_listed_in_pages_of_one_version() {
    let api = api();
    for name in ["a", "b", "c"] {
        let made = make(&api, name).await;
        assert_eq!(
            (&made["metadata"]["generation"], &made["metadata"]["namespace"]),
            (&json!(1), &json!("shop"))
        );
        assert_eq!(made["metadata"]["creationTimestamp"], "2026-01-05T08:00:00Z");
    }
    let (_, first) = get(&api, "/apis/apps/v1/deployments?limit=2").await;
    assert_eq!(
        (&first["kind"], &first["metadata"]["remainingItemCount"]),
        (&json!("DeploymentList"), &json!(1))
    );
    // A later page is of the first one's version, whatever has changed meanwhile.
    make(&api, "bb").await;
    ask(
        &api,
        Method::DELETE,
        &format!("{DEPLOYMENTS_OF_SHOP}/c"),
        "",
        Value::Null,
    )
    .await;
    let rest = first["metadata"]["continue"]
        .as_str()
        .unwrap()
        .replace('|', "%7C")
        .replace('/', "%2F");
    let (_, second) = get(&api, &format!("/apis/apps/v1/deployments?limit=2&continue={rest}")).await;
    let names: Vec<&str> = second["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| i["metadata"]["name"].as_str().unwrap())
        .collect();
    assert_eq!((names, version(&second)), (vec!["c"], version(&first)));
    api.store.compact();
    let (code, gone) = get(&api, &format!("/apis/apps/v1/deployments?limit=2&continue={rest}")).await;
    assert_eq!((code, &gone["reason"]), (410, &json!("Expired")));
}

#[tokio::test(start_paused = true)]
async fn a_scale_is_written_only_if_the_count_is_as_expected() {
    let api = api();
    let made = make(&api, "web").await;
    let path = format!("{DEPLOYMENTS_OF_SHOP}/web/scale");
    let patch = |from: Value, to: i64| {
        json!([{ "op": "test", "path": "/spec/replicas", "value": from },
            { "op": "add", "path": "/spec/replicas", "value": to }])
    };
    let kind = "application/json-patch+json";
    let (code, refusal) = ask(&api, Method::PATCH, &path, kind, patch(json!(3), 6)).await;
    assert_eq!((code, &refusal["details"]["causes"]), (422, &Value::Null));
    let (code, scale) = ask(&api, Method::PATCH, &path, kind, patch(json!(2), 0)).await;
    assert_eq!(
        (code, &scale["kind"], &scale["spec"]),
        (200, &json!("Scale"), &json!({}))
    );
    assert_eq!(scale["status"], json!({ "replicas": 0, "selector": "app=web" }));
    assert_ne!(version(&scale), version(&made));
    // With 0 replicas the field is absent.
    let (code, _) = ask(&api, Method::PATCH, &path, kind, patch(Value::Null, 4)).await;
    assert_eq!(code, 200);
    let (_, now) = get(&api, &format!("{DEPLOYMENTS_OF_SHOP}/web")).await;
    assert_eq!(
        (&now["spec"]["replicas"], &now["metadata"]["generation"]),
        (&json!(4), &json!(3))
    );
    let (code, refusal) = ask(&api, Method::PATCH, &path, kind, patch(json!(4), -1)).await;
    assert_eq!(
        (code, &refusal["details"]["causes"][0]["field"]),
        (422, &json!("spec.replicas"))
    );
    let mut old = scale;
    old["spec"]["replicas"] = 9.into();
    let (code, refusal) = ask(&api, Method::PUT, &path, "application/json", old).await;
    assert_eq!((code, &refusal["reason"]), (409, &json!("Conflict")));
}

#[tokio::test(start_paused = true)]
async fn an_autoscaler_is_checked_and_has_its_defaults_and_its_status_is_written_apart() {
    let api = api();
    let mut hpa = json!({ "metadata": { "name": "web" }, "spec": { "maxReplicas": 0,
        "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" } } });
    let (code, refusal) = ask(&api, Method::POST, AUTOSCALERS_OF_SHOP, "application/json", hpa.clone()).await;
    assert_eq!(
        (code, &refusal["details"]["causes"][0]["field"]),
        (422, &json!("spec.maxReplicas")),
        "{refusal}"
    );
    hpa["spec"]["maxReplicas"] = 5.into();
    let (code, made) = ask(&api, Method::POST, AUTOSCALERS_OF_SHOP, "application/json", hpa).await;
    assert_eq!((code, &made["spec"]["minReplicas"]), (201, &json!(1)), "{made}");
    assert_eq!(
        made["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"],
        80
    );

    let path = format!("{AUTOSCALERS_OF_SHOP}/web/status");
    let kind = "application/merge-patch+json";
    let uid = made["metadata"]["uid"].clone();
    let patch = |uid: &Value| json!({ "metadata": { "uid": uid }, "spec": { "maxReplicas": 99 }, "status": { "currentReplicas": 3 } });
    let (code, written) = ask(&api, Method::PATCH, &path, kind, patch(&uid)).await;
    assert_eq!((code, &written["spec"]["maxReplicas"]), (200, &json!(5)));
    assert_eq!(written["status"]["currentReplicas"], 3);
    // The same once more makes no new version.
    let (_, again) = ask(&api, Method::PATCH, &path, kind, patch(&uid)).await;
    assert_eq!(version(&again), version(&written));
    let (code, refusal) = ask(&api, Method::PATCH, &path, kind, patch(&json!("other"))).await;
    assert_eq!(
        (code, &refusal["details"]["causes"][0]["field"]),
        (422, &json!("metadata.uid"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_watch_tells_of_every_change_and_sends_bookmarks() {
    let api = api();
    let made = make(&api, "web").await;
    let path = format!(
        "/apis/apps/v1/deployments?watch=1&allowWatchBookmarks=true&timeoutSeconds=100&resourceVersion={}",
        version(&made)
    );
    let mut body = send(&api, Method::GET, &path, "", Value::Null).await.into_body();
    let api_2 = api.clone();
    tokio::spawn(async move {
        sleep(Duration::from_secs(5)).await;
        let patch = json!({ "metadata": { "labels": { "a": "b" } } });
        let path = format!("{DEPLOYMENTS_OF_SHOP}/web");
        ask(&api_2, Method::PATCH, &path, "application/merge-patch+json", patch).await;
        ask(&api_2, Method::DELETE, &path, "", Value::Null).await;
    });
    let modified = next_line(&mut body).await;
    assert_eq!(
        (&modified["type"], &modified["object"]["metadata"]["labels"]["a"]),
        (&json!("MODIFIED"), &json!("b"))
    );
    let deleted = next_line(&mut body).await;
    assert_eq!(deleted["type"], "DELETED");
    assert!(version(&deleted["object"]) > version(&modified["object"]));
    let bookmark = next_line(&mut body).await;
    assert_eq!(
        (&bookmark["type"], version(&bookmark["object"])),
        (&json!("BOOKMARK"), version(&deleted["object"]))
    );
    assert!(body.frame().await.is_none(), "the client asked for 100 s");
}

#[tokio::test(start_paused = true)]
async fn a_watch_can_begin_with_the_list_and_leaves_what_its_selector_leaves() {
    let api = api();
    make(&api, "web").await;
    make(&api, "api").await;
    let streamed = "watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
    let path = format!("{DEPLOYMENTS_OF_SHOP}?{streamed}&fieldSelector=metadata.name%3Dweb");
    let mut body = send(&api, Method::GET, &path, "", Value::Null).await.into_body();
    let added = next_line(&mut body).await;
    assert_eq!(
        (&added["type"], &added["object"]["metadata"]["name"]),
        (&json!("ADDED"), &json!("web"))
    );
    let end = next_line(&mut body).await;
    assert_eq!(
        end["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
    let (code, _) = get(&api, &format!("{DEPLOYMENTS_OF_SHOP}?watch=1&sendInitialEvents=true")).await;
    assert_eq!(code, 422);
}

#[tokio::test(start_paused = true)]
async fn a_watch_from_a_forgotten_version_is_told_that_it_is_gone() {
    let api = api();
    let made = make(&api, "web").await;
    make(&api, "api").await;
    api.store.compact();
    let path = format!("{DEPLOYMENTS_OF_SHOP}?watch=1&resourceVersion={}", version(&made));
    let mut body = send(&api, Method::GET, &path, "", Value::Null).await.into_body();
    let error = next_line(&mut body).await;
    assert_eq!(
        (&error["type"], &error["object"]["code"]),
        (&json!("ERROR"), &json!(410))
    );
    assert!(body.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_replaced_only_at_the_version_that_was_read() {
    let api = api();
    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
    let lease = json!({ "metadata": { "name": "x" }, "spec": { "holderIdentity": "a" } });
    let (_, made) = ask(&api, Method::POST, leases, "application/json", lease.clone()).await;
    let path = format!("{leases}/x");
    let (code, _) = ask(&api, Method::PUT, &path, "application/json", lease.clone()).await;
    assert_eq!(code, 422, "a version must be given");
    let mut taken = made.clone();
    taken["spec"]["holderIdentity"] = "b".into();
    assert_eq!(
        ask(&api, Method::PUT, &path, "application/json", taken.clone()).await.0,
        200
    );
    assert_eq!(ask(&api, Method::PUT, &path, "application/json", taken).await.0, 409);
    assert_eq!(ask(&api, Method::POST, leases, "application/json", lease).await.0, 409);
    assert_eq!(get(&api, &format!("{leases}/y")).await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn metrics_apis_are_there_once_they_have_something_to_tell() {
    let api = api();
    assert_eq!(get(&api, "/apis/custom.metrics.k8s.io").await.0, 404);
    let at = "2026-01-05T08:00:00Z".parse().unwrap();
    let gauge = |value: &str| Gauge {
        value: value.to_owned(),
        at,
    };
    let described = |name: &str| Described {
        namespace: "shop".to_owned(),
        resource: "pods".to_owned(),
        name: name.to_owned(),
    };
    for name in ["web-1", "web-2"] {
        let pod = json!({ "metadata": { "name": name, "namespace": "shop", "labels": { "n": name } } });
        api.store.create(&PODS, pod).unwrap();
    }
    {
        let mut meters = api.meters.lock();
        let usage = |name: &str| json!({ "metadata": { "name": name, "namespace": "shop" }, "containers": [] });
        meters.set_pods([usage("web-1"), usage("web-2")]);
        meters.set_custom(
            "qps",
            [(described("web-1"), gauge("7")), (described("web-2"), gauge("8"))],
        );
        let series = |queue: &str, value: &str| ([("queue".to_owned(), queue.to_owned())].into(), gauge(value));
        meters.set_external("shop", "depth", vec![series("a", "1"), series("b", "2")]);
    }
    let (_, usages) = get(&api, "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods").await;
    assert_eq!(
        (&usages["kind"], usages["items"].as_array().unwrap().len()),
        (&json!("PodMetricsList"), 2)
    );
    let path = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/pods/%2A/qps?labelSelector=n%3Dweb-2";
    let (_, values) = get(&api, path).await;
    assert_eq!(values["items"][0]["value"], "8");
    assert_eq!(values["items"].as_array().unwrap().len(), 1);
    let (code, missing) = get(&api, "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/pods/%2A/no").await;
    assert_eq!(
        (code, &missing["message"]),
        (404, &json!("the server could not find the metric no for pods"))
    );
    let path = "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/depth?labelSelector=queue%3Da";
    let (_, values) = get(&api, path).await;
    assert_eq!(
        values["items"],
        json!([{ "metricName": "depth", "metricLabels": { "queue": "a" },
        "timestamp": "2026-01-05T08:00:00Z", "value": "1" }])
    );
    let (_, groups) = get(&api, "/apis").await;
    assert!(groups.to_string().contains("custom.metrics.k8s.io/v1beta2"));
}

#[tokio::test(start_paused = true)]
async fn a_resource_is_found_by_its_singular_name_but_for_usages_which_have_none() {
    let api = api();
    let singular = async |path: &str, kind: &str| {
        let (_, listed) = get(&api, path).await;
        let resources = listed["resources"].as_array().unwrap();
        let of_kind = resources.iter().find(|resource| resource["kind"] == kind);
        of_kind.unwrap()["singularName"].as_str().unwrap().to_owned()
    };
    assert_eq!(singular("/apis/apps/v1", "Deployment").await, "deployment");
    assert_eq!(singular("/api/v1", "Pod").await, "pod");
    assert_eq!(singular("/apis/metrics.k8s.io/v1beta1", "PodMetrics").await, "");
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_sense_is_refused_with_a_status() {
    let api = api();
    let json_kind = "application/json";
    for (method, path, kind, body, code) in [
        (Method::GET, "/api/v1/nodes", "", Value::Null, 404),
        (Method::GET, "/apis/apps/v2", "", Value::Null, 404),
        (
            Method::POST,
            "/api/v1/namespaces/none/configmaps",
            json_kind,
            json!({ "metadata": { "name": "a" } }),
            404,
        ),
        (
            Method::POST,
            "/api/v1/namespaces/shop/configmaps",
            json_kind,
            json!({ "metadata": { "name": "A" } }),
            422,
        ),
        (
            Method::POST,
            "/api/v1/namespaces/shop/configmaps",
            json_kind,
            json!({ "kind": "Pod" }),
            400,
        ),
        (
            Method::POST,
            "/api/v1/namespaces/shop/configmaps",
            json_kind,
            json!([]),
            400,
        ),
        (
            Method::POST,
            "/api/v1/namespaces/shop/configmaps",
            "text/plain",
            json!({}),
            415,
        ),
        (
            Method::PUT,
            "/api/v1/namespaces/shop/configmaps/a",
            json_kind,
            json!({ "metadata": { "name": "a" } }),
            404,
        ),
        (
            Method::POST,
            "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods",
            json_kind,
            json!({}),
            405,
        ),
        (
            Method::GET,
            "/api/v1/pods?fieldSelector=spec.x%3D1",
            "",
            Value::Null,
            400,
        ),
    ] {
        let (got, status) = ask(&api, method.clone(), path, kind, body).await;
        assert_eq!(
            (got, &status["kind"], &status["code"]),
            (code, &json!("Status"), &json!(code)),
            "{method} {path}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn kubectl_gets_a_table_where_it_asks_for_one() {
    let api = api();
    make(&api, "web").await;
    sleep(Duration::from_secs(90)).await;
    let request = Request::get(DEPLOYMENTS_OF_SHOP).header(
        header::ACCEPT,
        "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
    );
    let response = api.answer(request.body(Full::new(Bytes::new())).unwrap()).await;
    let body = BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    let table: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(table["rows"][0]["cells"], json!(["web", "0/2", 0, 0, "90s"]));
}

#[tokio::test(start_paused = true)]
async fn what_is_applied_is_made_and_then_changed_without_touching_the_rest() {
    let api = api();
    let path = format!("{AUTOSCALERS_OF_SHOP}/web?fieldManager=me");
    let manifest = |spec: &str| {
        format!("apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {{name: web}}\nspec: {spec}\n")
    };
    let apply = async |path: &str, text: String| {
        let request = Request::builder().method(Method::PATCH).uri(path);
        let request = request.header(header::CONTENT_TYPE, "application/apply-patch+yaml");
        let response = api.answer(request.body(Full::new(Bytes::from(text))).unwrap()).await;
        let code = response.status().as_u16();
        let body = BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
        (code, serde_json::from_slice::<Value>(&body).unwrap())
    };
    let whole = "{maxReplicas: 5, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}";
    let (code, made) = apply(&path, manifest(whole)).await;
    assert_eq!((code, &made["spec"]["minReplicas"]), (201, &json!(1)), "{made}");
    let (code, changed) = apply(&path, manifest("{maxReplicas: 9}")).await;
    assert_eq!((code, &changed["spec"]["maxReplicas"]), (200, &json!(9)));
    assert_eq!(changed["spec"]["scaleTargetRef"]["name"], "web");
    for (path, spec, expected) in [
        (path.replace("?fieldManager=me", ""), whole, 422),
        (path.clone(), "{maxReplicas: 0}", 422),
        (path.replace("/web?", "/other?"), whole, 400),
    ] {
        assert_eq!(apply(&path, manifest(spec)).await.0, expected, "{path} {spec}");
    }
    assert_eq!(apply(&path, "spec: {}".to_owned()).await.0, 400);
}
