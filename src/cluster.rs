//! The Kubernetes API: what is read of it, kept up to date by watches, and what is written to it.

pub mod autoscalers;
pub mod claims;
pub mod client;
pub mod discovery;
pub mod events;
pub mod lease;
mod namespaces;
#[doc(hidden)]
pub mod outside;
pub mod pods;
pub mod resource;
pub mod scale;
#[cfg(test)]
mod script;
pub mod stamp;
pub mod status;
pub mod stored;
pub mod targets;
pub mod territory;
mod version;
pub mod watch;
pub mod watches;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::shards::Sharding;
use autoscalers::Autoscalers;
use client::Clients;
use pods::PodStore;
use targets::Targets;
use territory::Territory;
use watch::{Need, WatchHealth, WatchOptions};
use watches::{Coverage, Scope, Watches};

/// What to read of a cluster, and how.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// Which namespaces to look at.
    pub scope: Scope,
    /// How to watch.
    pub watch: WatchOptions,
    /// The longest that one scale is waited for, where it is not in a cache.
    pub scale_time: Duration,
}

/// A cluster that is being watched: caches that fill themselves, and clients to write with.
pub struct Cluster {
    /// For what is not watched, and for writing.
    pub clients: Clients,
    /// All pods of the scope.
    pub pods: Arc<PodStore>,
    /// All HorizontalPodAutoscalers of the scope.
    pub autoscalers: Arc<Autoscalers>,
    /// The scales of what the autoscalers name.
    pub targets: Targets,
    watches: Arc<Watches>,
    watched_pods: Coverage,
    /// `None`: all of the scope is ours.
    territory: Option<Arc<Territory>>,
}

impl Cluster {
    /// Begins to watch, until `stop` is cancelled. Returns at once; see [`ready`](Self::ready).
    pub fn start(clients: Clients, options: ClusterOptions, stop: CancellationToken) -> Self {
        let ClusterOptions { scope, watch, .. } = options.clone();
        let watches = Watches::new(clients.watches.clone(), scope, watch, stop);
        Self::over(clients, watches, &options)
    }

    /// The same of those parts of the scope alone whose shards are [held](Self::hold), of which there are none yet.
    pub fn start_sharded(
        clients: Clients,
        options: ClusterOptions,
        sharding: Sharding,
        stop: CancellationToken,
    ) -> Self {
        let ClusterOptions { scope, watch, .. } = options.clone();
        let watches = Watches::of_nothing(clients.watches.clone(), scope, watch, stop);
        let mut cluster = Self::over(clients, watches, &options);
        cluster.territory = Some(Territory::start(sharding, &cluster.watches));
        cluster
    }

    fn over(clients: Clients, watches: Watches, options: &ClusterOptions) -> Self {
        let watches = Arc::new(watches);
        let (pods, autoscalers) = (Arc::new(PodStore::default()), Arc::new(Autoscalers::default()));
        watches.start(&autoscalers, Need::Required);
        let watched_pods = watches.start(&pods, Need::Required);
        let targets = Targets::start(
            clients.api.clone(),
            clients.custom.clone(),
            watches.clone(),
            options.scale_time,
        );
        Self {
            clients,
            pods,
            autoscalers,
            targets,
            watches,
            watched_pods,
            territory: None,
        }
    }

    /// The namespaces of a shard are ours from now on: they are watched. Nothing happens where there are no shards.
    pub fn hold(&self, shard: u16) {
        if let Some(territory) = &self.territory {
            territory.hold(shard);
        }
    }

    /// The namespaces of a shard are ours no longer: what is known of them is forgotten.
    pub fn give_up(&self, shard: u16) {
        if let Some(territory) = &self.territory {
            territory.give_up(shard);
        }
    }

    /// Waits until the namespaces of a shard that is held are known, as [`ready`](Self::ready) does for all.
    pub async fn covers(&self, shard: u16) {
        if let Some(territory) = &self.territory {
            territory.covers(shard).await;
        }
        self.ready().await;
    }

    /// Whether what there is in a namespace has been read, where shards come and go. Without shards that is always so once
    /// the caches [are full](Self::ready).
    pub fn knows(&self, namespace: &str) -> bool {
        self.territory.is_none() || self.watched_pods.is_known(namespace)
    }

    /// Whether a namespace is known not to be there, where shards come and go: nothing of it will ever [be
    /// known](Self::knows) then.
    pub fn lacks(&self, namespace: &str) -> bool {
        self.territory
            .as_ref()
            .is_some_and(|territory| territory.lacks(namespace))
    }

    /// How many pods there are in the whole cluster, as far as that can be told: of those that are watched, the shards' part
    /// stands for the rest.
    pub fn pods_in_cluster(&self) -> Option<usize> {
        if *self.scope() != Scope::Cluster {
            return None;
        }
        let watched = self.pods.len();
        Some(match &self.territory {
            None => watched,
            Some(territory) => watched * usize::from(territory.sharding().count()) / territory.held().max(1),
        })
    }

    /// Which namespaces are looked at.
    pub fn scope(&self) -> &Scope {
        self.watches.scope()
    }

    /// Whether the caches have been filled: before that, a decision would take what is not known yet for absent.
    pub fn is_ready(&self) -> bool {
        self.watches.are_ready()
    }

    /// Waits until the caches have been filled, however long that takes: [`health`](Self::health) says what is missing.
    pub async fn ready(&self) {
        self.watches.ready().await;
    }

    /// Whether the pods of a namespace are known as they are: their watch is up, but for interruptions of some seconds. A
    /// decision on old pods may take new ones for absent.
    pub fn pods_are_current(&self, namespace: &str) -> bool {
        self.watched_pods.is_current(namespace)
    }

    /// How each watch is doing.
    pub fn health(&self) -> Vec<WatchHealth> {
        self.watches.health()
    }

    /// Waits until a watch has ended unasked, by a panic; says which. The process should stop then: its cache is dead.
    pub async fn lost(&self) -> String {
        self.watches.lost().await
    }

    /// Ends all watches, and waits for their tasks.
    pub async fn stop(&self) {
        self.watches.stop().await;
    }
}
