//! A HorizontalPodAutoscaler as the API sends it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::cluster::resource::Collection;
use crate::cluster::watch::Watched;
use crate::observe::Status;
use crate::spec::Key;

/// Annotations that are kept: those that are trimtab's.
const OUR_ANNOTATIONS: &str = "trimtab.dev/";

pub(super) fn is_ours(annotation: &str) -> bool {
    annotation.starts_with(OUR_ANNOTATIONS)
}

/// What is read of a HorizontalPodAutoscaler: spec and status as they stand in the text, since most that come are our own
/// writes of a status, and their spec was read before.
#[derive(Clone, Debug, Deserialize)]
pub struct StoredAutoscaler {
    pub(super) metadata: Metadata,
    #[serde(default)]
    spec: Option<Box<RawValue>>,
    #[serde(default)]
    status: Option<Box<RawValue>>,
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
    /// Those that are ours.
    #[serde(default, deserialize_with = "ours")]
    annotations: BTreeMap<String, String>,
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

    pub(super) fn our_annotations(&self) -> &BTreeMap<String, String> {
        &self.metadata.annotations
    }

    /// Changes where what is wanted changes. Autoscalers have no generation that would say so: API servers up to v1.36
    /// do not count it. An API server writes the same spec as the same text; where another one does not, the autoscaler is
    /// synced once more than needed.
    pub(super) fn wish(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.metadata.uid.hash(&mut hasher);
        self.spec.as_deref().map(RawValue::get).hash(&mut hasher);
        self.our_annotations().hash(&mut hasher);
        hasher.finish()
    }

    /// The object without its status, as far as it was read.
    pub(super) fn wished(&self) -> Value {
        let Metadata { namespace, name, .. } = &self.metadata;
        json!({
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"namespace": namespace, "name": name, "annotations": self.our_annotations()},
            "spec": tree(self.spec.as_deref()),
        })
    }

    /// What was last said; a status that cannot be read is as good as none: it is written anew.
    pub(super) fn status(&self) -> Status {
        let status = self.status.as_deref().map(|text| Status::from_text(text.get()));
        status.and_then(Result::ok).unwrap_or_default()
    }
}

fn tree(text: Option<&RawValue>) -> Value {
    text.and_then(|text| serde_json::from_str(text.get()).ok())
        .unwrap_or_default()
}

/// Annotations of others may be long: `kubectl apply` keeps the whole object in one.
fn ours<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    struct Ours;

    impl<'de> Visitor<'de> for Ours {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("annotations")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(BTreeMap::new())
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut ours = BTreeMap::new();
            while let Some(Name(name)) = map.next_key()? {
                if is_ours(&name) {
                    ours.insert(name.into_owned(), map.next_value()?);
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(ours)
        }
    }

    deserializer.deserialize_any(Ours)
}

/// Borrowed where it can be.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
