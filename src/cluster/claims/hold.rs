//! One Lease from the try to take it until it is given back.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::debug;

use super::Known;
use crate::cluster::lease::{Leadership, Lease};

/// What a Lease is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Who holds it lives, and wants shards.
    Seat(u16),
    /// Who holds it decides for this shard.
    Shard(u16),
}

impl Kind {
    pub(super) fn shard(self) -> Option<u16> {
        match self {
            Self::Shard(shard) => Some(shard),
            Self::Seat(_) => None,
        }
    }
}

/// A shard that we hold. Whoever has it decides for its namespaces, until it is [over](Self::over); then drops it, after the
/// last write: another one takes the shard over at once.
pub struct Tenancy {
    /// The shard's number.
    pub shard: u16,
    /// Whether it is still ours: to be asked before each write.
    pub leadership: watch::Receiver<Leadership>,
    give_back: CancellationToken,
    _ended: DropGuard,
}

impl Tenancy {
    /// Waits until the shard is lost, or is to be given back.
    pub async fn over(&self) {
        tokio::select! {
            () = self.give_back.cancelled() => {}
            () = lost(self.leadership.clone()) => {}
        }
    }
}

/// A Lease that is to be taken and held.
pub(super) struct Holder {
    pub(super) kind: Kind,
    pub(super) leadership: watch::Receiver<Leadership>,
    pub(super) give_back: CancellationToken,
    /// The longest that taking it may last.
    pub(super) patience: Duration,
    pub(super) known: Arc<Mutex<Known>>,
    pub(super) taken: mpsc::UnboundedSender<Tenancy>,
}

impl Holder {
    /// Until the Lease is another's, or given back.
    pub(super) async fn run(self, lease: Lease) {
        let end = CancellationToken::new();
        let hold = async {
            let is_taken = timeout(self.patience, taken(self.leadership.clone()));
            match self.give_back.run_until_cancelled(is_taken).await {
                Some(Ok(true)) => self.hold().await,
                _ => debug!(kind = ?self.kind, "Not taken"),
            }
            end.cancel();
        };
        tokio::join!(lease.run(end.clone()), hold);
    }

    async fn hold(&self) {
        match self.kind {
            Kind::Seat(_) => {
                self.known.lock().seated = true;
                tokio::select! {
                    () = self.give_back.cancelled() => {}
                    () = lost(self.leadership.clone()) => {}
                }
                self.known.lock().seated = false;
            }
            Kind::Shard(shard) => {
                let ended = CancellationToken::new();
                let tenancy = Tenancy {
                    shard,
                    leadership: self.leadership.clone(),
                    give_back: self.give_back.clone(),
                    _ended: ended.clone().drop_guard(),
                };
                self.known.lock().shards.insert(shard, self.leadership.clone());
                // Nobody takes it where the process is about to end: it is dropped then, and so over.
                let _ = self.taken.send(tenancy);
                ended.cancelled().await;
                self.known.lock().shards.remove(&shard);
            }
        }
    }
}

/// Whether we lead, once that is known: another one may have been faster.
async fn taken(mut leadership: watch::Receiver<Leadership>) -> bool {
    loop {
        match &*leadership.borrow_and_update() {
            leading if leading.leads(Instant::now()) => return true,
            Leadership::Following { leader: Some(_) } => return false,
            _ => {}
        }
        if leadership.changed().await.is_err() {
            return false;
        }
    }
}

/// Waits until we lead no more.
async fn lost(mut leadership: watch::Receiver<Leadership>) {
    while leadership.borrow_and_update().leads(Instant::now()) {
        // The election is gone where its sender is: nobody renews the Lease then.
        if leadership.changed().await.is_err() {
            return;
        }
    }
}
