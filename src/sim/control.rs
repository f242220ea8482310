//! The real controller on a simulated cluster: one process of it, that can be stopped, or killed at any moment.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::api::Api;
use super::line::{Between, Line};
use super::time::VirtualClock;
use crate::cluster::client::{ClientSettings, Clients};
use crate::cluster::events::{EventRecorder, events};
use crate::cluster::lease::{Leadership, Lease, LeaseSettings};
use crate::cluster::status::budget::StatusBudget;
use crate::cluster::stored::MemoryStore;
use crate::cluster::watch::WatchOptions;
use crate::cluster::watches::Scope;
use crate::cluster::{Cluster, ClusterOptions};
use crate::controller::act::{Acting, Hand, Onlooker};
use crate::controller::keeper::{Circumstances, begin};
use crate::controller::{Controller, ControllerSettings, Listener};
use crate::decide;
use crate::metrics::custom::CustomMetricsSource;
use crate::metrics::external::ExternalMetricsSource;
use crate::metrics::guard::{BreakerSettings, GuardSettings};
use crate::metrics::prometheus::{Carry, Prometheus};
use crate::metrics::resource::ResourceMetricsSource;
use crate::metrics::sources::MetricSources;
use crate::selector::Selector;
use crate::settings::sources::Sources;
use crate::spec::Key;

/// Statuses a second that can wait, as by default.
const STATUS_WRITES_PER_SECOND: f64 = 10.0;

/// The time limit of a request, as by default.
const REQUEST_TIME: Duration = Duration::from_secs(10);

/// Where the Lease and the memory are.
pub(super) const LEASE_NAMESPACE: &str = "kube-system";
pub(super) const LEASE: &str = "trimtab";

/// How often a process that waits for its term looks whether it has come.
const BETWEEN_TERMS: Duration = Duration::from_secs(1);

/// How a process works.
#[derive(Clone)]
pub struct ProcessOptions {
    /// How the controller works.
    pub controller: ControllerSettings,
    /// Another one for each process, so that they do not wait in step.
    pub seed: u64,
    /// Whether lists are streamed.
    pub streamed_lists: bool,
    /// Is told each decision.
    pub onlooker: Option<Onlooker>,
    /// Carries its requests; `None`: they reach the API as they are.
    pub between: Option<Arc<dyn Between>>,
    /// Who it is in the election of a leader, and with that in the store of memory; `None`: it always leads, and remembers
    /// nothing of former processes.
    pub elected_as: Option<String>,
    /// What the cluster's Prometheus answers for; `None`: it is not asked.
    pub prometheus: Option<Arc<Sources>>,
    /// How long the Lease lasts, for how long it may go without a renewal, and the time between two: some seconds, as by default.
    pub lease_times: (Duration, Duration, Duration),
    /// Is told when a term of leadership begins, before what was stored is read.
    pub term_begins: Option<Arc<dyn Fn() + Send + Sync>>,
    /// Is told when one is over, or its controller has ended by itself.
    pub term_ends: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl Default for ProcessOptions {
    fn default() -> Self {
        Self {
            controller: ControllerSettings {
                decide: decide::Settings::default(),
                sync_period: Duration::from_secs(15),
                sync_timeout: Duration::from_secs(30),
                concurrent_syncs: 16,
                grace: Duration::from_millis(800),
            },
            seed: 1,
            streamed_lists: true,
            onlooker: None,
            between: None,
            elected_as: None,
            prometheus: None,
            lease_times: (Duration::from_secs(10), Duration::from_secs(7), Duration::from_secs(2)),
            term_begins: None,
            term_ends: None,
        }
    }
}

/// A process that runs the controller, put together as `trimtab run` does it, over a simulated API.
pub struct Process {
    cluster: Arc<Cluster>,
    /// That of the present term.
    controller: Arc<Mutex<Weak<Controller>>>,
    stop: CancellationToken,
    /// The controller, the election, the writer of Events.
    tasks: Vec<JoinHandle<()>>,
    line: Line,
}

/// What a process holds of a cluster's objects at a moment.
#[derive(Clone, Debug, Default)]
pub struct Holds {
    /// The pods that it knows.
    pub pods: Vec<Key>,
    /// The autoscalers that it knows.
    pub autoscalers: Vec<Key>,
    /// Those that it remembers something of, and the bytes of what it remembers.
    pub remembered: Vec<(Key, usize)>,
}

impl Process {
    /// Starts one.
    pub fn start(
        api: &Arc<Api>,
        clock: &Arc<VirtualClock>,
        options: ProcessOptions,
        listener: Arc<dyn Listener>,
    ) -> Self {
        let line = Line::new(api.clone(), options.between.clone());
        let clients = Clients::over(
            line.client(),
            &ClientSettings::default(),
            "simulated".to_owned(),
            "default".to_owned(),
        );
        let cluster_options = ClusterOptions {
            scope: Scope::Cluster,
            watch: WatchOptions {
                streamed_lists: options.streamed_lists,
                seed: options.seed,
            },
            scale_time: REQUEST_TIME,
        };
        let cluster = Arc::new(Cluster::start(
            clients.clone(),
            cluster_options,
            CancellationToken::new(),
        ));
        let (recorder, events) = events(clients.api.clone());
        let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
        let mut tasks = Vec::new();
        let election = options.elected_as.as_ref().map(|identity| {
            let (lease_duration, renew_deadline, retry_period) = options.lease_times;
            let settings = LeaseSettings {
                lease_duration,
                renew_deadline,
                retry_period,
                ..LeaseSettings::new(LEASE_NAMESPACE, LEASE, identity)
            };
            let (lease, leadership) = Lease::new(clients.leases.clone(), settings, clock.clone());
            let end = ended.clone();
            tasks.push(tokio::spawn(async move { lease.run(end).await }));
            let store = MemoryStore::new(clients.api.clone(), LEASE_NAMESPACE, LEASE, identity, REQUEST_TIME);
            Election {
                leadership,
                store: Arc::new(store),
            }
        });
        let budget = StatusBudget::new(STATUS_WRITES_PER_SECOND, options.controller.sync_period);
        let controller = Arc::default();
        let terms = Terms {
            controller: Arc::clone(&controller),
            sources: sources(&clients, Some(line.carry()), &options),
            cluster: cluster.clone(),
            clock: clock.clone(),
            recorder,
            budget: Arc::new(Mutex::new(budget)),
            election,
            options,
            listener,
        };
        let until = stop.clone();
        let writes = ended.clone();
        tasks.push(tokio::spawn(events.run(writes, Duration::from_millis(300))));
        // The Lease is given back, and Events are written, after the last term.
        tasks.push(tokio::spawn(async move {
            terms.run(&until).await;
            ended.cancel();
        }));
        Self {
            cluster,
            controller,
            stop,
            tasks,
            line,
        }
    }

    /// What it holds of these autoscalers and of what is in their namespaces, and of which other autoscalers it knows.
    pub fn holds(&self, keys: &[Key]) -> Holds {
        let mut namespaces: Vec<_> = keys.iter().map(|key| &key.namespace).collect();
        namespaces.sort_unstable();
        namespaces.dedup();
        let in_namespace = |namespace: &Arc<str>| {
            let pods = self.cluster.pods.select(namespace, &Selector::everything());
            let names = pods.iter().map(|pod| Key::new(namespace.clone(), pod.name.clone()));
            names.collect::<Vec<_>>()
        };
        let controller = self.controller.lock().upgrade();
        let remembers = |key: &Key| Some((key.clone(), controller.as_ref()?.memory(key)?.entry_bytes()));
        Holds {
            pods: namespaces.into_iter().flat_map(in_namespace).collect(),
            autoscalers: self.cluster.autoscalers.keys(),
            remembered: keys.iter().filter_map(remembers).collect(),
        }
    }

    /// Ends it in order, as on SIGTERM.
    pub async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            // A task that panicked has been seen in what it left undone.
            let _ = task.await;
        }
        self.cluster.stop().await;
    }

    /// Ends it as SIGKILL does: from this moment on nothing of it reaches the cluster, wherever it was.
    pub async fn kill(self) {
        self.line.cut();
        for task in &self.tasks {
            task.abort();
        }
        for task in self.tasks {
            let _ = task.await;
        }
        self.cluster.stop().await;
    }
}

/// Where metrics are asked for.
fn sources(clients: &Clients, carry: Option<Carry>, options: &ProcessOptions) -> MetricSources {
    let (period, seed) = (options.controller.sync_period, options.seed);
    let guard = GuardSettings {
        breaker: BreakerSettings::for_passes(period),
        ..GuardSettings::default()
    };
    let client = || clients.metrics.clone();
    MetricSources {
        resource: ResourceMetricsSource::new(client(), guard, seed),
        custom: CustomMetricsSource::new(client(), guard, period, seed),
        external: ExternalMetricsSource::new(client(), guard, seed),
        prometheus: options.prometheus.as_ref().zip(carry).and_then(|(sources, carry)| {
            // What could be wrong with them are files, and there are none.
            Prometheus::over(sources, guard.breaker, seed, carry).ok()
        }),
    }
}

/// Who leads, and what outlives a leader.
struct Election {
    leadership: watch::Receiver<Leadership>,
    store: Arc<MemoryStore>,
}

/// What the controller of each term is made of, as in `commands::run`.
struct Terms {
    cluster: Arc<Cluster>,
    /// Where the controller of the present term can be found.
    controller: Arc<Mutex<Weak<Controller>>>,
    sources: MetricSources,
    clock: Arc<VirtualClock>,
    recorder: EventRecorder,
    budget: Arc<Mutex<StatusBudget>>,
    election: Option<Election>,
    options: ProcessOptions,
    listener: Arc<dyn Listener>,
}

impl Terms {
    /// A controller in each term of leadership, until `stop`.
    async fn run(&self, stop: &CancellationToken) {
        while stop.run_until_cancelled(self.leads(true)).await.is_some() {
            if let Some(begins) = &self.options.term_begins {
                begins();
            }
            let Some(controller) = stop.run_until_cancelled(self.controller()).await else {
                return;
            };
            let controller = Arc::new(controller);
            *self.controller.lock() = Arc::downgrade(&controller);
            let term = stop.child_token();
            let over = async {
                self.leads(false).await;
                self.tell_of_end();
                term.cancel();
                std::future::pending().await
            };
            tokio::select! {
                biased;
                () = controller.run(term.clone()) => {}
                () = over => {}
            }
            self.tell_of_end();
            if stop.run_until_cancelled(sleep(BETWEEN_TERMS)).await.is_none() {
                return;
            }
        }
    }

    fn tell_of_end(&self) {
        if let Some(ends) = &self.options.term_ends {
            ends();
        }
    }

    /// Waits until we lead and all is known, or until we do not lead.
    async fn leads(&self, wanted: bool) {
        let Some(election) = &self.election else {
            return if wanted {
                self.cluster.ready().await
            } else {
                std::future::pending().await
            };
        };
        let mut leadership = election.leadership.clone();
        loop {
            let leads = leadership.borrow_and_update().leads(Instant::now());
            if leads == wanted && (!wanted || self.cluster.is_ready()) {
                return;
            }
            tokio::select! {
                biased;
                changed = leadership.changed() => if changed.is_err() && !wanted { return },
                () = sleep(BETWEEN_TERMS) => {}
            }
        }
    }

    async fn controller(&self) -> Controller {
        let hand = Hand::Acting(Acting {
            client: self.cluster.clients.api.clone(),
            timeout: REQUEST_TIME,
            recorder: self.recorder.clone(),
            budget: self.budget.clone(),
            leadership: self.election.as_ref().map(|election| election.leadership.clone()),
            onlooker: self.options.onlooker.clone(),
        });
        let settings = self.options.controller.clone();
        let beginning = match &self.election {
            Some(Election { leadership, store }) => {
                let circumstances = Circumstances {
                    clock: self.clock.clone(),
                    recorder: self.recorder.clone(),
                    leadership: leadership.clone(),
                };
                Some(begin(store.clone(), circumstances).await)
            }
            None => None,
        };
        let (cluster, sources) = (self.cluster.clone(), self.sources.clone());
        let controller = Controller::new(
            cluster,
            sources,
            settings,
            self.clock.clone(),
            hand,
            self.listener.clone(),
        );
        match beginning {
            Some(beginning) => controller.remembering(beginning),
            None => controller,
        }
    }
}

#[cfg(test)]
mod tests;
