//! What was seen of one autoscaler as a scenario of one step (tests/conformance/FORMAT.md).

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::metrics::Metrics;
use super::objects::{AUTOSCALER, POD, POD_METRICS, SCALE, keep, of_kind};
use crate::duration;
use crate::memory::Memory;
use crate::settings::Settings;
use crate::spec::{Key, ObjectRef};

/// Everything that one decision sees, as the API sent it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Whose decision.
    pub key: Key,
    /// The workload that it scales.
    pub scale_target: ObjectRef,
    /// The HorizontalPodAutoscaler, status included.
    pub autoscaler: Value,
    /// The Scale of its target, or why there is none.
    pub scale: Result<Value, String>,
    /// The pods that the scale's selector picks.
    pub pods: Vec<Value>,
    /// The PodMetricsList of metrics.k8s.io, where a metric asks for it, or why there is none.
    pub pod_metrics: Option<Result<Value, String>>,
    /// What the other sources of metrics answered.
    pub metrics: Metrics,
    /// When all this was read.
    pub at: Timestamp,
}

/// The scenario file's content; `memory` is what the running controller remembers, where that is known.
pub(super) fn scenario(seen: &Seen, memory: Option<&Memory>, settings: &Settings) -> Value {
    let mut failing = Map::new();
    let mut step = json!({ "at": "0s" });
    let autoscaler = of_kind(
        keep(&seen.autoscaler, AUTOSCALER),
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
    );
    let pods = seen.pods.iter().map(|pod| of_kind(keep(pod, POD), "v1", "Pod"));
    step["apply"] = std::iter::once(autoscaler).chain(pods).collect();
    match &seen.scale {
        Ok(scale) => {
            let ObjectRef {
                api_version,
                kind,
                name,
            } = &seen.scale_target;
            let target =
                json!({ "apiVersion": api_version, "kind": kind, "namespace": seen.key.namespace, "name": name });
            step["scales"] = json!([{ "target": target, "scale": keep(scale, SCALE) }]);
        }
        Err(message) => {
            failing.insert("scale.get".into(), message.as_str().into());
        }
    }
    match &seen.pod_metrics {
        None => {}
        Some(Ok(list)) => {
            step["podMetrics"] = of_kind(keep(list, POD_METRICS), "metrics.k8s.io/v1beta1", "PodMetricsList");
        }
        Some(Err(message)) => {
            failing.insert("podMetrics".into(), message.as_str().into());
        }
    }
    seen.metrics.write(&mut step, &mut failing);
    if !failing.is_empty() {
        step["failing"] = failing.into();
    }
    let mut file = json!({
        "name": format!("{}", seen.key),
        "about": "snapshot of a live autoscaler",
        "controller": controller(settings),
        "start": seen.at.to_string(),
        "steps": [step],
    });
    if let Some(memory) = memory {
        file["memory"] = json!(memory);
    }
    file
}

fn controller(settings: &Settings) -> Value {
    let decide = settings.decide();
    let sync_period = jiff::SignedDuration::try_from(settings.sync_period).unwrap_or(jiff::SignedDuration::MAX);
    json!({
        "syncPeriod": duration::print(sync_period),
        "downscaleStabilization": duration::print(decide.downscale_stabilization),
        "tolerance": decide.tolerance,
        "cpuInitializationPeriod": duration::print(decide.cpu_initialization_period),
        "initialReadinessDelay": duration::print(decide.initial_readiness_delay),
        "featureGates": {
            "HPAScaleToZero": decide.scale_to_zero,
            "HPAConfigurableTolerance": decide.configurable_tolerance,
            "PodLevelResources": decide.pod_level_resources,
        },
    })
}
