//! Which shards this process holds: a Lease for each, taken and given back as [`shards::next_step`](crate::shards::next_step)
//! says.
//!
//! All in the namespace of one Lease, whose name the others begin with:
//!
//! - `NAME` itself is held by all processes with the same number of shards together, so that one with another number, or with
//!   one for all, waits until they have ended. Every other Lease ends with it (`Lease::under`).
//! - `NAME-shard-N` is held by who decides for shard N.
//! - `NAME-replica-N` is a seat: whoever holds one lives, and wants shards. There are as many as there are shards; a process
//!   without a seat stands by.
//!
//! A look at all of them is one list. Nobody decides by another's clock.

mod board;
mod hold;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kube::Client;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::lease::{Leadership, Lease, LeaseSettings, list};
use super::stored::label_of;
use crate::clock::Clock;
use crate::shards::{Sharding, Step};
use board::Board;
pub use hold::Tenancy;
use hold::{Holder, Kind};

/// The label of all Leases of shards and seats; its value is the name of the Lease that they belong to.
const LABEL: &str = "trimtab.dev/shards-of";

/// A shard that is free for so many retry periods was not taken by whoever should have: anybody takes it.
const OVERDUE: u32 = 3;

/// The name of the Lease of a shard, beside the one of this name.
pub fn lease_of_shard(name: &str, shard: u16) -> String {
    format!("{name}-shard-{shard}")
}

/// What a process holds, for those who ask how it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimHealth {
    /// How many shards there are.
    pub shards: u16,
    /// Those that we lead.
    pub held: Vec<u16>,
    /// Why we may hold none: who leads instead of all that have our number of shards; `None` where we may.
    pub shut_out: Option<Arc<str>>,
    /// Whether we have a seat; without one we stand by.
    pub seated: bool,
}

/// Tells what a process holds.
#[derive(Clone)]
pub struct ClaimWatch {
    sharding: Sharding,
    common: watch::Receiver<Leadership>,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    shards: BTreeMap<u16, watch::Receiver<Leadership>>,
    seated: bool,
}

impl ClaimWatch {
    /// As it is now.
    pub fn health(&self) -> ClaimHealth {
        let now = Instant::now();
        let known = self.known.lock();
        let leads = known.shards.iter().filter(|(_, leads)| leads.borrow().leads(now));
        ClaimHealth {
            shards: self.sharding.count(),
            held: leads.map(|(shard, _)| *shard).collect(),
            shut_out: match &*self.common.borrow() {
                Leadership::Following { leader } => leader.clone(),
                Leadership::Leading { .. } => None,
            },
            seated: known.seated,
        }
    }
}

/// Takes shards, and gives them back.
pub struct Claims {
    client: Client,
    /// Those of the Lease that all have in common; each other one's differ in name, label and identity.
    settings: LeaseSettings,
    clock: Arc<dyn Clock>,
    common: Option<Lease>,
    leads_common: watch::Receiver<Leadership>,
    known: Arc<Mutex<Known>>,
    taken: mpsc::UnboundedSender<Tenancy>,
    holders: JoinSet<()>,
    tasks: HashMap<Id, Kind>,
    /// What we hold or try to take, with what makes us give it back.
    mine: BTreeMap<Kind, CancellationToken>,
    board: Board,
}

impl Claims {
    /// Claims of shards beside the Lease that `settings` names, for the process that they name; what they hold, one
    /// after the other as it is taken, at most one for each shard at a time; and a look at it.
    pub fn new(
        client: Client,
        settings: LeaseSettings,
        sharding: Sharding,
        clock: Arc<dyn Clock>,
    ) -> (Self, mpsc::UnboundedReceiver<Tenancy>, ClaimWatch) {
        let (taken, tenancies) = mpsc::unbounded_channel();
        let in_common = LeaseSettings {
            identity: format!("{} shards", sharding.count()),
            ..settings.clone()
        };
        let (common, leads_common) = Lease::new(client.clone(), in_common, clock.clone());
        let known = Arc::<Mutex<Known>>::default();
        let watch = ClaimWatch {
            sharding,
            common: leads_common.clone(),
            known: known.clone(),
        };
        let claims = Self {
            client,
            clock,
            common: Some(common.in_common()),
            leads_common,
            known,
            taken,
            holders: JoinSet::new(),
            tasks: HashMap::new(),
            mine: BTreeMap::new(),
            board: Board::new(&settings.name, sharding),
            settings: LeaseSettings {
                labels: BTreeMap::from([(LABEL.to_owned(), label_of(&settings.name))]),
                ..settings
            },
        };
        (claims, tenancies, watch)
    }

    /// Takes and gives back until `stop`; then gives everything back: cancel that after the last write. Each [`Tenancy`] has
    /// ended by then, or ends with this.
    pub async fn run(mut self, stop: CancellationToken) {
        let Some(common) = self.common.take() else { return };
        let end = CancellationToken::new();
        let claim = async {
            self.claim_until(&stop).await;
            self.mine.values().for_each(CancellationToken::cancel);
            while self.holders.join_next().await.is_some() {}
            end.cancel();
        };
        tokio::join!(common.run(end.clone()), claim);
    }

    async fn claim_until(&mut self, stop: &CancellationToken) {
        while let Some(next) = stop.run_until_cancelled(self.step()).await {
            tokio::select! {
                () = stop.cancelled() => return,
                // One that has ended has something to be seen in its Lease.
                Some(ended) = self.holders.join_next_with_id() => self.ended(&ended),
                () = sleep_until(next) => {}
            }
        }
    }

    /// Looks at all Leases, and does what is to be done; gives the time of the next look.
    async fn step(&mut self) -> Instant {
        let regular = Instant::now() + self.settings.retry_period;
        if !self.leads_common.borrow().leads(Instant::now()) {
            return regular;
        }
        // Half of the deadline, as for each request about a Lease.
        let listed = timeout(self.settings.renew_deadline / 2, list(&self.client, &self.settings));
        match listed.await {
            Ok(Ok(leases)) => self.board.see(leases, Instant::now()),
            Ok(Err(error)) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "The Leases of shards were not listed"
                );
                return regular;
            }
            Err(_) => {
                warn!("The Leases of shards were not listed in time");
                return regular;
            }
        }
        while let Some(ended) = self.holders.try_join_next_with_id() {
            self.ended(&ended);
        }
        let now = Instant::now();
        self.take_a_seat(now);
        let seated = self.known.lock().seated;
        let mine = self.mine.keys().filter_map(|kind| kind.shard()).collect();
        let overdue = self.settings.retry_period * OVERDUE;
        let Step { claim, give_back } = self.board.step(&self.settings.identity, seated, &mine, now, overdue);
        for shard in claim {
            self.hold(Kind::Shard(shard));
        }
        if let Some(shard) = give_back
            && let Some(token) = self.mine.get(&Kind::Shard(shard)).filter(|token| !token.is_cancelled())
        {
            info!(shard, "Gives a shard back: others hold fewer");
            token.cancel();
        }
        self.board.next_end(now).map_or(regular, |end| end.min(regular))
    }

    fn take_a_seat(&mut self, now: Instant) {
        if !self.mine.keys().any(|kind| matches!(kind, Kind::Seat(_)))
            && let Some(seat) = self.board.free_seat(&self.settings.identity, now)
        {
            self.hold(Kind::Seat(seat));
        }
    }

    /// Tries to take a Lease, and holds it until it is lost or to be given back.
    fn hold(&mut self, kind: Kind) {
        let name = self.board.name(kind);
        debug!(lease = name, "Tries to take");
        let settings = LeaseSettings {
            name: name.clone(),
            ..self.settings.clone()
        };
        let patience = settings.renew_deadline;
        let (lease, leadership) = Lease::new(self.client.clone(), settings, self.clock.clone());
        let lease = lease
            .having_seen(self.board.seen(&name))
            .under(self.leads_common.clone());
        let give_back = CancellationToken::new();
        self.mine.insert(kind, give_back.clone());
        let holder = Holder {
            kind,
            leadership,
            give_back,
            patience,
            known: self.known.clone(),
            taken: self.taken.clone(),
        };
        let task = self.holders.spawn(holder.run(lease));
        self.tasks.insert(task.id(), kind);
    }

    fn ended(&mut self, ended: &Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => *id,
            Err(problem) => {
                // Its Lease runs out, and whoever relies on it sees that.
                warn!(error = %problem, "A holder of a Lease broke off");
                problem.id()
            }
        };
        if let Some(kind) = self.tasks.remove(&id) {
            self.mine.remove(&kind);
        }
    }
}

#[cfg(test)]
mod tests;
