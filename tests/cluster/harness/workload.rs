//! Workloads whose pods use what their annotations say.

use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::Namespace;

/// Anything with replicas: its pods carry the label `app` with the workload's name.
#[derive(Clone)]
pub struct Workload {
    pub namespace: Namespace,
    pub name: String,
    pub kind: GroupVersionKind,
    plural: &'static str,
}

impl Workload {
    /// A Deployment of one container `app` that requests 200m and 128Mi.
    pub fn deployment(namespace: &Namespace, name: &str, replicas: i32) -> Workload {
        Workload::deployment_with(namespace, name, replicas, json!({"cpu": "200m", "memory": "128Mi"}))
    }

    pub fn deployment_with(namespace: &Namespace, name: &str, replicas: i32, requests: Value) -> Workload {
        namespace.apply(&json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template(name, requests)},
        }));
        Workload::known(namespace, name, "Deployment", "deployments")
    }

    pub fn stateful_set(namespace: &Namespace, name: &str, replicas: i32) -> Workload {
        namespace.apply(&json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name},
            "spec": {
                "replicas": replicas, "serviceName": name, "podManagementPolicy": "Parallel",
                "selector": {"matchLabels": {"app": name}},
                "template": template(name, json!({"cpu": "200m", "memory": "128Mi"})),
            },
        }));
        Workload::known(namespace, name, "StatefulSet", "statefulsets")
    }

    /// A ReplicaSet or a ReplicationController without load.
    pub fn still(namespace: &Namespace, kind: &str, name: &str, replicas: i32) -> Workload {
        let labels = json!({"app": name});
        let (kind, plural, selector) = match kind {
            "ReplicaSet" => (
                GroupVersionKind::gvk("apps", "v1", kind),
                "replicasets",
                json!({"matchLabels": labels}),
            ),
            _ => (GroupVersionKind::gvk("", "v1", kind), "replicationcontrollers", labels),
        };
        namespace.apply(&json!({
            "apiVersion": kind.api_version(), "kind": kind.kind, "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": selector, "template": template(name, json!({"cpu": "200m"}))},
        }));
        Workload {
            namespace: namespace.clone(),
            name: name.to_owned(),
            kind,
            plural,
        }
    }

    /// A custom resource with a scale subresource (see [`gadget_definition`]). Nothing in the cluster acts on it: the
    /// returned task is its controller, which keeps a ReplicaSet of the same size and tells the gadget's status.
    pub fn gadget(namespace: &Namespace, name: &str, replicas: i32) -> (Workload, tokio::task::JoinHandle<()>) {
        namespace.apply(&json!({
            "apiVersion": "trimtab.test/v1", "kind": "Gadget", "metadata": {"name": name}, "spec": {"replicas": replicas},
        }));
        namespace.apply(&json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name},
            "spec": {
                "replicas": replicas, "selector": {"matchLabels": {"app": name}},
                "template": template(name, json!({"cpu": "200m", "memory": "128Mi"})),
            },
        }));
        let gadget = Workload::known_gadget(namespace, name);
        let pods = Workload {
            kind: GroupVersionKind::gvk("apps", "v1", "ReplicaSet"),
            plural: "replicasets",
            ..gadget.clone()
        };
        let controller = tokio::spawn(control(gadget.clone(), pods));
        (gadget, controller)
    }

    /// A Deployment that was made otherwise.
    pub fn known_deployment(namespace: &Namespace, name: &str) -> Workload {
        Workload::known(namespace, name, "Deployment", "deployments")
    }

    /// A custom resource that was made otherwise, and has no controller but the test (see [`gadget_definition`]).
    pub fn known_gadget(namespace: &Namespace, name: &str) -> Workload {
        Workload {
            namespace: namespace.clone(),
            name: name.to_owned(),
            kind: GroupVersionKind::gvk("trimtab.test", "v1", "Gadget"),
            plural: "gadgets",
        }
    }

    fn known(namespace: &Namespace, name: &str, kind: &str, plural: &'static str) -> Workload {
        let kind = GroupVersionKind::gvk("apps", "v1", kind);
        Workload {
            namespace: namespace.clone(),
            name: name.to_owned(),
            kind,
            plural,
        }
    }

    /// How many of its pods metrics-server has samples of; a pod that is gone may still be among them.
    pub async fn sampled_pods(&self) -> usize {
        let kind = GroupVersionKind::gvk("metrics.k8s.io", "v1beta1", "PodMetrics");
        let resource = ApiResource::from_gvk_with_plural(&kind, "pods");
        let client = self.namespace.cluster.client.clone();
        let usages: Api<DynamicObject> = Api::namespaced_with(client, &self.namespace.name, &resource);
        let own = ListParams::default().labels(&format!("app={}", self.name));
        usages.list(&own).await.map_or(0, |list| list.items.len())
    }

    pub fn api(&self) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk_with_plural(&self.kind, self.plural);
        Api::namespaced_with(self.namespace.cluster.client.clone(), &self.namespace.name, &resource)
    }

    /// How an autoscaler names it.
    pub fn reference(&self) -> Value {
        json!({"apiVersion": self.kind.api_version(), "kind": self.kind.kind, "name": self.name})
    }

    /// The count that it is asked to have.
    pub async fn replicas(&self) -> i32 {
        let object = self.api().get(&self.name).await.expect("read the workload");
        count(&object.data["spec"])
    }

    /// Merges into the workload's spec.
    pub async fn patch_spec(&self, spec: Value) {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.api()
            .patch(&self.name, &PatchParams::default(), &patch)
            .await
            .expect("patch the workload");
    }

    /// What a person does with `kubectl scale`.
    pub fn scale_by_hand(&self, replicas: i32) {
        let object = format!("{}/{}", self.plural, self.name);
        self.namespace
            .kubectl(&["scale", &object, "--replicas", &replicas.to_string()]);
    }
}

fn count(spec: &Value) -> i32 {
    spec["replicas"]
        .as_i64()
        .map_or(0, |count| i32::try_from(count).expect("a replica count"))
}

fn template(name: &str, requests: Value) -> Value {
    json!({
        "metadata": {"labels": {"app": name}, "annotations": {"trimtab.dev/cpu": "1m", "trimtab.dev/memory": "1Mi"}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "app", "image": "app", "resources": {"requests": requests}}],
        },
    })
}

/// The CustomResourceDefinition of `Gadget`, cluster-wide; applying it twice changes nothing.
pub fn gadget_definition() -> Value {
    let counts = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "gadgets.trimtab.test"},
        "spec": {
            "group": "trimtab.test", "scope": "Namespaced",
            "names": {"plural": "gadgets", "singular": "gadget", "kind": "Gadget"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": counts, "status": counts}}},
                "subresources": {
                    "status": {},
                    "scale": {
                        "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
                        "labelSelectorPath": ".status.selector",
                    },
                },
            }],
        },
    })
}

async fn control(gadget: Workload, pods: Workload) {
    loop {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let (Ok(wish), Ok(have)) = (gadget.api().get(&gadget.name).await, pods.api().get(&pods.name).await) else {
            continue;
        };
        let patch = PatchParams::default();
        let spec = Patch::Merge(json!({"spec": {"replicas": count(&wish.data["spec"])}}));
        let status = Patch::Merge(json!({"status": {
            "replicas": count(&have.data["status"]), "selector": format!("app={}", gadget.name),
        }}));
        // A failure is made up for 300 ms later.
        let _ = pods.api().patch(&pods.name, &patch, &spec).await;
        let _ = gadget.api().patch_status(&gadget.name, &patch, &status).await;
    }
}
