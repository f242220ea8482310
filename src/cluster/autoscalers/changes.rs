//! What has changed since somebody last asked: one entry for each autoscaler, however often it changed.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::spec::Key;

/// What has happened to an autoscaler since the last time that changes were taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Added(Key),
    /// What it wants has changed, perhaps by being deleted and made again.
    SpecChanged(Key),
    /// Something else of it has changed: its status, mostly by our own write.
    StatusOnly(Key),
    /// It is gone.
    Deleted(Key),
}

impl Change {
    /// Whose change it is.
    pub fn key(&self) -> &Key {
        match self {
            Self::Added(key) | Self::SpecChanged(key) | Self::StatusOnly(key) | Self::Deleted(key) => key,
        }
    }
}

/// Changes that wait to be taken. Bounded by the number of autoscalers there are and were.
#[derive(Default)]
pub(super) struct Changes {
    waiting: Mutex<BTreeMap<Key, What>>,
    arrived: Notify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Added,
    SpecChanged,
    StatusOnly,
    Deleted,
}

impl What {
    /// Two changes as one, for somebody who has seen neither; `None`: nothing has happened.
    fn and_then(self, next: Self) -> Option<Self> {
        Some(match (self, next) {
            (Self::Added, Self::Deleted) => return None,
            (Self::Added, _) => Self::Added,
            (Self::Deleted, Self::Deleted) | (_, Self::Deleted) => Self::Deleted,
            (Self::Deleted, _) => Self::SpecChanged,
            (Self::SpecChanged, _) => Self::SpecChanged,
            (Self::StatusOnly, Self::StatusOnly) => Self::StatusOnly,
            (Self::StatusOnly, _) => Self::SpecChanged,
        })
    }
}

impl Changes {
    pub(super) fn add(&self, key: &Key, what: What) {
        let mut waiting = self.waiting.lock();
        let joined = match waiting.get(key) {
            Some(former) => former.and_then(what),
            None => Some(what),
        };
        match joined {
            Some(what) => {
                waiting.insert(key.clone(), what);
            }
            None => {
                waiting.remove(key);
            }
        }
        drop(waiting);
        // Nobody acts on a status alone, and each of our writes comes back as one: it is told with what comes next.
        if what != What::StatusOnly {
            self.arrived.notify_one();
        }
    }

    /// Takes all changes that wait; waits for the first that is no mere change of a status. Sorted by key.
    pub(super) async fn take(&self) -> Vec<Change> {
        loop {
            let taken = std::mem::take(&mut *self.waiting.lock());
            if !taken.is_empty() {
                return taken.into_iter().map(|(key, what)| change(key, what)).collect();
            }
            self.arrived.notified().await;
        }
    }
}

fn change(key: Key, what: What) -> Change {
    match what {
        What::Added => Change::Added(key),
        What::SpecChanged => Change::SpecChanged(key),
        What::StatusOnly => Change::StatusOnly(key),
        What::Deleted => Change::Deleted(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn changes_of_one_autoscaler_are_one_change() {
        let key = Key::new("shop", "web");
        let changes = Changes::default();
        let marker = Key::new("~", "~");
        for (happened, expected) in [
            (
                &[What::Added, What::StatusOnly, What::SpecChanged][..],
                Some(Change::Added(key.clone())),
            ),
            (&[What::Added, What::Deleted], None),
            (
                &[What::Added, What::Deleted, What::Added],
                Some(Change::Added(key.clone())),
            ),
            (
                &[What::StatusOnly, What::SpecChanged, What::StatusOnly],
                Some(Change::SpecChanged(key.clone())),
            ),
            (&[What::SpecChanged, What::Deleted], Some(Change::Deleted(key.clone()))),
            (&[What::Deleted, What::Added], Some(Change::SpecChanged(key.clone()))),
            (
                &[What::Deleted, What::Added, What::Deleted],
                Some(Change::Deleted(key.clone())),
            ),
        ] {
            happened.iter().for_each(|what| changes.add(&key, *what));
            changes.add(&marker, What::StatusOnly);
            let mut taken = changes.take().await;
            assert_eq!(taken.pop(), Some(Change::StatusOnly(marker.clone())));
            assert_eq!(taken.pop(), expected, "{happened:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_is_woken() {
        let changes = std::sync::Arc::new(Changes::default());
        let waiting = tokio::spawn({
            let changes = changes.clone();
            async move { changes.take().await }
        });
        tokio::task::yield_now().await;
        changes.add(&Key::new("shop", "web"), What::Added);
        assert_eq!(waiting.await.unwrap(), [Change::Added(Key::new("shop", "web"))]);
    }
}
