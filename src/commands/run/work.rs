//! What the controller of each term is made of.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::beside::Beside;
use super::dry::Printer;
use super::files::FileWatches;
use crate::clock::{Clock, SystemClock};
use crate::cluster::Cluster;
use crate::cluster::events::{EventRecorder, events};
use crate::cluster::lease::{Leadership, Lease};
use crate::cluster::status::budget::StatusBudget;
use crate::cluster::stored::MemoryStore;
use crate::commands::assembly;
use crate::controller::Controller;
use crate::controller::act::{Acting, Dry, Hand};
use crate::controller::compare::Comparison;
use crate::controller::keeper::{Circumstances, begin};
use crate::manifests::follow::FolderWatch;
use crate::metrics::sources::MetricSources;
use crate::settings::Settings;
use crate::telemetry::{SourceVitals, Telemetry, Vitals};

/// The time to write Events that are queued when the process is told to stop.
const EVENTS_FLUSH: Duration = Duration::from_millis(300);

/// The loop goes round once a second; one that has not for so long is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(60);

/// The controller that runs, if one does.
pub(super) type Current = Arc<Mutex<Weak<Controller>>>;

/// Everything that lasts longer than a term of leadership.
pub(super) struct Work {
    pub(super) cluster: Arc<Cluster>,
    pub(super) telemetry: Arc<Telemetry>,
    /// `None`: nobody is elected, we always lead.
    pub(super) leadership: Option<watch::Receiver<Leadership>>,
    /// The controller of this term.
    pub(super) current: Current,
    settings: Settings,
    sources: MetricSources,
    budget: Arc<Mutex<StatusBudget>>,
    /// `None`: a dry run, which says what it would do.
    recorder: Option<EventRecorder>,
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
        let (mut recorder, mut leadership, mut store) = (None, None, None);
        if !settings.dry_run {
            let (taker, writer) = events(cluster.clients.api.clone());
            beside.start("the writer of Events", |end| writer.run(end, EVENTS_FLUSH));
            recorder = Some(taker);
            if settings.leader_elect {
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
            move || Vitals {
                watches: cluster.health(),
                leads: leadership
                    .as_ref()
                    .map(|l| l.borrow().leads(tokio::time::Instant::now())),
                events: recorder.as_ref().map(EventRecorder::counts).unwrap_or_default(),
                sources: sources
                    .health()
                    .into_iter()
                    .map(|(name, health)| SourceVitals { name, health })
                    .collect(),
                waiting_statuses: budget.lock().waiting(),
                manifests: folder.as_ref().map(FolderWatch::health),
                files: files.vitals(),
                memory: store.as_ref().map(|store| store.counts()),
            }
        };
        Self {
            cluster: cluster.clone(),
            telemetry: Telemetry::new(STUCK_AFTER, vitals),
            leadership,
            current: Current::default(),
            settings: settings.clone(),
            sources,
            budget,
            recorder,
            store,
            printer,
        }
    }

    /// A controller that remembers what a former leader has stored; from now on the current one.
    pub(super) async fn controller(&self) -> Arc<Controller> {
        let controller = Arc::new(self.new_controller().await);
        *self.current.lock() = Arc::downgrade(&controller);
        controller
    }

    async fn new_controller(&self) -> Controller {
        let beginning = match (&self.store, &self.recorder, &self.leadership) {
            (Some(store), Some(recorder), Some(leadership)) => {
                let circumstances = Circumstances {
                    clock: Arc::new(SystemClock),
                    recorder: recorder.clone(),
                    leadership: leadership.clone(),
                    sync_period: self.settings.sync_period,
                };
                Some(begin(store.clone(), circumstances).await)
            }
            _ => None,
        };
        let controller = Controller::new(
            self.cluster.clone(),
            self.sources.clone(),
            assembly::controller_settings(&self.settings),
            Arc::new(SystemClock),
            self.hand(),
            self.telemetry.clone(),
        );
        match beginning {
            Some(beginning) => controller.remembering(beginning),
            None => controller,
        }
    }

    fn hand(&self) -> Hand {
        match &self.recorder {
            Some(recorder) => Hand::Acting(Acting {
                client: self.cluster.clients.api.clone(),
                timeout: self.settings.request_timeout,
                recorder: recorder.clone(),
                budget: self.budget.clone(),
                leadership: self.leadership.clone(),
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
