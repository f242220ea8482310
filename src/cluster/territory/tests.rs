use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tower::service_fn;

use super::*;
use crate::cluster::pods::PodStore;
use crate::cluster::watch::WatchOptions;

/// A cluster with a pod in each namespace. Lists come in pages, watches are silent.
#[derive(Clone, Default)]
struct Api {
    namespaces: Arc<Mutex<Vec<String>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Api {
    fn with(namespaces: usize) -> Self {
        let api = Self::default();
        api.namespaces
            .lock()
            .extend((0..namespaces).map(|number| format!("team-{number}")));
        api
    }

    fn client(&self) -> Client {
        let api = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move {
                let (path, query) = (
                    request.uri().path().to_owned(),
                    request.uri().query().unwrap_or_default(),
                );
                if query.contains("watch=1") {
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
                api.asked.lock().push(path.clone());
                let body = api.list(&path).to_string();
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(body))))
            }
        });
        Client::new(service, "default")
    }

    fn list(&self, path: &str) -> serde_json::Value {
        let namespaces = self.namespaces.lock().clone();
        let items: Vec<_> = match path.strip_prefix("/api/v1/") {
            Some("namespaces") => {
                let name = |name: &String| json!({"metadata": {"name": name, "resourceVersion": "1"}});
                namespaces.iter().map(name).collect()
            }
            rest => {
                let one = rest.and_then(|rest| rest.strip_prefix("namespaces/"));
                let one = one.and_then(|rest| rest.strip_suffix("/pods"));
                let listed = namespaces
                    .iter()
                    .filter(|namespace| one.is_none_or(|one| one == *namespace));
                let pod =
                    |namespace| json!({"metadata": {"name": "pod", "namespace": namespace, "resourceVersion": "1"}});
                listed.map(pod).collect()
            }
        };
        json!({"metadata": {"resourceVersion": "5"}, "items": items})
    }

    /// How often pods were listed since last asked: of the whole cluster, and of namespaces.
    fn lists(&self) -> (usize, usize) {
        let asked = std::mem::take(&mut *self.asked.lock());
        let pods: Vec<&String> = asked.iter().filter(|path| path.ends_with("/pods")).collect();
        let whole = pods.iter().filter(|path| ***path == "/api/v1/pods").count();
        (whole, pods.len() - whole)
    }
}

struct Scene {
    api: Api,
    watches: Arc<Watches>,
    pods: Arc<PodStore>,
    coverage: Coverage,
    territory: Arc<Territory>,
}

fn sharding() -> Sharding {
    Sharding::new(4).unwrap()
}

impl Scene {
    fn of(namespaces: usize, scope: Scope) -> Self {
        let api = Api::with(namespaces);
        let options = WatchOptions {
            streamed_lists: false,
            seed: 1,
        };
        let watches = Watches::of_nothing(api.client(), scope, options, CancellationToken::new());
        let (watches, pods) = (Arc::new(watches), Arc::new(PodStore::default()));
        let coverage = watches.start(&pods, Need::Required);
        let territory = Territory::start(sharding(), &watches);
        Self {
            api,
            watches,
            pods,
            coverage,
            territory,
        }
    }

    async fn hold(&self, shard: u16) {
        self.territory.hold(shard);
        self.territory.covers(shard).await;
        self.watches.ready().await;
    }

    fn namespaces_of(&self, shards: &[u16]) -> usize {
        let namespaces = self.api.namespaces.lock();
        namespaces
            .iter()
            .filter(|name| shards.contains(&sharding().shard_of(name)))
            .count()
    }

    /// Exactly the pods of these shards are known.
    fn check(&self, shards: &[u16]) {
        for namespace in &*self.api.namespaces.lock() {
            let ours = shards.contains(&sharding().shard_of(namespace));
            assert_eq!(self.pods.len_of(namespace), usize::from(ours), "{namespace}");
            assert_eq!(self.coverage.is_known(namespace), ours, "{namespace}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn few_namespaces_are_watched_one_by_one() {
    let scene = Scene::of(40, Scope::Cluster);
    scene.hold(0).await;
    scene.check(&[0]);
    assert_eq!(scene.api.lists(), (0, scene.namespaces_of(&[0])));
    scene.hold(2).await;
    scene.check(&[0, 2]);
    assert_eq!(
        scene.api.lists(),
        (0, scene.namespaces_of(&[2])),
        "those of before go on"
    );
    scene.territory.give_up(0);
    tokio::time::sleep(Duration::from_secs(1)).await;
    scene.check(&[2]);
    assert_eq!(scene.api.lists(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn many_namespaces_are_one_watch_and_what_belongs_to_others_is_not_kept() {
    let scene = Scene::of(160, Scope::Cluster);
    scene.hold(0).await;
    assert_eq!(
        scene.api.lists(),
        (0, scene.namespaces_of(&[0])),
        "a quarter of 160 is no more than 50"
    );
    scene.territory.hold(1);
    scene.territory.covers(1).await;
    let of_zero = (0..)
        .map(|number| format!("team-{number}"))
        .find(|name| sharding().shard_of(name) == 0);
    let of_zero = of_zero.unwrap();
    assert!(
        scene.coverage.is_current(&of_zero),
        "what was known goes on counting until the list is there"
    );
    scene.watches.ready().await;
    scene.check(&[0, 1]);
    assert_eq!(scene.api.lists(), (1, 0));
    // One more shard is one more list, one fewer is none.
    scene.hold(3).await;
    scene.check(&[0, 1, 3]);
    assert_eq!(scene.api.lists(), (1, 0));
    scene.territory.give_up(1);
    tokio::time::sleep(Duration::from_secs(1)).await;
    scene.check(&[0, 3]);
    assert_eq!(scene.api.lists(), (0, 0));
    // Taken again, nothing counts as known that was forgotten.
    scene.territory.hold(1);
    scene.territory.covers(1).await;
    let of_one = (0..)
        .map(|number| format!("team-{number}"))
        .find(|name| sharding().shard_of(name) == 1);
    assert!(!scene.coverage.is_known(&of_one.unwrap()));
    scene.watches.ready().await;
    scene.check(&[0, 1, 3]);
    // Few again: one by one.
    scene.api.lists();
    for shard in [0, 1] {
        scene.territory.give_up(shard);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    scene.check(&[3]);
    assert_eq!(scene.namespaces_of(&[3]).min(FEW_NAMESPACES), scene.namespaces_of(&[3]));
    assert_eq!(scene.api.lists(), (0, scene.namespaces_of(&[3])));
}

#[tokio::test(start_paused = true)]
async fn namespaces_that_were_named_are_shared_out_and_never_watched_as_a_whole() {
    let names = (0..120).map(|number| format!("team-{number}"));
    let scene = Scene::of(160, Scope::of(names));
    for shard in sharding().all() {
        scene.hold(shard).await;
    }
    assert_eq!(scene.api.lists(), (0, 120));
    assert!(!scene.api.asked.lock().contains(&"/api/v1/namespaces".to_owned()));
}
