//! Deterministic simulation: an hour of virtual time drawn from a seed, with everything that goes wrong in it, and a judge.
//!
//! A seed gives a [`Plan`]: workloads, their loads, and what goes wrong when. The real controller runs through it; the judge
//! looks at what reaches the API. The same seed gives the same hour, so that what fails once fails again.

pub mod days;

mod judge;
mod mutation;
mod others;
mod plan;
mod question;
mod rest;
mod storm;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::api::{AUTOSCALERS, DEPLOYMENTS};
use super::control::{Process, ProcessOptions};
use super::random::Random;
use super::simulated::Simulated;
use super::time::VirtualClock;
use crate::controller::Listener;
use crate::controller::report::PassReport;
use crate::settings::sources::Sources;
use crate::settings::{Typed, resolve};
use judge::{Judge, identity};
pub use mutation::Mutation;
pub use plan::{Asking, CALM, END, Event, Plan, Planned, Point, What};
use rest::Rest;
pub use rest::{AtRest, at_rest};
use storm::{Storm, Weather};

/// When every trial begins.
const EPOCH: &str = "2026-01-05T08:00:00Z";

/// Before anything goes wrong, and long enough after the start that all is under way.
const UNDER_WAY: Duration = Duration::from_secs(55);

/// Tasks that may be there at the end and were not when all was under way: requests under way, and watches of what was not
/// asked for before.
const MORE_TASKS: usize = 8;

/// Counts are looked at for so long before the end: the longest stabilization window, and a pass.
const LOOKED_AT_FOR: Duration = Duration::from_secs(320);

/// As often as metrics are measured, and an autoscaler is synced.
const BETWEEN_LOOKS: Duration = Duration::from_secs(15);

/// What came of a trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What was wrong; nothing where all held.
    pub violations: Vec<String>,
    /// How many counts were written.
    pub scales: usize,
    /// The counts over time: the same for the same plan.
    pub counts: Vec<i64>,
}

/// Tries a plan, with the controller as it is, or with a known bug.
///
/// # Panics
///
/// Where no runtime can be made, or the plan's own objects, or its configuration, are refused.
pub fn run(plan: &Plan, mutation: Option<Mutation>) -> Verdict {
    in_virtual_time(Trial::begin_and_run(plan, mutation))
}

/// As long as nobody has anything to do, time goes on.
fn in_virtual_time<T>(what: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O can be made");
    runtime.block_on(async {
        // A paused clock stands anywhere between two ticks of tokio's timers, and stands on one after the first timer.
        sleep(Duration::from_millis(1)).await;
        what.await
    })
}

/// The same plan without what it fails without as well: workloads, processes, and each event are left out in turn.
pub fn shrink(plan: &Plan, mutation: Option<Mutation>) -> Plan {
    let fails = |plan: &Plan| !run(plan, mutation).violations.is_empty();
    let mut smallest = plan.clone();
    for number in (0..plan.workloads.len()).rev() {
        let smaller = smallest.without_workload(number);
        if !smaller.workloads.is_empty() && fails(&smaller) {
            smallest = smaller;
        }
    }
    let smaller = smallest.with_one_process();
    if smallest.processes > 1 && fails(&smaller) {
        smallest = smaller;
    }
    let mut at = 0;
    while at < smallest.events.len() {
        let mut smaller = smallest.clone();
        smaller.events.remove(at);
        if fails(&smaller) {
            smallest = smaller;
        } else {
            at += 1;
        }
    }
    smallest
}

/// One trial under way.
struct Trial<'p> {
    plan: &'p Plan,
    simulated: Simulated,
    judge: Arc<Judge>,
    began: Instant,
    slots: Vec<Slot>,
    panics: Arc<Panics>,
    /// What comes next, by time, and of the same time in this order.
    steps: BTreeMap<(Duration, u64), Step>,
    planned: u64,
    kills: mpsc::UnboundedReceiver<(usize, Duration)>,
    /// The tasks that there were when all was under way.
    tasks: Option<usize>,
    counts: Vec<i64>,
    /// Writes down what is seen at the end.
    rest: Option<Arc<Rest>>,
    /// What the cluster's Prometheus answers for; `None`: there is none.
    sources: Option<Arc<Sources>>,
}

/// Where a process runs.
struct Slot {
    clock: Arc<VirtualClock>,
    storm: Arc<Storm>,
    process: Option<Process>,
    starts: u64,
    /// How far its clock is set from the right time.
    set_by: i64,
}

/// What is done next.
enum Step {
    Event(usize),
    Start(usize),
    Make(usize),
    Minute,
    StartPrometheus,
    SetClocksRight,
    CountTasks,
    Weigh,
    Look,
    End,
}

/// Notes decisions that panicked.
#[derive(Default)]
struct Panics(Mutex<Vec<String>>);

impl Listener for Panics {
    fn pass(&self, report: PassReport) {
        let panicked = report.syncs.iter().filter(|sync| sync.panicked);
        self.0.lock().extend(panicked.map(|sync| sync.key.to_string()));
    }

    fn beat(&self) {}
}

impl<'p> Trial<'p> {
    async fn begin_and_run(plan: &'p Plan, mutation: Option<Mutation>) -> Verdict {
        Self::begin(plan, mutation).run().await
    }

    fn begin(plan: &'p Plan, mutation: Option<Mutation>) -> Self {
        let simulated = Simulated::new(EPOCH.parse().expect("it is a time"), plan.seed);
        let sources = plan.configuration.as_deref().map(|text| Arc::new(sources(text)));
        if sources.is_some() {
            simulated.api.prometheus.start();
        }
        let judge = Judge::new(simulated.clock.clone(), simulated.api.clone(), sources.clone());
        let (kill, kills) = mpsc::unbounded_channel();
        let weather = Weather {
            seed: plan.seed,
            calm: CALM,
            clock: simulated.clock.clone(),
            judge: Some(judge.clone()),
            mutation,
            kills: kill,
        };
        let slot = |number| Slot {
            clock: Arc::new(simulated.clock.of_another_machine()),
            storm: Storm::new(weather.clone(), &plan.events, number),
            process: None,
            starts: 0,
            set_by: 0,
        };
        let slots = (0..plan.processes).map(slot).collect();
        let mut trial = Self {
            plan,
            judge,
            slots,
            began: Instant::now(),
            panics: Arc::default(),
            steps: BTreeMap::new(),
            planned: 0,
            kills,
            tasks: None,
            counts: Vec::new(),
            rest: None,
            sources,
            simulated,
        };
        for number in 0..plan.workloads.len() {
            trial.make(number);
        }
        trial.plan_steps();
        trial
    }

    fn plan_steps(&mut self) {
        for (number, event) in self.plan.events.iter().enumerate() {
            if event.what.is_at_once() {
                self.later(event.at, Step::Event(number));
            }
        }
        for minute in 1..=END.as_secs() / 60 {
            self.later(Duration::from_secs(minute * 60), Step::Minute);
        }
        self.later(UNDER_WAY, Step::CountTasks);
        // Prometheus is asked what it knew at a time, and knows nothing of times that are to come.
        if self.sources.is_some() {
            self.later(CALM, Step::SetClocksRight);
        }
        let mut at = UNDER_WAY;
        while at < END {
            self.later(at, Step::Weigh);
            at += BETWEEN_LOOKS;
        }
        let mut at = END.saturating_sub(LOOKED_AT_FOR);
        while at < END {
            self.later(at, Step::Look);
            at += BETWEEN_LOOKS;
        }
        self.later(END, Step::End);
    }

    fn later(&mut self, at: Duration, step: Step) {
        self.planned += 1;
        self.steps.insert((at, self.planned), step);
    }

    async fn run(mut self) -> Verdict {
        let fleet = self.simulated.fleet.clone();
        let runs = tokio::spawn(async move { fleet.run().await });
        for process in 0..self.slots.len() {
            self.start(process);
        }
        while let Some(((at, _), step)) = self.steps.pop_first() {
            self.until(at).await;
            match step {
                Step::Event(number) => self.happens(number).await,
                Step::Start(process) => self.start(process),
                Step::Make(workload) => self.make(workload),
                Step::Minute => {
                    let counts: Vec<i64> = self.plan.workloads.iter().map(|planned| self.count(planned)).collect();
                    self.counts.extend(counts);
                }
                Step::StartPrometheus => self.simulated.api.prometheus.start(),
                Step::SetClocksRight => {
                    for process in 0..self.slots.len() {
                        self.set_clock(process, -self.slots[process].set_by);
                    }
                }
                Step::CountTasks => self.tasks = Some(tasks()),
                Step::Weigh => self.weigh(),
                Step::Look => self.judge.look(&self.plan.workloads),
                Step::End => break,
            }
        }
        self.judge.settled(&self.plan.workloads);
        let (before, now) = (self.tasks.unwrap_or(0), tasks());
        if now > before + MORE_TASKS {
            self.judge
                .violated(format!("{now} tasks at the end, {before} at the beginning"));
        }
        let panicked = std::mem::take(&mut *self.panics.0.lock());
        panicked
            .iter()
            .for_each(|key| self.judge.violated(format!("the decision of {key} panicked")));
        for process in 0..self.slots.len() {
            self.kill(process).await;
        }
        runs.abort();
        let (violations, scales) = self.judge.verdict();
        Verdict {
            violations,
            scales,
            counts: self.counts,
        }
    }

    /// Waits; kills meanwhile who is to be killed.
    async fn until(&mut self, at: Duration) {
        loop {
            tokio::select! {
                biased;
                Some((process, down)) = self.kills.recv() => self.ends(process, down, true).await,
                () = sleep_until(self.began + at) => return,
            }
        }
    }

    /// Ends a process, to be started again.
    async fn ends(&mut self, process: usize, down: Duration, killed: bool) {
        let Some(slot) = self.slots.get_mut(process) else {
            return;
        };
        let Some(runs) = slot.process.take() else { return };
        if killed {
            runs.kill().await;
        } else {
            runs.stop().await;
        }
        let now = self.simulated.clock.elapsed();
        self.later(now + down, Step::Start(process));
    }

    /// Shows the judge what processes hold.
    fn weigh(&self) {
        let now = self.simulated.clock.elapsed();
        let keys: Vec<_> = self.plan.workloads.iter().map(|planned| planned.key.clone()).collect();
        for (number, slot) in self.slots.iter().enumerate() {
            let meets = |event: &&Event| event.process.is_none_or(|process| process == number);
            let is_troubled = self
                .plan
                .events
                .iter()
                .filter(meets)
                .any(|event| event.is_under_way(now));
            match &slot.process {
                Some(process) => self.judge.holds(number, &process.holds(&keys), is_troubled),
                None => self.judge.ended(number),
            }
        }
    }

    async fn kill(&mut self, process: usize) {
        if let Some(process) = self.slots[process].process.take() {
            process.kill().await;
        }
    }

    fn start(&mut self, process: usize) {
        let slot = &mut self.slots[process];
        let mut random = Random::named(self.plan.seed, &format!("process {process} {}", slot.starts));
        slot.starts += 1;
        let (judge, rest) = (self.judge.clone(), self.rest.clone());
        let (begins, ends) = (self.judge.clone(), self.judge.clone());
        let options = ProcessOptions {
            elected_as: Some(identity(process, slot.starts)),
            term_begins: Some(Arc::new(move || begins.term_begins(process))),
            term_ends: Some(Arc::new(move || ends.term_ends(process))),
            seed: random.bits(),
            streamed_lists: random.chance(0.7),
            onlooker: Some(Arc::new(move |spec, decision| {
                judge.decided(process, spec, decision);
                if let Some(rest) = &rest {
                    rest.decided(&spec.key);
                }
            })),
            between: Some(slot.storm.clone()),
            prometheus: self.sources.clone(),
            ..ProcessOptions::default()
        };
        slot.process = Some(Process::start(
            &self.simulated.api,
            &slot.clock,
            options,
            self.panics.clone(),
        ));
    }

    /// Makes a workload and its autoscaler.
    fn make(&mut self, workload: usize) {
        let planned = &self.plan.workloads[workload];
        let Planned { key, behaviour, .. } = planned;
        if self
            .simulated
            .api
            .store
            .get(&AUTOSCALERS, &key.namespace, &key.name)
            .is_some()
        {
            return;
        }
        let made = self
            .simulated
            .deploy(key, planned.replicas, plan::REQUEST, behaviour.clone())
            .and_then(|()| self.simulated.autoscale(key, planned.autoscaler.clone()));
        made.unwrap_or_else(|refusal| panic!("seed {}: {}", self.plan.seed, refusal.message));
        self.show_spec(planned);
    }

    /// What others do.
    async fn happens(&mut self, number: usize) {
        let event = &self.plan.events[number];
        let process = event.process.unwrap_or(0);
        match event.what {
            What::Killed(down) => self.ends(process, down, true).await,
            What::Stopped(down) => self.ends(process, down, false).await,
            What::ClockSet(by) => self.set_clock(process, by),
            What::PrometheusGone(down) => {
                self.simulated.api.prometheus.stop();
                let now = self.simulated.clock.elapsed();
                self.later(now + down, Step::StartPrometheus);
            }
            What::Compacted => self.simulated.api.store.compact(),
            What::Scaled(workload, count) => others::scale(&self.simulated, &self.plan.workloads[workload].key, count),
            What::RolledOut(workload) => others::roll_out(&self.simulated, &self.plan.workloads[workload].key, "now"),
            What::MaxEdited(workload, max) => {
                let planned = &self.plan.workloads[workload];
                others::set_max(&self.simulated, &planned.key, max);
                self.show_spec(planned);
            }
            What::NamespaceDeleted(workload, down) => {
                let namespace = &self.plan.workloads[workload].key.namespace;
                self.simulated.api.store.remove_namespace(namespace);
                let now = self.simulated.clock.elapsed();
                for (number, planned) in self.plan.workloads.iter().enumerate() {
                    if planned.key.namespace == *namespace {
                        self.judge.deleted(&planned.key);
                        self.later(now + down, Step::Make(number));
                    }
                }
            }
            // The storm does all others.
            _ => {}
        }
    }

    fn set_clock(&mut self, process: usize, by: i64) {
        if let Some(slot) = self.slots.get_mut(process)
            && by != 0
        {
            slot.set_by += by;
            slot.clock.set_by(SignedDuration::from_secs(by));
            self.judge.clock_is_set(process, by);
        }
    }

    fn show_spec(&self, planned: &Planned) {
        let key = &planned.key;
        if let Some(autoscaler) = self.simulated.api.store.get(&AUTOSCALERS, &key.namespace, &key.name) {
            self.judge.has_spec(key, &autoscaler["spec"]);
        }
    }

    fn count(&self, planned: &Planned) -> i64 {
        let key = &planned.key;
        let deployment = self.simulated.api.store.get(&DEPLOYMENTS, &key.namespace, &key.name);
        deployment
            .and_then(|deployment| deployment["spec"]["replicas"].as_i64())
            .unwrap_or(0)
    }
}

/// What a configuration file says of Prometheus.
fn sources(configuration: &str) -> Sources {
    let file = ("simulated.yaml".to_owned(), configuration.to_owned());
    let typed = Typed {
        file: Some(file),
        ..Typed::default()
    };
    let effective = resolve(&typed).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    effective.settings.sources
}

/// Tasks that have not ended.
fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}
