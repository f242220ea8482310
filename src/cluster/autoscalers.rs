//! All autoscalers, of the cluster and of files: what they want, and what was last said about them.

mod changes;
mod filed;
mod share;
mod stored;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;

use super::watch::Store;
use crate::manifests::{Manifest, Place};
use crate::observe::Status;
use crate::spec::{Key, Spec, SpecError};
pub use changes::Change;
use changes::{Changes, What};
pub use filed::first_status;
pub use share::Share;
pub use stored::StoredAutoscaler;

/// One autoscaler, as its watch or its file last showed it.
#[derive(Clone, Debug)]
pub struct Autoscaler {
    /// Its name.
    pub key: Key,
    /// Where it comes from.
    pub origin: Origin,
    /// What it wants, or why nobody can tell.
    pub spec: Result<Arc<Spec>, Arc<SpecError>>,
    /// What was last said about it in its object; of one without an object, [`first_status`].
    pub status: Status,
    /// Its annotations under `trimtab.dev/`.
    pub annotations: Arc<BTreeMap<String, String>>,
    /// See [`StoredAutoscaler::wish`]; `None` of one without an object.
    wish: Option<u64>,
}

/// Where an autoscaler comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An object of the cluster.
    Cluster {
        /// Tells it from another that had its name before.
        uid: Arc<str>,
        /// The version of the object.
        resource_version: Arc<str>,
    },
    /// A file: there is no object, so that nothing can be written to it.
    File(Place),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster { .. } => f.write_str("the cluster"),
            Self::File(place) => place.fmt(f),
        }
    }
}

/// All autoscalers: those that are watched, and those of files.
#[derive(Default)]
pub struct Autoscalers {
    known: RwLock<Known>,
    changes: Changes,
    /// Shares that are told of their own changes; as many as there are shards, at most.
    shares: Mutex<Vec<Weak<share::Part>>>,
}

#[derive(Default)]
struct Known {
    in_force: FxHashMap<Key, Arc<Autoscaler>>,
    /// All manifests, those too that an object's name keeps out of force.
    manifests: BTreeMap<Key, Arc<Manifest>>,
}

impl Autoscalers {
    /// One autoscaler.
    pub fn get(&self, key: &Key) -> Option<Arc<Autoscaler>> {
        self.known.read().in_force.get(key).cloned()
    }

    /// All autoscalers, sorted by key.
    pub fn all(&self) -> Vec<Arc<Autoscaler>> {
        let mut all: Vec<_> = self.known.read().in_force.values().cloned().collect();
        all.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        all
    }

    /// The names of all autoscalers, sorted.
    pub fn keys(&self) -> Vec<Key> {
        let mut keys: Vec<_> = self.known.read().in_force.keys().cloned().collect();
        keys.sort_unstable();
        keys
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.known.read().in_force.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.known.read().in_force.is_empty()
    }

    /// How many cannot be understood.
    pub fn invalid(&self) -> usize {
        let known = self.known.read();
        known.in_force.values().filter(|known| known.spec.is_err()).count()
    }

    fn invalid_among(&self, is_wanted: impl Fn(&Key) -> bool) -> usize {
        let known = self.known.read();
        let invalid = known.in_force.iter().filter(|(_, known)| known.spec.is_err());
        invalid.filter(|(key, _)| is_wanted(key)).count()
    }

    /// From now on tells a share of its changes.
    fn tell(&self, part: &Arc<share::Part>) {
        let mut shares = self.shares.lock();
        shares.retain(|share| share.strong_count() > 0);
        shares.push(Arc::downgrade(part));
    }

    /// How many shares are told.
    #[cfg(test)]
    fn told(&self) -> usize {
        self.shares.lock().len()
    }

    /// Notes a change, for whoever takes those of all, and for the share that it belongs to.
    fn note(&self, key: &Key, what: What) {
        self.changes.add(key, what);
        for part in self.shares.lock().iter().filter_map(Weak::upgrade) {
            if part.has(key) {
                part.changes.add(key, what);
            }
        }
    }

    /// Waits for changes, and takes all that there are: at most one for each autoscaler, sorted by key.
    ///
    /// For one taker; none is lost where the future is dropped before it is done. Each autoscaler that is there at the start is a change.
    pub async fn changes(&self) -> Vec<Change> {
        self.changes.take().await
    }

    fn put(&self, known: &mut Known, stored: &StoredAutoscaler) {
        let key = stored.key();
        let former = known.in_force.get(&key);
        let autoscaler = Autoscaler::from_stored(key.clone(), stored, former.map(|former| &**former));
        let what = match former {
            None => What::Added,
            Some(former) if former.wish != autoscaler.wish => What::SpecChanged,
            Some(_) => What::StatusOnly,
        };
        self.note(&key, what);
        if let (true, Some(manifest)) = (
            former.is_some_and(|former| former.is_filed()),
            known.manifests.get(&key),
        ) {
            filed::warn_of_object(&key, manifest);
        }
        known.in_force.insert(key, Arc::new(autoscaler));
    }

    /// Takes an object out.
    fn take_out(&self, known: &mut Known, key: &Key) {
        let is_object = known.in_force.get(key).is_some_and(|known| !known.is_filed());
        if is_object && !self.unshadow(known, key) {
            known.in_force.remove(key);
            self.note(key, What::Deleted);
        }
    }
}

impl Autoscaler {
    /// Whether it stands in a file, and the cluster has no object of it.
    pub fn is_filed(&self) -> bool {
        matches!(self.origin, Origin::File(_))
    }

    /// The autoscaler that `stored` is; what has not changed is taken from `former`.
    fn from_stored(key: Key, stored: &StoredAutoscaler, former: Option<&Self>) -> Self {
        let wish = Some(stored.wish());
        let same = former.filter(|former| former.wish == wish);
        let spec = match same {
            Some(former) => former.spec.clone(),
            None => Spec::from_stored(&stored.wished()).map(Arc::new).map_err(Arc::new),
        };
        let annotations = match same {
            Some(former) => former.annotations.clone(),
            None => Arc::new(stored.our_annotations().clone()),
        };
        Self {
            key,
            origin: Origin::Cluster {
                uid: stored.metadata.uid.as_str().into(),
                resource_version: stored.metadata.resource_version.as_str().into(),
            },
            spec,
            status: stored.status(),
            annotations,
            wish,
        }
    }
}

impl Store for Autoscalers {
    type Object = StoredAutoscaler;
    type Relist = Vec<StoredAutoscaler>;

    fn add(&self, relist: &mut Self::Relist, object: StoredAutoscaler) {
        relist.push(object);
    }

    fn replace(&self, namespace: Option<&str>, relist: Self::Relist) {
        let listed: BTreeSet<Key> = relist.iter().map(StoredAutoscaler::key).collect();
        let mut known = self.known.write();
        let in_place = |key: &&Key| namespace.is_none_or(|namespace| *key.namespace == *namespace);
        let objects = known.in_force.iter().filter(|(_, known)| !known.is_filed());
        let gone: Vec<Key> = objects
            .map(|(key, _)| key)
            .filter(in_place)
            .filter(|key| !listed.contains(*key))
            .cloned()
            .collect();
        gone.iter().for_each(|key| self.take_out(&mut known, key));
        relist.iter().for_each(|stored| self.put(&mut known, stored));
    }

    fn apply(&self, object: StoredAutoscaler) {
        self.put(&mut self.known.write(), &object);
    }

    fn delete(&self, object: StoredAutoscaler) {
        self.take_out(&mut self.known.write(), &object.key());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    pub(super) fn stored(name: &str, version: &str, max: i32, current: i32) -> StoredAutoscaler {
        let object: Value = json!({
            "metadata": {"namespace": "shop", "name": name, "uid": "u", "resourceVersion": version,
                "annotations": {"trimtab.dev/x": "1", "kubectl.kubernetes.io/last-applied-configuration": "{}"}},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                "minReplicas": 1, "maxReplicas": max,
                "metrics": [{"type": "Resource", "resource": {
                    "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}]},
            "status": {"currentReplicas": current, "desiredReplicas": current, "currentMetrics": null, "conditions": null},
        });
        serde_json::from_value(object).unwrap()
    }

    pub(super) fn web() -> Key {
        Key::new("shop", "web")
    }

    #[tokio::test]
    async fn a_spec_is_made_once_for_each_wish() {
        let autoscalers = Autoscalers::default();
        autoscalers.apply(stored("web", "1", 10, 3));
        let first = autoscalers.get(&web()).unwrap();
        assert_eq!(autoscalers.changes().await, [Change::Added(web())]);
        let spec = first.spec.clone().unwrap();
        assert_eq!((spec.max_replicas, first.status.current_replicas), (10, 3));
        assert_eq!(first.annotations.len(), 1);

        autoscalers.apply(stored("web", "2", 10, 4));
        let second = autoscalers.get(&web()).unwrap();
        assert_eq!(autoscalers.changes().await, [Change::StatusOnly(web())]);
        assert!(Arc::ptr_eq(&spec, second.spec.as_ref().unwrap()));
        let origin = Origin::Cluster {
            uid: "u".into(),
            resource_version: "2".into(),
        };
        assert_eq!((&second.origin, second.status.current_replicas), (&origin, 4));

        autoscalers.apply(stored("web", "3", 12, 4));
        assert_eq!(autoscalers.changes().await, [Change::SpecChanged(web())]);
        assert_eq!(autoscalers.get(&web()).unwrap().spec.as_ref().unwrap().max_replicas, 12);
    }

    #[tokio::test]
    async fn one_that_cannot_be_understood_is_there_and_says_why() {
        let autoscalers = Autoscalers::default();
        autoscalers.apply(stored("web", "1", -1, 3));
        assert!(autoscalers.get(&web()).unwrap().spec.is_err());
        assert_eq!(autoscalers.changes().await, [Change::Added(web())]);
        autoscalers.apply(stored("other", "2", 10, 3));
        assert_eq!((autoscalers.invalid(), autoscalers.len()), (1, 2));
    }

    #[tokio::test]
    async fn a_list_says_what_is_gone_what_is_new_and_what_has_changed() {
        let autoscalers = Autoscalers::default();
        autoscalers.apply(stored("web", "1", 10, 3));
        autoscalers.apply(stored("old", "2", 10, 3));
        autoscalers.changes().await;
        autoscalers.replace(Some("bank"), Vec::new());
        assert_eq!(autoscalers.len(), 2);
        autoscalers.replace(Some("shop"), vec![stored("web", "5", 11, 3), stored("new", "6", 10, 3)]);
        let (new, old) = (Key::new("shop", "new"), Key::new("shop", "old"));
        let expected = [
            Change::Added(new.clone()),
            Change::Deleted(old),
            Change::SpecChanged(web()),
        ];
        assert_eq!(autoscalers.changes().await, expected);
        let all: Vec<_> = autoscalers
            .all()
            .iter()
            .map(|autoscaler| autoscaler.key.clone())
            .collect();
        assert_eq!(all, [new, web()]);
    }
}
