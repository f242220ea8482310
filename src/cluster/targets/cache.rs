//! The scales of one kind of workload, as its watch sees them, and what was written since.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use tokio::time::Instant;

use super::workload::{Workload, WorkloadKind};
use crate::cluster::version::Version;
use crate::cluster::watch::Store;
use crate::observe::Scale;

/// A watch that has not shown a write after so long is not waited for: the scale is asked for.
const WRITE_SHOWS_WITHIN: Duration = Duration::from_secs(30);

/// Writes that are noted between two looks for those of workloads that are gone, at least.
const FEW_WRITES: usize = 64;

/// The scales of one kind of workload.
pub(super) struct Cache<K> {
    scales: RwLock<Scales>,
    kind: std::marker::PhantomData<fn() -> K>,
}

#[derive(Default)]
struct Scales {
    seen: Places<Seen>,
    /// Writes that the watch has not shown yet.
    written: Places<Written>,
    /// After so many further ones, those of workloads that are gone are looked for: no watch will show them.
    until_look: usize,
}

/// By namespace and name.
type Places<T> = FxHashMap<Arc<str>, FxHashMap<Arc<str>, T>>;

struct Seen {
    scale: Scale,
    version: Version,
}

#[derive(Clone, Copy)]
struct Written {
    replicas: i32,
    version: Version,
    at: Instant,
}

impl<K> Default for Cache<K> {
    fn default() -> Self {
        Self {
            scales: RwLock::default(),
            kind: std::marker::PhantomData,
        }
    }
}

impl<K> Cache<K> {
    /// The scale of a workload, with the count that was last written to it. `None`: not known here.
    pub(super) fn scale(&self, namespace: &str, name: &str) -> Option<Scale> {
        let scales = self.scales.read();
        let seen = scales.seen.get(namespace)?.get(name)?;
        let mut scale = seen.scale.clone();
        if let Some(written) = scales.written.get(namespace).and_then(|names| names.get(name))
            && written.version > seen.version
        {
            if written.at.elapsed() > WRITE_SHOWS_WITHIN {
                return None;
            }
            scale.spec_replicas = written.replicas;
        }
        Some(scale)
    }

    /// Remembers that a workload had this count at this version, until the watch has seen as much.
    pub(super) fn note(&self, namespace: &str, name: &str, replicas: i32, resource_version: &str) {
        let written = Written {
            replicas,
            version: Version::of(resource_version),
            at: Instant::now(),
        };
        let mut scales = self.scales.write();
        let seen = scales.seen.get(namespace).and_then(|names| names.get(name));
        if seen.is_none_or(|seen| seen.version < written.version) {
            scales.look_for_gone();
            scales
                .written
                .entry(namespace.into())
                .or_default()
                .insert(name.into(), written);
        }
    }
}

impl Scales {
    fn forget_written(&mut self, namespace: &str, name: &str, up_to: Option<Version>) {
        let Some(names) = self.written.get_mut(namespace) else {
            return;
        };
        if names
            .get(name)
            .is_some_and(|written| up_to.is_none_or(|version| written.version <= version))
        {
            names.remove(name);
            if names.is_empty() {
                self.written.remove(namespace);
            }
        }
    }

    /// Drops the writes to workloads that are gone, now and then: when as many were noted as there were.
    fn look_for_gone(&mut self) {
        if let Some(left) = self.until_look.checked_sub(1) {
            self.until_look = left;
            return;
        }
        let seen = &self.seen;
        self.written.retain(|namespace, names| {
            let seen = seen.get(namespace);
            let is_there = |name: &Arc<str>| seen.is_some_and(|names| names.contains_key(name));
            names.retain(|name, written| is_there(name) || written.at.elapsed() <= WRITE_SHOWS_WITHIN);
            !names.is_empty()
        });
        let left = self.written.values().map(FxHashMap::len).sum();
        self.until_look = FEW_WRITES.max(left);
    }

    /// Drops the writes that have shown, and those that nobody waits for any more.
    fn sweep_written(&mut self) {
        let seen = &self.seen;
        self.written.retain(|namespace, names| {
            names.retain(|name, written| {
                let seen = seen.get(namespace).and_then(|names| names.get(name));
                seen.is_some_and(|seen| seen.version < written.version) && written.at.elapsed() <= WRITE_SHOWS_WITHIN
            });
            !names.is_empty()
        });
    }
}

fn insert<K>(seen: &mut Places<Seen>, workload: Workload<K>) {
    let version = Version::of(&workload.resource_version);
    let entry = Seen {
        scale: workload.scale,
        version,
    };
    let names = match seen.get_mut(workload.namespace.as_str()) {
        Some(names) => names,
        None => seen.entry(workload.namespace.into()).or_default(),
    };
    match names.get_mut(workload.name.as_str()) {
        Some(known) => *known = entry,
        None => {
            names.insert(workload.name.into(), entry);
        }
    }
}

/// The workloads of a list that is being read.
#[derive(Default)]
pub(super) struct Relist(Places<Seen>);

impl<K: WorkloadKind> Store for Cache<K> {
    type Object = Workload<K>;
    type Relist = Relist;

    fn add(&self, relist: &mut Relist, workload: Workload<K>) {
        insert(&mut relist.0, workload);
    }

    fn replace(&self, namespace: Option<&str>, relist: Relist) {
        let mut listed = relist.0;
        let mut scales = self.scales.write();
        match namespace {
            None => scales.seen = listed,
            Some(namespace) => {
                scales.seen.remove(namespace);
                scales.seen.extend(listed.remove_entry(namespace));
            }
        }
        scales.sweep_written();
    }

    fn apply(&self, workload: Workload<K>) {
        let mut scales = self.scales.write();
        let version = Version::of(&workload.resource_version);
        scales.forget_written(&workload.namespace, &workload.name, Some(version));
        insert(&mut scales.seen, workload);
    }

    fn delete(&self, workload: Workload<K>) {
        let mut scales = self.scales.write();
        scales.forget_written(&workload.namespace, &workload.name, None);
        if let Some(names) = scales.seen.get_mut(workload.namespace.as_str()) {
            names.remove(workload.name.as_str());
            if names.is_empty() {
                scales.seen.remove(workload.namespace.as_str());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::workload::Deployment;
    use super::*;

    fn workload(name: &str, replicas: i32, version: &str) -> Workload<Deployment> {
        let workload = json!({
            "metadata": {"namespace": "shop", "name": name, "resourceVersion": version},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}},
            "status": {"replicas": 1},
        });
        serde_json::from_value(workload).unwrap()
    }

    fn count(cache: &Cache<Deployment>, name: &str) -> Option<i32> {
        cache.scale("shop", name).map(|scale| scale.spec_replicas)
    }

    fn written(cache: &Cache<Deployment>) -> usize {
        cache.scales.read().written.values().map(FxHashMap::len).sum()
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_written_is_read_until_the_watch_has_seen_it() {
        let cache = Cache::default();
        cache.apply(workload("web", 3, "10"));
        cache.note("shop", "web", 6, "20");
        assert_eq!(count(&cache, "web"), Some(6));
        cache.apply(workload("web", 3, "15"));
        assert_eq!(count(&cache, "web"), Some(6), "an update of the status on its way");
        cache.apply(workload("web", 4, "21"));
        assert_eq!(
            (count(&cache, "web"), written(&cache)),
            (Some(4), 0),
            "somebody wrote after us"
        );
        cache.note("shop", "web", 6, "20");
        assert_eq!(
            (count(&cache, "web"), written(&cache)),
            (Some(4), 0),
            "the watch was faster than the answer"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_lags_for_long_is_not_believed() {
        let cache = Cache::default();
        cache.apply(workload("web", 3, "10"));
        cache.note("shop", "web", 6, "20");
        tokio::time::advance(Duration::from_secs(31)).await;
        assert_eq!(count(&cache, "web"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_replaces_all_and_an_old_list_does_not_undo_a_write() {
        let cache = Cache::default();
        cache.apply(workload("web", 3, "10"));
        cache.apply(workload("old", 1, "11"));
        cache.note("shop", "web", 6, "20");
        let mut relist = Relist::default();
        cache.add(&mut relist, workload("web", 3, "10"));
        cache.replace(Some("shop"), relist);
        assert_eq!((count(&cache, "web"), count(&cache, "old")), (Some(6), None));
        cache.delete(workload("web", 3, "22"));
        assert_eq!((count(&cache, "web"), written(&cache)), (None, 0));
        cache.note("shop", "web", 6, "20");
        cache.replace(None, Relist::default());
        assert_eq!(written(&cache), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn writes_to_workloads_that_are_gone_are_dropped() {
        let cache = Cache::default();
        cache.apply(workload("slow", 3, "10"));
        cache.note("shop", "slow", 6, "20");
        for name in 0..10 * FEW_WRITES {
            cache.note("shop", &format!("gone-{name}"), 6, "20");
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!(written(&cache) < 4 * FEW_WRITES, "{}", written(&cache));
        assert_eq!(count(&cache, "slow"), None, "its watch still has not shown it");
    }
}
