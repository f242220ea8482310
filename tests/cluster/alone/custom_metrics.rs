//! Pods, Object and External metrics of real metrics APIs, of every kind of object: first under Kubernetes' own autoscaler, then
//! under trimtab. The same counts, conditions, Events and metrics in the status.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use futures_util::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};

use crate::harness::{
    Alone, Autoscaler, Controller, Namespace, Record, Workload, free_port, output_of, seconds, trimtab, wait_until,
};
use crate::scaling::HOLD;

/// An autoscaler of a workload of two pods, and the count that it comes to rest at.
struct Case {
    name: &'static str,
    metrics: Value,
    count: i32,
}

fn average(quantity: &str) -> Value {
    json!({"type": "AverageValue", "averageValue": quantity})
}

fn pods(metric: Value, target: &str) -> Value {
    json!({"type": "Pods", "pods": {"metric": metric, "target": average(target)}})
}

fn object(version: &str, kind: &str, name: &str, metric: Value, target: Value) -> Value {
    let described = json!({"apiVersion": version, "kind": kind, "name": name});
    json!({"type": "Object", "object": {"describedObject": described, "metric": metric, "target": target}})
}

fn external(metric: Value, target: Value) -> Value {
    json!({"type": "External", "external": {"metric": metric, "target": target}})
}

fn cases() -> Vec<Case> {
    let case = |name, metrics, count| Case { name, metrics, count };
    let named = |name: &str| json!({"name": name});
    let get = json!({"name": "qps", "selector": {"matchLabels": {"verb": "GET"}}});
    let get_too = json!({"name": "qps", "selector": {"matchExpressions": [{"key": "verb", "operator": "In", "values": ["GET", "PUT"]}]}});
    let bad = json!({"name": "depth", "selector": {"matchExpressions": [{"key": "verb", "operator": "Near", "values": ["GET"]}]}});
    let value = json!({"type": "Value", "value": "1"});
    vec![
        // A third pod has no sample, and counts as idle. Two of these ask together.
        case("pods-a", json!([pods(get.clone(), "20")]), 3),
        case("pods-b", json!([pods(get, "20")]), 3),
        case("pods-expression", json!([pods(get_too, "20")]), 3),
        case(
            "service",
            json!([object("v1", "Service", "front", named("depth"), average("1"))]),
            4,
        ),
        case(
            "value",
            json!([object("v1", "Service", "front", named("depth"), value)]),
            6,
        ),
        case(
            "ingress",
            json!([object(
                "networking.k8s.io/v1",
                "Ingress",
                "main",
                named("hits"),
                average("100")
            )]),
            5,
        ),
        // Not in a namespace, and yet asked for under the autoscaler's.
        case(
            "node",
            json!([object("v1", "Node", "node-1", named("heat"), average("10"))]),
            3,
        ),
        // The described name plays no part.
        case(
            "namespace",
            json!([object("v1", "Namespace", "elsewhere", named("jobs"), average("1"))]),
            5,
        ),
        case(
            "external",
            json!([external(
                json!({"name": "my-external-metric", "selector": {"matchLabels": {"foo": "bar"}}}),
                average("10")
            )]),
            5,
        ),
        case(
            "external-sum",
            json!([external(named("my-external-metric"), average("30"))]),
            3,
        ),
        // What cannot be asked, or has no answer.
        case("no-pods-metric", json!([pods(named("nobody-has-it"), "20")]), 2),
        case(
            "no-object",
            json!([object("v1", "Service", "nobody", named("depth"), average("1"))]),
            2,
        ),
        case(
            "no-kind",
            json!([object("example.com/v1", "Widget", "w", named("depth"), average("1"))]),
            2,
        ),
        case(
            "no-external",
            json!([external(named("nobody-has-it"), average("10"))]),
            2,
        ),
        case(
            "bad-selector",
            json!([object("v1", "Service", "front", bad, average("1"))]),
            2,
        ),
        // One that fails keeps a count from falling, and not from rising.
        case(
            "rises",
            json!([
                pods(named("nobody-has-it"), "20"),
                object("v1", "Service", "front", named("depth"), average("1")),
            ]),
            4,
        ),
        case(
            "does-not-fall",
            json!([
                object("v1", "Service", "front", named("depth"), average("100")),
                external(named("nobody-has-it"), average("10")),
            ]),
            2,
        ),
    ]
}

/// All cases in a namespace.
struct Scene {
    namespace: Namespace,
    cases: Vec<(Case, Autoscaler, Record)>,
}

impl Scene {
    async fn new(cluster: &Alone) -> Scene {
        let namespace = cluster.namespace("custom").await;
        let made = cases().into_iter().map(async |case| {
            let workload = Workload::deployment(&namespace, case.name, 2);
            let record = Record::of(&workload).await;
            (case, workload, record)
        });
        let made = join_all(made).await;
        for name in ["pods-a", "pods-b", "pods-expression"] {
            for pod in two_pods(&namespace, name).await {
                namespace.set_sample(&format!("pods/{pod}"), "qps", "30", "verb=GET");
            }
        }
        namespace.set_sample("services/front", "depth", "3500m", "");
        namespace.set_sample("ingresses.networking.k8s.io/main", "hits", "450", "");
        namespace.set_sample("nodes/node-1", "heat", "25", "");
        set_sample_of_namespace(&namespace, "jobs", "5");
        let spec = |metrics: &Value| {
            json!({
                "minReplicas": 1, "maxReplicas": 6, "metrics": metrics,
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
            })
        };
        let cases = made.into_iter().map(|(case, workload, record)| {
            let hpa = Autoscaler::of(&workload, case.name, spec(&case.metrics));
            (case, hpa, record)
        });
        Scene {
            cases: cases.collect(),
            namespace: namespace.clone(),
        }
    }

    /// Waits until each rests at its count, and gives what is said about each.
    async fn rest(&self) -> BTreeMap<&'static str, Value> {
        let rests = self.cases.iter().map(async |(case, hpa, record)| {
            record.settles(case.count, HOLD, seconds(120)).await;
            // A count that is not to move is at rest before anybody has looked, too.
            let told = wait_until("it is told of", seconds(60), async || {
                let told = told(hpa).await;
                let texts = told["conditions"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str);
                let failed = texts.clone().any(|text| text.contains(" Failed"));
                // A metric that failed has two Events.
                let events = told["events"].as_array().map_or(0, Vec::len);
                if texts.count() > 0 && (!failed || events >= 2) {
                    Ok(told)
                } else {
                    Err(told)
                }
            });
            (case.name, told.await)
        });
        join_all(rests).await.into_iter().collect()
    }
}

/// Conditions, metrics and Events. The sentence of a condition is compared where nothing failed: of failures each has its own.
async fn told(hpa: &Autoscaler) -> Value {
    let status = hpa.status().await;
    let conditions = status.conditions.unwrap_or_default().into_iter().map(|condition| {
        let failed = condition
            .reason
            .as_deref()
            .is_some_and(|reason| reason.starts_with("Failed"));
        let sentence = condition.message.filter(|_| !failed).unwrap_or_default();
        format!(
            "{}={} {}: {sentence}",
            condition.type_,
            condition.status,
            condition.reason.unwrap_or_default()
        )
    });
    let conditions: Vec<String> = conditions.collect();
    let events: BTreeSet<String> = hpa
        .events()
        .await
        .into_iter()
        .map(|(kind, reason, _)| format!("{kind} {reason}"))
        .collect();
    json!({
        "conditions": conditions, "metrics": status.current_metrics, "events": events,
        "replicas": status.current_replicas, "desired": status.desired_replicas,
    })
}

/// The names of a workload's two pods.
async fn two_pods(namespace: &Namespace, app: &str) -> Vec<String> {
    let api: Api<Pod> = namespace.api();
    let own = ListParams::default().labels(&format!("app={app}"));
    wait_until("its pods are there", seconds(30), async || {
        let found = api.list(&own).await.map_err(|error| error.to_string())?;
        let names: Vec<String> = found.items.into_iter().filter_map(|pod| pod.metadata.name).collect();
        if names.len() == 2 {
            Ok(names)
        } else {
            Err(format!("{names:?}"))
        }
    })
    .await
}

/// The sample server takes metrics of Namespaces under the resource's singular name alone.
fn set_sample_of_namespace(namespace: &Namespace, metric: &str, quantity: &str) {
    let url = format!(
        "{}/namespace/{}/{metric}",
        namespace.cluster.url("sample-metrics"),
        namespace.name
    );
    let body = format!("\"{quantity}\"");
    let json = "Content-Type: application/json";
    output_of(Command::new("curl").args([
        "--silent",
        "--show-error",
        "--fail",
        "--header",
        json,
        "--data",
        &body,
        &url,
    ]));
}

fn page(address: &str, path: &str) -> String {
    output_of(Command::new("curl").args(["--silent", "--max-time", "10", &format!("http://{address}{path}")]))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_custom_and_external_metric_is_read_and_told_as_by_kubernetes_own_autoscaler() {
    let cluster = Alone::with_hpa_and("custom", &["sample-metrics"]).await;
    let theirs = {
        let scene = Scene::new(&cluster).await;
        let told = scene.rest().await;
        cluster.script("kubernetes-hpa", &["off"]);
        told
    };
    let scene = Scene::new(&cluster).await;
    let address = format!("127.0.0.1:{}", free_port());
    let controller = Controller::on(&scene.namespace, &[&format!("--listen={address}")]);
    let ours = scene.rest().await;
    for (name, theirs) in &theirs {
        assert_eq!(ours[name], *theirs, "{name}: ours, then that of Kubernetes");
    }
    are_explained_from_a_snapshot(&scene);
    a_server_that_is_away_is_told_of_and_holds_all_counts(&scene, &address).await;
    drop(controller);
}

/// `explain` on the live cluster and on a snapshot of it come to what the controller decided.
fn are_explained_from_a_snapshot(scene: &Scene) {
    let (cluster, folder) = (&scene.namespace.cluster, scene.namespace.folder());
    for (case, hpa, _) in &scene.cases {
        let key = format!("{}/{}", hpa.namespace.name, hpa.name);
        let snapshot = trimtab(cluster, &["snapshot", &key]);
        let file = folder.join("snapshot.json");
        std::fs::write(&file, snapshot).expect("write the snapshot");
        let file = file.to_str().expect("test paths are text");
        let decided = |arguments: &[&str]| -> (Value, Value) {
            let text = trimtab(cluster, &[&["explain", "--output=json"], arguments].concat());
            let explained: Value = serde_json::from_str(&text).expect("it is JSON");
            let derivation = &explained["decision"]["derivation"];
            let proposals = derivation["metrics"].as_array().expect("it has metrics");
            let proposals = proposals.iter().map(|metric| metric["proposal"].clone()).collect();
            (derivation["desired"].clone(), proposals)
        };
        let (live, saved) = (decided(&[&key]), decided(&["--file", file]));
        assert_eq!(live.0, saved.0, "{}", case.name);
        let ok = |proposals: &Value| -> Vec<Value> {
            let proposals = proposals.as_array().expect("it is a list");
            proposals.iter().map(|proposal| proposal["Ok"].clone()).collect()
        };
        assert_eq!(ok(&live.1), ok(&saved.1), "{}", case.name);
        // What was decided without a failure is the count that it rests at.
        if ok(&live.1).iter().all(|proposal| !proposal.is_null()) {
            assert_eq!(live.0, case.count, "{}: {}", case.name, live.1);
        }
    }
}

async fn a_server_that_is_away_is_told_of_and_holds_all_counts(scene: &Scene, address: &str) {
    scene.namespace.cluster.component("sample-metrics", "stop");
    wait_until("the sources are in trouble", seconds(30), async || {
        let ready = page(address, "/readyz");
        let said = |source: &str| ready.contains(&format!("[!]metric source {source} failing for "));
        if said("custom") && said("external") {
            Ok(())
        } else {
            Err(ready)
        }
    })
    .await;
    let ready = page(address, "/readyz");
    assert!(ready.ends_with("check passed\n"), "{ready}");
    let metrics = page(address, "/metrics");
    let of_custom = r#"trimtab_metric_source_trouble_seconds{source="custom"} "#;
    let trouble = metrics.lines().find_map(|line| line.strip_prefix(of_custom));
    assert!(trouble.is_some_and(|seconds| seconds != "0.0"), "{trouble:?}");
    for (case, hpa, record) in &scene.cases {
        wait_until(&format!("{} has failed", case.name), seconds(20), async || {
            let active = hpa.condition("ScalingActive").await;
            if active.starts_with("False/FailedGet") {
                Ok(())
            } else {
                Err(active)
            }
        })
        .await;
        assert_eq!(record.now(), case.count, "{}: {record}", case.name);
    }
    scene.namespace.cluster.component("sample-metrics", "start");
    wait_until("the sources answer again", seconds(60), async || {
        let ready = page(address, "/readyz");
        if ready.contains("[!]") { Err(ready) } else { Ok(()) }
    })
    .await;
}
