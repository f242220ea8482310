//! Deterministic simulation: an hour of virtual time drawn from a seed, with everything that goes wrong in it, and a judge.
//!
//! A seed gives a [`Plan`]: workloads, their loads, and what goes wrong when. The real controller runs through it; the judge
//! looks at what reaches the API. The same seed gives the same hour, so that what fails once fails again.

mod judge;
mod mutation;
mod plan;
mod storm;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until};

use super::api::{AUTOSCALERS, DEPLOYMENTS};
use super::control::{Process, ProcessOptions};
use super::random::Random;
use super::simulated::Simulated;
use crate::controller::Listener;
use crate::controller::report::PassReport;
use judge::Judge;
pub use mutation::Mutation;
pub use plan::{CALM, END, Event, Plan, Planned, What};
use storm::Storm;

/// When every trial begins.
const EPOCH: &str = "2026-01-05T08:00:00Z";

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
/// Where no runtime can be made, or the plan's own objects are refused.
pub fn run(plan: &Plan, mutation: Option<Mutation>) -> Verdict {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O can be made");
    runtime.block_on(async {
        // A paused clock stands anywhere between two ticks of tokio's timers, and stands on one after the first timer.
        sleep(Duration::from_millis(1)).await;
        Trial::begin(plan, mutation).run().await
    })
}

/// The same plan without what it fails without as well: each event is left out in turn.
pub fn shrink(plan: &Plan, mutation: Option<Mutation>) -> Plan {
    let mut smallest = plan.clone();
    let mut at = 0;
    while at < smallest.events.len() {
        let mut smaller = smallest.clone();
        smaller.events.remove(at);
        if run(&smaller, mutation).violations.is_empty() {
            at += 1;
        } else {
            smallest = smaller;
        }
    }
    smallest
}

/// One trial under way.
struct Trial<'p> {
    plan: &'p Plan,
    simulated: Simulated,
    judge: Arc<Judge>,
    storm: Arc<Storm>,
    began: Instant,
    processes: u64,
    panics: Arc<Panics>,
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
    fn begin(plan: &'p Plan, mutation: Option<Mutation>) -> Self {
        let simulated = Simulated::new(EPOCH.parse().expect("it is a time"), plan.seed);
        let judge = Judge::new(simulated.clock.clone(), simulated.api.clone());
        for planned in &plan.workloads {
            let made = simulated
                .deploy(&planned.key, planned.replicas, plan::REQUEST, planned.behaviour.clone())
                .and_then(|()| simulated.autoscale(&planned.key, planned.autoscaler.clone()));
            made.unwrap_or_else(|refusal| panic!("seed {}: {}", plan.seed, refusal.message));
        }
        let clock = simulated.clock.clone();
        let storm = Storm::new(plan.seed, plan.events.clone(), clock, judge.clone(), mutation);
        let trial = Self {
            plan,
            simulated,
            judge,
            storm,
            began: Instant::now(),
            processes: 0,
            panics: Arc::default(),
        };
        plan.workloads.iter().for_each(|planned| trial.show_spec(planned));
        trial
    }

    async fn run(mut self) -> Verdict {
        let fleet = self.simulated.fleet.clone();
        let runs = tokio::spawn(async move { fleet.run().await });
        let mut process = self.start();
        let mut counts = Vec::new();
        let mut events = self.plan.events.iter().peekable();
        for minute in 1..=END.as_secs() / 60 {
            let end = Duration::from_secs(minute * 60);
            while let Some(event) = events.next_if(|event| event.at < end) {
                sleep_until(self.began + event.at).await;
                if let What::Killed(down) = event.what {
                    process.kill().await;
                    sleep_until(self.began + event.at + down).await;
                    process = self.start();
                } else {
                    self.happens(&event.what);
                }
            }
            sleep_until(self.began + end).await;
            counts.extend(self.plan.workloads.iter().map(|planned| self.count(planned)));
        }
        self.judge.settled(&self.plan.workloads);
        let panicked = std::mem::take(&mut *self.panics.0.lock());
        panicked
            .iter()
            .for_each(|key| self.judge.violated(format!("the decision of {key} panicked")));
        process.kill().await;
        runs.abort();
        let (violations, scales) = self.judge.verdict();
        Verdict {
            violations,
            scales,
            counts,
        }
    }

    fn start(&mut self) -> Process {
        let mut random = Random::named(self.plan.seed, &format!("process {}", self.processes));
        self.processes += 1;
        let (judge, terms) = (self.judge.clone(), self.judge.clone());
        let options = ProcessOptions {
            elected_as: Some(format!("process-{}", self.processes)),
            term_begins: Some(Arc::new(move || terms.term_begins())),
            seed: random.bits(),
            streamed_lists: random.chance(0.7),
            onlooker: Some(Arc::new(move |spec, decision| judge.decided(spec, decision))),
            between: Some(self.storm.clone()),
            ..ProcessOptions::default()
        };
        Process::start(&self.simulated.api, &self.simulated.clock, options, self.panics.clone())
    }

    /// What others do.
    fn happens(&self, what: &What) {
        match what {
            What::Compacted => self.simulated.api.store.compact(),
            What::Scaled(workload, count) => {
                self.edit(*workload, &DEPLOYMENTS, |object| {
                    object["spec"]["replicas"] = (*count).into()
                });
            }
            What::RolledOut(workload) => self.edit(*workload, &DEPLOYMENTS, |object| {
                object["spec"]["template"]["metadata"]["annotations"]["restarted"] = "now".into();
            }),
            What::MaxEdited(workload, max) => {
                self.edit(*workload, &AUTOSCALERS, |object| {
                    object["spec"]["maxReplicas"] = (*max).into()
                });
                self.show_spec(&self.plan.workloads[*workload]);
            }
            // The storm does all others.
            _ => {}
        }
    }

    fn edit(&self, workload: usize, resource: &'static super::api::Resource, edit: impl Fn(&mut Value)) {
        let key = &self.plan.workloads[workload].key;
        let edited = |before: &Value| {
            let mut after = before.clone();
            edit(&mut after);
            Ok(after)
        };
        let edited = self
            .simulated
            .api
            .store
            .update(resource, &key.namespace, &key.name, edited);
        edited.unwrap_or_else(|refusal| panic!("seed {}: {}", self.plan.seed, refusal.message));
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
