//! From the kind that an autoscaler names to the resource that the API has for it.
//!
//! Asked group by group, on demand: an aggregated API whose server is down breaks no other group, and a cluster with
//! hundreds of custom resources costs nothing but for those that are scaled.

mod api_version;
mod group;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use kube::Client;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use thiserror::Error;
use tokio::time::Instant;

use crate::wire::WireError;
pub use api_version::{BadApiVersion, GroupVersion};
pub use group::KnownResource;
use group::{GroupResources, read_group};

/// What a group has is looked up again after this: the rhythm in which Kubernetes drops what it knows, and so the time
/// after which a new kind of object is found at the latest.
///
/// Source: Kubernetes v1.36 `cmd/kube-controller-manager/app/controllermanager.go`, `CreateControllerContext`.
const FRESH: Duration = Duration::from_secs(30);

/// A lookup that failed is tried again after this.
const RETRY: Duration = Duration::from_secs(3);

/// More groups than that are not remembered; a cluster has some hundred at most. An autoscaler may name any text.
const MOST_GROUPS: usize = 1000;

/// Why no resource is known for a kind.
#[derive(Debug, Error)]
pub enum DiscoveryError {
    /// The group answers, and does not have the kind.
    #[error("no resource of kind {kind:?} in API group {group:?}; is its CustomResourceDefinition installed?")]
    NoKind {
        /// The API group; empty for the core group.
        group: String,
        /// The kind, as asked for.
        kind: String,
    },
    /// The group cannot be looked up.
    #[error("look up kind {kind:?} in API group {group:?}: {}", source.message())]
    Failed {
        /// The API group; empty for the core group.
        group: String,
        /// The kind, as asked for.
        kind: String,
        /// Why.
        source: Arc<WireError>,
    },
}

/// What the API server has, as far as anybody asked.
pub struct Discovery {
    client: Client,
    groups: Mutex<FxHashMap<Arc<str>, Entry>>,
}

/// One lookup of a group, under way or done; everybody who asks meanwhile waits for the same one.
#[derive(Clone)]
struct Entry {
    begun: Instant,
    lookup: Shared<BoxFuture<'static, Lookup>>,
    /// What an earlier lookup found.
    known: Option<Arc<GroupResources>>,
}

type Lookup = Result<Arc<GroupResources>, Arc<WireError>>;

impl Entry {
    fn is_fresh(&self, now: Instant) -> bool {
        let failed = matches!(self.lookup.peek(), Some(Err(_)));
        now.duration_since(self.begun) < if failed { RETRY } else { FRESH }
    }

    fn newest(self) -> Option<Arc<GroupResources>> {
        match self.lookup.peek() {
            Some(Ok(resources)) => Some(resources.clone()),
            _ => self.known,
        }
    }
}

impl Discovery {
    /// Asks through `client`.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            groups: Mutex::default(),
        }
    }

    /// The resource of `kind` in `group`, in the version that the group prefers.
    ///
    /// As in Kubernetes, the version that an autoscaler names plays no part, and the kind may also be written in lower
    /// case. The answer may be 30 seconds old; while the API server does not answer it may be older.
    ///
    /// # Errors
    ///
    /// [`DiscoveryError::NoKind`] where the group or the kind is not known.
    pub async fn resolve(&self, group: &str, kind: &str) -> Result<KnownResource, DiscoveryError> {
        let lookup = self.entry(group).lookup;
        match lookup.await {
            Ok(resources) => resources.find(kind).cloned().ok_or_else(|| DiscoveryError::NoKind {
                group: group.to_owned(),
                kind: kind.to_owned(),
            }),
            Err(source) => Err(DiscoveryError::Failed {
                group: group.to_owned(),
                kind: kind.to_owned(),
                source,
            }),
        }
    }

    fn entry(&self, group: &str) -> Entry {
        let now = Instant::now();
        let mut groups = self.groups.lock();
        let former = groups.get(group).cloned();
        if let Some(entry) = &former
            && entry.is_fresh(now)
        {
            return entry.clone();
        }
        if groups.len() >= MOST_GROUPS {
            groups.retain(|_, entry| entry.is_fresh(now));
        }
        let name: Arc<str> = group.into();
        let known = former.and_then(Entry::newest);
        let lookup = lookup(self.client.clone(), name.clone(), known.clone());
        let entry = Entry {
            begun: now,
            lookup: lookup.boxed().shared(),
            known,
        };
        if groups.len() < MOST_GROUPS {
            groups.insert(name, entry.clone());
        }
        entry
    }
}

/// How many versions a body names as a group's document, for the fuzz target.
pub(super) fn versions_in(body: &[u8]) -> Result<usize, WireError> {
    group::versions(body, "/apis").map(|versions| versions.len())
}

/// How many kinds a body names as the list of a version, for the same.
pub(super) fn kinds_in(body: &[u8]) -> Result<usize, WireError> {
    group::resources(body, &"v1".into()).map(|kinds| kinds.len())
}

async fn lookup(client: Client, group: Arc<str>, known: Option<Arc<GroupResources>>) -> Lookup {
    match (read_group(&client, &group).await, known) {
        (Ok(resources), _) => Ok(Arc::new(resources)),
        // What was known goes on being used: an API server that is away does not unlearn its kinds.
        (Err(_), Some(known)) => Ok(known),
        (Err(error), None) => Err(Arc::new(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::script::{Answer, Script};

    const GROUP: &str = r#"{"versions":[{"version":"v1alpha1"},{"version":"v1"}],"preferredVersion":{"version":"v1"}}"#;
    const RESOURCES: &str = r#"{"resources":[
        {"name":"rollouts","kind":"Rollout","namespaced":true},
        {"name":"rollouts/scale","kind":"Scale","namespaced":true},
        {"name":"runs","kind":"Run","namespaced":true}]}"#;

    fn answer(text: &str) -> Answer {
        Answer::Whole(200, text.to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_kind_is_found_in_the_preferred_version_and_remembered() {
        let script = Script::new([answer(GROUP), answer(RESOURCES), answer(r#"{"resources":[]}"#)]);
        let discovery = Discovery::new(script.client());
        let (one, two) = futures_util::join!(
            discovery.resolve("argo.io", "Rollout"),
            discovery.resolve("argo.io", "run")
        );
        let (rollout, run) = (one.unwrap(), two.unwrap());
        assert_eq!(
            (&*rollout.plural, &*rollout.version, rollout.has_scale),
            ("rollouts", "v1", true)
        );
        assert_eq!((&*run.plural, run.has_scale), ("runs", false));
        assert_eq!(
            script.asked(),
            [
                "GET /apis/argo.io",
                "GET /apis/argo.io/v1",
                "GET /apis/argo.io/v1alpha1"
            ]
        );
        let error = discovery.resolve("argo.io", "rOLLOUT").await.unwrap_err();
        assert!(matches!(error, DiscoveryError::NoKind { .. }));
        assert_eq!(script.asked().len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_version_whose_server_is_down_does_not_hide_the_others() {
        let script = Script::new([answer(GROUP), Answer::Whole(503, String::new()), answer(RESOURCES)]);
        let rollout = Discovery::new(script.client())
            .resolve("argo.io", "Rollout")
            .await
            .unwrap();
        assert_eq!(&*rollout.version, "v1alpha1");
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_of_a_thousand_versions_and_resources_costs_few_requests_and_little_memory() {
        let versions: Vec<String> = (0..1000).map(|n| format!(r#"{{"version":"v{n}"}}"#)).collect();
        let group = format!(r#"{{"versions":[{}]}}"#, versions.join(","));
        let resource = |n: usize| format!(r#"{{"name":"runs{n}","kind":"Run{n}","namespaced":true}}"#);
        let resources = (0..20_000).map(resource).collect::<Vec<_>>().join(",");
        let list = format!(r#"{{"resources":[{resources}]}}"#);
        let answers = std::iter::once(answer(&group)).chain((0..1000).map(|_| answer(&list)));
        let script = Script::new(answers);
        let discovery = Discovery::new(script.client());
        assert!(discovery.resolve("argo.io", "Run1999").await.is_ok());
        let error = discovery.resolve("argo.io", "Run2000").await.unwrap_err();
        assert!(matches!(error, DiscoveryError::NoKind { .. }), "{error}");
        assert_eq!(script.asked().len(), 1 + 16);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_known_is_used_while_the_server_is_away() {
        let down = || Answer::Whole(503, String::new());
        let script = Script::new([answer(GROUP), answer(RESOURCES), answer(RESOURCES), down()]);
        let discovery = Discovery::new(script.client());
        discovery.resolve("argo.io", "Rollout").await.unwrap();
        tokio::time::advance(FRESH).await;
        discovery.resolve("argo.io", "Rollout").await.unwrap();
        assert_eq!(script.asked().len(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_that_is_not_there_is_asked_for_again_after_a_while() {
        let script = Script::new([
            Answer::Whole(404, String::new()),
            answer(GROUP),
            answer(RESOURCES),
            answer(RESOURCES),
        ]);
        let discovery = Discovery::new(script.client());
        for _ in 0..3 {
            let error = discovery.resolve("argo.io", "Rollout").await.unwrap_err();
            assert!(matches!(error, DiscoveryError::NoKind { .. }), "{error}");
        }
        assert_eq!(script.asked().len(), 1);
        tokio::time::advance(FRESH).await;
        assert!(discovery.resolve("argo.io", "Rollout").await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_core_group_has_a_root_of_its_own() {
        let core = r#"{"resources":[{"name":"replicationcontrollers","kind":"ReplicationController","namespaced":true},
            {"name":"replicationcontrollers/scale","kind":"Scale","namespaced":true}]}"#;
        let script = Script::new([answer(r#"{"versions":["v1"]}"#), answer(core)]);
        let found = Discovery::new(script.client())
            .resolve("", "ReplicationController")
            .await
            .unwrap();
        assert_eq!((&*found.plural, found.has_scale), ("replicationcontrollers", true));
        assert_eq!(script.asked(), ["GET /api", "GET /api/v1"]);
    }
}
