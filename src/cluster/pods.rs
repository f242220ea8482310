//! The pods of the cluster, as decisions need them: slim, and picked by selector without a scan.

mod list;
mod namespace;
mod protobuf;
mod slim;
mod symbols;

use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::RwLock;
use rustc_hash::FxHashMap;

use super::resource::Collection;
use super::watch::{ReadProtobuf, Store, Watched};
use crate::observe::Pods;
use crate::selector::Selector;
use namespace::Namespace;
pub use namespace::PodLabels;
pub use slim::SlimPod;

/// The pods of every namespace that is watched.
///
/// Usable from many tasks; each call sees one consistent state and holds a lock only while it runs. Takes at most 400
/// bytes a pod where pods come from templates, as a test measures.
#[derive(Default)]
pub struct PodStore {
    namespaces: RwLock<Namespaces>,
}

type Namespaces = FxHashMap<Arc<str>, Namespace>;

/// Pods of a relist under way, kept beside the store until the list is whole.
#[derive(Default)]
pub struct PodRelist {
    namespaces: Namespaces,
}

impl PodRelist {
    /// Puts a pod in, in the place of the one that has its name.
    pub fn add(&mut self, pod: SlimPod) {
        apply(&mut self.namespaces, pod);
    }
}

impl PodStore {
    /// Puts a pod in, in the place of the one that has its name.
    pub fn apply(&self, pod: SlimPod) {
        apply(&mut self.namespaces.write(), pod);
    }

    /// Takes a pod out; nothing happens where it is not there.
    pub fn delete(&self, namespace: &str, name: &str) {
        let mut namespaces = self.namespaces.write();
        if let Some(pods) = namespaces.get_mut(namespace) {
            pods.remove(name);
            if pods.len() == 0 {
                namespaces.remove(namespace);
            }
        }
    }

    /// Puts a whole list in the place of what was there, at once.
    ///
    /// `namespace` is what the list was of; `None` is the whole cluster. What is not in the list is gone, also where its
    /// deletion was never seen.
    pub fn replace(&self, namespace: Option<&str>, relist: PodRelist) {
        let mut listed = relist.namespaces;
        listed.values_mut().for_each(Namespace::shrink);
        let former = match namespace {
            None => std::mem::replace(&mut *self.namespaces.write(), listed),
            Some(namespace) => {
                let listed = listed.remove_entry(namespace);
                let mut namespaces = self.namespaces.write();
                let former = namespaces.remove_entry(namespace);
                namespaces.extend(listed);
                former.into_iter().collect()
            }
        };
        // Dropped only here, with the lock given back: taking a hundred thousand pods apart takes a while.
        drop(former);
    }

    /// The pods of `namespace` that the selector picks, sorted by name.
    pub fn select(&self, namespace: &str, selector: &Selector) -> Pods {
        self.select_with_labels(namespace, selector).0
    }

    /// The same, and a number that changes whenever [`for_each_labels`](Self::for_each_labels) may hand out others in this
    /// namespace: when pods come that have labels which no other has, or the last pod with its labels goes.
    pub fn select_with_labels(&self, namespace: &str, selector: &Selector) -> (Pods, u64) {
        match self.namespaces.read().get(namespace) {
            Some(pods) => (pods.select(selector), pods.labels_number()),
            None => (Pods::default(), 0),
        }
    }

    /// Hands out each distinct set of labels among the pods of `namespace` that the selector picks.
    ///
    /// A set is handed out once, however many pods have it, in no particular order, until `each` breaks off. It runs under the
    /// store's read lock: it should be short, and it must not call the store.
    pub fn for_each_labels(
        &self,
        namespace: &str,
        selector: &Selector,
        each: impl FnMut(PodLabels<'_>) -> ControlFlow<()>,
    ) {
        if let Some(pods) = self.namespaces.read().get(namespace) {
            pods.for_each_labels(selector, each);
        }
    }

    /// Whether there is a pod of this name.
    pub fn contains(&self, namespace: &str, name: &str) -> bool {
        self.namespaces
            .read()
            .get(namespace)
            .is_some_and(|pods| pods.contains(name))
    }

    /// Hands out the names of the pods that have exactly these labels, sorted.
    ///
    /// `each` runs under the store's read lock: it should be short, and it must not call the store.
    pub fn each_with_labels(&self, namespace: &str, labels: &[(Arc<str>, Arc<str>)], each: &mut dyn FnMut(&str)) {
        if let Some(pods) = self.namespaces.read().get(namespace) {
            pods.with_labels(labels).iter().for_each(|pod| each(&pod.name));
        }
    }

    /// How many pods there are in a namespace.
    pub fn len_of(&self, namespace: &str) -> usize {
        self.namespaces.read().get(namespace).map_or(0, Namespace::len)
    }

    /// How many pods there are.
    pub fn len(&self) -> usize {
        self.namespaces.read().values().map(Namespace::len).sum()
    }

    /// Whether there are no pods.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Watched for SlimPod {
    const COLLECTION: Collection = Collection {
        group: "",
        version: "v1",
        plural: "pods",
    };

    const READ_PROTOBUF: Option<ReadProtobuf<Self>> = Some(protobuf::read);

    fn resource_version(&self) -> &str {
        &self.resource_version
    }
}

impl Store for PodStore {
    type Object = SlimPod;
    type Relist = PodRelist;

    fn add(&self, relist: &mut PodRelist, pod: SlimPod) {
        relist.add(pod);
    }

    fn replace(&self, namespace: Option<&str>, relist: PodRelist) {
        Self::replace(self, namespace, relist);
    }

    fn apply(&self, pod: SlimPod) {
        Self::apply(self, pod);
    }

    fn delete(&self, pod: SlimPod) {
        Self::delete(self, &pod.namespace, &pod.facts.name);
    }
}

fn apply(namespaces: &mut Namespaces, pod: SlimPod) {
    match namespaces.get_mut(pod.namespace.as_str()) {
        Some(pods) => pods.apply(pod),
        None => namespaces.entry(pod.namespace.as_str().into()).or_default().apply(pod),
    }
}
