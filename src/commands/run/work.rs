//! What the controller of each term is made of.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::beside::Beside;
use super::dry::Printer;
use super::files::FileWatches;
use super::shards::ShardWork;
use crate::clock::{Clock, SystemClock};
use crate::cluster::Cluster;
use crate::cluster::events::{EventRecorder, events};
use crate::cluster::lease::{Leadership, Lease};
use crate::cluster::status::budget::StatusBudget;
use crate::cluster::stored::MemoryStore;
use crate::commands::assembly;
use crate::controller::act::{Acting, Dry, Hand};
use crate::controller::compare::Comparison;
use crate::controller::keeper::{Beginning, Circumstances, begin};
use crate::controller::{Controller, Listener};
use crate::manifests::follow::FolderWatch;
use crate::metrics::sources::MetricSources;
use crate::settings::Settings;
use crate::telemetry::{SourceVitals, Telemetry, Vitals};

/// The time to write Events that are queued when the process is told to stop.
const EVENTS_FLUSH: Duration = Duration::from_millis(300);

/// The loop goes round once a second; one that has not for so long is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(60);

/// The controllers that run: one at most, or one for each shard that is held.
pub(super) type Current = Arc<Mutex<Vec<Weak<Controller>>>>;

/// Everything that lasts longer than a term of leadership.
pub(super) struct Work {
    pub(super) cluster: Arc<Cluster>,
    pub(super) telemetry: Arc<Telemetry>,
    /// `None`: nobody is elected, we always lead.
    pub(super) leadership: Option<watch::Receiver<Leadership>>,
    /// The controller of this term.
    pub(super) current: Current,
    pub(super) settings: Settings,
    /// What there is instead of one term where namespaces are spread over shards.
    pub(super) shards: Option<ShardWork>,
    sources: MetricSources,
    budget: Arc<Mutex<StatusBudget>>,
    /// `None`: a dry run, which says what it would do.
    pub(super) recorder: Option<EventRecorder>,
    /// `None`: memory ends with each term.
    store: Option<Arc<MemoryStore>>,
    printer: Printer,
}

impl Work {
    /// Puts the parts together, and starts the tasks that go with them. A dry run starts none: they write.
    pub(super) fn new(
        settings: &Settings,
        cluster: &Arc<Cluster>,
        sources: MetricSources,
        (folder, files): (Option<FolderWatch>, FileWatches),
        printer: Printer,
        beside: &mut Beside,
    ) -> Self {
        let budget = StatusBudget::new(settings.status_writes_per_second, settings.sync_period);
        let budget = Arc::new(Mutex::new(budget));
        let (mut recorder, mut leadership, mut store, mut shards) = (None, None, None, None);
        if !settings.dry_run {
            let (taker, writer) = events(cluster.clients.api.clone());
            beside.start("the writer of Events", |end| writer.run(end, EVENTS_FLUSH));
            recorder = Some(taker);
            if let Some(sharding) = settings.sharding() {
                shards = Some(ShardWork::new(settings, sharding, cluster, beside));
            } else if settings.leader_elect {
                let of_lease = assembly::lease_settings(settings);
                store = settings
                    .store_memory
                    .then(|| Arc::new(assembly::memory_store(cluster.clients.api.clone(), &of_lease, settings)));
                let (lease, receiver) = Lease::new(cluster.clients.leases.clone(), of_lease, Arc::new(SystemClock));
                beside.start("the leader election", |end| lease.run(end));
                leadership = Some(receiver);
            }
        }
        let vitals = {
            let (cluster, leadership, recorder) = (cluster.clone(), leadership.clone(), recorder.clone());
            let (sources, budget, store) = (sources.clone(), budget.clone(), store.clone());
            let shards = shards.as_ref().map(ShardWork::vitals);
            move || {
                let now = tokio::time::Instant::now();
                let shards = shards.as_ref().map(|shards| shards.now());
                let leads_one = leadership.as_ref().map(|leads| leads.borrow().leads(now));
                Vitals {
                    watches: cluster.health(),
                    leads: shards
                        .as_ref()
                        .map(|shards| !shards.claims.held.is_empty())
                        .or(leads_one),
                    events: recorder.as_ref().map(EventRecorder::counts).unwrap_or_default(),
                    sources: sources
                        .health()
                        .into_iter()
                        .map(|(name, health)| SourceVitals { name, health })
                        .collect(),
                    // Asked for where the runtime is known: by whoever serves the pages.
                    tasks: tokio::runtime::Handle::try_current().map_or(0, |h| h.metrics().num_alive_tasks()),
                    waiting_statuses: shards
                        .as_ref()
                        .map_or_else(|| budget.lock().waiting(), |shards| shards.waiting_statuses),
                    manifests: folder.as_ref().map(FolderWatch::health),
                    files: files.vitals(),
                    memory: match &shards {
                        Some(shards) => shards.memory,
                        None => store.as_ref().map(|store| store.counts()),
                    },
                    shards: shards.map(|shards| shards.claims),
                }
            }
        };
        Self {
            cluster: cluster.clone(),
            telemetry: Telemetry::new(STUCK_AFTER, vitals),
            leadership,
            current: Current::default(),
            settings: settings.clone(),
            shards,
            sources,
            budget,
            recorder,
            store,
            printer,
        }
    }

    /// A controller that remembers what a former leader has stored; from now on the current one.
    pub(super) async fn controller(&self) -> Arc<Controller> {
        let beginning = match (&self.store, &self.leadership) {
            (Some(store), Some(leadership)) => self.beginning(store, leadership).await,
            _ => None,
        };
        let hand = self.hand(self.leadership.clone(), &self.budget);
        let controller = Arc::new(self.new_controller(hand, self.telemetry.clone(), beginning));
        *self.current.lock() = vec![Arc::downgrade(&controller)];
        controller
    }

    /// What a term begins with: what a former leader has stored.
    pub(super) async fn beginning(
        &self,
        store: &Arc<MemoryStore>,
        leadership: &watch::Receiver<Leadership>,
    ) -> Option<Beginning> {
        let circumstances = Circumstances {
            clock: Arc::new(SystemClock),
            recorder: self.recorder.clone()?,
            leadership: leadership.clone(),
        };
        Some(begin(store.clone(), circumstances).await)
    }

    pub(super) fn new_controller(
        &self,
        hand: Hand,
        listener: Arc<dyn Listener>,
        beginning: Option<Beginning>,
    ) -> Controller {
        let controller = Controller::new(
            self.cluster.clone(),
            self.sources.clone(),
            assembly::controller_settings(&self.settings),
            Arc::new(SystemClock),
            hand,
            listener,
        );
        match beginning {
            Some(beginning) => controller.remembering(beginning),
            None => controller,
        }
    }

    /// Writes as long as `leadership` says so, statuses within `budget`.
    pub(super) fn hand(
        &self,
        leadership: Option<watch::Receiver<Leadership>>,
        budget: &Arc<Mutex<StatusBudget>>,
    ) -> Hand {
        match &self.recorder {
            Some(recorder) => Hand::Acting(Acting {
                client: self.cluster.clients.api.clone(),
                timeout: self.settings.request_timeout,
                recorder: recorder.clone(),
                budget: budget.clone(),
                leadership,
                onlooker: None,
            }),
            None => {
                let comparison = self.settings.compare.then(|| {
                    let period = assembly::signed(self.settings.sync_period);
                    let window = assembly::signed(self.settings.downscale_stabilization);
                    Comparison::new(period, window, SystemClock.now())
                });
                let printer = self.printer.clone();
                Hand::Dry(Dry::new(Box::new(move |word| printer.say(&word)), comparison))
            }
        }
    }
}
