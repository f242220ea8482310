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
pub(super) use record::{Seen, list, reread};
use record::{create, new, read, replace};
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
        /// By the monotonic clock; what is [`above`](Self::Leading::above) it may end before.
        until: Instant,
        /// The Lease that this one is under, if any: we lead only while that one leads, too.
        above: Option<Above>,
        /// What whoever led before this term let know; `None` where nobody ever did.
        former: Option<Former>,
        /// Takes what we tell whoever leads next.
        word: LastWord,
        /// Tells this holding of the Lease from all others, for whatever is under it: the same for all who hold it together.
        tenure: Arc<str>,
    },
}

/// The leadership that another one ends with. It is asked each time, since it is renewed at times of its own: what it said at
/// our last renewal may be over a moment later, and renewed by then.
#[derive(Clone, Debug)]
pub struct Above(watch::Receiver<Leadership>);

impl Above {
    fn end(&self) -> Option<Instant> {
        self.0.borrow().end()
    }

    fn tenure(&self) -> Option<Arc<str>> {
        match &*self.0.borrow() {
            Leadership::Leading { tenure, .. } => Some(tenure.clone()),
            Leadership::Following { .. } => None,
        }
    }
}

impl PartialEq for Above {
    fn eq(&self, other: &Self) -> bool {
        self.0.same_channel(&other.0)
    }
}

impl Eq for Above {}

impl Leadership {
    /// Whether we lead at `now`. Ask before each write, with the clock as it is then: a process that was stopped for a while
    /// finds out here that its time is over.
    pub fn leads(&self, now: Instant) -> bool {
        self.end().is_some_and(|end| now < end)
    }

    /// Until when we lead, if we do.
    pub fn end(&self) -> Option<Instant> {
        match self {
            Self::Leading { until, above: None, .. } => Some(*until),
            Self::Leading {
                until,
                above: Some(above),
                ..
            } => above.end().map(|end| end.min(*until)),
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
    above: Option<Above>,
    /// See [`in_common`](Self::in_common).
    in_common: bool,
    /// When `seen` was known last to be as the lease is.
    current_at: Option<Instant>,
    /// When the last look began that had an answer.
    looked: Option<Instant>,
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
                looked: None,
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
        self.above = Some(Above(above));
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
            if stop.run_until_cancelled(self.rest(next)).await.is_none() {
                break;
            }
        }
        self.release().await;
    }

    /// Waits for the next step. Where what is above ends before, the term ends with it.
    async fn rest(&self, next: Instant) {
        loop {
            let end = self.leadership.borrow().end();
            let Some(end) = end.filter(|end| *end < next) else {
                return sleep_until(next).await;
            };
            // By then it may have been renewed.
            sleep_until(end).await;
            self.end_if_over();
        }
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
        let began = Instant::now();
        let object = read(&self.client, &self.settings).await?;
        let exists = object.is_some();
        object.into_iter().for_each(|object| self.see(object));
        self.looked = Some(began);
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
        let tenure = self.tenure_above();
        let Some(seen) = &self.seen else { return Ok(()) };
        let mut former = seen.former(self.clock.now());
        let mut wish = seen.held_by(&self.settings, self.clock.now());
        // Others may have decided in between: what was last said here is not the last that happened.
        let others_decided = match &tenure {
            Some(tenure) => !seen.is_under(tenure),
            None => self.in_common && !self.holds(),
        };
        if others_decided {
            word::forget(&mut wish);
            if former.is_some() && self.follows() {
                info!(
                    lease = self.settings.name,
                    "Was held last under another number of shards: what was decided since is not known"
                );
            }
            former.iter_mut().for_each(|former| former.word = None);
        }
        if self.follows() {
            self.word.begin_term();
        }
        self.word.write(&mut wish);
        tenure.iter().for_each(|tenure| word::put_under(&mut wish, tenure));
        let object = replace(&self.client, &self.settings, &wish).await?;
        if self.follows() {
            let now = self.clock.now();
            self.former = former.map(|former| seen.compared(former, &object, now));
        }
        self.seen = Some(Seen::written(object, began));
        Ok(())
    }

    async fn create(&mut self, began: Instant) -> Result<(), WireError> {
        if self.follows() {
            self.former = None;
            self.word.begin_term();
        }
        let mut wish = new(&self.settings, self.clock.now());
        self.word.write(&mut wish);
        self.tenure_above()
            .iter()
            .for_each(|tenure| word::put_under(&mut wish, tenure));
        let object = create(&self.client, &self.settings, &wish).await?;
        self.seen = Some(Seen::written(object, began));
        Ok(())
    }

    /// Of what this Lease is under, if anything is above it and led.
    fn tenure_above(&self) -> Option<Arc<str>> {
        self.above.as_ref().and_then(Above::tenure)
    }

    fn see(&mut self, object: LeaseObject) {
        let now = Instant::now();
        match (&self.seen, self.looked) {
            (Some(seen), _) if seen.is_same(&object) => {}
            (Some(seen), Some(looked)) => self.seen = Some(Seen::changed(seen, looked, object, now)),
            _ => self.seen = Some(Seen::new(object, now)),
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
        let leading = held_since.map(|since| Leadership::Leading {
            until: since + self.settings.renew_deadline,
            above: self.above.clone(),
            former: self.former.clone(),
            word: self.word.clone(),
            tenure: self.seen.as_ref().map(Seen::tenure).unwrap_or_default(),
        });
        let following = || Leadership::Following {
            leader: holder.map(Into::into),
        };
        let leads = leading.filter(|leading| leading.leads(Instant::now()));
        self.announce(leads.unwrap_or_else(following));
    }

    fn end_if_over(&self) {
        let over = !self.follows() && !self.leadership.borrow().leads(Instant::now());
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
                Leadership::Leading { .. } if changed => {
                    let transitions = self.seen.as_ref().map_or(0, Seen::transitions);
                    info!(lease = self.settings.name, identity, transitions, "Leads");
                }
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
        let regular = match (self.follows(), self.in_common) {
            (true, _) => now + self.settings.retry_period.min(LOOKS),
            // What others have renewed counts from our last look: with two looks in a period as much time is left at the
            // next one as whoever renews by himself has.
            (false, true) => now + self.settings.retry_period / 2,
            (false, false) => now + self.settings.retry_period,
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
mod tests;
