//! The real controller on a simulated cluster: one process of it, that can be stopped, or killed at any moment.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::api::Api;
use super::line::{Between, Line};
use super::time::VirtualClock;
use crate::clock::Clock;
use crate::cluster::client::{ClientSettings, Clients};
use crate::cluster::events::events;
use crate::cluster::status::budget::StatusBudget;
use crate::cluster::watch::WatchOptions;
use crate::cluster::watches::Scope;
use crate::cluster::{Cluster, ClusterOptions};
use crate::controller::act::{Acting, Hand, Onlooker};
use crate::controller::{Controller, ControllerSettings, Listener};
use crate::decide;
use crate::metrics::custom::CustomMetricsSource;
use crate::metrics::external::ExternalMetricsSource;
use crate::metrics::guard::{BreakerSettings, GuardSettings};
use crate::metrics::resource::ResourceMetricsSource;
use crate::metrics::sources::MetricSources;

/// Statuses a second that can wait, as by default.
const STATUS_WRITES_PER_SECOND: f64 = 10.0;

/// The time limit of a request, as by default.
const REQUEST_TIME: Duration = Duration::from_secs(10);

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
        }
    }
}

/// A process that runs the controller, put together as `trimtab run` does it, over a simulated API.
pub struct Process {
    cluster: Arc<Cluster>,
    controller: Arc<Controller>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    line: Line,
}

impl Process {
    /// Starts one.
    pub fn start(
        api: &Arc<Api>,
        clock: &Arc<VirtualClock>,
        options: ProcessOptions,
        listener: Arc<dyn Listener>,
    ) -> Self {
        let ProcessOptions {
            controller: settings,
            seed,
            streamed_lists,
            onlooker,
            between,
        } = options;
        let line = Line::new(api.clone(), between);
        let clients = Clients::over(
            line.client(),
            &ClientSettings::default(),
            "simulated".to_owned(),
            "default".to_owned(),
        );
        let guard = GuardSettings {
            breaker: BreakerSettings::for_passes(settings.sync_period),
            ..GuardSettings::default()
        };
        let metrics = || clients.metrics.clone();
        let sources = MetricSources {
            resource: ResourceMetricsSource::new(metrics(), guard, seed),
            custom: CustomMetricsSource::new(metrics(), guard, settings.sync_period, seed),
            external: ExternalMetricsSource::new(metrics(), guard, seed),
            prometheus: None,
        };
        let (recorder, events) = events(clients.api.clone());
        let budget = StatusBudget::new(STATUS_WRITES_PER_SECOND, settings.sync_period);
        let hand = Hand::Acting(Acting {
            client: clients.api.clone(),
            timeout: REQUEST_TIME,
            recorder,
            budget: Arc::new(Mutex::new(budget)),
            leadership: None,
            onlooker,
        });
        let options = ClusterOptions {
            scope: Scope::Cluster,
            watch: WatchOptions { streamed_lists, seed },
            scale_time: REQUEST_TIME,
        };
        let cluster = Arc::new(Cluster::start(clients, options, CancellationToken::new()));
        let clock: Arc<dyn Clock> = clock.clone();
        let controller = Arc::new(Controller::new(
            cluster.clone(),
            sources,
            settings,
            clock,
            hand,
            listener,
        ));
        let stop = CancellationToken::new();
        let (runs, end, written) = (controller.clone(), stop.clone(), stop.clone());
        let tasks = vec![
            tokio::spawn(async move { runs.run(end).await }),
            tokio::spawn(events.run(written, Duration::from_millis(300))),
        ];
        Self {
            cluster,
            controller,
            stop,
            tasks,
            line,
        }
    }

    /// The controller of this process.
    pub fn controller(&self) -> &Controller {
        &self.controller
    }

    /// What it knows of the cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
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

#[cfg(test)]
mod tests;
