//! A HorizontalPodAutoscaler as the API sends it.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cluster::resource::Collection;
use crate::cluster::watch::Watched;
use crate::spec::Key;

/// Annotations that are kept: those that are trimtab's.
const OUR_ANNOTATIONS: &str = "trimtab.dev/";

pub(super) fn is_ours(annotation: &str) -> bool {
    annotation.starts_with(OUR_ANNOTATIONS)
}

/// What is read of a HorizontalPodAutoscaler.
#[derive(Clone, Debug, Deserialize)]
pub struct StoredAutoscaler {
    pub(super) metadata: Metadata,
    #[serde(default)]
    spec: Value,
    #[serde(default)]
    status: Value,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) namespace: String,
    pub(super) name: String,
    #[serde(default)]
    pub(super) uid: String,
    #[serde(default)]
    pub(super) resource_version: String,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

impl Watched for StoredAutoscaler {
    const COLLECTION: Collection = Collection {
        group: "autoscaling",
        version: "v2",
        plural: "horizontalpodautoscalers",
    };

    fn resource_version(&self) -> &str {
        &self.metadata.resource_version
    }
}

impl StoredAutoscaler {
    pub(super) fn key(&self) -> Key {
        Key::new(self.metadata.namespace.as_str(), self.metadata.name.as_str())
    }

    pub(super) fn our_annotations(&self) -> BTreeMap<String, String> {
        let all = self.metadata.annotations.iter().flatten();
        all.filter(|(name, _)| is_ours(name))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect()
    }

    /// Changes where what is wanted changes. Autoscalers have no generation that would say so: API servers up to v1.36
    /// do not count it.
    pub(super) fn wish(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.metadata.uid.hash(&mut hasher);
        self.spec.to_string().hash(&mut hasher);
        self.our_annotations().hash(&mut hasher);
        hasher.finish()
    }

    /// The object, as far as it was read.
    pub(super) fn object(&self) -> Value {
        let Metadata { namespace, name, .. } = &self.metadata;
        json!({
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"namespace": namespace, "name": name, "annotations": self.our_annotations()},
            "spec": self.spec,
            "status": self.status,
        })
    }
}
