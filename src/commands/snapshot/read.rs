//! What one decision sees, read object by object from a live cluster.

use anyhow::Context;
use jiff::Timestamp;
use kube::Client;
use serde_json::Value;

use super::scenario::Seen;
use crate::cluster::client::Clients;
use crate::cluster::discovery::{Discovery, GroupVersion};
use crate::cluster::resource::ScaleResource;
use crate::commands::output;
use crate::manifests::Place;
use crate::settings::Settings;
use crate::spec::{Key, ObjectRef};
use crate::wire::{self, Limits, WireFailure};

/// The largest answer that is read: 500 pods of 128 KiB, and a PodMetricsList of a hundred thousand pods.
const ANSWER_BYTES: usize = 64 << 20;

/// Pods a page, as kubectl asks for them.
const PAGE_PODS: &str = "500";

/// Pages of pods: Kubernetes' own limit of 150 000 pods.
const PAGES: usize = 300;

/// Reads everything that a decision on `key` sees; `filed` is the autoscaler of this name that stands in a file. What a decision takes for a failure of its own (no scale, no metrics) is
/// part of the answer.
///
/// # Errors
///
/// No such autoscaler, or pods that cannot be listed.
pub(super) async fn read(
    clients: &Clients,
    key: &Key,
    filed: Option<(Place, Value)>,
    settings: &Settings,
    at: Timestamp,
) -> anyhow::Result<Seen> {
    let limits = Limits {
        time: settings.request_timeout,
        bytes: ANSWER_BYTES,
    };
    let namespace = &key.namespace;
    let autoscaler = read_autoscaler(&clients.api, key, filed, limits)
        .await
        .with_context(|| format!("read autoscaler {key}"))?;
    let scale_target = scale_target(&autoscaler).with_context(|| format!("read autoscaler {key}"))?;

    let scale = match read_scale(&clients.api, key, &scale_target, limits).await {
        Ok(scale) => Ok(scale),
        Err(error) => Err(super::chain(&error)),
    };
    let selector = scale
        .as_ref()
        .ok()
        .and_then(|scale| scale["status"]["selector"].as_str())
        .unwrap_or_default();
    let mut pods = Vec::new();
    let mut pod_metrics = None;
    if !selector.is_empty() {
        pods = list_pods(&clients.api, namespace, selector, limits).await?;
        if asks(&autoscaler, &["Resource", "ContainerResource"]) {
            let limits = Limits {
                time: settings.resource_metrics_timeout,
                ..limits
            };
            let path = format!("/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods");
            let answer = get(&clients.metrics, &path, &[("labelSelector", selector)], limits).await;
            pod_metrics = Some(answer.map_err(|error| super::chain(&error)));
        }
    }
    let failing = unread(&autoscaler);
    Ok(Seen {
        key: key.clone(),
        scale_target,
        autoscaler,
        scale,
        pods,
        pod_metrics,
        failing,
        at,
    })
}

/// The cluster's object or, where it has none, the one of the file.
async fn read_autoscaler(
    client: &Client,
    key: &Key,
    filed: Option<(Place, Value)>,
    limits: Limits,
) -> anyhow::Result<Value> {
    let Key { namespace, name } = key;
    let path = format!("/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers/{name}");
    match (wire::get(client, &path, &[], limits).await, filed) {
        (Err(error), Some((_, object))) if error.failure() == WireFailure::NotFound => Ok(object),
        (answer, filed) => {
            let answer = answer?;
            if let Some((place, _)) = filed {
                output::warn(&format!(
                    "the cluster has a HorizontalPodAutoscaler {key}: it holds, and the manifest at {place} does not"
                ));
            }
            decode(&answer, &path)
        }
    }
}

async fn get(client: &Client, path: &str, query: &[(&str, &str)], limits: Limits) -> anyhow::Result<Value> {
    decode(&wire::get(client, path, query, limits).await?, path)
}

fn decode(answer: &[u8], path: &str) -> anyhow::Result<Value> {
    serde_json::from_slice(answer).with_context(|| format!("decode the answer to GET {path}"))
}

fn scale_target(autoscaler: &Value) -> anyhow::Result<ObjectRef> {
    let target = &autoscaler["spec"]["scaleTargetRef"];
    let text = |field: &str| {
        target[field]
            .as_str()
            .with_context(|| format!("spec.scaleTargetRef.{field} is missing"))
    };
    Ok(ObjectRef {
        // Absent for the core group.
        api_version: target["apiVersion"].as_str().unwrap_or_default().into(),
        kind: text("kind")?.into(),
        name: text("name")?.into(),
    })
}

async fn read_scale(client: &Client, key: &Key, target: &ObjectRef, limits: Limits) -> anyhow::Result<Value> {
    let group = GroupVersion::parse(&target.api_version)?.group;
    let known = Discovery::new(client.clone()).resolve(group, &target.kind).await?;
    let resource = ScaleResource {
        group: group.into(),
        version: known.version,
        plural: known.plural,
        namespace: key.namespace.clone(),
        name: target.name.clone(),
    };
    get(client, &resource.scale_path(), &[], limits).await
}

async fn list_pods(client: &Client, namespace: &str, selector: &str, limits: Limits) -> anyhow::Result<Vec<Value>> {
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    let (mut pods, mut next) = (Vec::new(), String::new());
    for _ in 0..PAGES {
        let query = [
            ("labelSelector", selector),
            ("limit", PAGE_PODS),
            ("continue", next.as_str()),
        ];
        let mut page = get(client, &path, &query, limits)
            .await
            .context("list the pods of the scale's selector")?;
        if let Value::Array(items) = page["items"].take() {
            pods.extend(items);
        }
        match page["metadata"]["continue"].as_str() {
            Some(token) if !token.is_empty() => next = token.to_owned(),
            _ => return Ok(pods),
        }
    }
    anyhow::bail!("list the pods of the scale's selector: more than {PAGES} pages")
}

fn asks(autoscaler: &Value, types: &[&str]) -> bool {
    let metrics = autoscaler["spec"]["metrics"].as_array().into_iter().flatten();
    metrics
        .filter_map(|metric| metric["type"].as_str())
        .any(|kind| types.contains(&kind))
}

/// The metric APIs that the autoscaler asks and trimtab has no source for.
fn unread(autoscaler: &Value) -> Vec<(&'static str, String)> {
    let apis = [
        ("customMetrics", "custom", &["Pods", "Object"][..]),
        ("externalMetrics", "external", &["External"][..]),
    ];
    apis.into_iter()
        .filter(|(_, _, types)| asks(autoscaler, types))
        .map(|(name, kind, _)| (name, format!("trimtab has no source of {kind} metrics")))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::Full;
    use kube::client::Body;
    use serde_json::json;
    use tower::service_fn;

    use super::*;
    use crate::cluster::client::ClientSettings;
    use crate::commands::snapshot::scenario::scenario;

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
        let answer = json!({
            "metadata": { "name": "web", "namespace": "shop", "managedFields": [{}] },
            "spec": {
                "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" },
                "minReplicas": 1, "maxReplicas": 5,
                "metrics": [
                    { "type": "Resource", "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 50 } } },
                    { "type": "External", "external": {} },
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
        let seen = read(&clients(answers), &Key::new("shop", "web"), filed, &settings, at).await?;
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
        assert_eq!(
            step["failing"],
            json!({ "externalMetrics": "trimtab has no source of external metrics" })
        );
        assert_eq!(scenario["start"], "2026-01-05T08:00:33Z");
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
}
