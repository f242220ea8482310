//! What one decision sees, read object by object from a live cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;
use jiff::Timestamp;
use kube::Client;
use serde_json::Value;

use super::metrics::{self, Metrics, Pods};
use super::scenario::Seen;
use crate::cluster::client::Clients;
use crate::cluster::discovery::{Discovery, GroupVersion};
use crate::cluster::pods::{PodStore, SlimPod};
use crate::cluster::resource::ScaleResource;
use crate::commands::output;
use crate::manifests::Place;
use crate::metrics::sources::MetricSources;
use crate::selector::Selector;
use crate::settings::Settings;
use crate::spec::{Key, ObjectRef, Spec};
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
    sources: &MetricSources,
    key: &Key,
    filed: Option<(Place, Value)>,
    settings: &Settings,
    at: Timestamp,
) -> anyhow::Result<Seen> {
    let limits = limits(settings);
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
    let (mut pod_metrics, mut metrics) = (None, Metrics::default());
    if !selector.is_empty() {
        pods = list_pods(&clients.api, namespace, selector, limits).await?;
        // What is no spec, or no selector, asks for nothing.
        if let (Ok(spec), Ok(selector)) = (Spec::from_stored(&autoscaler), Selector::parse(selector)) {
            let selected = selected(namespace, selector, &pods);
            let discovery = Discovery::new(clients.api.clone());
            metrics = metrics::ask(sources, &discovery, &Arc::new(spec), &selected, at).await;
        }
        if metrics.pod_metrics.is_none() && asks(&autoscaler, &["Resource", "ContainerResource"]) {
            let limits = Limits {
                time: settings.resource_metrics_timeout,
                ..limits
            };
            let path = format!("/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods");
            let answer = get(&clients.metrics, &path, &[("labelSelector", selector)], limits).await;
            pod_metrics = Some(answer.map_err(|error| super::chain(&error)));
        }
    }
    Ok(Seen {
        key: key.clone(),
        scale_target,
        autoscaler,
        scale,
        pods,
        pod_metrics,
        metrics,
        at,
    })
}

/// The bounds of one request.
pub(in crate::commands) fn limits(settings: &Settings) -> Limits {
    Limits {
        time: settings.request_timeout,
        bytes: ANSWER_BYTES,
    }
}

/// The cluster's object or, where it has none, the one of the file.
pub(in crate::commands) async fn read_autoscaler(
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

/// The pods as a decision sees them. Those that cannot be read are left out, as the controller's watch leaves them out.
fn selected(namespace: &str, selector: Selector, pods: &[Value]) -> Pods {
    let store = PodStore::default();
    let mut labels = BTreeMap::new();
    for pod in pods {
        if let Ok(slim) = serde_json::from_str::<SlimPod>(&pod.to_string()) {
            labels.insert(slim.facts.name.clone(), pod["metadata"]["labels"].clone());
            store.apply(slim);
        }
    }
    Pods {
        pods: store.select(namespace, &selector),
        selector,
        labels,
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

/// The Scale of an autoscaler's target.
pub(in crate::commands) async fn read_scale(
    client: &Client,
    key: &Key,
    target: &ObjectRef,
    limits: Limits,
) -> anyhow::Result<Value> {
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

/// The pods of a namespace that a selector picks.
pub(in crate::commands) async fn list_pods(
    client: &Client,
    namespace: &str,
    selector: &str,
    limits: Limits,
) -> anyhow::Result<Vec<Value>> {
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    let (mut pods, mut next) = (Vec::new(), String::new());
    for _ in 0..PAGES {
        let query = [
            ("labelSelector", selector),
            ("limit", PAGE_PODS),
            ("continue", next.as_str()),
        ];
        let mut page = get(client, &path, &query, limits).await.context("list pods")?;
        if let Value::Array(items) = page["items"].take() {
            pods.extend(items);
        }
        match page["metadata"]["continue"].as_str() {
            Some(token) if !token.is_empty() => next = token.to_owned(),
            _ => return Ok(pods),
        }
    }
    anyhow::bail!("list pods: more than {PAGES} pages")
}

fn asks(autoscaler: &Value, types: &[&str]) -> bool {
    let metrics = autoscaler["spec"]["metrics"].as_array().into_iter().flatten();
    metrics
        .filter_map(|metric| metric["type"].as_str())
        .any(|kind| types.contains(&kind))
}

#[cfg(test)]
mod tests;
