//! The four kinds of workload that are watched, cut down to their scales.

use std::marker::PhantomData;
use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::cluster::resource::Collection;
use crate::cluster::watch::Watched;
use crate::observe::Scale;
use crate::selector::Selector;

/// A kind of workload whose objects hold their own scale.
pub(in crate::cluster) trait WorkloadKind: Send + Sync + 'static {
    const COLLECTION: Collection;

    /// `spec.selector` as the scale subresource would print it; `None` where it is no selector.
    fn selector(written: &Value) -> Option<String> {
        // Without a selector Kubernetes picks nothing and prints nothing, which is what an empty one prints, too.
        Selector::from_label_selector(written)
            .ok()
            .map(|selector| selector.to_string())
    }
}

/// `apps/v1` Deployments.
pub(in crate::cluster) struct Deployment;

/// `apps/v1` StatefulSets.
pub(super) struct StatefulSet;

/// `apps/v1` ReplicaSets.
pub(super) struct ReplicaSet;

/// `v1` ReplicationControllers, whose selector is a plain map of labels.
pub(in crate::cluster) struct ReplicationController;

impl WorkloadKind for Deployment {
    const COLLECTION: Collection = apps("deployments");
}

impl WorkloadKind for StatefulSet {
    const COLLECTION: Collection = apps("statefulsets");
}

impl WorkloadKind for ReplicaSet {
    const COLLECTION: Collection = apps("replicasets");
}

impl WorkloadKind for ReplicationController {
    const COLLECTION: Collection = Collection {
        group: "",
        version: "v1",
        plural: "replicationcontrollers",
    };

    fn selector(written: &Value) -> Option<String> {
        labels_text(written)
    }
}

const fn apps(plural: &'static str) -> Collection {
    Collection {
        group: "apps",
        version: "v1",
        plural,
    }
}

/// Labels as a selector: `app=web,tier=front`, sorted by key.
pub(super) fn labels_text(labels: &Value) -> Option<String> {
    let labels = serde_json::json!({ "matchLabels": labels });
    Selector::from_label_selector(&labels)
        .ok()
        .map(|selector| selector.to_string())
}

/// A workload's place and scale.
pub(in crate::cluster) struct Workload<K> {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) resource_version: String,
    pub(super) scale: Scale,
    kind: PhantomData<fn() -> K>,
}

impl<K: WorkloadKind> Watched for Workload<K> {
    const COLLECTION: Collection = K::COLLECTION;

    fn resource_version(&self) -> &str {
        &self.resource_version
    }
}

#[derive(Deserialize)]
struct RawWorkload {
    metadata: RawMetadata,
    #[serde(default)]
    spec: RawSpec,
    #[serde(default)]
    status: RawStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMetadata {
    namespace: String,
    name: String,
    #[serde(default)]
    resource_version: String,
}

#[derive(Default, Deserialize)]
struct RawSpec {
    replicas: Option<i32>,
    #[serde(default)]
    selector: Value,
}

#[derive(Default, Deserialize)]
struct RawStatus {
    #[serde(default)]
    replicas: i32,
}

impl<'de, K: WorkloadKind> Deserialize<'de> for Workload<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let RawWorkload { metadata, spec, status } = RawWorkload::deserialize(deserializer)?;
        Ok(Self {
            namespace: metadata.namespace,
            name: metadata.name,
            resource_version: metadata.resource_version,
            scale: Scale {
                // The API server fills this in; 1 is what it fills in.
                spec_replicas: spec.replicas.unwrap_or(1),
                status_replicas: status.replicas,
                selector: K::selector(&spec.selector).map_or_else(|| Arc::from(""), Arc::from),
            },
            kind: PhantomData,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scale<K: WorkloadKind>(selector: Value) -> Scale {
        let workload = json!({
            "metadata": {"namespace": "shop", "name": "web", "resourceVersion": "7", "labels": {"a": "b"}},
            "spec": {"replicas": 3, "selector": selector, "template": {}},
            "status": {"replicas": 2, "readyReplicas": 1},
        });
        let workload: Workload<K> = serde_json::from_value(workload).unwrap();
        assert_eq!(
            (
                workload.namespace.as_str(),
                workload.name.as_str(),
                workload.resource_version()
            ),
            ("shop", "web", "7")
        );
        workload.scale
    }

    #[test]
    fn a_deployment_has_the_scale_that_its_subresource_would_show() {
        let selector = json!({
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["b", "a"]},
                {"key": "canary", "operator": "DoesNotExist"}]});
        let expected = Scale {
            spec_replicas: 3,
            status_replicas: 2,
            selector: "app=web,!canary,tier in (a,b)".into(),
        };
        assert_eq!(scale::<Deployment>(selector), expected);
        assert_eq!(&*scale::<StatefulSet>(json!({})).selector, "");
    }

    #[test]
    fn a_replication_controller_has_plain_labels() {
        let scale = scale::<ReplicationController>(json!({"tier": "front", "app": "web"}));
        assert_eq!(&*scale.selector, "app=web,tier=front");
    }
}
