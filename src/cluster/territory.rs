//! What is watched where shards are held: the namespaces of those shards, one by one while they are few, and else the whole
//! cluster, of which the rest is dropped while it is decoded.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;
use tracing::{debug, info};

use super::namespaces::Namespaces;
use super::watch::{Need, Part, Place};
use super::watches::{Coverage, Scope, Watches};
use crate::shards::Sharding;

/// The most namespaces that are watched one by one: each takes four requests that last, where the cluster takes four in all.
pub const MOST_NAMESPACES: usize = 50;

/// With so few, the whole cluster is watched no more. Fewer than [`MOST_NAMESPACES`], since each change is a new list of
/// everything, and namespaces come and go.
const FEW_NAMESPACES: usize = 40;

/// The shards that are held, and what is watched for them.
pub(super) struct Territory {
    sharding: Sharding,
    held: watch::Sender<BTreeSet<u16>>,
    /// The shards for which watches have been started.
    covered: watch::Sender<BTreeSet<u16>>,
    /// The names of all namespaces; `None` where those to look at were named.
    names: Option<watch::Receiver<BTreeSet<Arc<str>>>>,
}

/// How the namespaces of the shards are watched.
enum Layout {
    OneByOne,
    Whole(Arc<Part>),
}

impl Territory {
    /// Begins to watch as the shards that are [held](Self::hold) want it, until the watches are stopped.
    pub(super) fn start(sharding: Sharding, watches: &Arc<Watches>) -> Arc<Self> {
        let names = match watches.scope() {
            Scope::Cluster => {
                let namespaces = Arc::new(Namespaces::default());
                let coverage = watches.start_fixed(&namespaces, Need::Required);
                Names::Watched(namespaces.names(), coverage)
            }
            Scope::Namespaces(names) => Names::Fixed(names.iter().cloned().collect()),
        };
        let territory = Arc::new(Self {
            sharding,
            held: watch::Sender::default(),
            covered: watch::Sender::default(),
            names: match &names {
                Names::Watched(names, _) => Some(names.clone()),
                Names::Fixed(_) => None,
            },
        });
        let (this, all) = (territory.clone(), watches.clone());
        watches.keep(
            "the choice of what to watch",
            async move { this.run(&all, names).await },
        );
        territory
    }

    /// How many shards there are.
    pub(super) fn sharding(&self) -> Sharding {
        self.sharding
    }

    /// How many of them are held.
    pub(super) fn held(&self) -> usize {
        self.held.borrow().len()
    }

    /// The shard's namespaces are watched from now on.
    pub(super) fn hold(&self, shard: u16) {
        self.held.send_if_modified(|held| held.insert(shard));
    }

    /// The shard's namespaces are watched and known no longer.
    pub(super) fn give_up(&self, shard: u16) {
        self.held.send_if_modified(|held| held.remove(&shard));
    }

    /// Waits until watches have been started for a shard.
    pub(super) async fn covers(&self, shard: u16) {
        let mut covered = self.covered.subscribe();
        // An error would mean that the sender is gone, but it is ours.
        let _ = covered.wait_for(|covered| covered.contains(&shard)).await;
    }

    /// Whether there is no such namespace.
    pub(super) fn lacks(&self, namespace: &str) -> bool {
        let lacks = |names: &BTreeSet<Arc<str>>| !names.is_empty() && !names.contains(namespace);
        // Without any they have not been listed yet: every cluster has some.
        self.names.as_ref().is_some_and(|names| lacks(&names.borrow()))
    }

    async fn run(&self, watches: &Watches, mut names: Names) {
        let mut held = self.held.subscribe();
        let mut layout = Layout::OneByOne;
        let mut covered: BTreeSet<u16> = BTreeSet::new();
        let mut known: BTreeSet<Arc<str>> = BTreeSet::new();
        names.known().await;
        loop {
            let shards = held.borrow_and_update().clone();
            let mut namespaces = names.all();
            namespaces.retain(|namespace| shards.contains(&self.sharding.shard_of(namespace)));
            layout = self.layout(layout, &names, &shards, namespaces.len());
            let (places, forgotten): (Vec<Place>, Vec<Arc<str>>) = match &layout {
                Layout::OneByOne => (
                    namespaces.iter().cloned().map(Place::of).collect(),
                    known.difference(&namespaces).cloned().collect(),
                ),
                // A namespace that has gone is empty. It may have come again meanwhile: the watch knows, and the names lag.
                Layout::Whole(part) => (
                    vec![Place {
                        namespace: None,
                        part: Some(part.clone()),
                    }],
                    known.iter().filter(|name| !part.keeps(name)).cloned().collect(),
                ),
            };
            debug!(
                namespaces = namespaces.len(),
                places = places.len(),
                "Watches the namespaces of its shards"
            );
            watches.cover(places, &forgotten).await;
            known = namespaces;
            if covered != shards {
                covered.clone_from(&shards);
                self.covered.send_replace(shards);
            }
            tokio::select! {
                // It ends only with ourselves.
                _ = held.changed() => {}
                () = names.changed() => {}
            }
        }
    }

    fn layout(&self, former: Layout, names: &Names, shards: &BTreeSet<u16>, namespaces: usize) -> Layout {
        // Where namespaces were named there may be no right to watch the cluster.
        let may_be_whole = matches!(names, Names::Watched(..)) && !shards.is_empty();
        let most = match former {
            Layout::OneByOne => MOST_NAMESPACES,
            Layout::Whole(_) => FEW_NAMESPACES,
        };
        let is_whole = may_be_whole && namespaces > most;
        match former {
            Layout::Whole(part) if is_whole && part.has_all(shards) => {
                part.keep_only(shards);
                Layout::Whole(part)
            }
            _ if is_whole => {
                info!(namespaces, "Watches the whole cluster for its shards");
                Layout::Whole(Arc::new(Part::new(self.sharding, shards.clone())))
            }
            _ => Layout::OneByOne,
        }
    }
}

/// Where the names of namespaces come from.
enum Names {
    Watched(watch::Receiver<BTreeSet<Arc<str>>>, Coverage),
    Fixed(BTreeSet<Arc<str>>),
}

impl Names {
    /// Waits until they are known.
    async fn known(&self) {
        if let Self::Watched(_, coverage) = self {
            coverage.settled().await;
        }
    }

    fn all(&mut self) -> BTreeSet<Arc<str>> {
        match self {
            Self::Watched(names, _) => names.borrow_and_update().clone(),
            Self::Fixed(names) => names.clone(),
        }
    }

    async fn changed(&mut self) {
        if let Self::Watched(names, _) = self
            && names.changed().await.is_ok()
        {
            return;
        }
        // Names that were given stay; and the sender of the others is the watch's store, which ends with the process.
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests;
