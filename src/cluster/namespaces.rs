//! The names of all namespaces, where shards have to be watched one namespace at a time.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;
use tokio::sync::watch;

use super::resource::Collection;
use super::watch::{Store, Watched};

/// The names of all namespaces.
pub(super) struct Namespaces(watch::Sender<BTreeSet<Arc<str>>>);

impl Default for Namespaces {
    fn default() -> Self {
        Self(watch::Sender::new(BTreeSet::new()))
    }
}

impl Namespaces {
    /// The names, and whenever they change.
    pub(super) fn names(&self) -> watch::Receiver<BTreeSet<Arc<str>>> {
        self.0.subscribe()
    }
}

/// What is read of a namespace.
#[derive(Deserialize)]
pub(super) struct Namespace {
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    #[serde(default)]
    resource_version: String,
}

impl Watched for Namespace {
    const COLLECTION: Collection = Collection {
        group: "",
        version: "v1",
        plural: "namespaces",
    };

    fn resource_version(&self) -> &str {
        &self.metadata.resource_version
    }
}

impl Store for Namespaces {
    type Object = Namespace;
    type Relist = BTreeSet<Arc<str>>;

    fn add(&self, relist: &mut Self::Relist, object: Namespace) {
        relist.insert(object.metadata.name.into());
    }

    fn replace(&self, _: Option<&str>, relist: Self::Relist) {
        self.0.send_if_modified(|names| {
            let changed = *names != relist;
            *names = relist;
            changed
        });
    }

    fn apply(&self, object: Namespace) {
        self.0
            .send_if_modified(|names| names.insert(object.metadata.name.into()));
    }

    fn delete(&self, object: Namespace) {
        self.0
            .send_if_modified(|names| names.remove(object.metadata.name.as_str()));
    }
}
