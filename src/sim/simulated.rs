//! A whole simulated cluster: its API, its workloads, its clock.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::api::{AUTOSCALERS, Api, DEPLOYMENTS, Refusal};
use super::fleet::{Behaviour, Fleet};
use super::time::VirtualClock;
use crate::spec::Key;

/// A simulated cluster. Its [`Fleet::run`] must be polled for anything to happen in it.
#[derive(Clone)]
pub struct Simulated {
    /// Its API.
    pub api: Arc<Api>,
    /// What time it is in it.
    pub clock: Arc<VirtualClock>,
    /// Its workloads.
    pub fleet: Arc<Fleet>,
}

impl Simulated {
    /// An empty cluster in which it is `epoch` now; with another `seed` pods start and fail at other times.
    pub fn new(epoch: Timestamp, seed: u64) -> Self {
        let clock = Arc::new(VirtualClock::new(epoch));
        let api = Api::new(clock.clone());
        let fleet = Arc::new(Fleet::new(api.clone(), clock.clone(), seed));
        Self { api, clock, fleet }
    }

    /// Makes a Deployment whose pods have one container, which requests `cpu` milli-CPUs and 128 MiB, and its namespace.
    ///
    /// # Errors
    ///
    /// As the API refuses it.
    pub fn deploy(&self, key: &Key, replicas: i32, cpu: u32, behaviour: Behaviour) -> Result<(), Refusal> {
        let Key { namespace, name } = key;
        self.api.store.ensure_namespace(namespace);
        self.fleet.behave(key.clone(), behaviour);
        let labels = json!({ "app": name });
        let requests = json!({ "cpu": format!("{cpu}m"), "memory": "128Mi" });
        let container = json!({ "name": "main", "image": format!("{name}:1"), "resources": { "requests": requests } });
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name, "labels": labels },
            "spec": { "replicas": replicas, "selector": { "matchLabels": labels },
                "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": "25%", "maxUnavailable": "25%" } },
                "template": { "metadata": { "labels": labels }, "spec": { "containers": [container] } } },
        });
        self.api.create(&DEPLOYMENTS, namespace, &deployment).map(drop)
    }

    /// Makes an autoscaler of the Deployment of the same name. `spec` is that of an `autoscaling/v2` object, without its
    /// target.
    ///
    /// # Errors
    ///
    /// As the API refuses it.
    pub fn autoscale(&self, key: &Key, mut spec: Value) -> Result<(), Refusal> {
        let Key { namespace, name } = key;
        spec["scaleTargetRef"] = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": name });
        let autoscaler = json!({ "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": { "name": name }, "spec": spec });
        self.api.create(&AUTOSCALERS, namespace, &autoscaler).map(drop)
    }
}
