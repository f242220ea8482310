//! A whole pass of the real controller over an API server whose answers are made up: every autoscaler synced once, by cpu
//! of ten pods each, from one list of pod metrics in protobuf.

mod api;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use trimtab::clock::SystemClock;
use trimtab::cluster::client::Clients;
use trimtab::cluster::events::events;
use trimtab::cluster::status::budget::StatusBudget;
use trimtab::cluster::watch::WatchOptions;
use trimtab::cluster::watches::Scope;
use trimtab::cluster::{Cluster, ClusterOptions};
use trimtab::controller::act::{Acting, Hand};
use trimtab::controller::report::{ErrorClass, PassReport};
use trimtab::controller::{Controller, ControllerSettings, Listener};
use trimtab::metrics::custom::CustomMetricsSource;
use trimtab::metrics::external::ExternalMetricsSource;
use trimtab::metrics::guard::GuardSettings;
use trimtab::metrics::resource::ResourceMetricsSource;
use trimtab::metrics::sources::MetricSources;

use super::{Case, Named, counted, timed};

const SYNC_PERIOD: Duration = Duration::from_secs(15);
const TIMEOUT: Duration = Duration::from_secs(10);
/// The default of `status-writes-per-second`.
const STATUS_WRITES_PER_SECOND: f64 = 10.0;

pub fn cases() -> Vec<Named> {
    vec![
        counted("pass, 1,000 autoscalers of 10 pods", || Passes::over(1_000)),
        timed("pass, 10,000 autoscalers of 10 pods", || Passes::over(10_000)),
    ]
}

/// A controller that runs whenever it is waited for, in time that jumps to where something is due.
struct Passes {
    runtime: Runtime,
    synced: Arc<Synced>,
    autoscalers: usize,
}

impl Passes {
    fn over(autoscalers: usize) -> Self {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime");
        let synced: Arc<Synced> = Arc::default();
        let controller = {
            let _entered = runtime.enter();
            controller(autoscalers, synced.clone())
        };
        runtime.spawn(async move { controller.run(CancellationToken::new()).await });
        let mut passes = Self {
            runtime,
            synced,
            autoscalers,
        };
        // What is learnt in the first pass is known to all in the second, and from then on nothing is new.
        (0..2).for_each(|_| passes.run());
        passes
    }
}

impl Case for Passes {
    fn run(&mut self) {
        self.runtime.block_on(self.synced.all(self.autoscalers));
    }
}

/// Counts syncs.
#[derive(Default)]
struct Synced {
    count: AtomicUsize,
    more: Notify,
}

impl Synced {
    /// Waits for so many syncs since the last wait.
    async fn all(&self, autoscalers: usize) {
        while self.count.load(Ordering::Relaxed) < autoscalers {
            self.more.notified().await;
        }
        self.count.store(0, Ordering::Relaxed);
    }
}

struct Listening(Arc<Synced>);

impl Listener for Listening {
    fn pass(&self, report: PassReport) {
        let failed = report.syncs.iter().find(|sync| sync.error != ErrorClass::None);
        assert!(failed.is_none(), "a sync failed: {failed:?}");
        self.0.count.fetch_add(report.syncs.len(), Ordering::Relaxed);
        self.0.more.notify_one();
    }

    fn beat(&self) {}
}

fn controller(autoscalers: usize, synced: Arc<Synced>) -> Controller {
    let client = api::client(autoscalers);
    let clients = Clients {
        api: client.clone(),
        custom: client.clone(),
        metrics: client.clone(),
        watches: client.clone(),
        leases: client.clone(),
        server: "made up".into(),
        default_namespace: "default".into(),
    };
    let options = ClusterOptions {
        scope: Scope::Cluster,
        watch: WatchOptions {
            streamed_lists: false,
            seed: 1,
        },
        scale_time: TIMEOUT,
    };
    let guard = GuardSettings::default();
    let sources = MetricSources {
        resource: ResourceMetricsSource::new(client.clone(), guard, 1),
        custom: CustomMetricsSource::new(client.clone(), guard, SYNC_PERIOD, 1),
        external: ExternalMetricsSource::new(client.clone(), guard, 1),
        prometheus: None,
    };
    let settings = ControllerSettings {
        decide: Default::default(),
        sync_period: SYNC_PERIOD,
        sync_timeout: TIMEOUT,
        concurrent_syncs: 5,
        grace: Duration::from_secs(1),
    };
    let (recorder, _) = events(client.clone());
    let hand = Hand::Acting(Acting {
        client,
        timeout: TIMEOUT,
        recorder,
        budget: Arc::new(Mutex::new(StatusBudget::new(STATUS_WRITES_PER_SECOND, SYNC_PERIOD))),
        leadership: None,
        onlooker: None,
    });
    let cluster = Arc::new(Cluster::start(clients, options, CancellationToken::new()));
    Controller::new(
        cluster,
        sources,
        settings,
        Arc::new(SystemClock),
        hand,
        Arc::new(Listening(synced)),
    )
}
