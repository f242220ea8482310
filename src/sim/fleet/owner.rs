//! Whose pods they are: Deployments, with a ReplicaSet for each template, ReplicaSets and ReplicationControllers of
//! nobody, and StatefulSets.

use serde_json::{Value, json};

use super::rollout::Counts;
use super::{Fleet, Workload, key_of};
use crate::sim::api::{DEPLOYMENTS, REPLICA_SETS, REPLICATION_CONTROLLERS, Resource, STATEFUL_SETS};
use crate::spec::Key;

/// What has pods, in the order in which it is looked after.
pub(super) static WITH_PODS: [&Resource; 4] = [&DEPLOYMENTS, &STATEFUL_SETS, &REPLICA_SETS, &REPLICATION_CONTROLLERS];

/// ReplicaSets of former templates that a Deployment keeps.
///
/// Source: Kubernetes v1.36 `pkg/apis/apps/v1/defaults.go`, `revisionHistoryLimit`.
const FORMER_KEPT: usize = 10;

/// A reference to who owns an object.
pub(super) fn reference(resource: &Resource, owner: &Value) -> Value {
    json!({ "apiVersion": resource.api_version(), "kind": resource.kind, "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true })
}

/// Whether somebody else looks after it.
pub(super) fn is_owned(object: &Value) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array();
    owners.is_some_and(|owners| owners.iter().any(|owner| owner["controller"] == true))
}

/// The label that tells pods of one template from others.
pub(super) fn hash_label(template: u64) -> String {
    format!("{:08x}", template as u32)
}

impl Fleet {
    /// Makes the ReplicaSet of a Deployment's template where it is missing; gives it.
    pub(super) fn current_replica_set(
        &self,
        key: &Key,
        deployment: &Value,
        workload: &mut Workload,
    ) -> Option<std::sync::Arc<Value>> {
        let (_, template) = workload.template;
        if workload.templates.last() != Some(&template) {
            // One that comes back becomes the newest again.
            workload.templates.retain(|known| *known != template);
            workload.templates.push(template);
            workload.revision += 1;
        }
        // Somebody may have deleted it.
        if self.replica_set_of(key, template).is_none() {
            self.make_replica_set(key, deployment, template, workload.revision);
        }
        self.replica_set_of(key, template)
    }

    /// Has a Deployment's ReplicaSets be as its pods are.
    pub(super) fn show_replica_sets(&self, key: &Key, workload: &mut Workload, wanted: usize) {
        let (_, template) = workload.template;
        for known in &workload.templates {
            let counts = Counts::of_template(&workload.pods, *known);
            let replicas = if *known == template { wanted } else { counts.all };
            self.show_replica_set(key, *known, replicas, &counts);
        }
        while workload.templates.len() > FORMER_KEPT + 1 {
            let oldest = workload.templates.remove(0);
            self.remove_replica_set(key, oldest);
        }
    }

    fn replica_set_of(&self, key: &Key, template: u64) -> Option<std::sync::Arc<Value>> {
        self.api
            .store
            .get(&REPLICA_SETS, &key.namespace, &replica_set_name(key, template))
    }

    pub(super) fn remove_replica_set(&self, key: &Key, template: u64) {
        let name = replica_set_name(key, template);
        let _ = self.api.store.delete(&REPLICA_SETS, &key.namespace, &name, |_| Ok(()));
    }

    fn make_replica_set(&self, key: &Key, deployment: &Value, template: u64, revision: u64) {
        let hash = hash_label(template);
        let mut spec = json!({ "replicas": 0, "selector": deployment["spec"]["selector"],
            "template": deployment["spec"]["template"] });
        spec["selector"]["matchLabels"]["pod-template-hash"] = hash.as_str().into();
        spec["template"]["metadata"]["labels"]["pod-template-hash"] = hash.as_str().into();
        let object = json!({
            "metadata": { "name": replica_set_name(key, template), "namespace": key.namespace,
                "labels": spec["template"]["metadata"]["labels"],
                "annotations": { "deployment.kubernetes.io/revision": revision.to_string() },
                "ownerReferences": [reference(&DEPLOYMENTS, deployment)] },
            "spec": spec, "status": { "replicas": 0 },
        });
        // One of this name is what was wanted.
        let _ = self.api.store.create(&REPLICA_SETS, object);
    }

    fn show_replica_set(&self, key: &Key, template: u64, replicas: usize, counts: &Counts) {
        let Some(set) = self.replica_set_of(key, template) else {
            return;
        };
        let status = set_status(&set, counts);
        if set["spec"]["replicas"] == replicas && set["status"] == status {
            return;
        }
        let name = replica_set_name(key, template);
        let _ = self.api.store.update(&REPLICA_SETS, &key.namespace, &name, |before| {
            let mut after = before.clone();
            after["spec"]["replicas"] = replicas.into();
            after["status"] = status;
            Ok(after)
        });
    }

    /// Shows the counts of a workload in its status.
    pub(super) fn show_status(&self, resource: &'static Resource, object: &Value, workload: &Workload) {
        let (_, template) = workload.template;
        let counts = Counts::of(&workload.pods, template);
        let status = match resource.kind {
            "Deployment" => deployment_status(object, &counts),
            "StatefulSet" => stateful_set_status(object, template, &counts),
            _ => set_status(object, &counts),
        };
        if object["status"] == status {
            return;
        }
        let key = key_of(object);
        let _ = self.api.store.update(resource, &key.namespace, &key.name, |before| {
            let mut after = before.clone();
            after["status"] = status;
            Ok(after)
        });
    }
}

fn replica_set_name(key: &Key, template: u64) -> String {
    format!("{}-{}", key.name, hash_label(template))
}

fn generation(object: &Value) -> i64 {
    object["metadata"]["generation"].as_i64().unwrap_or(1)
}

fn deployment_status(deployment: &Value, counts: &Counts) -> Value {
    let mut status = json!({ "observedGeneration": generation(deployment), "replicas": counts.all,
        "updatedReplicas": counts.updated, "readyReplicas": counts.ready, "availableReplicas": counts.ready });
    let missing = counts.all.saturating_sub(counts.ready);
    if missing > 0 {
        status["unavailableReplicas"] = missing.into();
    }
    status
}

fn set_status(set: &Value, counts: &Counts) -> Value {
    json!({ "observedGeneration": generation(set), "replicas": counts.all, "fullyLabeledReplicas": counts.all,
        "readyReplicas": counts.ready, "availableReplicas": counts.ready })
}

fn stateful_set_status(set: &Value, template: u64, counts: &Counts) -> Value {
    let name = set["metadata"]["name"].as_str().unwrap_or_default();
    let revision = format!("{name}-{}", hash_label(template));
    // While a new template comes in, those of the former one are the current ones.
    let current = match counts.updated == counts.all {
        true => json!({ "name": revision, "count": counts.all }),
        false => json!({ "name": set["status"]["currentRevision"], "count": counts.all - counts.updated }),
    };
    json!({ "observedGeneration": generation(set), "replicas": counts.all, "readyReplicas": counts.ready,
        "availableReplicas": counts.ready, "updatedReplicas": counts.updated, "updateRevision": revision,
        "currentRevision": current["name"], "currentReplicas": current["count"], "collisionCount": 0 })
}
