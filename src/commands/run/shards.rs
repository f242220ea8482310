//! What there is for each shard, where namespaces are spread over shards.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::beside::Beside;
use super::work::Work;
use crate::clock::SystemClock;
use crate::cluster::Cluster;
use crate::cluster::autoscalers::Share;
use crate::cluster::claims::{ClaimHealth, ClaimWatch, Claims, Tenancy};
use crate::cluster::status::budget::StatusBudget;
use crate::cluster::stored::{MemoryCounts, MemoryStore};
use crate::commands::assembly;
use crate::controller::shards::{self, Maker};
use crate::controller::{Controller, Listener};
use crate::settings::Settings;
use crate::shards::Sharding;

/// The budgets of the shards that are held.
type Budgets = Arc<Mutex<BTreeMap<u16, Arc<Mutex<StatusBudget>>>>>;

/// What lasts longer than the terms of the shards.
pub(super) struct ShardWork {
    sharding: Sharding,
    claims: ClaimWatch,
    /// Taken by whoever runs the controllers.
    tenancies: Mutex<Option<mpsc::UnboundedReceiver<Tenancy>>>,
    /// By shard; none where memory is not stored.
    stores: Arc<[Arc<MemoryStore>]>,
    budgets: Budgets,
    /// How many statuses a second each shard may write late.
    status_writes: f64,
    sync_period: Duration,
}

/// How the shards are doing, at the moment of asking.
pub(super) struct ShardVitals {
    pub(super) claims: ClaimHealth,
    pub(super) waiting_statuses: usize,
    pub(super) memory: Option<MemoryCounts>,
}

/// Tells how the shards are doing.
pub(super) struct ShardWatch {
    claims: ClaimWatch,
    stores: Arc<[Arc<MemoryStore>]>,
    budgets: Budgets,
}

impl ShardWatch {
    pub(super) fn now(&self) -> ShardVitals {
        let stores = !self.stores.is_empty();
        ShardVitals {
            claims: self.claims.health(),
            waiting_statuses: self.budgets.lock().values().map(|budget| budget.lock().waiting()).sum(),
            memory: stores.then(|| self.stores.iter().map(|store| store.counts()).sum()),
        }
    }
}

impl ShardWork {
    /// Begins to claim shards.
    pub(super) fn new(settings: &Settings, sharding: Sharding, cluster: &Cluster, beside: &mut Beside) -> Self {
        let lease = assembly::lease_settings(settings);
        let store = |shard| {
            let lease = assembly::lease_of(&lease, shard);
            Arc::new(assembly::memory_store(cluster.clients.api.clone(), &lease, settings))
        };
        let stores = settings.store_memory.then(|| sharding.all().map(store).collect());
        let leases = cluster.clients.leases.clone();
        let (claiming, tenancies, claims) = Claims::new(leases, lease.clone(), sharding, Arc::new(SystemClock));
        beside.start("the claims of shards", |end| claiming.run(end));
        Self {
            sharding,
            claims,
            tenancies: Mutex::new(Some(tenancies)),
            stores: stores.unwrap_or_default(),
            budgets: Budgets::default(),
            // All shards together write as much as one process for all.
            status_writes: settings.status_writes_per_second / f64::from(sharding.count()),
            sync_period: settings.sync_period,
        }
    }

    /// Tells how the shards are doing, as long as one likes.
    pub(super) fn vitals(&self) -> ShardWatch {
        ShardWatch {
            claims: self.claims.clone(),
            stores: self.stores.clone(),
            budgets: self.budgets.clone(),
        }
    }

    fn budget(&self, shard: u16) -> Arc<Mutex<StatusBudget>> {
        let budget = StatusBudget::new(self.status_writes, self.sync_period);
        let budget = Arc::new(Mutex::new(budget));
        self.budgets.lock().insert(shard, budget.clone());
        budget
    }
}

/// Runs a controller for each shard that is held, until `stop`; does nothing where there are no shards.
pub(super) async fn run(work: &Arc<Work>, stop: &CancellationToken) {
    let Some(of_shards) = &work.shards else { return };
    let Some(tenancies) = of_shards.tenancies.lock().take() else {
        return;
    };
    let (cluster, sharding) = (work.cluster.clone(), of_shards.sharding);
    shards::run(cluster, sharding, tenancies, work.clone(), stop.clone()).await;
}

impl Maker for Work {
    async fn make(&self, tenancy: &Tenancy, share: Share) -> Arc<Controller> {
        let of_shards = self.shards.as_ref().expect("a tenancy is of a shard");
        let (shard, leadership) = (tenancy.shard, &tenancy.leadership);
        let beginning = match of_shards.stores.get(usize::from(shard)) {
            Some(store) => self.beginning(store, leadership).await,
            None => None,
        };
        let hand = self.hand(Some(leadership.clone()), &of_shards.budget(shard));
        let controller = self.new_controller(hand, self.telemetry.of_shard(shard), beginning);
        let controller = Arc::new(controller.for_share(share));
        let mut current = self.current.lock();
        current.retain(|controller| controller.strong_count() > 0);
        current.push(Arc::downgrade(&controller));
        controller
    }

    fn beat(&self) {
        self.telemetry.beat();
    }

    fn ended(&self, shard: u16) {
        self.telemetry.shard_ended(shard);
        if let Some(of_shards) = &self.shards {
            of_shards.budgets.lock().remove(&shard);
        }
    }
}
