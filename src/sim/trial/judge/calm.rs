//! What counts must come to once nothing goes wrong any more.

use serde_json::Value;

use crate::quantity::Milli;
use crate::settings::sources::Sources;
use crate::sim::api::{AUTOSCALERS, Api, DEPLOYMENTS, PODS};
use crate::sim::trial::plan::{Planned, REQUEST};
use crate::sim::trial::question;
use crate::spec::Key;

/// Kubernetes' tolerance: a ratio so near to 1 changes nothing.
const TOLERANCE: f64 = 0.1;

/// The count that Kubernetes' rule wants for the world as it is, calculated apart from `decide`; `None` while pods come and
/// go, or are not measured yet.
///
/// Source: Kubernetes v1.36 `replica_calculator.go`, `GetResourceReplicas` and `GetMetricReplicas`, where no pod is missing
/// and none is unready.
pub(super) fn wanted(api: &Api, key: &Key, sources: Option<&Sources>) -> Option<i64> {
    let autoscaler = api.store.get(&AUTOSCALERS, &key.namespace, &key.name)?;
    let spec = &autoscaler["spec"];
    let deployment = api.store.get(&DEPLOYMENTS, &key.namespace, &key.name)?;
    let count = deployment["spec"]["replicas"].as_i64()?;
    let pods = ready_pods(api, key)?;
    if pods.len() != usize::try_from(count).ok()? {
        return None;
    }
    let proposed = spec["metrics"].as_array()?.iter().map(|metric| {
        let by_prometheus = match question::definition(metric, sources) {
            Some(definition) => Some(question::known(api, definition, &key.namespace, &pods)?),
            None => None,
        };
        let sum = |by_api: &dyn Fn(&str) -> Option<i64>| -> Option<i64> {
            let of_pod = |pod: &String| match &by_prometheus {
                Some(known) => known.get(&Key::new(key.namespace.clone(), pod.as_str())).copied(),
                None => by_api(pod),
            };
            pods.iter().map(of_pod).sum()
        };
        let ratio = match metric["type"].as_str() {
            Some("Pods") => {
                let metric = &metric["pods"];
                let name = metric["metric"]["name"].as_str()?;
                let target = Milli::of_quantity(metric["target"]["averageValue"].as_str()?).ok()?.0;
                let sum = sum(&|pod| {
                    let gauge = api.meters.lock().custom_of_pod(name, &key.namespace, pod)?;
                    Milli::of_quantity(&gauge).ok().map(|milli| milli.0)
                })?;
                sum as f64 / count as f64 / target as f64
            }
            _ => {
                let target = metric["resource"]["target"]["averageUtilization"].as_i64()?;
                let sum = sum(&|pod| {
                    let usage = api.meters.lock().pod(&key.namespace, pod)?;
                    let cpu = usage["containers"][0]["usage"]["cpu"].as_str()?.to_owned();
                    Milli::of_quantity(&cpu).ok().map(|milli| milli.0)
                })?;
                let utilization = sum * 100 / (count * i64::from(REQUEST));
                utilization as f64 / target as f64
            }
        };
        match (1.0 - ratio).abs() <= TOLERANCE {
            true => Some(count),
            false => Some((ratio * count as f64).ceil() as i64),
        }
    });
    let proposed: Option<Vec<i64>> = proposed.collect();
    let bound = |name: &str| spec[name].as_i64().unwrap_or(1);
    Some(
        proposed?
            .into_iter()
            .max()?
            .clamp(bound("minReplicas"), bound("maxReplicas")),
    )
}

/// The names of a workload's pods; `None` where one of them is not ready.
fn ready_pods(api: &Api, key: &Key) -> Option<Vec<String>> {
    let (pods, _) = api.store.list(&PODS, Some(&key.namespace));
    let own = pods.iter().filter(|pod| pod["metadata"]["labels"]["app"] == *key.name);
    let ready = |pod: &Value| {
        let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
        pod["metadata"]["deletionTimestamp"].is_null()
            && conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    };
    let name = |pod: &Value| pod["metadata"]["name"].as_str().map(str::to_owned);
    own.map(|pod| name(pod).filter(|_| ready(pod))).collect()
}

/// What is wrong at the end: `wanted` is what was wanted at each look since the longest window before.
pub(super) fn settled(api: &Api, planned: &Planned, wanted: &[i64]) -> Vec<String> {
    let Planned {
        key, target, last_load, ..
    } = planned;
    let mut wrong = Vec::new();
    let deployment = api.store.get(&DEPLOYMENTS, &key.namespace, &key.name);
    let deployment = deployment.unwrap_or_default();
    let autoscaler = api.store.get(&AUTOSCALERS, &key.namespace, &key.name);
    let autoscaler = autoscaler.unwrap_or_default();
    let number = |value: &Value| value.as_f64().unwrap_or(-1.0);
    let count = number(&deployment["spec"]["replicas"]);
    let (min, max) = (
        number(&autoscaler["spec"]["minReplicas"]),
        number(&autoscaler["spec"]["maxReplicas"]),
    );
    // Usage is spread by a twentieth around the load's share, and a tenth around the target is tolerated.
    let least = (last_load * 0.95 / (target * 1.1)).ceil().clamp(min, max);
    let most = (last_load * 1.05 / target)
        .ceil()
        .max((last_load * 1.05 / (target * 0.9)).floor())
        .clamp(min, max);
    if !(least..=most).contains(&count) {
        wrong.push(format!("ends with {count} replicas, and not with {least} to {most}"));
    }
    // Usage moves about, and a window keeps the highest: one of those that were wanted since it must be it.
    match (wanted.iter().min(), wanted.iter().max()) {
        (Some(least), Some(most)) if !(*least as f64..=*most as f64).contains(&count) => {
            wrong.push(format!("ends with {count} replicas, where {wanted:?} were wanted"));
        }
        (None, _) => wrong.push("has not come to rest: its pods come and go".to_owned()),
        _ => {}
    }
    let desired = number(&autoscaler["status"]["desiredReplicas"]);
    if (desired - count).abs() > 0.0 {
        wrong.push(format!("ends with {count} replicas, and its status wants {desired}"));
    }
    wrong
}
