//! HorizontalPodAutoscalers, and what others read of them: status, conditions, Events.

use std::time::Duration;

use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscaler, HorizontalPodAutoscalerStatus};
use k8s_openapi::api::core::v1::Event;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::{Namespace, Workload, wait_until};

/// One autoscaler by name.
#[derive(Clone)]
pub struct Autoscaler {
    pub namespace: Namespace,
    pub name: String,
}

impl Autoscaler {
    /// `kubectl autoscale`, with its own words for the target: `--cpu-percent=50 --min=2 --max=10`.
    pub fn by_kubectl(workload: &Workload, arguments: &[&str]) -> Autoscaler {
        let kind = workload.kind.kind.to_lowercase();
        workload
            .namespace
            .kubectl(&[&["autoscale", kind.as_str(), workload.name.as_str()], arguments].concat());
        Autoscaler {
            namespace: workload.namespace.clone(),
            name: workload.name.clone(),
        }
    }

    /// An `autoscaling/v2` manifest; `spec` is filled up with the workload as its target.
    pub fn of(workload: &Workload, name: &str, mut spec: Value) -> Autoscaler {
        spec["scaleTargetRef"] = workload.reference();
        workload.namespace.apply(&json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name}, "spec": spec,
        }));
        Autoscaler {
            namespace: workload.namespace.clone(),
            name: name.to_owned(),
        }
    }

    pub async fn patch_spec(&self, spec: Value) {
        let patch = Patch::Merge(json!({"spec": spec}));
        let api = self.namespace.api::<HorizontalPodAutoscaler>();
        api.patch(&self.name, &PatchParams::default(), &patch)
            .await
            .expect("patch the autoscaler");
    }

    pub async fn status(&self) -> HorizontalPodAutoscalerStatus {
        let api = self.namespace.api::<HorizontalPodAutoscaler>();
        api.get(&self.name)
            .await
            .expect("read the autoscaler")
            .status
            .unwrap_or_default()
    }

    /// A condition as `True/ReadyForNewScale`; empty where there is none.
    pub async fn condition(&self, kind: &str) -> String {
        let conditions = self.status().await.conditions.unwrap_or_default();
        let found = conditions.into_iter().find(|condition| condition.type_ == kind);
        found.map_or_else(String::new, |found| {
            format!("{}/{}", found.status, found.reason.unwrap_or_default())
        })
    }

    /// Waits for a condition: `says("ScalingActive", "False/AmbiguousSelector", …)`.
    pub async fn says(&self, kind: &str, wanted: &str, limit: Duration) {
        wait_until(&format!("{kind} of {} is {wanted}", self.name), limit, async || {
            let found = self.condition(kind).await;
            if found == wanted { Ok(()) } else { Err(found) }
        })
        .await;
    }

    /// The Events on it: type, reason, message.
    pub async fn events(&self) -> Vec<(String, String, String)> {
        let fields = format!(
            "involvedObject.kind=HorizontalPodAutoscaler,involvedObject.name={}",
            self.name
        );
        let api = self.namespace.api::<Event>();
        let found = api
            .list(&ListParams::default().fields(&fields))
            .await
            .expect("list Events");
        let text = Option::unwrap_or_default;
        found
            .items
            .into_iter()
            .map(|event| (text(event.type_), text(event.reason), text(event.message)))
            .collect()
    }

    /// Waits for an Event of this type and reason; gives its message.
    pub async fn tells(&self, kind: &str, reason: &str, limit: Duration) -> String {
        wait_until(&format!("Event {kind} {reason} on {}", self.name), limit, async || {
            let events = self.events().await;
            match events.iter().find(|event| event.0 == kind && event.1 == reason) {
                Some(event) => Ok(event.2.clone()),
                None => Err(format!("{events:?}")),
            }
        })
        .await
    }
}

/// A Resource metric of type Utilization, as it stands in a spec.
pub fn utilization(resource: &str, percent: i32) -> Value {
    json!({"type": "Resource", "resource": {
        "name": resource, "target": {"type": "Utilization", "averageUtilization": percent},
    }})
}
