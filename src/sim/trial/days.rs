//! Days and years of virtual time in the life of one process: hour after hour of what trials have in store, without a judge,
//! to see what is left behind.
//!
//! One process of the controller lives through all of it. Workloads come and go under names that nobody had before; the Lease is
//! taken away, and a second process comes, leads for some minutes, and is stopped or killed; so memory is saved and loaded again
//! and again. The last third of each hour is calm.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::others;
use super::plan::{self, CALM, END, Event, Plan, Planned, What};
use super::storm::{Storm, Weather};
use super::tasks;
use crate::clock::Clock;
use crate::controller::Listener;
use crate::controller::report::{PassReport, ScaleWriteReport, SyncReport};
use crate::sim::api::{AUTOSCALERS, DEPLOYMENTS, EVENTS};
use crate::sim::control::{Process, ProcessOptions};
use crate::sim::load::Load;
use crate::sim::random::Random;
use crate::sim::simulated::Simulated;
use crate::sim::time::VirtualClock;
use crate::spec::Key;
use crate::telemetry::{Telemetry, Vitals};

/// What an hour of the plans is.
const HOUR: Duration = END;

/// Workloads at a time. Each hour one goes and another comes.
const WORKLOADS: usize = 2;

/// Their `maxReplicas`, at most: what a day costs grows with pods.
const MAX_REPLICAS: i64 = 8;

/// The process that lives through everything, and the one that comes and goes.
const RESIDENT: usize = 0;
const GUEST: usize = 1;

/// Hours from one visit of the guest to the next, and how long it stays. A process that waits for the Lease looks twice a
/// second, and that is most of what a longer visit would cost.
const VISITS_EVERY: u64 = 4;
const VISIT: Duration = Duration::from_secs(300);

/// The Lease is kept from the resident for so long during a visit.
const LEASE_CUT: Duration = Duration::from_secs(60);

/// The time between two syncs of an autoscaler. With the default of 15 s a day would cost twice as much.
const SYNC_PERIOD: Duration = Duration::from_secs(60);

/// Answers that never end come in one hour of so many: each is megabytes that are read up to a bound, and they would be a sixth of
/// what a day costs.
const ENDLESS_EVERY: u64 = 12;

/// The Lease's duration, deadline and retry period. Longer than the defaults, since its renewals would be a third of the requests.
const LEASE_TIMES: (Duration, Duration, Duration) = (
    Duration::from_secs(30),
    Duration::from_secs(20),
    Duration::from_secs(10),
);

/// kube-apiserver's `--etcd-compaction-interval`: changes are known for so long, and for twice as long at most.
const COMPACTED_EVERY: Duration = Duration::from_secs(300);

/// kube-apiserver's `--event-ttl`.
const EVENTS_LIVE_FOR: SignedDuration = SignedDuration::from_hours(1);

/// A loop that does not go round for so long is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(60);

/// What some hours came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Tasks of the runtime at its end.
    pub tasks: usize,
    /// Syncs that were carried out.
    pub syncs: u64,
    /// Counts that were written.
    pub scales: u64,
    /// Terms of leadership that began.
    pub terms: u64,
    /// Autoscalers that came; as many went, but for the last ones.
    pub newcomers: u64,
    /// Decisions that panicked.
    pub panics: u64,
    /// Objects and changes that the cluster itself holds at its end.
    pub held_by_cluster: usize,
}

impl Span {
    /// Both together; what is held is as it was at the end of `then`.
    #[must_use]
    pub fn and(self, then: &Self) -> Self {
        Self {
            syncs: self.syncs + then.syncs,
            scales: self.scales + then.scales,
            terms: self.terms + then.terms,
            newcomers: self.newcomers + then.newcomers,
            panics: self.panics + then.panics,
            ..*then
        }
    }
}

/// A cluster and the processes on it, that live as many days as one likes.
pub struct Days {
    runtime: Runtime,
    course: Course,
}

impl Days {
    /// The days of a seed.
    ///
    /// # Panics
    ///
    /// Where no runtime can be made, or the first objects are refused.
    pub fn new(seed: u64) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without I/O can be made");
        let course = runtime.block_on(async {
            // See `super::run`.
            sleep(Duration::from_millis(1)).await;
            Course::begin(seed)
        });
        Self { runtime, course }
    }

    /// Lives through so many more hours.
    ///
    /// # Panics
    ///
    /// Where the cluster refuses an object of the plan.
    pub fn hours(&mut self, hours: u32) -> Span {
        let Self { runtime, course } = self;
        runtime.block_on(async {
            for _ in 0..hours {
                course.hour().await;
            }
            course.sum()
        })
    }
}

/// What the controllers of all processes have reported.
#[derive(Default)]
struct Totals {
    syncs: AtomicU64,
    scales: AtomicU64,
    terms: AtomicU64,
    panics: AtomicU64,
}

/// Counts what one process reports, and gives it to its telemetry, which ends with it.
struct Counted {
    telemetry: Arc<Telemetry>,
    totals: Arc<Totals>,
}

impl Listener for Counted {
    fn pass(&self, report: PassReport) {
        let count = |counted: &AtomicU64, of: usize| counted.fetch_add(of as u64, Ordering::Relaxed);
        let written = |sync: &&SyncReport| matches!(sync.scale_write, ScaleWriteReport::Written);
        let totals = &self.totals;
        count(&totals.syncs, report.syncs.len());
        count(&totals.scales, report.syncs.iter().filter(written).count());
        count(&totals.panics, report.syncs.iter().filter(|sync| sync.panicked).count());
        self.telemetry.pass(report);
    }

    fn beat(&self) {
        self.telemetry.beat();
    }
}

/// What is done next.
enum Step {
    Event(What, usize),
    Comes,
    Goes { killed: bool },
    Replace(usize),
    Compact,
}

/// Where a process runs.
struct Place {
    clock: Arc<VirtualClock>,
    storm: Arc<Storm>,
    process: Option<(Process, Arc<Telemetry>)>,
    /// How far its clock is set from the right time.
    set_by: i64,
}

struct Course {
    seed: u64,
    hour: u32,
    began: Instant,
    simulated: Simulated,
    places: Vec<Place>,
    workloads: Vec<Planned>,
    totals: Arc<Totals>,
    newcomers: u64,
    starts: u64,
    kills: mpsc::UnboundedReceiver<(usize, Duration)>,
    compacts_until: u64,
    told: Span,
}

impl Course {
    fn begin(seed: u64) -> Self {
        let simulated = Simulated::new(super::EPOCH.parse().expect("it is a time"), seed);
        let (kill, kills) = mpsc::unbounded_channel();
        let weather = Weather {
            seed,
            calm: Duration::MAX,
            clock: simulated.clock.clone(),
            judge: None,
            mutation: None,
            kills: kill,
        };
        let place = |number| Place {
            clock: Arc::new(simulated.clock.of_another_machine()),
            storm: Storm::new(weather.clone(), &[], number),
            process: None,
            set_by: 0,
        };
        let places = [RESIDENT, GUEST].map(place).into();
        let fleet = simulated.fleet.clone();
        tokio::spawn(async move { fleet.run().await });
        let mut course = Self {
            seed,
            hour: 0,
            began: Instant::now(),
            places,
            workloads: Vec::new(),
            totals: Arc::default(),
            newcomers: 0,
            starts: 0,
            kills,
            compacts_until: 0,
            told: Span::default(),
            simulated,
        };
        for slot in 0..WORKLOADS {
            let newcomer = course.newcomer(slot);
            course.workloads.push(newcomer);
        }
        course.start(RESIDENT);
        course
    }

    /// What came since the last time.
    fn sum(&mut self) -> Span {
        let Totals {
            syncs,
            scales,
            terms,
            panics,
        } = &*self.totals;
        let now = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let all = Span {
            tasks: tasks(),
            syncs: now(syncs),
            scales: now(scales),
            terms: now(terms),
            panics: now(panics),
            newcomers: self.newcomers,
            held_by_cluster: self.simulated.api.store.held(),
        };
        let before = std::mem::replace(&mut self.told, all);
        Span {
            syncs: all.syncs - before.syncs,
            scales: all.scales - before.scales,
            terms: all.terms - before.terms,
            panics: all.panics - before.panics,
            newcomers: all.newcomers - before.newcomers,
            ..all
        }
    }

    async fn hour(&mut self) {
        let begins = HOUR * self.hour;
        let mut random = Random::named(self.seed, &format!("hour {}", self.hour));
        let (events, steps) = self.plan(begins, &mut random);
        self.places.iter().for_each(|place| place.storm.turns(&events));
        for (at, step) in steps {
            self.until(at).await;
            self.happens(step).await;
        }
        self.hour += 1;
        self.until(HOUR * self.hour).await;
        // Somebody reads the metrics now and then, and sets the clocks right.
        for (_, telemetry) in self.places.iter().filter_map(|place| place.process.as_ref()) {
            drop(telemetry.metrics());
        }
        for place in 0..self.places.len() {
            self.set_clock(place, -self.places[place].set_by);
        }
        self.drop_old_events();
    }

    /// What goes wrong in an hour, and what is done in it, in the order of time.
    fn plan(&self, begins: Duration, random: &mut Random) -> (Vec<Event>, Vec<(Duration, Step)>) {
        let within = |random: &mut Random, from: Duration, to: Duration| {
            begins + Duration::from_secs_f64(random.between(from.as_secs_f64(), to.as_secs_f64()))
        };
        let mut events = Plan::without_prometheus(random.bits()).events;
        let hour = u64::from(self.hour);
        events.retain(|event| event.what != What::Oversized || hour % ENDLESS_EVERY == 0);
        let mut steps = Vec::new();
        for event in &mut events {
            event.at += begins;
            let ends = matches!(event.what, What::Killed(_) | What::KilledAt(..) | What::Stopped(_));
            if ends {
                event.process = Some(GUEST);
            }
            if event.what.is_at_once() {
                let process = event.process.unwrap_or(RESIDENT);
                steps.push((event.at, Step::Event(event.what.clone(), process)));
            }
        }
        if hour % VISITS_EVERY == 0 {
            let comes = within(random, Duration::ZERO, CALM - VISIT);
            events.push(Event {
                at: comes + LEASE_CUT / 2,
                lasts: LEASE_CUT,
                share: 1.0,
                process: Some(RESIDENT),
                what: What::LeaseCut,
            });
            let killed = random.chance(0.5);
            steps.push((comes, Step::Comes));
            steps.push((comes + VISIT, Step::Goes { killed }));
        }
        let slot = usize::try_from(random.below(WORKLOADS as u64)).unwrap_or(0);
        steps.push((within(random, Duration::ZERO, CALM), Step::Replace(slot)));
        let mut at = begins;
        while at < begins + HOUR {
            steps.push((at, Step::Compact));
            at += COMPACTED_EVERY;
        }
        events.sort_by_key(|event| event.at);
        steps.sort_by_key(|(at, _)| *at);
        (events, steps)
    }

    /// Waits; kills meanwhile who is to be killed.
    async fn until(&mut self, at: Duration) {
        loop {
            tokio::select! {
                biased;
                Some((place, _)) = self.kills.recv() => self.end(place, true).await,
                () = sleep_until(self.began + at) => return,
            }
        }
    }

    async fn happens(&mut self, step: Step) {
        match step {
            Step::Event(what, process) => self.befalls(&what, process).await,
            Step::Comes => self.start(GUEST),
            Step::Goes { killed } => self.end(GUEST, killed).await,
            Step::Replace(slot) => {
                self.remove(slot);
                self.workloads[slot] = self.newcomer(slot);
            }
            Step::Compact => {
                let store = &self.simulated.api.store;
                store.forget_until(std::mem::replace(&mut self.compacts_until, store.newest()));
            }
        }
    }

    async fn befalls(&mut self, what: &What, process: usize) {
        let simulated = &self.simulated;
        let key = |workload: usize| &self.workloads[workload % WORKLOADS].key;
        match *what {
            What::Killed(_) => self.end(process, true).await,
            What::Stopped(_) => self.end(process, false).await,
            What::ClockSet(by) => self.set_clock(process, by),
            What::Compacted => simulated.api.store.compact(),
            What::Scaled(workload, count) => others::scale(simulated, key(workload), count),
            What::RolledOut(workload) => others::roll_out(simulated, key(workload), &format!("in hour {}", self.hour)),
            What::MaxEdited(workload, max) => others::set_max(simulated, key(workload), max),
            What::NamespaceDeleted(workload, _) => {
                let namespace = key(workload).namespace.clone();
                simulated.api.store.remove_namespace(&namespace);
                for slot in 0..WORKLOADS {
                    if self.workloads[slot].key.namespace == namespace {
                        self.remove(slot);
                        self.workloads[slot] = self.newcomer(slot);
                    }
                }
            }
            // The storm does all others.
            _ => {}
        }
    }

    fn set_clock(&mut self, place: usize, by: i64) {
        let place = &mut self.places[place];
        place.set_by += by;
        place.clock.set_by(SignedDuration::from_secs(by));
    }

    fn start(&mut self, number: usize) {
        self.starts += 1;
        let mut random = Random::named(self.seed, &format!("process {number} {}", self.starts));
        let totals = self.totals.clone();
        let listener = Arc::new(Counted {
            telemetry: Telemetry::new(STUCK_AFTER, Vitals::default),
            totals: totals.clone(),
        });
        let place = &mut self.places[number];
        let mut options = ProcessOptions {
            elected_as: Some(format!("process-{number}-{}", self.starts)),
            lease_times: LEASE_TIMES,
            term_begins: Some(Arc::new(move || {
                totals.terms.fetch_add(1, Ordering::Relaxed);
            })),
            seed: random.bits(),
            between: Some(place.storm.clone()),
            ..ProcessOptions::default()
        };
        options.controller.sync_period = SYNC_PERIOD;
        let telemetry = listener.telemetry.clone();
        let process = Process::start(&self.simulated.api, &place.clock, options, listener);
        place.process = Some((process, telemetry));
    }

    /// Ends who is there.
    async fn end(&mut self, place: usize, killed: bool) {
        match self.places[place].process.take() {
            Some((process, _)) if killed => process.kill().await,
            Some((process, _)) => process.stop().await,
            None => {}
        }
    }

    /// A workload with its autoscaler that nobody has seen yet, some in a namespace that is new too.
    fn newcomer(&mut self, slot: usize) -> Planned {
        self.newcomers += 1;
        let mut random = Random::named(self.seed, &format!("newcomer {}", self.newcomers));
        let mut planned = loop {
            let small = |planned: &Planned| planned.autoscaler["maxReplicas"].as_i64() <= Some(MAX_REPLICAS);
            if let Some(planned) = Plan::without_prometheus(random.bits())
                .workloads
                .into_iter()
                .find(small)
            {
                break planned;
            }
        };
        let Key { namespace, name } = &planned.key;
        planned.key = match slot {
            0 => Key::new(format!("{namespace}-{}", self.newcomers), name.clone()),
            _ => Key::new(namespace.clone(), format!("{name}-{}", self.newcomers)),
        };
        for load in loads(&mut planned) {
            go_on(load);
        }
        let Planned {
            key,
            replicas,
            behaviour,
            autoscaler,
            ..
        } = &planned;
        self.simulated
            .deploy(key, *replicas, plan::REQUEST, behaviour.clone())
            .and_then(|()| self.simulated.autoscale(key, autoscaler.clone()))
            .unwrap_or_else(|refusal| panic!("seed {}, {key}: {}", self.seed, refusal.message));
        planned
    }

    /// What is in a namespace of its own goes with that.
    fn remove(&self, slot: usize) {
        let key = &self.workloads[slot].key;
        let (store, Key { namespace, name }) = (&self.simulated.api.store, key);
        if slot == 0 {
            store.remove_namespace(namespace);
        } else {
            for resource in [&AUTOSCALERS, &DEPLOYMENTS] {
                // It may be gone with its namespace.
                let _ = store.delete(resource, namespace, name, |_| Ok(()));
            }
        }
        self.simulated.fleet.forget(key);
    }

    fn drop_old_events(&self) {
        let (store, clock) = (&self.simulated.api.store, &self.simulated.clock);
        let time = |text: Option<&str>| text.and_then(|text| text.parse::<Timestamp>().ok());
        for event in store.list(&EVENTS, None).0 {
            let made = time(event["metadata"]["creationTimestamp"].as_str());
            let repeated = time(event["lastTimestamp"].as_str());
            if made
                .max(repeated)
                .is_none_or(|at| clock.now().duration_since(at) > EVENTS_LIVE_FOR)
            {
                let text = |field: &str| event["metadata"][field].as_str().unwrap_or_default();
                // Its namespace may be deleted meanwhile.
                let _ = store.delete(&EVENTS, text("namespace"), text("name"), |_| Ok(()));
            }
        }
    }
}

/// What drives a workload.
fn loads(planned: &mut Planned) -> Vec<&mut Load> {
    let behaviour = &mut planned.behaviour;
    let metrics = behaviour.metrics.iter_mut().filter_map(|metric| match metric {
        crate::sim::fleet::WorkloadMetric::Pods { load, .. } => Some(load),
        _ => None,
    });
    std::iter::once(&mut behaviour.cpu).chain(metrics).collect()
}

/// Has a load that a plan ends with the hour go on for ever.
fn go_on(load: &mut Load) {
    if let Load::Until(_, inner) = load {
        let mut inner = std::mem::replace(&mut **inner, Load::Steady(0.0));
        if let Load::Steps { every, .. } = &mut inner {
            *every = Some(CALM);
        }
        *load = inner;
    }
}
