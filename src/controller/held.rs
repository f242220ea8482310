//! What the controller holds of each autoscaler between two syncs.

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::selectors::SelectorTable;
use crate::cluster::autoscalers::{Autoscaler, Origin};
use crate::memory::Memory;
use crate::observe::Status;
use crate::spec::Key;

/// Everything that is held, for all autoscalers. Each is synced by one task at a time, so that what is taken out is put
/// back before anybody asks for it.
#[derive(Debug, Default)]
pub(super) struct Held {
    by_key: Mutex<FxHashMap<Key, Kept>>,
    /// Which autoscaler selects which pods.
    pub selectors: Mutex<SelectorTable>,
}

/// What is held of one autoscaler.
#[derive(Debug, Default)]
struct Kept {
    memory: Memory,
    /// The status that was written last, with the resource version that the write returned: the cache may lag behind.
    written: Option<(Status, String)>,
    /// A status that waits for the budget.
    waiting: Option<Status>,
    /// The last status of an autoscaler that has no object to write it to.
    own: Option<Status>,
}

impl Held {
    pub(super) fn appeared(&self, key: &Key) {
        self.selectors.lock().register(key);
        self.by_key.lock().entry(key.clone()).or_default();
    }

    pub(super) fn gone(&self, key: &Key) {
        self.selectors.lock().forget(key);
        self.by_key.lock().remove(key);
    }

    /// A copy of what is remembered, to show it; `None` where the autoscaler is not known.
    pub(super) fn known_memory(&self, key: &Key) -> Option<Memory> {
        self.by_key.lock().get(key).map(|kept| kept.memory.clone())
    }

    /// A copy of what is remembered, to decide with.
    pub(super) fn memory(&self, key: &Key) -> Memory {
        self.by_key
            .lock()
            .get(key)
            .map(|k| k.memory.clone())
            .unwrap_or_default()
    }

    /// Remembers, unless the autoscaler is gone meanwhile.
    pub(super) fn remember(&self, key: &Key, memory: Memory) {
        if let Some(kept) = self.by_key.lock().get_mut(key) {
            kept.memory = memory;
        }
    }

    /// The status that the API server has: the cache's, or ours where the cache has not caught up with our write. Of an
    /// autoscaler without an object, the one that was kept.
    pub(super) fn status_of(&self, autoscaler: &Autoscaler) -> Status {
        let mut held = self.by_key.lock();
        let Some(kept) = held.get_mut(&autoscaler.key) else {
            return autoscaler.status.clone();
        };
        let Origin::Cluster { resource_version, .. } = &autoscaler.origin else {
            (kept.written, kept.waiting) = (None, None);
            return kept.own.as_ref().unwrap_or(&autoscaler.status).clone();
        };
        kept.own = None;
        match &kept.written {
            Some((status, version)) if is_older(resource_version, version) => status.clone(),
            _ => {
                kept.written = None;
                autoscaler.status.clone()
            }
        }
    }

    /// Keeps the status of an autoscaler that has no object to write it to.
    pub(super) fn keep_status(&self, key: &Key, status: Status) {
        if let Some(kept) = self.by_key.lock().get_mut(key) {
            kept.own = Some(status);
        }
    }

    pub(super) fn wrote_status(&self, key: &Key, status: Status, resource_version: String) {
        if let Some(kept) = self.by_key.lock().get_mut(key) {
            kept.written = Some((status, resource_version));
            kept.waiting = None;
        }
    }

    /// A status that is to be written when its turn comes; `None`: there is none any more.
    pub(super) fn status_waits(&self, key: &Key, status: Option<Status>) {
        if let Some(kept) = self.by_key.lock().get_mut(key) {
            kept.waiting = status;
        }
    }

    pub(super) fn take_waiting_status(&self, key: &Key) -> Option<Status> {
        self.by_key.lock().get_mut(key)?.waiting.take()
    }
}

/// Whether resource version `a` was before `b`. Kubernetes compares them as whole numbers (KEP-5504); what is none is
/// taken as newer, so that the cache is believed.
fn is_older(a: &str, b: &str) -> bool {
    match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(a), Ok(b)) => a < b,
        _ => false,
    }
}
