//! Candidates and one Lease, in virtual time.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry, Time};
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::json;
use tokio::task::JoinHandle;
use tower::service_fn;

use super::*;
use crate::clock::SystemClock;

mod fencing;
mod tenure;

#[tokio::test(start_paused = true)]
async fn a_lease_under_another_ends_with_it() {
    let server = Server::default();
    let settings = LeaseSettings::new("trimtab", "trimtab", "candidate-1");
    let (above, leads_above) = watch::channel(Leadership::Following { leader: None });
    let (lease, leadership) = Lease::new(server.client(1), settings, Arc::new(SystemClock));
    let stop = CancellationToken::new();
    let task = tokio::spawn(lease.under(leads_above).run(stop.clone()));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!leadership.borrow().leads(Instant::now()), "above it nobody leads");
    let until = Instant::now() + Duration::from_secs(6);
    above.send_replace(Leadership::Leading {
        until,
        above: None,
        former: None,
        word: LastWord::default(),
        tenure: "1".into(),
    });
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(leadership.borrow().leads(Instant::now()));
    assert!(!leadership.borrow().leads(until), "however often it is renewed");
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(matches!(*leadership.borrow(), Leadership::Following { .. }));
    stop.cancel();
    task.await.unwrap();
}

/// Whatever is above is renewed each two seconds, when a second is left; the other one renews at any time between.
#[tokio::test(start_paused = true)]
async fn a_lease_under_another_goes_on_as_long_as_that_one_is_renewed() {
    for phase in 0..20 {
        let server = Server::default();
        let settings = LeaseSettings::new("trimtab", "trimtab", "candidate-1");
        let (above, leads_above) = watch::channel(Leadership::Following { leader: None });
        let renewed = tokio::spawn(async move {
            loop {
                above.send_replace(Leadership::Leading {
                    until: Instant::now() + Duration::from_secs(3),
                    above: None,
                    former: None,
                    word: LastWord::default(),
                    tenure: "1".into(),
                });
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        });
        tokio::time::sleep(Duration::from_millis(1 + phase * 100)).await;
        let (lease, mut leadership) = Lease::new(server.client(1), settings, Arc::new(SystemClock));
        let stop = CancellationToken::new();
        let task = tokio::spawn(lease.under(leads_above).run(stop.clone()));
        tokio::time::sleep(Duration::from_secs(1)).await;
        leadership.mark_unchanged();
        for _ in 0..6_000 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            assert!(leadership.borrow().leads(Instant::now()), "phase {phase}");
        }
        assert!(!leadership.has_changed().unwrap(), "phase {phase}");
        let requests = server.0.lock().requests.len();
        assert!(
            requests <= 34,
            "one renewal each two seconds, and not {requests} in a minute"
        );
        renewed.abort();
        stop.cancel();
        task.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_in_common_leaves_as_much_time_as_one_of_our_own() {
    let server = Server::default();
    let settings = || LeaseSettings::new("trimtab", "trimtab", "3 shards");
    let mut all = Vec::new();
    for candidate in 0..4 {
        let (lease, leadership) = Lease::new(server.client(candidate), settings(), Arc::new(SystemClock));
        all.push(leadership);
        tokio::spawn(lease.in_common().run(CancellationToken::new()));
        tokio::time::sleep(Duration::from_millis(370)).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let least = settings().renew_deadline - settings().retry_period - Duration::from_millis(50);
    for _ in 0..6_000 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        for leadership in &all {
            let left = leadership.borrow().end().unwrap().duration_since(Instant::now());
            assert!(left >= least, "{left:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_in_common_is_led_by_all_and_given_back_by_none() {
    let server = Server::default();
    let start = |candidate| {
        let settings = LeaseSettings::new("trimtab", "trimtab", "3 shards");
        let (lease, leadership) = Lease::new(server.client(candidate), settings, Arc::new(SystemClock));
        let stop = CancellationToken::new();
        let task = tokio::spawn(lease.in_common().run(stop.clone()));
        Candidate { leadership, stop, task }
    };
    let (first, second, alone) = (start(1), start(2), server.start(3));
    for _ in 0..300 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!alone.leads());
    }
    assert!(first.leads() && second.leads());
    first.stop.cancel();
    first.task.await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(second.leads() && !alone.leads());
    second.stop.cancel();
    second.task.await.unwrap();
    let took = wait(20, &[&alone], || alone.leads()).await;
    assert!(
        took > Duration::from_secs(10),
        "it was not given back, but has run out: {took:?}"
    );
}

/// Somebody wrote the Lease's spec, now and to the second.
fn stamped(clock: &dyn Clock) -> ManagedFieldsEntry {
    let now = Timestamp::from_second(clock.now().as_second()).unwrap();
    ManagedFieldsEntry {
        manager: Some("trimtab".into()),
        operation: Some("Update".into()),
        fields_v1: Some(FieldsV1(json!({"f:spec": {"f:renewTime": {}}}))),
        time: Some(Time(now)),
        ..ManagedFieldsEntry::default()
    }
}

/// An API server with room for one Lease.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<Store>>);

#[derive(Default)]
struct Store {
    lease: Option<LeaseObject>,
    version: u64,
    /// Notes by it who wrote what when; `None`: notes nothing.
    stamps: Option<Arc<dyn Clock>>,
    /// Candidates by number that get no answer.
    cut_off: Vec<usize>,
    requests: Vec<(usize, Method)>,
}

impl Server {
    fn answer(&self, candidate: usize, method: Method, body: &[u8]) -> (u16, Vec<u8>) {
        let mut store = self.0.lock();
        store.requests.push((candidate, method.clone()));
        let version = store.version.to_string();
        match (method, store.lease.clone()) {
            (Method::GET | Method::PUT, None) => return (404, Vec::new()),
            (Method::GET, Some(lease)) => return (200, serde_json::to_vec(&lease).unwrap()),
            (Method::POST, Some(_)) => return (409, Vec::new()),
            _ => {}
        }
        let mut lease: LeaseObject = serde_json::from_slice(body).unwrap();
        if store.lease.is_some() && lease.metadata.resource_version != Some(version) {
            return (409, Vec::new());
        }
        store.version += 1;
        lease.metadata.resource_version = Some(store.version.to_string());
        lease.metadata.managed_fields = store.stamps.as_ref().map(|clock| vec![stamped(&**clock)]);
        store.lease = Some(lease.clone());
        (200, serde_json::to_vec(&lease).unwrap())
    }

    fn client(&self, candidate: usize) -> Client {
        let server = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                tokio::time::sleep(Duration::from_millis(5)).await;
                if server.0.lock().cut_off.contains(&candidate) {
                    std::future::pending::<()>().await;
                }
                let (code, body) = server.answer(candidate, head.method, &body);
                Ok::<_, Infallible>(
                    Response::builder()
                        .status(code)
                        .body(Full::new(Bytes::from(body)))
                        .unwrap(),
                )
            }
        });
        Client::new(service, "default")
    }

    fn start(&self, candidate: usize) -> Candidate {
        self.start_by(candidate, Arc::new(SystemClock))
    }

    /// With a wall clock of its own.
    fn start_by(&self, candidate: usize, clock: Arc<dyn Clock>) -> Candidate {
        let settings = LeaseSettings::new("trimtab", "trimtab", format!("candidate-{candidate}"));
        let (lease, leadership) = Lease::new(self.client(candidate), settings, clock);
        let stop = CancellationToken::new();
        Candidate {
            leadership,
            stop: stop.clone(),
            task: tokio::spawn(lease.run(stop)),
        }
    }

    fn spec(&self) -> k8s_openapi::api::coordination::v1::LeaseSpec {
        self.0.lock().lease.clone().unwrap().spec.unwrap()
    }
}

struct Candidate {
    leadership: watch::Receiver<Leadership>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Candidate {
    fn leads(&self) -> bool {
        self.leadership.borrow().leads(Instant::now())
    }
}

/// Lets time pass until `until` holds, and gives how long it took. Nowhere on the way may two lead.
async fn wait(limit_seconds: u64, candidates: &[&Candidate], until: impl Fn() -> bool) -> Duration {
    let began = Instant::now();
    while !until() {
        assert!(
            began.elapsed() < Duration::from_secs(limit_seconds),
            "not within {limit_seconds} s"
        );
        assert!(
            candidates.iter().filter(|candidate| candidate.leads()).count() <= 1,
            "two lead"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    began.elapsed()
}

async fn leader_and_follower(server: &Server) -> (Candidate, Candidate) {
    let first = server.start(1);
    wait(1, &[&first], || first.leads()).await;
    let second = server.start(2);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(first.leads() && !second.leads());
    (first, second)
}

#[tokio::test(start_paused = true)]
async fn one_leads_and_the_other_knows_who() {
    let server = Server::default();
    let (first, second) = leader_and_follower(&server).await;
    assert_eq!(
        *second.leadership.borrow(),
        Leadership::Following {
            leader: Some("candidate-1".into())
        }
    );
    let spec = server.spec();
    assert_eq!(
        (spec.lease_duration_seconds, spec.lease_transitions),
        (Some(15), Some(0))
    );
    // A renewal is one request every two seconds, and wakes nobody.
    let mut leadership = first.leadership.clone();
    leadership.mark_unchanged();
    server.0.lock().requests.clear();
    tokio::time::sleep(Duration::from_secs(20)).await;
    let requests = server.0.lock().requests.clone();
    let mine: Vec<_> = requests.iter().filter(|(candidate, _)| *candidate == 1).collect();
    assert!(
        mine.len() <= 10 && mine.iter().all(|(_, method)| method == Method::PUT),
        "{mine:?}"
    );
    assert!(!leadership.has_changed().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_killed_is_followed_when_its_lease_has_run_out() {
    let server = Server::default();
    let (first, second) = leader_and_follower(&server).await;
    first.task.abort();
    let took = wait(18, &[&second], || second.leads()).await;
    // 15 s from when the follower saw the last renewal, which is up to half a second late.
    assert!((13.0..=15.6).contains(&took.as_secs_f64()), "{took:?}");
    assert_eq!(server.spec().lease_transitions, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_clean_stop_hands_over_at_the_next_try() {
    let server = Server::default();
    let (first, second) = leader_and_follower(&server).await;
    first.stop.cancel();
    first.task.await.unwrap();
    assert_eq!(server.spec().holder_identity.as_deref(), Some(""));
    let took = wait(3, &[&second], || second.leads()).await;
    assert!(took <= Duration::from_millis(600), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_ends_before_another_begins() {
    let server = Server::default();
    let (first, second) = leader_and_follower(&server).await;
    server.0.lock().cut_off.push(1);
    let both = [&first, &second];
    let ended = wait(11, &both, || !first.leads()).await;
    assert!(ended <= Duration::from_millis(10_100), "{ended:?}");
    wait(8, &both, || second.leads()).await;
    server.0.lock().cut_off.clear();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!first.leads() && second.leads());
    assert_eq!(
        *first.leadership.borrow(),
        Leadership::Following {
            leader: Some("candidate-2".into())
        }
    );
}

#[tokio::test(start_paused = true)]
async fn a_short_cut_costs_no_leadership() {
    let server = Server::default();
    let (first, second) = leader_and_follower(&server).await;
    let mut leadership = first.leadership.clone();
    leadership.mark_unchanged();
    server.0.lock().cut_off.push(1);
    tokio::time::sleep(Duration::from_secs(4)).await;
    server.0.lock().cut_off.clear();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(first.leads() && !second.leads());
    assert!(!leadership.has_changed().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_foreign_write_to_the_lease_is_no_loss() {
    let server = Server::default();
    let (first, second) = leader_and_follower(&server).await;
    {
        let mut store = server.0.lock();
        store.version += 1;
        let version = store.version.to_string();
        store.lease.as_mut().unwrap().metadata.resource_version = Some(version);
    }
    wait(30, &[&first, &second], || server.0.lock().version > 40).await;
    assert!(first.leads() && !second.leads());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_deleted_stays_with_its_holder() {
    let server = Server::default();
    let (first, second) = leader_and_follower(&server).await;
    server.0.lock().lease = None;
    wait(10, &[&first, &second], || server.0.lock().lease.is_some()).await;
    assert_eq!(server.spec().holder_identity.as_deref(), Some("candidate-1"));
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(first.leads() && !second.leads());
}

#[tokio::test(start_paused = true)]
async fn of_many_candidates_one_leads_through_all_hand_overs() {
    let server = Server::default();
    let candidates: Vec<Candidate> = (0..5).map(|n| server.start(n)).collect();
    let all: Vec<&Candidate> = candidates.iter().collect();
    for _ in 0..4 {
        wait(5, &all, || all.iter().any(|candidate| candidate.leads())).await;
        let leader = all.iter().find(|candidate| candidate.leads()).unwrap();
        leader.stop.cancel();
        wait(2, &all, || leader.task.is_finished()).await;
    }
    wait(5, &all, || all.iter().any(|candidate| candidate.leads())).await;
}
