//! All watches of one cluster: where they look, who runs them, how they are.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::join_all;
use kube::Client;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::error;

use super::watch::{Need, Store, Watch, WatchHandle, WatchHealth, WatchOptions};

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

    fn places(&self) -> Vec<Option<Arc<str>>> {
        match self {
            Self::Cluster => vec![None],
            Self::Namespaces(namespaces) => namespaces.iter().cloned().map(Some).collect(),
        }
    }
}

/// The watches of one kind: one, or one for each namespace.
#[derive(Clone, Default)]
pub struct Coverage(Arc<[WatchHandle]>);

impl Coverage {
    /// Whether what is known of `namespace` is all that there is, and not old: the watch has filled the cache, and is up
    /// but for interruptions of a few seconds.
    pub fn is_current(&self, namespace: &str) -> bool {
        self.0
            .iter()
            .any(|handle| handle.covers(namespace) && handle.is_current())
    }

    /// Waits until each watch has filled its cache or, where it is not required, has failed once.
    pub async fn settled(&self) {
        join_all(self.0.iter().map(WatchHandle::settled)).await;
    }
}

/// Starts watches, owns their tasks, and knows how they are.
pub struct Watches {
    client: Client,
    scope: Scope,
    options: WatchOptions,
    stop: CancellationToken,
    tasks: TaskTracker,
    handles: Mutex<Vec<WatchHandle>>,
    lost: watch::Sender<Option<String>>,
}

impl Watches {
    /// Watches of `scope` through `client`, until `stop` is cancelled.
    pub fn new(client: Client, scope: Scope, options: WatchOptions, stop: CancellationToken) -> Self {
        Self {
            client,
            scope,
            options,
            stop,
            tasks: TaskTracker::new(),
            handles: Mutex::default(),
            lost: watch::Sender::new(None),
        }
    }

    /// Which namespaces are looked at.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Starts to fill `store`, from each place of the scope.
    pub fn start<S: Store>(&self, store: &Arc<S>, need: Need) -> Coverage {
        let start_one = |namespace| {
            let (watch, handle) = Watch::new(self.client.clone(), store.clone(), namespace, need, self.options);
            self.spawn(watch, handle.clone());
            handle
        };
        let handles: Vec<_> = self.scope.places().into_iter().map(start_one).collect();
        self.handles.lock().extend(handles.iter().cloned());
        Coverage(handles.into())
    }

    fn spawn<S: Store>(&self, watch: Watch<S>, handle: WatchHandle) {
        let (stop, lost) = (self.stop.clone(), self.lost.clone());
        self.tasks.spawn(async move {
            let run = AssertUnwindSafe(watch.run()).catch_unwind();
            let Some(outcome) = stop.run_until_cancelled(run).await else {
                return;
            };
            let cause = match &outcome {
                Ok(()) => "it returned",
                Err(panic) => panic_text(&**panic),
            };
            let health = handle.health();
            let message = format!("the watch of {} has ended unasked: {cause}", health.resource);
            error!(
                resource = health.resource,
                namespace = health.namespace.as_deref(),
                error = cause,
                "Watch ended"
            );
            handle.ended(message.clone());
            lost.send_if_modified(|lost| lost.is_none() && lost.replace(message).is_none());
        });
    }

    /// How each watch is doing, in the order in which they were started.
    pub fn health(&self) -> Vec<WatchHealth> {
        self.handles.lock().iter().map(WatchHandle::health).collect()
    }

    /// Whether every cache that is needed has been filled.
    pub fn are_ready(&self) -> bool {
        self.handles.lock().iter().all(WatchHandle::is_settled)
    }

    /// Waits until every cache that is needed by now has been filled.
    pub async fn ready(&self) {
        let handles: Coverage = Coverage(self.handles.lock().clone().into());
        handles.settled().await;
    }

    /// Waits until a watch has ended unasked, by a panic; says which. The process should stop then: its cache is dead.
    pub async fn lost(&self) -> String {
        let mut lost = self.lost.subscribe();
        match lost.wait_for(Option::is_some).await.map(|message| message.clone()) {
            Ok(Some(message)) => message,
            // Neither happens: the sender is ours, and we waited for a message.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Ends all watches, and waits for their tasks.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
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
        assert_eq!(scope.places(), [Some("bank".into()), Some("shop".into())]);
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
