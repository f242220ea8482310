//! The autoscalers that one controller decides for: all, or those of a shard.

use std::sync::Arc;

use super::changes::{Change, Changes};
use super::{Autoscaler, Autoscalers};
use crate::shards::Sharding;
use crate::spec::Key;

/// A share of the autoscalers.
pub struct Share {
    autoscalers: Arc<Autoscalers>,
    part: Option<Arc<Part>>,
}

/// One shard's autoscalers, and what has happened to them since its controller looked last.
pub(super) struct Part {
    sharding: Sharding,
    shard: u16,
    pub(super) changes: Changes,
}

impl Part {
    pub(super) fn has(&self, key: &Key) -> bool {
        self.sharding.shard_of(&key.namespace) == self.shard
    }
}

impl Share {
    /// All of them. For one taker: changes are told once.
    pub fn of_all(autoscalers: Arc<Autoscalers>) -> Self {
        Self {
            autoscalers,
            part: None,
        }
    }

    /// Those of a shard, whose changes are told from now on.
    pub fn of_shard(autoscalers: Arc<Autoscalers>, sharding: Sharding, shard: u16) -> Self {
        let part = Arc::new(Part {
            sharding,
            shard,
            changes: Changes::default(),
        });
        autoscalers.tell(&part);
        Self {
            autoscalers,
            part: Some(part),
        }
    }

    /// Whether this is an autoscaler of the share, if it is one.
    pub fn has(&self, key: &Key) -> bool {
        self.part.as_ref().is_none_or(|part| part.has(key))
    }

    /// The names of all autoscalers of the share, sorted.
    pub fn keys(&self) -> Vec<Key> {
        let mut keys = self.autoscalers.keys();
        keys.retain(|key| self.has(key));
        keys
    }

    /// An autoscaler of the share.
    pub fn get(&self, key: &Key) -> Option<Arc<Autoscaler>> {
        self.autoscalers.get(key).filter(|_| self.has(key))
    }

    /// How many of them cannot be understood.
    pub fn invalid(&self) -> usize {
        match &self.part {
            None => self.autoscalers.invalid(),
            Some(part) => self.autoscalers.invalid_among(|key| part.has(key)),
        }
    }

    /// As [`Autoscalers::changes`], of the share.
    pub async fn changes(&self) -> Vec<Change> {
        match &self.part {
            None => self.autoscalers.changes().await,
            Some(part) => part.changes.take().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::super::tests::stored;
    use super::*;
    use crate::cluster::watch::Store;

    #[tokio::test]
    async fn each_shard_is_told_of_its_own_autoscalers_alone() {
        let sharding = Sharding::new(3).unwrap();
        let autoscalers = Arc::new(Autoscalers::default());
        // All that is stored here is of one namespace.
        autoscalers.apply(stored("before", "1", 3, 1));
        let (own, other) = (sharding.shard_of("shop"), (sharding.shard_of("shop") + 1) % 3);
        let share = |shard| Share::of_shard(autoscalers.clone(), sharding, shard);
        let (ours, theirs) = (share(own), share(other));
        assert_eq!(ours.keys(), [Key::new("shop", "before")]);
        assert!(theirs.keys().is_empty() && theirs.get(&Key::new("shop", "before")).is_none());
        autoscalers.apply(stored("after", "2", 3, 1));
        assert_eq!(ours.changes().await, [Change::Added(Key::new("shop", "after"))]);
        assert_eq!(theirs.changes().now_or_never(), None);
        // A share that is no more costs nothing, and a new one begins with what there is.
        drop(ours);
        autoscalers.delete(stored("before", "3", 3, 1));
        let again = share(own);
        assert_eq!(again.keys(), [Key::new("shop", "after")]);
        assert_eq!(again.changes().now_or_never(), None);
        assert_eq!(autoscalers.told(), 2);
    }
}
