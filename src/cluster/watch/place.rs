//! What a watch is of: the cluster, a namespace, or those namespaces of the cluster that belong to some shards.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::shards::Sharding;

/// What a watch is of.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// One namespace; `None` is the whole cluster,
    pub namespace: Option<Arc<str>>,
    /// or this part of it.
    pub part: Option<Arc<Part>>,
}

impl Place {
    /// One namespace.
    pub fn of(namespace: impl Into<Arc<str>>) -> Self {
        Self {
            namespace: Some(namespace.into()),
            part: None,
        }
    }

    /// Whether a namespace belongs to it.
    pub fn covers(&self, namespace: &str) -> bool {
        match (&self.namespace, &self.part) {
            (Some(own), _) => **own == *namespace,
            (None, Some(part)) => part.keeps(namespace),
            (None, None) => true,
        }
    }

    /// Whether both are of the same, and the same list began them.
    pub(in crate::cluster) fn is(&self, other: &Self) -> bool {
        let same_part = match (&self.part, &other.part) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        self.namespace == other.namespace && same_part
    }
}

/// The namespaces of some shards. It may become smaller and never larger: what a watch has not listed it does not know.
#[derive(Debug)]
pub struct Part {
    sharding: Sharding,
    shards: RwLock<BTreeSet<u16>>,
}

impl Part {
    /// The namespaces of these shards.
    pub fn new(sharding: Sharding, shards: BTreeSet<u16>) -> Self {
        Self {
            sharding,
            shards: RwLock::new(shards),
        }
    }

    /// Whether it has a namespace. What is in none is everybody's.
    pub fn keeps(&self, namespace: &str) -> bool {
        namespace.is_empty() || self.shards.read().contains(&self.sharding.shard_of(namespace))
    }

    /// Takes shards out of it, but for these.
    pub(in crate::cluster) fn keep_only(&self, shards: &BTreeSet<u16>) {
        self.shards.write().retain(|shard| shards.contains(shard));
    }

    /// Whether it has all of these shards.
    pub(in crate::cluster) fn has_all(&self, shards: &BTreeSet<u16>) -> bool {
        self.shards.read().is_superset(shards)
    }
}
