//! Who decides: leader election on a `coordination.k8s.io` Lease.
//!
//! The rules are client-go's, with one more: leadership ends by the leader's own clock, [`Leadership::leads`], before
//! anyone else may take the lease. Clocks of different hosts are never compared: a candidate counts the lease's duration
//! from when it saw the last change.

mod identity;
mod record;
mod word;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease as LeaseObject;
use kube::Client;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::wire::{WireError, WireFailure};
pub use identity::identity;
pub(super) use record::{Seen, list};
use record::{create, read, replace};
pub use word::{Former, LastWord};

/// The time in which the lease is given back; after it the process ends all the same, and the lease runs out.
const RELEASE_TIME: Duration = Duration::from_secs(1);

/// How often a follower looks, at least: one that is given back is taken within this time, and a renewal is seen no later.
const LOOKS: Duration = Duration::from_millis(500);

/// Where the lease is, who we are, and how fast it goes from hand to hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseSettings {
    /// The Lease's namespace.
    pub namespace: String,
    /// The Lease's name.
    pub name: String,
    /// Who we are; must differ between candidates. See [`identity()`].
    pub identity: String,
    /// Others take the lease so long after they saw it change for the last time. Whole seconds, rounded up.
    pub lease_duration: Duration,
    /// A leader that could not renew the lease for so long leads no more; must be shorter than `lease_duration`.
    pub renew_deadline: Duration,
    /// Between two tries to renew it; must be shorter than `renew_deadline`. A follower looks at least as often, and each half second.
    pub retry_period: Duration,
    /// Labels that the Lease has, beside those that others give it.
    pub labels: BTreeMap<String, String>,
}

impl LeaseSettings {
    /// Settings with client-go's times: 15 s, 10 s and 2 s.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>, identity: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            identity: identity.into(),
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
            labels: BTreeMap::new(),
        }
    }
}

/// Whether we lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// Another one leads, or nobody does yet.
    Following {
        /// Who leads, where that is known.
        leader: Option<Arc<str>>,
    },
    /// We lead until then, unless the lease is renewed before.
    Leading {
        /// By the monotonic clock.
        until: Instant,
        /// What whoever led before this term let know; `None` where nobody ever did.
        former: Option<Former>,
        /// Takes what we tell whoever leads next.
        word: LastWord,
    },
}

impl Leadership {
    /// Whether we lead at `now`. Ask before each write, with the clock as it is then: a process that was stopped for a while
    /// finds out here that its time is over.
    pub fn leads(&self, now: Instant) -> bool {
        self.end().is_some_and(|end| now < end)
    }

    /// Until when we lead, if we do.
    pub fn end(&self) -> Option<Instant> {
        match self {
            Self::Leading { until, .. } => Some(*until),
            Self::Following { .. } => None,
        }
    }
}

/// A candidate for the lease.
pub struct Lease {
    client: Client,
    settings: LeaseSettings,
    clock: Arc<dyn Clock>,
    seen: Option<Seen>,
    /// See [`Leadership::Leading`].
    former: Option<Former>,
    word: LastWord,
    leadership: watch::Sender<Leadership>,
    /// See [`under`](Self::under).
    above: Option<watch::Receiver<Leadership>>,
    /// See [`in_common`](Self::in_common).
    in_common: bool,
    /// When `seen` was known last to be as the lease is.
    current_at: Option<Instant>,
}

impl Lease {
    /// A candidate, and what it says about its leadership. The `clock` is for the times in the Lease; nothing is decided by
    /// them. The receiver wakes when leadership begins or ends, not at
    /// each renewal; the value it holds is always the newest.
    pub fn new(client: Client, settings: LeaseSettings, clock: Arc<dyn Clock>) -> (Self, watch::Receiver<Leadership>) {
        let (leadership, receiver) = watch::channel(Leadership::Following { leader: None });
        (
            Self {
                client,
                settings,
                clock,
                seen: None,
                former: None,
                word: LastWord::default(),
                leadership,
                above: None,
                in_common: false,
                current_at: None,
            },
            receiver,
        )
    }

    /// Knows the Lease as somebody saw it before: the time after which it may be taken counts from then.
    pub(super) fn having_seen(mut self, seen: Option<Seen>) -> Self {
        self.seen = seen;
        self
    }

    /// Leads only where `above` leads, too, and no longer.
    pub(super) fn under(mut self, above: watch::Receiver<Leadership>) -> Self {
        self.above = Some(above);
        self
    }

    /// The Lease is held by all who have the same identity together; so whoever stops does not give it back.
    pub(super) fn in_common(mut self) -> Self {
        self.in_common = true;
        self
    }

    /// Takes the lease when it is free, and renews it. At `stop`, gives it back and ends: cancel that after the last write,
    /// since another one takes over at once.
    pub async fn run(mut self, stop: CancellationToken) {
        while let Some(next) = stop.run_until_cancelled(self.step()).await {
            if stop.run_until_cancelled(sleep_until(next)).await.is_none() {
                break;
            }
        }
        self.release().await;
    }

    /// One try to take or renew it; gives the time of the next.
    async fn step(&mut self) -> Instant {
        let began = Instant::now();
        let patience = match *self.leadership.borrow() {
            Leadership::Leading { until, .. } => until.saturating_duration_since(began),
            Leadership::Following { .. } => self.settings.renew_deadline,
        };
        match timeout(patience, self.attempt(began)).await {
            Ok(Ok(held_since)) => self.say(held_since),
            Ok(Err(error)) => warn!(error = &error as &dyn std::error::Error, "Lease not renewed"),
            Err(_) => warn!(lease = self.settings.name, "Lease not renewed in time"),
        }
        self.end_if_over();
        self.next_step()
    }

    /// From when on the lease's time counts, if we hold it now: nobody can have seen the renewal earlier.
    async fn attempt(&mut self, began: Instant) -> Result<Option<Instant>, WireError> {
        if self.in_common {
            return self.renew_in_common(began).await;
        }
        if self.holds() {
            match self.take().await {
                Err(error) if matches!(error.failure(), WireFailure::Conflict | WireFailure::NotFound) => {}
                outcome => return outcome.map(|()| Some(began)),
            }
        }
        let exists = self.look().await?;
        match self.take_if_free(exists, began).await {
            Ok(leads) => Ok(leads.then_some(began)),
            // Another one was faster; who it was is read at the next try.
            Err(error) if error.failure() == WireFailure::Conflict => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A lease that we hold with others is renewed where none of them has done so since we looked last.
    async fn renew_in_common(&mut self, began: Instant) -> Result<Option<Instant>, WireError> {
        if let Some(renewed) = self.renewed_by_others(began).await? {
            return Ok(Some(renewed));
        }
        match self.take_if_free(self.seen.is_some(), began).await {
            Ok(leads) => Ok(leads.then_some(began)),
            Err(error) if error.failure() == WireFailure::Conflict => self.renewed_by_others(began).await,
            Err(error) => Err(error),
        }
    }

    /// Looks, and gives since when it must have been renewed, if it was: since we last knew that it was not.
    async fn renewed_by_others(&mut self, began: Instant) -> Result<Option<Instant>, WireError> {
        let (former, since) = (self.seen.take(), self.current_at.replace(began));
        let object = read(&self.client, &self.settings).await?;
        let changed = match (&former, &object) {
            (Some(former), Some(object)) => !former.is_same(object),
            _ => false,
        };
        self.seen = object.map(|object| Seen::again(former, object, began));
        Ok(since.filter(|_| changed && self.holds()))
    }

    /// Reads the lease; whether there is one.
    async fn look(&mut self) -> Result<bool, WireError> {
        let object = read(&self.client, &self.settings).await?;
        let exists = object.is_some();
        object.into_iter().for_each(|object| self.see(object));
        Ok(exists)
    }

    async fn take_if_free(&mut self, exists: bool, began: Instant) -> Result<bool, WireError> {
        // A Lease that someone deleted leaves its holder leading until it notices: its time counts all the same.
        let held_by_another = self.seen.as_ref().is_some_and(|seen| !seen.is_free(Instant::now()));
        if held_by_another && !self.holds() {
            return Ok(false);
        }
        if exists {
            self.take().await?;
        } else {
            self.create(began).await?;
        }
        Ok(true)
    }

    /// Writes us into the lease as it was seen.
    async fn take(&mut self) -> Result<(), WireError> {
        let began = Instant::now();
        let Some(seen) = &self.seen else { return Ok(()) };
        let former = seen.former();
        if self.follows() {
            self.word.begin_term();
        }
        let mut wish = seen.held_by(&self.settings, self.clock.now());
        self.word.write(&mut wish);
        let object = replace(&self.client, &self.settings, &wish).await?;
        if self.follows() {
            self.former = former;
        }
        self.seen = Some(Seen::new(object, began));
        Ok(())
    }

    async fn create(&mut self, began: Instant) -> Result<(), WireError> {
        if self.follows() {
            self.former = None;
            self.word.begin_term();
        }
        let object = create(&self.client, &self.settings, &self.word, self.clock.now()).await?;
        self.seen = Some(Seen::new(object, began));
        Ok(())
    }

    fn see(&mut self, object: LeaseObject) {
        if !self.seen.as_ref().is_some_and(|seen| seen.is_same(&object)) {
            self.seen = Some(Seen::new(object, Instant::now()));
        }
    }

    fn follows(&self) -> bool {
        matches!(*self.leadership.borrow(), Leadership::Following { .. })
    }

    fn holds(&self) -> bool {
        self.seen
            .as_ref()
            .is_some_and(|seen| seen.holder() == self.settings.identity)
    }

    fn say(&self, held_since: Option<Instant>) {
        let holder = self.seen.as_ref().map(Seen::holder).filter(|holder| !holder.is_empty());
        let until = held_since.and_then(|since| self.at_most(since + self.settings.renew_deadline));
        let leadership = match until {
            Some(until) => Leadership::Leading {
                until,
                former: self.former.clone(),
                word: self.word.clone(),
            },
            None => Leadership::Following {
                leader: holder.map(Into::into),
            },
        };
        self.announce(leadership);
    }

    /// Until then, or as long as `above` leads; `None` where that one does not.
    fn at_most(&self, until: Instant) -> Option<Instant> {
        match self.above.as_ref().map(|above| above.borrow().clone()) {
            None => Some(until),
            Some(Leadership::Leading { until: above, .. }) => Some(until.min(above)),
            Some(Leadership::Following { .. }) => None,
        }
    }

    fn end_if_over(&self) {
        let over = matches!(*self.leadership.borrow(), Leadership::Leading { until, .. } if until <= Instant::now());
        if over {
            self.announce(Leadership::Following { leader: None });
        }
    }

    fn announce(&self, leadership: Leadership) {
        let identity = &self.settings.identity;
        self.leadership.send_if_modified(|current| {
            let led = matches!(current, Leadership::Leading { .. });
            let leads = matches!(leadership, Leadership::Leading { .. });
            let changed = led != leads || (!leads && *current != leadership);
            match &leadership {
                Leadership::Leading { .. } if changed => info!(lease = self.settings.name, identity, "Leads"),
                Leadership::Following { leader } if changed => {
                    info!(
                        lease = self.settings.name,
                        identity,
                        leader = leader.as_deref(),
                        "Follows"
                    );
                }
                _ => {}
            }
            *current = leadership;
            changed
        });
    }

    /// The next try: after the retry period, or when leadership or another's lease ends; a follower's after a look's time.
    fn next_step(&self) -> Instant {
        let now = Instant::now();
        let regular = match self.follows() {
            true => now + self.settings.retry_period.min(LOOKS),
            false => now + self.settings.retry_period,
        };
        let end = match *self.leadership.borrow() {
            Leadership::Leading { until, .. } => Some(until),
            Leadership::Following { .. } => self.seen.as_ref().map(Seen::ends).filter(|end| *end > now),
        };
        end.map_or(regular, |end| end.min(regular))
    }

    /// Gives the lease back, so that another one can take it at its next try.
    async fn release(&mut self) {
        let was_leading = self.leadership.borrow().leads(Instant::now());
        self.announce(Leadership::Following { leader: None });
        if self.in_common || !self.holds() && !was_leading {
            return;
        }
        let outcome = timeout(RELEASE_TIME, async {
            // A renewal may have been under way when the stop came.
            match self.give_back().await {
                Err(error) if error.failure() == WireFailure::Conflict => {
                    let Some(object) = read(&self.client, &self.settings).await? else {
                        return Ok(());
                    };
                    self.see(object);
                    if self.holds() { self.give_back().await } else { Ok(()) }
                }
                outcome => outcome,
            }
        });
        match outcome.await {
            Ok(Ok(())) => info!(lease = self.settings.name, "Lease given back"),
            Ok(Err(error)) => warn!(error = &error as &dyn std::error::Error, "Lease not given back"),
            Err(_) => warn!(lease = self.settings.name, "Lease not given back in time"),
        }
    }

    async fn give_back(&self) -> Result<(), WireError> {
        let Some(seen) = &self.seen else { return Ok(()) };
        let mut wish = seen.given_back(self.clock.now());
        self.word.write(&mut wish);
        replace(&self.client, &self.settings, &wish).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http::{Method, Request, Response};
    use http_body_util::{BodyExt, Full};
    use kube::client::Body;
    use parking_lot::Mutex;
    use tokio::task::JoinHandle;
    use tower::service_fn;

    use super::*;
    use crate::clock::SystemClock;

    mod fencing;

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
            former: None,
            word: LastWord::default(),
        });
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(leadership.borrow().leads(Instant::now()));
        assert!(!leadership.borrow().leads(until), "however often it is renewed");
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert!(matches!(*leadership.borrow(), Leadership::Following { .. }));
        stop.cancel();
        task.await.unwrap();
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

    /// An API server with room for one Lease.
    #[derive(Clone, Default)]
    struct Server(Arc<Mutex<Store>>);

    #[derive(Default)]
    struct Store {
        lease: Option<LeaseObject>,
        version: u64,
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
}
