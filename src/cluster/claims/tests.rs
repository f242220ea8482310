use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use k8s_openapi::api::coordination::v1::Lease as LeaseObject;
use kube::client::Body;
use serde_json::json;
use tokio::task::JoinHandle;
use tower::service_fn;

use super::*;
use crate::clock::SystemClock;

/// An API server with room for Leases.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<Store>>);

#[derive(Default)]
struct Store {
    leases: BTreeMap<String, LeaseObject>,
    version: u64,
    /// Processes by name that get no answer.
    cut_off: Vec<String>,
    requests: usize,
}

impl Server {
    fn answer(&self, method: &Method, path: &str, is_list: bool, body: &[u8]) -> (u16, Vec<u8>) {
        let mut store = self.0.lock();
        store.requests += 1;
        let json = |object: &LeaseObject| serde_json::to_vec(object).unwrap();
        if is_list {
            let labelled = store.leases.values().filter(|lease| lease.metadata.labels.is_some());
            let items: Vec<&LeaseObject> = labelled.collect();
            return (200, json!({ "items": items }).to_string().into_bytes());
        }
        let name = path.rsplit('/').next().unwrap().to_owned();
        if *method == Method::GET {
            return store
                .leases
                .get(&name)
                .map_or((404, Vec::new()), |lease| (200, json(lease)));
        }
        let mut lease: LeaseObject = serde_json::from_slice(body).unwrap();
        let name = lease.metadata.name.clone().unwrap();
        let version = store
            .leases
            .get(&name)
            .map(|lease| lease.metadata.resource_version.clone());
        match (method == Method::POST, version) {
            (true, Some(_)) => return (409, Vec::new()),
            (false, None) => return (404, Vec::new()),
            (false, Some(version)) if version != lease.metadata.resource_version => return (409, Vec::new()),
            _ => {}
        }
        store.version += 1;
        lease.metadata.resource_version = Some(store.version.to_string());
        let answer = json(&lease);
        store.leases.insert(name, lease);
        (200, answer)
    }

    fn client(&self, process: &str) -> Client {
        let (server, process) = (self.clone(), process.to_owned());
        let service = service_fn(move |request: Request<Body>| {
            let (server, process) = (server.clone(), process.clone());
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                tokio::time::sleep(Duration::from_millis(5)).await;
                if server.0.lock().cut_off.contains(&process) {
                    std::future::pending::<()>().await;
                }
                let is_list = head.uri.query().is_some_and(|query| query.contains("labelSelector"));
                let (code, body) = server.answer(&head.method, head.uri.path(), is_list, &body);
                let body = Full::new(Bytes::from(body));
                Ok::<_, Infallible>(Response::builder().status(code).body(body).unwrap())
            }
        });
        Client::new(service, "default")
    }

    /// A process that wants shards, and ends each of its terms as soon as it is over.
    fn start(&self, name: &str, shards: u16) -> Process {
        let settings = settings(name);
        let sharding = Sharding::new(shards).unwrap();
        let (claims, mut tenancies, watch) = Claims::new(self.client(name), settings, sharding, Arc::new(SystemClock));
        let stop = CancellationToken::new();
        let end = stop.clone();
        let task = tokio::spawn(async move {
            let terms = async {
                let mut terms = JoinSet::new();
                while let Some(tenancy) = tenancies.recv().await {
                    terms.spawn(async move { tenancy.over().await });
                }
            };
            tokio::join!(claims.run(end), terms);
        });
        Process {
            name: name.to_owned(),
            watch,
            stop,
            task,
        }
    }
}

fn settings(identity: &str) -> LeaseSettings {
    LeaseSettings {
        lease_duration: Duration::from_secs(10),
        renew_deadline: Duration::from_secs(7),
        ..LeaseSettings::new("trimtab", "trimtab", identity)
    }
}

struct Process {
    name: String,
    watch: ClaimWatch,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Process {
    fn held(&self) -> Vec<u16> {
        self.watch.health().held
    }

    fn kill(&self) {
        self.task.abort();
    }
}

/// Lets time pass until `until` holds, and gives how long it took. Nowhere on the way may two hold the same shard.
async fn wait(limit: u64, processes: &[&Process], until: impl Fn() -> bool) -> Duration {
    let began = Instant::now();
    while !until() {
        let all: Vec<(&str, Vec<u16>)> = processes
            .iter()
            .map(|process| (&*process.name, process.held()))
            .collect();
        assert!(
            began.elapsed() < Duration::from_secs(limit),
            "not within {limit} s: {all:?}"
        );
        let mut held: Vec<u16> = all.iter().flat_map(|(_, held)| held.clone()).collect();
        held.sort_unstable();
        assert!(
            held.windows(2).all(|pair| pair[0] != pair[1]),
            "two hold the same: {all:?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    began.elapsed()
}

fn counts(processes: &[&Process]) -> Vec<usize> {
    let mut counts: Vec<usize> = processes.iter().map(|process| process.held().len()).collect();
    counts.sort_unstable();
    counts
}

#[tokio::test(start_paused = true)]
async fn three_processes_take_a_shard_each_and_what_a_dead_one_had_goes_to_the_others() {
    let server = Server::default();
    let (a, b, c) = (server.start("a", 3), server.start("b", 3), server.start("c", 3));
    let all = [&a, &b, &c];
    wait(15, &all, || counts(&all) == [1, 1, 1]).await;
    // Nothing moves any more. A look costs a list, two renewals, two looks at the Lease that all have in common, and its renewal,
    // for which all come at the same time here.
    let before: Vec<Vec<u16>> = all.iter().map(|process| process.held()).collect();
    server.0.lock().requests = 0;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(before, all.map(Process::held));
    let requests = server.0.lock().requests;
    assert!(requests <= 3 * 30 * 7, "{requests} requests a minute");

    b.kill();
    let took = wait(20, &[&a, &c], || counts(&[&a, &c]) == [1, 2]).await;
    // The lease, a look in which it was seen last, and the requests to take it.
    assert!(took <= Duration::from_millis(12_500), "{took:?}");

    let d = server.start("d", 3);
    let all = [&a, &c, &d];
    wait(20, &all, || counts(&all) == [1, 1, 1]).await;
    c.stop.cancel();
    let took = wait(10, &all, || counts(&[&a, &d]) == [1, 2]).await;
    assert!(took <= Duration::from_secs(5), "given back in order: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn one_that_is_cut_off_ends_before_others_begin_and_takes_its_part_again_later() {
    let server = Server::default();
    let (a, b) = (server.start("a", 4), server.start("b", 4));
    let all = [&a, &b];
    wait(20, &all, || counts(&all) == [2, 2]).await;
    server.0.lock().cut_off.push("a".to_owned());
    wait(20, &all, || b.held().len() == 4).await;
    assert!(a.held().is_empty());
    server.0.lock().cut_off.clear();
    wait(60, &all, || counts(&all) == [2, 2]).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_counts_other_shards_waits_until_all_have_ended() {
    let server = Server::default();
    let (a, b) = (server.start("a", 3), server.start("b", 3));
    wait(20, &[&a, &b], || counts(&[&a, &b]) == [1, 2]).await;
    let four = server.start("four", 4);
    let (lease, leads) = Lease::new(server.client("one"), settings("one"), Arc::new(SystemClock));
    let one = tokio::spawn(lease.run(CancellationToken::new()));
    let alone = || leads.borrow().leads(Instant::now());
    a.stop.cancel();
    for _ in 0..600 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(four.held().is_empty() && !alone());
    }
    assert_eq!(b.held().len(), 3);
    assert_eq!(four.watch.health().shut_out.as_deref(), Some("3 shards"));
    b.kill();
    // Of the two that waited one comes first, and the other one waits on.
    wait(30, &[&four], || four.held().len() == 4 || alone()).await;
    assert!(four.held().is_empty() || !alone());
    one.abort();
}

#[tokio::test(start_paused = true)]
async fn more_processes_than_shards_stand_by_and_take_the_place_of_the_dead() {
    let server = Server::default();
    let processes: Vec<Process> = (0..5).map(|number| server.start(&format!("p{number}"), 2)).collect();
    let all: Vec<&Process> = processes.iter().collect();
    wait(20, &all, || counts(&all) == [0, 0, 0, 1, 1]).await;
    for _ in 0..3 {
        let busy = all
            .iter()
            .find(|process| !process.held().is_empty() && !process.task.is_finished());
        let dead = busy.unwrap();
        dead.kill();
        let left: Vec<&Process> = all
            .iter()
            .filter(|process| !process.task.is_finished())
            .copied()
            .collect();
        let left: Vec<&Process> = left.into_iter().filter(|process| process.name != dead.name).collect();
        wait(40, &left, || {
            left.iter().map(|process| process.held().len()).sum::<usize>() == 2
        })
        .await;
    }
}
