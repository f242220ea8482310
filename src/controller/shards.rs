//! A controller for each shard that is held, from when its namespaces are known until it is lost or given back.
//!
//! They share caches and metric sources, and nothing else: namespaces are disjoint, and so are pods, selectors and memory. Each
//! asks before every write whether its own shard is still ours.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::Controller;
use crate::cluster::Cluster;
use crate::cluster::autoscalers::Share;
use crate::cluster::claims::Tenancy;
use crate::shards::Sharding;

/// A term that ended by itself, since another process saves memory, is not begun anew at once.
const BETWEEN_TERMS: Duration = Duration::from_secs(1);

/// How often a process says that it is alive, which its controllers say of themselves.
const BEAT: Duration = Duration::from_secs(1);

/// Makes the controllers.
pub trait Maker: Send + Sync + 'static {
    /// The controller of a term: it decides for `share`, remembers what was stored of the shard, and asks the tenancy's
    /// leadership before each write.
    fn make(&self, tenancy: &Tenancy, share: Share) -> impl Future<Output = Arc<Controller>> + Send;
    /// The process is alive.
    fn beat(&self);
    /// The shard is ours no longer, and its controller has ended.
    fn ended(&self, shard: u16);
}

/// Runs a controller for each shard in its time, until `stop`, and then until all have ended.
pub async fn run<M: Maker>(
    cluster: Arc<Cluster>,
    sharding: Sharding,
    mut tenancies: mpsc::UnboundedReceiver<Tenancy>,
    maker: Arc<M>,
    stop: CancellationToken,
) {
    let mut terms = JoinSet::new();
    loop {
        maker.beat();
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            tenancy = tenancies.recv() => match tenancy {
                Some(tenancy) => {
                    let (cluster, maker, stop) = (cluster.clone(), maker.clone(), stop.clone());
                    terms.spawn(async move { tenant(&cluster, sharding, tenancy, &*maker, &stop).await });
                }
                // The claims are gone; that is somebody else's to tell.
                None => stop.cancelled().await,
            },
            Some(ended) = terms.join_next() => told(ended),
            () = sleep(BEAT) => {}
        }
    }
    while let Some(ended) = terms.join_next().await {
        told(ended);
    }
}

fn told(ended: Result<(), JoinError>) {
    if let Err(problem) = ended {
        // Its tenancy is dropped with it, so that another process takes the shard.
        error!(error = %problem, "The controller of a shard broke off");
    }
}

/// Decides for a shard as long as it is ours.
async fn tenant<M: Maker>(
    cluster: &Cluster,
    sharding: Sharding,
    tenancy: Tenancy,
    maker: &M,
    stop: &CancellationToken,
) {
    let shard = tenancy.shard;
    let _held = Holding::begin(cluster, maker, shard);
    let term = stop.child_token();
    let over = async {
        tenancy.over().await;
        term.cancel();
        // The controller ends by itself now.
        std::future::pending::<()>().await;
    };
    let decide = async {
        while term.run_until_cancelled(cluster.covers(shard)).await.is_some() {
            let share = Share::of_shard(cluster.autoscalers.clone(), sharding, shard);
            let Some(controller) = term.run_until_cancelled(maker.make(&tenancy, share)).await else {
                return;
            };
            controller.run(term.clone()).await;
            if term.run_until_cancelled(sleep(BETWEEN_TERMS)).await.is_none() {
                return;
            }
        }
    };
    tokio::select! {
        () = decide => {}
        () = over => {}
    }
}

/// The namespaces of a shard are watched as long as this is there. Ends before the tenancy that it is for.
struct Holding<'a, M: Maker> {
    cluster: &'a Cluster,
    maker: &'a M,
    shard: u16,
}

impl<'a, M: Maker> Holding<'a, M> {
    fn begin(cluster: &'a Cluster, maker: &'a M, shard: u16) -> Self {
        info!(shard, "Takes a shard over");
        cluster.hold(shard);
        Self { cluster, maker, shard }
    }
}

impl<M: Maker> Drop for Holding<'_, M> {
    fn drop(&mut self) {
        self.cluster.give_up(self.shard);
        self.maker.ended(self.shard);
        info!(shard = self.shard, "Decides for a shard no more");
    }
}
