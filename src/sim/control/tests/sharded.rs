//! Several processes share three shards, and things happen to them: who decided for which autoscaler, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body_util::Full;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::super::*;
use super::minutes;
use crate::cluster::autoscalers::Share;
use crate::cluster::claims::{ClaimWatch, Claims, Tenancy, lease_of_shard};
use crate::controller::report::{ErrorClass, PassReport};
use crate::controller::shards::{self, Maker};
use crate::manifests::{ReadOptions, read};
use crate::shards::Sharding;
use crate::sim::api::{AUTOSCALERS, AnswerBody, DEPLOYMENTS, LEASES};
use crate::sim::fleet::{Behaviour, Fleet};
use crate::sim::load::Load;
use crate::spec::Key;

const SHARDS: u16 = 3;
const NAMESPACES: usize = 12;

/// The Lease's times, and the time between two syncs, as by default.
const LEASE_TIME: Duration = Duration::from_secs(8);
const RENEW_DEADLINE: Duration = Duration::from_secs(5);
const RETRY_PERIOD: Duration = Duration::from_secs(2);
const PERIOD: Duration = Duration::from_secs(15);

fn sharding() -> Sharding {
    Sharding::new(SHARDS).unwrap()
}

/// A decision, and what the Lease of its shard said at that moment.
#[derive(Clone, Debug)]
struct Decided {
    at: Instant,
    by: &'static str,
    key: Key,
    holder: Option<String>,
}

/// All decisions, in the order of time.
type Decisions = Arc<Mutex<Vec<Decided>>>;

/// Holds requests back, and lets all of them go on later.
struct Gate(watch::Receiver<bool>);

impl Between for Gate {
    fn carry<'a>(&'a self, api: &'a Api, request: Request<Bytes>) -> BoxFuture<'a, io::Result<Response<AnswerBody>>> {
        Box::pin(async move {
            let mut open = self.0.clone();
            let _ = open.wait_for(|open| *open).await;
            let (head, body) = request.into_parts();
            Ok(api.answer(Request::from_parts(head, Full::new(body))).await)
        })
    }
}

/// One of several processes, put together as `trimtab run --shards` does it.
struct Sharded {
    name: &'static str,
    claims: ClaimWatch,
    cluster: Arc<Cluster>,
    refused: Arc<Refused>,
    gate: watch::Sender<bool>,
    stop: CancellationToken,
    task: JoinHandle<()>,
    line: Line,
}

/// Notes who could not be decided for, and how often.
#[derive(Default)]
struct Refused(Mutex<Vec<Key>>);

impl Listener for Refused {
    fn pass(&self, report: PassReport) {
        let refused = report.syncs.iter().filter(|sync| sync.error == ErrorClass::Spec);
        self.0.lock().extend(refused.map(|sync| sync.key.clone()));
    }

    fn beat(&self) {}
}

struct Parts {
    refused: Arc<Refused>,
    cluster: Arc<Cluster>,
    clock: Arc<VirtualClock>,
    recorder: EventRecorder,
    options: ProcessOptions,
    name: &'static str,
}

impl Maker for Parts {
    async fn make(&self, tenancy: &Tenancy, share: Share) -> Arc<Controller> {
        let clients = &self.cluster.clients;
        let lease = lease_of_shard(LEASE, tenancy.shard);
        let store = MemoryStore::new(clients.api.clone(), LEASE_NAMESPACE, &lease, self.name, REQUEST_TIME);
        let circumstances = Circumstances {
            clock: self.clock.clone(),
            recorder: self.recorder.clone(),
            leadership: tenancy.leadership.clone(),
        };
        let hand = Hand::Acting(Acting {
            client: clients.api.clone(),
            timeout: REQUEST_TIME,
            recorder: self.recorder.clone(),
            budget: Arc::new(Mutex::new(StatusBudget::new(STATUS_WRITES_PER_SECOND, PERIOD))),
            leadership: Some(tenancy.leadership.clone()),
            onlooker: self.options.onlooker.clone(),
        });
        let controller = Controller::new(
            self.cluster.clone(),
            sources(clients, None, &self.options),
            self.options.controller.clone(),
            self.clock.clone(),
            hand,
            self.refused.clone(),
        );
        let beginning = begin(Arc::new(store), circumstances).await;
        Arc::new(controller.for_share(share).remembering(beginning))
    }

    fn beat(&self) {}

    fn ended(&self, _: u16) {}
}

impl Sharded {
    fn held(&self) -> Vec<u16> {
        self.claims.health().held
    }

    async fn kill(self) {
        self.line.cut();
        self.task.abort();
        let _ = self.task.await;
    }
}

struct Scene {
    api: Arc<Api>,
    clock: Arc<VirtualClock>,
    decisions: Decisions,
}

impl Scene {
    fn begin() -> Self {
        let clock = Arc::new(VirtualClock::new("2026-01-05T08:00:00Z".parse().unwrap()));
        let api = Api::new(clock.clone());
        let fleet = Arc::new(Fleet::new(api.clone(), clock.clone(), 1));
        for number in 0..NAMESPACES {
            let namespace = format!("team-{number}");
            api.store.ensure_namespace(&namespace);
            let behaviour = Behaviour {
                cpu: Load::Steady(90.0),
                ..Behaviour::default()
            };
            fleet.behave(Key::new(namespace.as_str(), "web"), behaviour);
            let metadata = || json!({ "name": "web", "namespace": namespace });
            let deployment = json!({ "metadata": metadata(), "spec": { "replicas": 2,
                "selector": { "matchLabels": { "app": "web" } }, "template": { "metadata": { "labels": { "app": "web" } },
                    "spec": { "containers": [{ "name": "main", "image": "v1",
                        "resources": { "requests": { "cpu": "100m" } } }] } } } });
            api.store.create(&DEPLOYMENTS, deployment).unwrap();
            let autoscaler = json!({ "metadata": metadata(), "spec": { "minReplicas": 2, "maxReplicas": 10,
                "metrics": super::cpu(50),
                "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" } } });
            api.store.create(&AUTOSCALERS, autoscaler).unwrap();
        }
        tokio::spawn(async move { fleet.run().await });
        Self {
            api,
            clock,
            decisions: Decisions::default(),
        }
    }

    fn start(&self, name: &'static str, seed: u64) -> Sharded {
        let (gate, open) = watch::channel(true);
        let line = Line::new(self.api.clone(), Some(Arc::new(Gate(open))));
        let clients = Clients::over(
            line.client(),
            &ClientSettings::default(),
            "simulated".to_owned(),
            "default".to_owned(),
        );
        let cluster_options = ClusterOptions {
            scope: Scope::Cluster,
            watch: WatchOptions {
                streamed_lists: true,
                seed,
            },
            scale_time: REQUEST_TIME,
        };
        let stop = CancellationToken::new();
        let cluster = Arc::new(Cluster::start_sharded(
            clients.clone(),
            cluster_options,
            sharding(),
            CancellationToken::new(),
        ));
        let lease = LeaseSettings {
            lease_duration: LEASE_TIME,
            renew_deadline: RENEW_DEADLINE,
            retry_period: RETRY_PERIOD,
            ..LeaseSettings::new(LEASE_NAMESPACE, LEASE, name)
        };
        let (claiming, tenancies, claims) = Claims::new(clients.leases.clone(), lease, sharding(), self.clock.clone());
        let (recorder, events) = events(clients.api.clone());
        let (decisions, api) = (self.decisions.clone(), self.api.clone());
        let options = ProcessOptions {
            seed,
            onlooker: Some(Arc::new(move |spec, _| {
                let key = spec.key.clone();
                let lease = lease_of_shard(LEASE, sharding().shard_of(&key.namespace));
                let lease = api.store.get(&LEASES, LEASE_NAMESPACE, &lease);
                let holder = lease.and_then(|lease| Some(lease["spec"]["holderIdentity"].as_str()?.to_owned()));
                let at = Instant::now();
                let by = name;
                decisions.lock().push(Decided { at, by, key, holder });
            })),
            ..ProcessOptions::default()
        };
        let refused = Arc::<Refused>::default();
        let maker = Arc::new(Parts {
            refused: refused.clone(),
            cluster: cluster.clone(),
            clock: self.clock.clone(),
            recorder,
            options,
            name,
        });
        let (until, watched) = (stop.clone(), cluster.clone());
        let task = tokio::spawn(async move {
            let ended = CancellationToken::new();
            let terms = async {
                shards::run(cluster.clone(), sharding(), tenancies, maker, until).await;
                ended.cancel();
            };
            tokio::join!(
                terms,
                claiming.run(ended.clone()),
                events.run(ended.clone(), Duration::from_millis(300)),
            );
            cluster.stop().await;
        });
        Sharded {
            name,
            claims,
            cluster: watched,
            refused,
            gate,
            stop,
            task,
            line,
        }
    }

    /// Waits until these processes have shared all shards out.
    async fn shared_out(&self, processes: &[&Sharded]) {
        let began = Instant::now();
        loop {
            let counts: Vec<usize> = processes.iter().map(|process| process.held().len()).collect();
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            if counts.iter().sum::<usize>() == usize::from(SHARDS) && most - least <= 1 {
                return;
            }
            assert!(
                began.elapsed() < Duration::from_secs(40),
                "never shared out: {counts:?}"
            );
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// The autoscalers of a process.
    fn keys_of(&self, process: &Sharded) -> BTreeSet<Key> {
        let held = process.held();
        let keys = (0..NAMESPACES).map(|number| Key::new(format!("team-{number}"), "web"));
        keys.filter(|key| held.contains(&sharding().shard_of(&key.namespace)))
            .collect()
    }

    /// Each of these autoscalers was decided for again no later after `fault` than the lease's time and one sync.
    fn none_was_left_out(&self, keys: &BTreeSet<Key>, fault: Instant, but: &str) {
        let decisions = self.decisions.lock();
        for key in keys {
            let again = decisions
                .iter()
                .find(|decided| decided.key == *key && decided.at > fault && decided.by != but);
            let again = again.unwrap_or_else(|| panic!("nobody decides for {key} any more"));
            let took = again.at - fault;
            assert!(
                took <= LEASE_TIME + PERIOD,
                "{key}: decided by {} only {took:?} later",
                again.by
            );
        }
    }

    /// Who decides for an autoscaler holds the Lease of its shard at that moment, so that no two do.
    fn none_was_decided_by_two(&self) {
        let decisions = self.decisions.lock();
        let keys: BTreeSet<&Key> = decisions.iter().map(|decided| &decided.key).collect();
        assert_eq!(keys.len(), NAMESPACES);
        for decided in &*decisions {
            assert_eq!(decided.holder.as_deref(), Some(decided.by), "{decided:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_autoscaler_is_left_out_and_none_is_decided_by_two_whatever_happens_to_the_processes() {
    let scene = Scene::begin();
    let (a, b, c) = (scene.start("a", 1), scene.start("b", 2), scene.start("c", 3));
    scene.shared_out(&[&a, &b, &c]).await;
    sleep(minutes(2)).await;

    // One is killed.
    let (keys, fault) = (scene.keys_of(&b), Instant::now());
    assert!(!keys.is_empty());
    b.kill().await;
    sleep(minutes(1)).await;
    scene.none_was_left_out(&keys, fault, "b");
    scene.shared_out(&[&a, &c]).await;

    // One comes: it gets its share.
    let d = scene.start("d", 4);
    scene.shared_out(&[&a, &c, &d]).await;
    sleep(minutes(1)).await;

    // One gets no answers for longer than its lease, then all of them.
    let (keys, fault) = (scene.keys_of(&c), Instant::now());
    c.gate.send_replace(false);
    sleep(Duration::from_secs(40)).await;
    scene.none_was_left_out(&keys, fault, "c");
    assert!(c.held().is_empty());
    c.gate.send_replace(true);
    scene.shared_out(&[&a, &c, &d]).await;
    sleep(minutes(1)).await;

    // One ends in order: the others wait for no lease.
    let (keys, fault) = (scene.keys_of(&a), Instant::now());
    a.stop.cancel();
    a.task.await.unwrap();
    sleep(minutes(1)).await;
    scene.none_was_left_out(&keys, fault, "a");
    scene.shared_out(&[&c, &d]).await;
    assert_ne!(c.name, d.name);
    scene.none_was_decided_by_two();
    for process in [c, d] {
        process.stop.cancel();
        process.task.await.unwrap();
    }
}

/// Processes look at Leases and renew them at any moment of each other's two seconds.
#[tokio::test(start_paused = true)]
async fn where_nothing_goes_wrong_no_shard_changes_hands() {
    for (second, third) in [(0, 0), (300, 650), (700, 1_400), (1_000, 1_900), (1_850, 1_950)] {
        let scene = Scene::begin();
        let a = scene.start("a", 1);
        sleep(Duration::from_millis(second)).await;
        let b = scene.start("b", 2);
        sleep(Duration::from_millis(third)).await;
        let c = scene.start("c", 3);
        scene.shared_out(&[&a, &b, &c]).await;
        let held = || [&a, &b, &c].map(Sharded::held);
        let (before, began) = (held(), Instant::now());
        while began.elapsed() < Duration::from_secs(40) {
            sleep(Duration::from_millis(100)).await;
            assert_eq!(
                held(),
                before,
                "{second} and {third} ms apart, after {:?}",
                began.elapsed()
            );
        }
        scene.none_was_decided_by_two();
        for process in [a, b, c] {
            process.stop.cancel();
            process.task.await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_autoscaler_of_a_file_in_a_namespace_that_is_not_there_is_told_until_it_is() {
    let scene = Scene::begin();
    let (a, b) = (scene.start("a", 1), scene.start("b", 2));
    let web = Key::new("nowhere", "web");
    let manifest = "apiVersion: autoscaling/v1\nkind: HorizontalPodAutoscaler\nmetadata: {name: web, namespace: nowhere}\nspec:\n  \
                    scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}\n  maxReplicas: 3\n";
    let content = read("a.yaml", manifest, &ReadOptions::default());
    let manifests: BTreeMap<Key, _> = content
        .manifests
        .into_iter()
        .map(|manifest| (manifest.spec.key.clone(), Arc::new(manifest)))
        .collect();
    for process in [&a, &b] {
        process.cluster.autoscalers.serve_manifests(&manifests);
    }
    scene.shared_out(&[&a, &b]).await;
    sleep(minutes(1)).await;
    let refused = || [&a, &b].map(|process| process.refused.0.lock().len());
    let by = refused();
    assert!(
        by.contains(&0) && by.iter().sum::<usize>() >= 3,
        "by whoever has its shard, in each pass: {by:?}"
    );
    for process in [&a, &b] {
        assert!(process.refused.0.lock().iter().all(|key| *key == web));
    }
    let decided = || scene.decisions.lock().iter().any(|decided| decided.key == web);
    assert!(!decided());

    scene.api.store.ensure_namespace("nowhere");
    sleep(minutes(1)).await;
    let before = refused();
    assert!(decided());
    sleep(minutes(1)).await;
    assert_eq!(refused(), before);
    for process in [a, b] {
        process.stop.cancel();
        process.task.await.unwrap();
    }
}
