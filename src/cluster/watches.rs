//! All watches of one cluster: where they look, who runs them, how they are.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::join_all;
use kube::Client;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::error;

use super::watch::{CURRENT, Need, Place, Store, Watch, WatchHandle, WatchHealth, WatchOptions};

/// Which namespaces are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The whole cluster, by one watch of each kind. Needs a ClusterRole.
    Cluster,
    /// These, by one watch of each kind in each. A Role in each is enough.
    Namespaces(Arc<[Arc<str>]>),
}

impl Scope {
    /// The whole cluster where no namespace is named; each one once.
    pub fn of(namespaces: impl IntoIterator<Item = impl Into<Arc<str>>>) -> Self {
        let mut namespaces: Vec<Arc<str>> = namespaces.into_iter().map(Into::into).collect();
        namespaces.sort_unstable();
        namespaces.dedup();
        if namespaces.is_empty() {
            Self::Cluster
        } else {
            Self::Namespaces(namespaces.into())
        }
    }

    /// Whether a namespace is looked at.
    pub fn covers(&self, namespace: &str) -> bool {
        match self {
            Self::Cluster => true,
            Self::Namespaces(namespaces) => namespaces.iter().any(|named| **named == *namespace),
        }
    }

    fn places(&self) -> Vec<Place> {
        match self {
            Self::Cluster => vec![Place::default()],
            Self::Namespaces(namespaces) => namespaces.iter().cloned().map(Place::of).collect(),
        }
    }
}

/// The watches of one kind: one, or one for each namespace. They come and go with the shards that are held.
#[derive(Clone, Default)]
pub struct Coverage(Arc<RwLock<Covered>>);

#[derive(Default)]
struct Covered {
    running: Vec<Running>,
    /// Watches that others take the place of, and until when: what they knew is there until the others have listed.
    former: Vec<(WatchHandle, Instant)>,
}

struct Running {
    place: Place,
    handle: WatchHandle,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Coverage {
    /// Whether what is known of `namespace` is all that there is, and not old: the watch has filled the cache, and is up
    /// but for interruptions of a few seconds.
    pub fn is_current(&self, namespace: &str) -> bool {
        let covered = self.0.read();
        covered.holds(namespace, WatchHandle::is_current) || covered.held_before(namespace)
    }

    /// Whether the cache has been filled with what there is in `namespace`, however long ago.
    pub fn is_known(&self, namespace: &str) -> bool {
        let covered = self.0.read();
        covered.holds(namespace, WatchHandle::is_settled) || covered.held_before(namespace)
    }

    /// Waits until each watch has filled its cache or, where it is not required, has failed once.
    pub async fn settled(&self) {
        let handles = self.handles();
        join_all(handles.iter().map(WatchHandle::settled)).await;
    }

    fn handles(&self) -> Vec<WatchHandle> {
        self.0
            .read()
            .running
            .iter()
            .map(|running| running.handle.clone())
            .collect()
    }
}

impl Covered {
    fn holds(&self, namespace: &str, is_so: impl Fn(&WatchHandle) -> bool) -> bool {
        let handles = self.running.iter().map(|running| &running.handle);
        handles
            .into_iter()
            .any(|handle| handle.covers(namespace) && is_so(handle))
    }

    fn held_before(&self, namespace: &str) -> bool {
        let mut former = self.former.iter();
        former.any(|(handle, until)| handle.covers(namespace) && Instant::now() < *until)
    }
}

/// A kind of object that is watched, with its type forgotten.
trait AnyKind: Send + Sync {
    fn coverage(&self) -> &Coverage;
    fn start(&self, place: &Place) -> Running;
    /// Drops all that is known of a namespace.
    fn forget(&self, namespace: &str);
}

struct Kind<S> {
    ground: Arc<Ground>,
    store: Arc<S>,
    need: Need,
    coverage: Coverage,
}

impl<S: Store> AnyKind for Kind<S> {
    fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    fn start(&self, place: &Place) -> Running {
        let Ground { client, options, .. } = &*self.ground;
        let (watch, handle) = Watch::new(client.clone(), self.store.clone(), place.clone(), self.need, *options);
        let stop = self.ground.stop.child_token();
        Running {
            place: place.clone(),
            handle: handle.clone(),
            task: self.ground.spawn(watch, handle, stop.clone()),
            stop,
        }
    }

    fn forget(&self, namespace: &str) {
        self.store.replace(Some(namespace), S::Relist::default());
    }
}

/// What all watches stand on.
struct Ground {
    client: Client,
    options: WatchOptions,
    stop: CancellationToken,
    tasks: TaskTracker,
    lost: watch::Sender<Option<String>>,
}

impl Ground {
    fn spawn<S: Store>(&self, watch: Watch<S>, handle: WatchHandle, stop: CancellationToken) -> JoinHandle<()> {
        let resource = handle.health().resource;
        self.keep(format!("the watch of {resource}"), stop, watch.run(), move |message| {
            handle.ended(message)
        })
    }

    /// Runs a task until `stop`; it should not end before.
    fn keep(
        &self,
        what: String,
        stop: CancellationToken,
        task: impl Future<Output = ()> + Send + 'static,
        ended: impl FnOnce(String) + Send + 'static,
    ) -> JoinHandle<()> {
        let lost = self.lost.clone();
        self.tasks.spawn(async move {
            let run = AssertUnwindSafe(task).catch_unwind();
            let Some(outcome) = stop.run_until_cancelled(run).await else {
                return;
            };
            let cause = match &outcome {
                Ok(()) => "it returned",
                Err(panic) => panic_text(&**panic),
            };
            let message = format!("{what} has ended unasked: {cause}");
            error!(error = message, "A cache is dead");
            ended(message.clone());
            lost.send_if_modified(|lost| lost.is_none() && lost.replace(message).is_none());
        })
    }
}

/// Starts watches, owns their tasks, and knows how they are.
pub struct Watches {
    ground: Arc<Ground>,
    scope: Scope,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Where each kind is watched; a kind that is watched from now on, too.
    places: Vec<Place>,
    kinds: Vec<Arc<dyn AnyKind>>,
    /// Kinds that are watched in the whole cluster, wherever the others are.
    fixed: Vec<Arc<dyn AnyKind>>,
}

impl Watches {
    /// Watches of `scope` through `client`, until `stop` is cancelled.
    pub fn new(client: Client, scope: Scope, options: WatchOptions, stop: CancellationToken) -> Self {
        let places = scope.places();
        let watches = Self::of_nothing(client, scope, options, stop);
        watches.state.lock().places = places;
        watches
    }

    /// Watches within `scope` that begin with no place at all: [`cover`](Self::cover) says where.
    pub(super) fn of_nothing(client: Client, scope: Scope, options: WatchOptions, stop: CancellationToken) -> Self {
        let ground = Ground {
            client,
            options,
            stop,
            tasks: TaskTracker::new(),
            lost: watch::Sender::new(None),
        };
        Self {
            ground: Arc::new(ground),
            scope,
            state: Mutex::default(),
        }
    }

    /// Which namespaces are looked at.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Starts to fill `store`, from each place.
    pub fn start<S: Store>(&self, store: &Arc<S>, need: Need) -> Coverage {
        let (kind, coverage) = self.kind(store, need);
        let mut state = self.state.lock();
        coverage.0.write().running = state.places.iter().map(|place| kind.start(place)).collect();
        state.kinds.push(kind);
        coverage
    }

    /// Starts to fill `store` from the whole cluster, wherever else is looked at.
    pub(super) fn start_fixed<S: Store>(&self, store: &Arc<S>, need: Need) -> Coverage {
        let (kind, coverage) = self.kind(store, need);
        coverage.0.write().running = vec![kind.start(&Place::default())];
        self.state.lock().fixed.push(kind);
        coverage
    }

    /// Runs a task beside the watches, as long as they run.
    pub(super) fn keep(&self, what: &str, task: impl Future<Output = ()> + Send + 'static) {
        self.ground
            .keep(what.to_owned(), self.ground.stop.clone(), task, |_| {});
    }

    fn kind<S: Store>(&self, store: &Arc<S>, need: Need) -> (Arc<dyn AnyKind>, Coverage) {
        let coverage = Coverage::default();
        let kind = Kind {
            ground: self.ground.clone(),
            store: store.clone(),
            need,
            coverage: coverage.clone(),
        };
        (Arc::new(kind), coverage)
    }

    /// From now on watches these places and no others, and forgets these namespaces. What was known of places that others
    /// take the place of goes on counting until those have listed, for some seconds at most. To be called by one task alone.
    pub(super) async fn cover(&self, places: Vec<Place>, forgotten: &[Arc<str>]) {
        let kinds = {
            let mut state = self.state.lock();
            state.places.clone_from(&places);
            state.kinds.clone()
        };
        for kind in kinds {
            // Two watches of the same would put old things over new ones: the former ends first.
            let ended = kind.coverage().end_all_but(&places);
            for running in &ended {
                running.stop.cancel();
            }
            for running in ended {
                // One that panicked has been told of.
                let _ = running.task.await;
            }
            if !forgotten.is_empty() {
                kind.coverage().0.write().former.clear();
                forgotten.iter().for_each(|namespace| kind.forget(namespace));
            }
            let mut covered = kind.coverage().0.write();
            for place in &places {
                if !covered.running.iter().any(|running| running.place.is(place)) {
                    covered.running.push(kind.start(place));
                }
            }
        }
    }

    /// How each watch is doing, in the order in which they were started.
    pub fn health(&self) -> Vec<WatchHealth> {
        self.handles().iter().map(WatchHandle::health).collect()
    }

    /// Whether every cache that is needed has been filled.
    pub fn are_ready(&self) -> bool {
        self.handles().iter().all(WatchHandle::is_settled)
    }

    /// Waits until every cache that is needed by now has been filled.
    pub async fn ready(&self) {
        let handles = self.handles();
        join_all(handles.iter().map(WatchHandle::settled)).await;
    }

    fn handles(&self) -> Vec<WatchHandle> {
        let state = self.state.lock();
        let kinds = state.fixed.iter().chain(&state.kinds);
        kinds.flat_map(|kind| kind.coverage().handles()).collect()
    }

    /// Waits until a watch has ended unasked, by a panic; says which. The process should stop then: its cache is dead.
    pub async fn lost(&self) -> String {
        let mut lost = self.ground.lost.subscribe();
        match lost.wait_for(Option::is_some).await.map(|message| message.clone()) {
            Ok(Some(message)) => message,
            // Neither happens: the sender is ours, and we waited for a message.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Ends all watches, and waits for their tasks.
    pub async fn stop(&self) {
        self.ground.stop.cancel();
        self.ground.tasks.close();
        self.ground.tasks.wait().await;
    }
}

impl Coverage {
    /// Takes out the watches of all other places; what they knew counts for some seconds more, if it was current.
    fn end_all_but(&self, places: &[Place]) -> Vec<Running> {
        let mut covered = self.0.write();
        let now = Instant::now();
        covered.former.retain(|(_, until)| now < *until);
        let all = std::mem::take(&mut covered.running);
        let stays = |running: &Running| places.iter().any(|place| place.is(&running.place));
        let (stay, end): (Vec<_>, Vec<_>) = all.into_iter().partition(stays);
        covered.running = stay;
        for running in end.iter().filter(|running| running.handle.is_current()) {
            covered.former.push((running.handle.clone(), now + CURRENT));
        }
        end
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("it panicked")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::cluster::resource::Collection;
    use crate::cluster::script::{Answer, Script};
    use crate::cluster::watch::Watched;

    #[derive(Deserialize)]
    struct Nothing {}

    impl Watched for Nothing {
        const COLLECTION: Collection = Collection {
            group: "",
            version: "v1",
            plural: "things",
        };

        fn resource_version(&self) -> &str {
            ""
        }
    }

    struct Fragile;

    impl Store for Fragile {
        type Object = Nothing;
        type Relist = ();

        fn add(&self, (): &mut (), _: Nothing) {}

        fn replace(&self, _: Option<&str>, (): ()) {}

        fn apply(&self, _: Nothing) {
            panic!("an index that is not there")
        }

        fn delete(&self, _: Nothing) {}
    }

    const END_OF_LIST: &str = r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"5","annotations":{"k8s.io/initial-events-end":"true"}}}}
"#;

    fn watches(answers: impl IntoIterator<Item = Answer>, scope: Scope) -> (Watches, Script) {
        let script = Script::new(answers);
        let options = WatchOptions {
            streamed_lists: true,
            seed: 1,
        };
        (
            Watches::new(script.client(), scope, options, CancellationToken::new()),
            script,
        )
    }

    #[test]
    fn a_scope_has_each_namespace_once() {
        assert_eq!(Scope::of(Vec::<&str>::new()), Scope::Cluster);
        let scope = Scope::of(["shop", "bank", "shop"]);
        let places: Vec<_> = scope.places().into_iter().map(|place| place.namespace).collect();
        assert_eq!(places, [Some("bank".into()), Some("shop".into())]);
        assert!(scope.covers("shop") && !scope.covers("mill"));
    }

    #[tokio::test(start_paused = true)]
    async fn each_namespace_has_a_watch_of_its_own() {
        let list = || Answer::Open(END_OF_LIST.to_owned());
        let (watches, script) = watches([list()], Scope::of(["bank", "shop"]));
        let coverage = watches.start(&Arc::new(Fragile), Need::Required);
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        assert!(!watches.are_ready(), "one list has not come");
        let current = ["bank", "shop", "mill"].map(|namespace| coverage.is_current(namespace));
        assert_eq!(current.iter().filter(|current| **current).count(), 1);
        assert!(!current[2]);
        assert_eq!(script.asked().len(), 2);
        watches.stop().await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_be_missing_does_not_hold_up_the_start() {
        let forbidden = || Answer::Whole(403, String::new());
        let (watches, script) = watches((0..10).map(|_| forbidden()), Scope::Cluster);
        let coverage = watches.start(&Arc::new(Fragile), Need::Optional);
        watches.ready().await;
        assert!(watches.are_ready() && !coverage.is_current("shop"));
        tokio::time::sleep(std::time::Duration::from_secs(500)).await;
        assert_eq!(
            script.asked().len(),
            6,
            "a right that is not needed is looked for rarely"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_reported() {
        let list = END_OF_LIST.to_owned() + "{\"type\":\"ADDED\",\"object\":{}}\n";
        let (watches, _) = watches([Answer::Open(list)], Scope::Cluster);
        watches.start(&Arc::new(Fragile), Need::Required);
        let expected = "the watch of things has ended unasked: an index that is not there";
        assert_eq!(watches.lost().await, expected);
        assert_eq!(watches.health()[0].trouble.as_ref().unwrap().reason, "Ended");
    }
}
