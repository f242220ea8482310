//! The loop over a made-up cluster, in virtual time: it follows the metrics, and what goes wrong around it.

mod handed_over;
mod hostile;
mod remembering;
mod world;

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep_until;

use super::act::{Acting, Onlooker};
use super::*;
use crate::cluster::ClusterOptions;
use crate::cluster::client::Clients;
use crate::cluster::events::events;
use crate::cluster::lease::Leadership;
use crate::cluster::status::budget::StatusBudget;
use crate::cluster::watch::WatchOptions;
use crate::cluster::watches::Scope;
use crate::decide::Decision;
use crate::metrics::custom::CustomMetricsSource;
use crate::metrics::external::ExternalMetricsSource;
use crate::metrics::guard::GuardSettings;
use crate::metrics::resource::ResourceMetricsSource;
use crate::spec::Spec;
use world::{Faults, World};

const PERIOD: Duration = Duration::from_secs(15);

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A controller that runs over a world.
struct Scene {
    world: Arc<World>,
    reports: Arc<Reports>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// The passes so far, with the time at which each ended.
#[derive(Default)]
struct Reports(parking_lot::Mutex<Vec<(Instant, PassReport)>>);

impl Listener for Reports {
    fn pass(&self, report: PassReport) {
        self.0.lock().push((Instant::now(), report));
    }

    fn beat(&self) {}
}

impl Scene {
    fn begin(autoscalers: usize, guard: GuardSettings) -> Self {
        Self::over(World::new(autoscalers), guard, None)
    }

    fn over(world: Arc<World>, guard: GuardSettings, beginning: Option<Beginning>) -> Self {
        Self::led(world, guard, beginning, None)
    }

    fn led(
        world: Arc<World>,
        guard: GuardSettings,
        beginning: Option<Beginning>,
        leadership: Option<watch::Receiver<Leadership>>,
    ) -> Self {
        let client = world.client();
        let clients = Clients {
            api: client.clone(),
            custom: client.clone(),
            metrics: client.clone(),
            watches: client.clone(),
            leases: client.clone(),
            server: "made up".to_owned(),
            default_namespace: "default".to_owned(),
        };
        let options = ClusterOptions {
            scope: Scope::Cluster,
            watch: WatchOptions {
                streamed_lists: false,
                seed: 1,
            },
            scale_time: secs(10),
        };
        let cluster = Arc::new(Cluster::start(clients, options, CancellationToken::new()));
        let sources = MetricSources {
            resource: ResourceMetricsSource::new(client.clone(), guard, 1),
            custom: CustomMetricsSource::new(client.clone(), guard, PERIOD, 1),
            external: ExternalMetricsSource::new(client.clone(), guard, 1),
            prometheus: None,
        };
        let settings = ControllerSettings {
            decide: decide::Settings::default(),
            sync_period: PERIOD,
            sync_timeout: secs(30),
            concurrent_syncs: 16,
            grace: Duration::from_millis(800),
        };
        let (recorder, _) = events(client.clone());
        let looks_on = world.clone();
        let onlooker: Onlooker = Arc::new(move |spec: &Spec, decision: &Decision| {
            if let (true, Some(stabilized)) = (&*spec.key.name == "web-0", decision.derivation.stabilization) {
                let at = looks_on.elapsed();
                looks_on.seen.lock().recommended.push((at, stabilized.recommendation));
            }
        });
        let hand = Hand::Acting(Acting {
            client,
            timeout: secs(10),
            recorder,
            budget: Arc::new(parking_lot::Mutex::new(StatusBudget::new(10.0, PERIOD))),
            leadership,
            onlooker: Some(onlooker),
        });
        let reports = Arc::new(Reports::default());
        let controller = Controller::new(cluster, sources, settings, world.clone(), hand, reports.clone());
        let controller = match beginning {
            Some(beginning) => controller.remembering(beginning),
            None => controller,
        };
        let stop = CancellationToken::new();
        let end = stop.clone();
        let task = tokio::spawn(async move { controller.run(end).await });
        Self {
            world,
            reports,
            stop,
            task,
        }
    }

    async fn until(&self, at: Duration) {
        sleep_until(self.world.started + at).await;
    }

    fn faults(&self, faults: Faults) {
        *self.world.faults.lock() = faults;
    }

    /// The full passes that began between two times: when, and the report.
    fn passes(&self, from: Duration, until: Duration) -> Vec<(Duration, PassReport)> {
        let reports = self.reports.0.lock();
        let began = reports.iter().map(|(ended, report)| {
            let began = ended.saturating_duration_since(self.world.started) - report.duration;
            (began, report.clone())
        });
        began
            .filter(|(began, report)| report.late.is_some() && (from..until).contains(began))
            .collect()
    }

    /// When each autoscaler was first scaled to `replicas`, from `from` on.
    fn scaled(&self, replicas: i64, from: Duration) -> Vec<Duration> {
        let seen = self.world.seen.lock();
        let mut first: std::collections::BTreeMap<usize, Duration> = Default::default();
        for written in seen.scales.iter().filter(|w| w.at >= from && w.replicas == replicas) {
            first.entry(written.autoscaler).or_insert(written.at);
        }
        first.into_values().collect()
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// With the phase known: no sync of these is further from the one before than half a second over the period, and none was left out.
fn check_rhythm(passes: &[(Duration, PassReport)], autoscalers: usize) {
    assert!(passes.len() > 1);
    for (began, report) in passes {
        let longest = report.longest_interval;
        assert!(
            longest <= PERIOD + Duration::from_millis(500),
            "{longest:?} at {began:?}"
        );
        assert_eq!((report.missed, report.syncs.len()), (0, autoscalers), "at {began:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn new_values_are_acted_on_within_a_second_of_being_readable() {
    let scene = Scene::begin(40, GuardSettings::default());
    scene.until(secs(100)).await;
    let shows = scene.world.double();
    scene.until(secs(160)).await;
    let scaled = scene.scaled(4, shows);
    assert_eq!(scaled.len(), 40);
    let slowest = *scaled.iter().max().unwrap() - shows;
    assert!(slowest < Duration::from_millis(300), "{slowest:?}");
    assert_eq!(scene.world.seen.lock().scales.len(), 40, "nothing else was scaled");
    check_rhythm(&scene.passes(secs(60), secs(150)), 40);
    // With the phase known, probes are few.
    let seen = scene
        .world
        .seen
        .lock()
        .probes
        .iter()
        .filter(|at| **at > secs(100))
        .count();
    assert!((4..=16).contains(&seen), "{seen} probes in a minute");
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_ten_times_slower_delays_no_pass() {
    let scene = Scene::begin(40, GuardSettings::default());
    scene.until(secs(100)).await;
    scene.faults(Faults {
        write_takes: secs(1),
        ..Faults::default()
    });
    let shows = scene.world.double();
    scene.until(secs(190)).await;
    // Sixteen at a time.
    let scaled = scene.scaled(4, shows);
    assert_eq!(scaled.len(), 40);
    assert!(*scaled.iter().max().unwrap() < shows + secs(5), "{scaled:?}");
    let statuses = scene.world.seen.lock().statuses.clone();
    let first = statuses.into_iter().find(|at| *at > shows).unwrap();
    assert!(
        first > *scaled.iter().max().unwrap(),
        "a status was written before the last scale"
    );
    check_rhythm(&scene.passes(secs(60), secs(180)), 40);
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn no_status_is_written_while_an_older_one_still_is() {
    let behavior = serde_json::json!({"scaleUp": {"selectPolicy": "Disabled"}});
    let scene = Scene::over(World::with_behavior(400, behavior), GuardSettings::default(), None);
    scene.until(secs(100)).await;
    scene.faults(Faults {
        write_takes: secs(5),
        ..Faults::default()
    });
    // A small change waits, some are written just before the next pass; and that has a condition to say.
    let shows = scene.world.load(52);
    scene.until(shows + secs(10)).await;
    scene.world.double();
    scene.until(shows + secs(60)).await;
    {
        let seen = scene.world.seen.lock();
        let written = seen.statuses.iter().filter(|at| **at > shows).count();
        assert!(written > 400, "{written} statuses");
        assert_eq!(seen.statuses_twice, 0);
    }
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn after_refused_writes_one_pass_is_enough() {
    let scene = Scene::begin(40, GuardSettings::default());
    scene.until(secs(100)).await;
    scene.faults(Faults {
        too_many: true,
        ..Faults::default()
    });
    scene.world.double();
    scene.until(secs(140)).await;
    assert!(scene.scaled(4, secs(100)).is_empty());
    scene.faults(Faults::default());
    scene.until(secs(170)).await;
    let scaled = scene.scaled(4, secs(140));
    assert_eq!(scaled.len(), 40);
    assert!(*scaled.iter().max().unwrap() < secs(140) + PERIOD + secs(1));
    check_rhythm(&scene.passes(secs(60), secs(165)), 40);
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_metrics_server_that_takes_nine_seconds_makes_no_passes_overlap() {
    let scene = Scene::begin(40, GuardSettings::default());
    scene.until(secs(100)).await;
    scene.faults(Faults {
        metrics_take: secs(9),
        ..Faults::default()
    });
    scene.world.double();
    scene.until(secs(200)).await;
    assert_eq!(scene.scaled(4, secs(100)).len(), 40);
    assert_eq!(scene.world.seen.lock().lists_at_once, 1);
    check_rhythm(&scene.passes(secs(60), secs(190)), 40);
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_metrics_server_that_is_slower_than_its_time_changes_no_count_and_is_back_within_a_pass() {
    let scene = Scene::begin(40, GuardSettings::default());
    scene.until(secs(100)).await;
    scene.faults(Faults {
        metrics_take: secs(12),
        ..Faults::default()
    });
    scene.world.double();
    scene.until(secs(220)).await;
    assert!(scene.world.seen.lock().scales.is_empty());
    assert_eq!(scene.world.seen.lock().lists_at_once, 1);
    scene.faults(Faults::default());
    scene.until(secs(260)).await;
    let scaled = scene.scaled(4, secs(220));
    assert_eq!(scaled.len(), 40);
    // One pass may be waiting for its answer at this moment.
    assert!(
        *scaled.iter().max().unwrap() < secs(220) + PERIOD + secs(11),
        "{scaled:?}"
    );
    check_rhythm(&scene.passes(secs(60), secs(250)), 40);
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn answers_that_take_longer_than_a_period_are_waited_for_together_and_followed_together() {
    let patient = GuardSettings {
        time: secs(25),
        ..GuardSettings::default()
    };
    let scene = Scene::begin(40, patient);
    scene.until(secs(100)).await;
    let before = scene.world.seen.lock().lists.len();
    scene.faults(Faults {
        metrics_take: secs(20),
        ..Faults::default()
    });
    scene.until(secs(200)).await;
    let lists = scene.world.seen.lock().lists.len() - before;
    assert!((4..=7).contains(&lists), "{lists} lists in 100 s");
    assert_eq!(scene.world.seen.lock().lists_at_once, 1);
    let missed: usize = scene.passes(secs(100), secs(200)).iter().map(|(_, r)| r.missed).sum();
    let all: usize = scene.reports.0.lock().iter().map(|(_, r)| r.missed).sum();
    assert!(all >= 40 && missed <= all, "{missed} of {all}");
    scene.faults(Faults::default());
    scene.until(secs(300)).await;
    check_rhythm(&scene.passes(secs(250), secs(290)), 40);
    scene.end().await;
}
