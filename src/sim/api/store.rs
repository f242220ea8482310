//! The objects of a simulated cluster: one sequence of versions for all, and what has changed lately.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::refusal::Refusal;
use super::resources::{NAMESPACES, RESOURCES, Resource};
use crate::clock::Clock;

/// Changes of a resource that are kept for watches and old lists; who asks for older ones gets 410 Gone. As many as a
/// watch of 1,000 pods that all change has to fetch at once, a few times over.
const KEPT_CHANGES: usize = 5_000;

/// Namespace and name.
pub(super) type Place = (String, String);

/// What happened to an object.
#[derive(Clone, Debug)]
pub struct Change {
    /// The version that it made.
    pub version: u64,
    /// As it was before; `None`: it was not there.
    pub before: Option<Arc<Value>>,
    /// As it is since; `None`: it is gone.
    pub after: Option<Arc<Value>>,
    /// Its last state with the version of the change, as watches send it.
    pub object: Arc<Value>,
}

#[derive(Default)]
struct Collection {
    objects: BTreeMap<Place, Arc<Value>>,
    changes: VecDeque<Change>,
    /// What came before is not known any more.
    forgotten: u64,
    /// The version of the last change.
    last: u64,
}

struct State {
    version: u64,
    collections: HashMap<&'static str, Collection>,
}

/// Where the objects are.
pub struct Store {
    state: Mutex<State>,
    version: watch::Sender<u64>,
    clock: Arc<dyn Clock>,
}

/// A resource's key in the store: PodMetrics are called as pods are, but for the group.
fn key(resource: &'static Resource) -> &'static str {
    resource.kind
}

impl Store {
    /// A store that has the namespaces of every cluster.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let collections = RESOURCES.iter().map(|resource| (key(resource), Collection::default()));
        let store = Self {
            state: Mutex::new(State {
                version: 1,
                collections: collections.collect(),
            }),
            version: watch::Sender::new(1),
            clock,
        };
        for name in ["default", "kube-system"] {
            store.ensure_namespace(name);
        }
        store
    }

    /// A store of its own with the same objects of one resource: what is written there changes nothing here.
    pub(super) fn rehearsal(&self, resource: &'static Resource) -> Self {
        let state = self.state.lock();
        let mut collections: HashMap<_, _> = RESOURCES.iter().map(|one| (key(one), Collection::default())).collect();
        for copied in [key(resource), key(&NAMESPACES)] {
            let objects = state.collections[copied].objects.clone();
            collections.entry(copied).or_default().objects = objects;
        }
        Self {
            version: watch::Sender::new(state.version),
            state: Mutex::new(State {
                version: state.version,
                collections,
            }),
            clock: self.clock.clone(),
        }
    }

    /// Makes a namespace where it is missing.
    pub fn ensure_namespace(&self, name: &str) {
        let namespace = json!({ "metadata": { "name": name }, "spec": { "finalizers": ["kubernetes"] },
            "status": { "phase": "Active" } });
        // That it is there already is what was wanted.
        let _ = self.create(&NAMESPACES, namespace);
    }

    /// How late it is in the cluster.
    pub fn now(&self) -> jiff::Timestamp {
        self.clock.now()
    }

    /// The newest version, and a wake-up for each new one.
    pub(super) fn versions(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// The newest version.
    pub fn newest(&self) -> u64 {
        self.state.lock().version
    }

    /// The version that the last change of a resource made.
    pub fn last_change(&self, resource: &'static Resource) -> u64 {
        self.state.lock().collections[key(resource)].last
    }

    /// One object.
    pub fn get(&self, resource: &'static Resource, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let state = self.state.lock();
        let place = (namespace.to_owned(), name.to_owned());
        state.collections[key(resource)].objects.get(&place).cloned()
    }

    /// All objects of a resource, in one namespace or in all, in the order of namespaces and names, and the version that
    /// the list is of.
    pub fn list(&self, resource: &'static Resource, namespace: Option<&str>) -> (Vec<Arc<Value>>, u64) {
        let state = self.state.lock();
        let objects = &state.collections[key(resource)].objects;
        let within = |place: &Place| namespace.is_none_or(|namespace| place.0 == namespace);
        let found = objects.iter().filter(|(place, _)| within(place));
        (found.map(|(_, object)| object.clone()).collect(), state.version)
    }

    /// The list as it was at `version`.
    ///
    /// # Errors
    ///
    /// 410 where that is too long ago, or not yet.
    pub fn list_at(
        &self,
        resource: &'static Resource,
        namespace: Option<&str>,
        version: u64,
    ) -> Result<Vec<Arc<Value>>, Refusal> {
        let state = self.state.lock();
        let collection = &state.collections[key(resource)];
        if version < collection.forgotten || version > state.version {
            return Err(Refusal::expired(version, collection.forgotten));
        }
        let mut objects = collection.objects.clone();
        for change in collection
            .changes
            .iter()
            .rev()
            .take_while(|change| change.version > version)
        {
            match &change.before {
                Some(before) => objects.insert(place(before), before.clone()),
                None => objects.remove(&place(&change.object)),
            };
        }
        drop(state);
        objects.retain(|place, _| namespace.is_none_or(|namespace| place.0 == namespace));
        Ok(objects.into_values().collect())
    }

    /// What has changed after `version`, oldest first, and the version that this leads to.
    ///
    /// # Errors
    ///
    /// 410 where not all of it is known any more.
    pub(super) fn changes_after(
        &self,
        resource: &'static Resource,
        version: u64,
    ) -> Result<(Vec<Change>, u64), Refusal> {
        let state = self.state.lock();
        let collection = &state.collections[key(resource)];
        if version < collection.forgotten {
            return Err(Refusal::expired(version, collection.forgotten));
        }
        let newer = collection
            .changes
            .iter()
            .rev()
            .take_while(|change| change.version > version);
        let mut changes: Vec<Change> = newer.cloned().collect();
        changes.reverse();
        Ok((changes, state.version))
    }

    /// Forgets all changes so far, as etcd does when it is compacted: watches and lists that build on them get 410.
    pub fn compact(&self) {
        self.forget_until(self.newest());
    }

    /// Forgets the changes up to `version`.
    pub fn forget_until(&self, version: u64) {
        let mut state = self.state.lock();
        for collection in state.collections.values_mut() {
            let old = collection.changes.partition_point(|change| change.version <= version);
            collection.changes.drain(..old);
            collection.forgotten = collection.forgotten.max(version);
        }
    }

    /// How many objects and changes there are.
    pub fn held(&self) -> usize {
        let state = self.state.lock();
        let of = |collection: &Collection| collection.objects.len() + collection.changes.len();
        state.collections.values().map(of).sum()
    }

    /// Makes an object; gives it uid, version and times.
    ///
    /// # Errors
    ///
    /// 409 where there is one, 404 where its namespace is missing.
    pub fn create(&self, resource: &'static Resource, mut object: Value) -> Result<Arc<Value>, Refusal> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let place = place(&object);
        if resource.namespaced {
            let namespace = (String::new(), place.0.clone());
            if !state.collections[key(&NAMESPACES)].objects.contains_key(&namespace) {
                return Err(Refusal::not_found(&NAMESPACES, &place.0));
            }
        }
        if state.collections[key(resource)].objects.contains_key(&place) {
            return Err(Refusal::already_exists(resource, &place.1));
        }
        let version = state.version + 1;
        object["apiVersion"] = resource.api_version().into();
        object["kind"] = resource.kind.into();
        let metadata = &mut object["metadata"];
        metadata["uid"] = uid(version).into();
        // Kubernetes keeps whole seconds.
        metadata["creationTimestamp"] = seconds(now).into();
        if resource.counts_generations {
            metadata["generation"] = 1.into();
        }
        Ok(state.put(resource, place, Some(object), &self.version).1)
    }

    /// Removes a namespace with all that is in it, as Kubernetes does within moments.
    pub fn remove_namespace(&self, name: &str) {
        let mut state = self.state.lock();
        for resource in RESOURCES.iter().filter(|resource| resource.namespaced) {
            let objects = &state.collections[key(resource)].objects;
            let places: Vec<Place> = objects.keys().filter(|place| place.0 == name).cloned().collect();
            for place in places {
                state.put(resource, place, None, &self.version);
            }
        }
        let place = (String::new(), name.to_owned());
        if state.collections[key(&NAMESPACES)].objects.contains_key(&place) {
            state.put(&NAMESPACES, place, None, &self.version);
        }
    }

    /// Changes an object in one step; one that comes out as it was keeps its version.
    ///
    /// # Errors
    ///
    /// 404 where it is missing, else what `change` says.
    pub fn update(
        &self,
        resource: &'static Resource,
        namespace: &str,
        name: &str,
        change: impl FnOnce(&Value) -> Result<Value, Refusal>,
    ) -> Result<Arc<Value>, Refusal> {
        let mut state = self.state.lock();
        let place = (namespace.to_owned(), name.to_owned());
        let Some(before) = state.collections[key(resource)].objects.get(&place).cloned() else {
            return Err(Refusal::not_found(resource, name));
        };
        let mut after = change(&before)?;
        if resource.counts_generations {
            let generation = before["metadata"]["generation"].as_i64().unwrap_or(1);
            let changed = before["spec"] != after["spec"];
            after["metadata"]["generation"] = (generation + i64::from(changed)).into();
        }
        if after == *before {
            return Ok(before);
        }
        Ok(state.put(resource, place, Some(after), &self.version).1)
    }

    /// Removes an object; gives its last state.
    ///
    /// # Errors
    ///
    /// 404 where it is missing, else what `check` says.
    pub fn delete(
        &self,
        resource: &'static Resource,
        namespace: &str,
        name: &str,
        check: impl FnOnce(&Value) -> Result<(), Refusal>,
    ) -> Result<Arc<Value>, Refusal> {
        let mut state = self.state.lock();
        let place = (namespace.to_owned(), name.to_owned());
        let Some(before) = state.collections[key(resource)].objects.get(&place).cloned() else {
            return Err(Refusal::not_found(resource, name));
        };
        check(&before)?;
        Ok(state.put(resource, place, None, &self.version).1)
    }
}

impl State {
    fn put(
        &mut self,
        resource: &'static Resource,
        place: Place,
        after: Option<Value>,
        newest: &watch::Sender<u64>,
    ) -> (u64, Arc<Value>) {
        self.version += 1;
        let version = self.version;
        let collection = self.collections.entry(key(resource)).or_default();
        collection.last = version;
        let before = collection.objects.get(&place).cloned();
        let stamped = |mut object: Value| {
            object["metadata"]["resourceVersion"] = version.to_string().into();
            Arc::new(object)
        };
        let after = after.map(stamped);
        match &after {
            Some(after) => collection.objects.insert(place, after.clone()),
            None => collection.objects.remove(&place),
        };
        let last = after.clone().or_else(|| before.as_deref().cloned().map(stamped));
        let object = last.unwrap_or_default();
        collection.changes.push_back(Change {
            version,
            before,
            after,
            object: object.clone(),
        });
        if collection.changes.len() > KEPT_CHANGES
            && let Some(oldest) = collection.changes.pop_front()
        {
            collection.forgotten = oldest.version;
        }
        newest.send_replace(version);
        (version, object)
    }
}

/// A time as Kubernetes writes it into metadata: whole seconds.
pub fn seconds(time: jiff::Timestamp) -> String {
    let whole = jiff::Timestamp::from_second(time.as_second()).unwrap_or(time);
    whole.to_string()
}

fn place(object: &Value) -> Place {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}

/// As random as need be, and the same in each run.
fn uid(version: u64) -> String {
    let mixed = version.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!(
        "{:08x}-{:04x}-4{:03x}-8000-{version:012x}",
        mixed >> 32,
        (mixed >> 16) & 0xffff,
        mixed & 0xfff
    )
}
