//! The simulated API beside the real one: the same requests, and answers that agree.
//!
//! Each answer of the simulated API is a part of the real one's: the same code, and every field that it has is there with
//! the same value. What differs by nature is left out: versions, uids, times, and sentences for people.

mod metrics;
mod writes;

use std::sync::Arc;

use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use kube::Client;
use serde_json::{Value, json};
use trimtab::clock::SystemClock;
use trimtab::sim::api::Api;

use crate::harness::Cluster;

/// A server that is asked.
enum Server {
    Real(Client),
    Simulated(Arc<Api>),
}

/// One request. `NS` stands for the namespace, `RV` and `UID` for those of the last object that was answered with.
struct Ask {
    method: Method,
    path: String,
    kind: &'static str,
    body: String,
}

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const PATCH: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// Fields that differ by nature.
const OWN: [&str; 9] = [
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "message",
    "continue",
    "remainingItemCount",
    "metadata.managedFields",
    "acquireTime",
    "serverAddressByClientCIDRs",
];

fn ask(method: Method, path: &str, kind: &'static str, body: Value) -> Ask {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    Ask {
        method,
        path: path.to_owned(),
        kind,
        body,
    }
}

fn get(path: &str) -> Ask {
    ask(Method::GET, path, "", Value::Null)
}

/// All requests, in their order.
fn requests() -> Vec<Ask> {
    use Method as M;
    let deployments = "/apis/apps/v1/namespaces/NS/deployments";
    let scale = &format!("{deployments}/web/scale");
    let web = &format!("{deployments}/web");
    let hpas = "/apis/autoscaling/v2/namespaces/NS/horizontalpodautoscalers";
    let hpa = &format!("{hpas}/web");
    let leases = "/apis/coordination.k8s.io/v1/namespaces/NS/leases";
    let maps = "/api/v1/namespaces/NS/configmaps";
    let map = &format!("{maps}/m");
    let events = "/api/v1/namespaces/NS/events";
    let sets = "/apis/apps/v1/namespaces/NS/replicasets";
    let stateful_sets = "/apis/apps/v1/namespaces/NS/statefulsets";
    let controllers = "/api/v1/namespaces/NS/replicationcontrollers";
    let config_map = |data: Value| json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "applied" }, "data": data });
    let deployment = |name: &str, labels: &str| {
        json!({ "metadata": { "name": name, "labels": { "tier": name } }, "spec": { "replicas": 0,
            "selector": { "matchLabels": { "app": name } }, "template": { "metadata": { "labels": { "app": labels } },
                "spec": { "containers": [{ "name": "main", "image": "x" }] } } } })
    };
    let set = |seen: Value, to: i64| {
        json!([{ "op": "test", "path": "/spec/replicas", "value": seen },
            { "op": "add", "path": "/spec/replicas", "value": to }])
    };
    let autoscaler = |max: i64| {
        json!({ "metadata": { "name": "web" }, "spec": { "maxReplicas": max,
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" } } })
    };
    let lease =
        |extra: Value| json!({ "metadata": extra, "spec": { "holderIdentity": "a", "leaseDurationSeconds": 15 } });
    let event = json!({ "metadata": { "name": "e" }, "type": "Normal", "reason": "R", "message": "m", "count": 1,
        "involvedObject": { "kind": "HorizontalPodAutoscaler", "namespace": "NS", "name": "web" } });
    vec![
        // Discovery.
        get("/api"),
        get("/apis/autoscaling/v2/nothing"),
        get("/apis/nothing.example"),
        get("/api/v1/namespaces/NS/nothings"),
        // Deployments and their scales. Without replicas, so that nobody else writes to them for long.
        ask(M::POST, deployments, JSON, deployment("web", "web")),
        ask(M::POST, deployments, JSON, deployment("web", "web")),
        ask(M::POST, deployments, JSON, deployment("b", "b")),
        ask(M::POST, deployments, JSON, deployment("c", "other")),
        ask(
            M::POST,
            deployments,
            JSON,
            json!({ "metadata": { "name": "d" }, "spec": {} }),
        ),
        ask(M::POST, deployments, JSON, json!({ "metadata": { "name": "D" } })),
        ask(
            M::POST,
            deployments,
            JSON,
            json!({ "kind": "Pod", "metadata": { "name": "d" } }),
        ),
        ask(M::POST, "/apis/apps/v1/deployments", JSON, deployment("d", "d")),
        get(web),
        get(&format!("{deployments}/nothing")),
        get(scale),
        get(&format!("{web}/nothing")),
        ask(M::PATCH, scale, PATCH, set(json!(3), 6)),
        ask(M::PATCH, scale, PATCH, set(json!(0), 6)),
        ask(M::PATCH, scale, PATCH, set(Value::Null, -1)),
        ask(M::PATCH, scale, PATCH, json!([{ "op": "jump", "path": "/spec" }])),
        ask(
            M::PATCH,
            scale,
            PATCH,
            json!([{ "op": "replace", "path": "/spec/nothing", "value": 1 }]),
        ),
        ask(M::PATCH, scale, PATCH, json!({ "spec": {} })),
        ask(M::PATCH, scale, MERGE, json!({ "spec": { "replicas": 0 } })),
        ask(
            M::PATCH,
            scale,
            MERGE,
            json!({ "metadata": { "resourceVersion": "1" }, "spec": { "replicas": 1 } }),
        ),
        ask(M::PATCH, scale, "text/plain", json!({})),
        ask(
            M::PATCH,
            web,
            MERGE,
            json!({ "spec": { "selector": { "matchLabels": { "app": "x" } } } }),
        ),
        ask(M::PATCH, web, MERGE, json!({ "metadata": { "uid": "x" } })),
        ask(M::PATCH, web, MERGE, json!({ "metadata": { "labels": { "a": "b" } } })),
        ask(
            M::PATCH,
            web,
            STRATEGIC,
            json!({ "spec": { "template": { "spec": { "containers": [
            { "name": "main", "image": "y" }] } } } }),
        ),
        get(&format!("{deployments}?limit=1")),
        get(&format!("{deployments}?labelSelector=tier%3Db")),
        get(&format!("{deployments}?labelSelector=tier+in+%28b%29%2Ca%21%3Db")),
        get(&format!("{deployments}?labelSelector=a+b")),
        get(&format!("{deployments}?fieldSelector=metadata.name%3Dweb")),
        get(&format!("{deployments}?fieldSelector=spec.replicas%3D1")),
        get(&format!("{deployments}?limit=x")),
        get(&format!("{deployments}?continue=nonsense")),
        // Autoscalers.
        ask(M::POST, hpas, JSON, autoscaler(0)),
        ask(M::POST, hpas, JSON, autoscaler(5)),
        get(hpa),
        ask(M::PATCH, hpa, MERGE, json!({ "spec": { "minReplicas": 9 } })),
        ask(
            M::PATCH,
            hpa,
            MERGE,
            json!({ "spec": { "minReplicas": 2 }, "status": { "desiredReplicas": 7 } }),
        ),
        ask(
            M::PATCH,
            &format!("{hpa}/status"),
            MERGE,
            json!({ "metadata": { "uid": "x" }, "status": { "currentReplicas": 1 } }),
        ),
        ask(
            M::PATCH,
            &format!("{hpa}/status"),
            MERGE,
            json!({ "spec": { "maxReplicas": 9 }, "status": {
            "currentReplicas": 1, "desiredReplicas": 2 } }),
        ),
        ask(
            M::PATCH,
            hpa,
            STRATEGIC,
            json!({ "spec": { "metrics": [{ "type": "Resource", "resource": { "name": "memory",
            "target": { "type": "AverageValue", "averageValue": "1Gi" } } }] } }),
        ),
        ask(
            M::PATCH,
            hpa,
            MERGE,
            json!({ "spec": { "behavior": { "scaleDown": { "stabilizationWindowSeconds": 60 } } } }),
        ),
        // Leases.
        get(&format!("{leases}/x")),
        ask(M::POST, leases, JSON, lease(json!({ "name": "x" }))),
        ask(M::POST, leases, JSON, lease(json!({ "name": "x" }))),
        ask(M::PUT, &format!("{leases}/x"), JSON, lease(json!({ "name": "x" }))),
        ask(
            M::PUT,
            &format!("{leases}/x"),
            JSON,
            lease(json!({ "name": "x", "resourceVersion": "1" })),
        ),
        ask(
            M::PUT,
            &format!("{leases}/x"),
            JSON,
            lease(json!({ "name": "y", "resourceVersion": "1" })),
        ),
        ask(
            M::PUT,
            &format!("{leases}/z"),
            JSON,
            lease(json!({ "name": "z", "resourceVersion": "1" })),
        ),
        get(&format!("{leases}/x")),
        ask(
            M::PUT,
            &format!("{leases}/x"),
            JSON,
            lease(json!({ "name": "x", "resourceVersion": "RV" })),
        ),
        // ConfigMaps.
        ask(
            M::POST,
            maps,
            JSON,
            json!({ "metadata": { "name": "m" }, "data": { "a": "1" } }),
        ),
        ask(
            M::POST,
            maps,
            JSON,
            json!({ "metadata": { "name": "n", "namespace": "default" } }),
        ),
        ask(M::POST, maps, JSON, json!({ "metadata": {} })),
        ask(
            M::POST,
            maps,
            JSON,
            json!({ "metadata": { "name": "n", "resourceVersion": "7" } }),
        ),
        ask(M::POST, maps, "text/plain", json!({})),
        ask(
            M::PUT,
            map,
            JSON,
            json!({ "metadata": { "name": "m" }, "data": { "a": "2" } }),
        ),
        ask(
            M::PUT,
            map,
            JSON,
            json!({ "metadata": { "name": "m", "uid": "x" }, "data": {} }),
        ),
        ask(
            M::PUT,
            map,
            JSON,
            json!({ "metadata": { "name": "m", "resourceVersion": "1" }, "data": {} }),
        ),
        ask(M::PATCH, map, MERGE, json!({ "data": { "a": null, "b": "3" } })),
        ask(
            M::PATCH,
            map,
            PATCH,
            json!([{ "op": "test", "path": "/data/b", "value": "3" }, { "op": "remove", "path": "/data/b" }]),
        ),
        ask(M::DELETE, map, JSON, json!({ "preconditions": { "uid": "x" } })),
        ask(M::DELETE, map, "", Value::Null),
        ask(M::DELETE, map, "", Value::Null),
        ask(M::PATCH, map, MERGE, json!({})),
        ask(
            M::POST,
            "/api/v1/namespaces/nothing/configmaps",
            JSON,
            json!({ "metadata": { "name": "m" } }),
        ),
        // Events.
        ask(M::POST, events, JSON, event),
        ask(
            M::PATCH,
            &format!("{events}/e"),
            MERGE,
            json!({ "count": 2, "message": "n" }),
        ),
        get(&format!(
            "{events}?fieldSelector=involvedObject.name%3Dweb%2Creason%3DR"
        )),
        get(&format!("{events}?fieldSelector=message%3Dx")),
        // Other workloads, and their scales.
        ask(M::POST, sets, JSON, deployment("set", "set")),
        ask(M::POST, stateful_sets, JSON, deployment("db", "db")),
        ask(
            M::POST,
            controllers,
            JSON,
            json!({ "metadata": { "name": "old" }, "spec": { "replicas": 0, "selector": { "app": "old" }, "template": {
                "metadata": { "labels": { "app": "old" } }, "spec": { "containers": [{ "name": "main", "image": "x" }] } } } }),
        ),
        get(&format!("{sets}/set/scale")),
        get(&format!("{stateful_sets}/db/scale")),
        get(&format!("{controllers}/old/scale")),
        ask(M::PATCH, &format!("{sets}/set/scale"), PATCH, set(json!(1), 2)),
        ask(M::PATCH, &format!("{stateful_sets}/db/scale"), PATCH, set(json!(1), 2)),
        ask(
            M::PATCH,
            &format!("{stateful_sets}/db/scale"),
            MERGE,
            json!({ "spec": { "replicas": -1 } }),
        ),
        get(&format!("{sets}?fieldSelector=metadata.name%3Dset")),
        get(&format!("{sets}/nothing/scale")),
        // Scales that are put.
        ask(
            M::PUT,
            scale,
            JSON,
            json!({ "metadata": { "name": "web", "namespace": "NS" }, "spec": { "replicas": 0 } }),
        ),
        ask(
            M::PUT,
            scale,
            JSON,
            json!({ "metadata": { "name": "web", "namespace": "NS", "resourceVersion": "1" }, "spec": { "replicas": 0 } }),
        ),
        ask(
            M::PUT,
            &format!("{deployments}/nothing/scale"),
            JSON,
            json!({ "metadata": { "name": "nothing", "namespace": "NS" }, "spec": { "replicas": 0 } }),
        ),
        // Server-side apply.
        ask(
            M::PATCH,
            &format!("{maps}/applied?fieldManager=one"),
            APPLY,
            config_map(json!({ "a": "1", "b": "1" })),
        ),
        ask(
            M::PATCH,
            &format!("{maps}/applied?fieldManager=one"),
            APPLY,
            config_map(json!({ "a": "2", "b": "1" })),
        ),
        ask(
            M::PATCH,
            &format!("{maps}/applied?fieldManager=two&force=true"),
            APPLY,
            config_map(json!({ "c": "3" })),
        ),
        ask(
            M::PATCH,
            &format!("{maps}/applied"),
            APPLY,
            config_map(json!({ "c": "3" })),
        ),
        ask(
            M::PATCH,
            &format!("{maps}/other?fieldManager=one"),
            APPLY,
            config_map(json!({})),
        ),
        ask(
            M::PATCH,
            &format!("{maps}/applied?fieldManager=one"),
            APPLY,
            json!({ "data": {} }),
        ),
        ask(
            M::PATCH,
            &format!("{hpas}/applied?fieldManager=one"),
            APPLY,
            json!({ "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": { "name": "applied" },
                "spec": { "maxReplicas": 4, "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "b" } } }),
        ),
        ask(
            M::PATCH,
            &format!("{hpas}/applied?fieldManager=one"),
            APPLY,
            json!({ "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": { "name": "applied" },
                "spec": { "maxReplicas": 0, "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "b" } } }),
        ),
        ask(M::DELETE, &format!("{hpas}/applied"), "", Value::Null),
        // Other corners.
        ask(
            M::PUT,
            &format!("{maps}/none"),
            JSON,
            json!({ "metadata": { "name": "none" } }),
        ),
        ask(
            M::PATCH,
            &format!("{maps}/applied"),
            PATCH,
            json!([{ "op": "copy", "from": "/data/a", "path": "/data/d" }, { "op": "move", "from": "/data/c", "path": "/data/e" }]),
        ),
        ask(
            M::PATCH,
            &format!("{maps}/applied"),
            MERGE,
            json!({ "metadata": { "name": "other" } }),
        ),
        ask(M::PATCH, &format!("{maps}/applied/status"), MERGE, json!({})),
        ask(M::POST, &format!("{maps}/applied"), JSON, json!({})),
        ask(
            M::PATCH,
            web,
            STRATEGIC,
            json!({ "spec": { "template": { "spec": { "containers": [
                { "name": "side", "image": "z" }, { "name": "main", "$patch": "delete" }] } } } }),
        ),
        get("/apis/metrics.k8s.io/v1beta1/namespaces/NS/pods"),
        get("/api/v1/namespaces/NS"),
        get("/api/v1/namespaces/nothing"),
        get(&format!("{maps}?resourceVersion=x")),
        get(&format!(
            "{maps}?fieldSelector=metadata.name%3Dapplied&resourceVersion=0"
        )),
        get(&format!("{leases}?labelSelector=a%3Db&limit=2")),
        ask(M::DELETE, &format!("{leases}/x"), "", Value::Null),
        ask(M::DELETE, &format!("{deployments}/nothing"), "", Value::Null),
        // Watches, each for a second.
        get(&format!(
            "{maps}?watch=1&timeoutSeconds=1&allowWatchBookmarks=true&fieldSelector=metadata.name%3Dnone&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
        )),
        get(&format!(
            "{deployments}?watch=1&timeoutSeconds=1&labelSelector=tier%3Db&resourceVersion=0"
        )),
        get(&format!(
            "{deployments}?watch=1&timeoutSeconds=1&sendInitialEvents=true"
        )),
    ]
}

impl Server {
    /// The code, and the lines of the answer.
    async fn answer(&self, asked: &Ask, last: &Value, namespace: &str) -> (u16, Vec<Value>) {
        let metadata = |field: &str| last["metadata"][field].as_str().unwrap_or_default().to_owned();
        let filled = |text: &str| {
            let text = text
                .replace("NS", namespace)
                .replace("\"RV\"", &format!("{:?}", metadata("resourceVersion")));
            text.replace("\"UID\"", &format!("{:?}", metadata("uid")))
        };
        let mut request = Request::builder().method(asked.method.clone()).uri(filled(&asked.path));
        if !asked.kind.is_empty() {
            request = request.header("Content-Type", asked.kind);
        }
        let body = filled(&asked.body).into_bytes();
        let (code, text) = match self {
            Server::Real(client) => {
                let answer = client
                    .send(request.body(body.into()).expect("a request"))
                    .await
                    .expect("the API server answers");
                (
                    answer.status(),
                    answer.into_body().collect().await.expect("a body").to_bytes(),
                )
            }
            Server::Simulated(api) => {
                let answer = api
                    .answer(request.body(Full::new(body.into())).expect("a request"))
                    .await;
                (
                    answer.status(),
                    BodyExt::collect(answer.into_body()).await.expect("a body").to_bytes(),
                )
            }
        };
        let lines = serde_json::Deserializer::from_slice(&text).into_iter::<Value>();
        (code.as_u16(), lines.map_while(Result::ok).collect())
    }
}

/// Where `simulated` has something that `real` has otherwise or not.
fn differences(at: &str, simulated: &Value, real: &Value, found: &mut Vec<String>) {
    if OWN.iter().any(|own| at.ends_with(&format!(".{own}"))) {
        return;
    }
    match (simulated, real) {
        // The real one may have more to say, or say the same twice.
        (Value::Array(simulated), Value::Array(real)) if at.ends_with(".causes") => {
            let said = |cause: &Value| (cause["field"].clone(), cause["reason"].clone());
            let missing = simulated
                .iter()
                .filter(|cause| !real.iter().any(|real| said(real) == said(cause)));
            found.extend(missing.map(|cause| format!("{at}: simulated {cause}, real {real:?}")));
        }
        (Value::Object(simulated), Value::Object(real)) => {
            for (name, value) in simulated {
                differences(
                    &format!("{at}.{name}"),
                    value,
                    real.get(name).unwrap_or(&Value::Null),
                    found,
                );
            }
        }
        (Value::Array(simulated), Value::Array(real)) if simulated.len() == real.len() => {
            for (number, (simulated, real)) in simulated.iter().zip(real).enumerate() {
                differences(&format!("{at}[{number}]"), simulated, real, found);
            }
        }
        _ if simulated == real => {}
        // Nothing and an empty object say the same.
        (Value::Object(simulated), Value::Null) if simulated.is_empty() => {}
        _ => found.push(format!("{at}: simulated {simulated}, real {real}")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_simulated_api_answers_as_the_real_one_does() {
    let namespace = Cluster::main().await.namespace("agreement").await;
    let api = Api::new(Arc::new(SystemClock));
    api.store.ensure_namespace(&namespace.name);
    let servers = [Server::Real(namespace.cluster.client.clone()), Server::Simulated(api)];
    let mut last = [Value::Null, Value::Null];
    let mut problems = Vec::new();
    for asked in requests().into_iter().chain(writes::requests()) {
        let mut answers = Vec::new();
        for (server, last) in servers.iter().zip(&mut last) {
            let (code, lines) = server.answer(&asked, last, &namespace.name).await;
            if let Some(object) = lines
                .first()
                .filter(|object| !object["metadata"]["resourceVersion"].is_null())
            {
                *last = object.clone();
            }
            answers.push((code, lines));
        }
        problems.extend(compared(&asked, &answers[0], &answers[1]));
    }
    all_agree(&problems);
}

/// Where two answers differ, which are codes and lines.
fn compared(asked: &Ask, real: &(u16, Vec<Value>), simulated: &(u16, Vec<Value>)) -> Vec<String> {
    let ((real_code, real), (code, simulated)) = (real, simulated);
    let name = format!("{} {} {}", asked.method, asked.path, asked.body);
    if real_code != code {
        return vec![format!(
            "{name}\n  simulated {code} {simulated:?}\n  real {real_code} {real:?}"
        )];
    }
    // Paths that nobody has are refused in plain text by the real one.
    if !real.first().is_some_and(Value::is_object) {
        return Vec::new();
    }
    if simulated.len() != real.len() {
        return vec![format!("{name}\n  simulated {simulated:?}\n  real {real:?}")];
    }
    let mut found = Vec::new();
    for (simulated, real) in simulated.iter().zip(real) {
        differences("", simulated, real, &mut found);
    }
    found
        .into_iter()
        .map(|difference| format!("{name}\n  {difference}"))
        .collect()
}

fn all_agree(problems: &[String]) {
    assert!(
        problems.is_empty(),
        "{} problems:\n{}",
        problems.len(),
        problems.join("\n")
    );
}
