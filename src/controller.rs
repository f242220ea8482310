//! The loop: when to sync; gather, decide, act.
//!
//! [`Controller::run`] takes changes of autoscalers in, asks [`schedule`] who is due, and starts a sync for each, all of
//! a pass with the same answers of the metric sources. A sync that is slow delays nobody else.

pub mod act;
pub mod compare;
pub mod gather;
pub mod keeper;
pub mod pass;
pub mod report;
pub mod schedule;
pub mod selectors;
pub mod shards;
pub mod sync;

mod batch;
mod burden;
mod held;
mod places;
mod precedence;
mod probe;
mod questions;
mod steady;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::cluster::autoscalers::{Change, Share};
use crate::decide;
use crate::memory::Memory;
use crate::memory::stored::Record;
use crate::metrics::sources::{MetricPass, MetricSources};
use crate::observe::Status;
use crate::spec::Key;
use act::Hand;
use batch::{Going, Turn};
use burden::HeavyLane;
use held::Held;
use keeper::{Beginning, Keeper, Saved};
use places::Places;
use precedence::Precedence;
use probe::Prober;
use report::{PassReport, SyncReport};
use schedule::Schedule;
use steady::Steady;

/// How often statuses that wait for the budget are looked at: it fills by the second.
const BUDGET_PERIOD: Duration = Duration::from_secs(1);

/// A pass that begins so much later than it should is warned of.
const LATE: Duration = Duration::from_millis(500);

/// What a last save of memory gets where syncs have used up their grace.
const LAST_SAVE: Duration = Duration::from_millis(100);

/// How the controller works.
#[derive(Clone, Debug)]
pub struct ControllerSettings {
    /// What decisions are made by.
    pub decide: decide::Settings,
    /// The time between two syncs of an autoscaler; above 0.
    pub sync_period: Duration,
    /// The time limit for what a sync sees.
    pub sync_timeout: Duration,
    /// How many scales are written at the same time; at least 1.
    pub concurrent_syncs: usize,
    /// How long syncs may go on after they were told to stop, so that no write is left half done.
    pub grace: Duration,
}

/// Takes what the controller reports.
pub trait Listener: Send + Sync + 'static {
    /// A pass has ended: every sync of it.
    fn pass(&self, report: PassReport);
    /// The loop goes round.
    fn beat(&self);
}

/// Everything that syncs share.
pub(crate) struct Context {
    pub cluster: Arc<Cluster>,
    pub sources: MetricSources,
    pub settings: ControllerSettings,
    clock: Arc<Steady>,
    pub hand: Hand,
    /// The autoscalers to decide for.
    share: Share,
    held: Held,
    /// `None`: memory ends with this controller.
    keeper: Option<Keeper>,
    places: Places,
    precedence: Precedence,
    heavy: HeavyLane,
}

/// The controller.
pub struct Controller {
    context: Arc<Context>,
    listener: Arc<dyn Listener>,
    /// What a former leader remembered, and when it led for the last time; taken when the caches are full.
    former: Mutex<Option<(BTreeMap<Key, Record>, Timestamp)>>,
}

/// A pass that has not ended yet.
struct OpenPass {
    began: Instant,
    answers: Arc<MetricPass>,
    left: usize,
    report: PassReport,
}

/// The state of the loop.
struct Loop {
    schedule: Schedule,
    started: Instant,
    syncs: JoinSet<Vec<Turn>>,
    /// The pass and the autoscalers of each task.
    tasks: HashMap<tokio::task::Id, (u64, Arc<[Key]>)>,
    passes: HashMap<u64, OpenPass>,
    next_pass: u64,
    /// How many syncs have begun.
    turns: u64,
    gone: Vec<Key>,
    /// When statuses that wait were last looked at.
    budget_asked: Instant,
    prober: Prober,
}

impl Controller {
    /// A controller over a cluster whose caches are filled or being filled.
    pub fn new(
        cluster: Arc<Cluster>,
        sources: MetricSources,
        settings: ControllerSettings,
        clock: Arc<dyn Clock>,
        hand: Hand,
        listener: Arc<dyn Listener>,
    ) -> Self {
        let places = Places::new(settings.concurrent_syncs);
        let share = Share::of_all(cluster.autoscalers.clone());
        let context = Context {
            cluster,
            sources,
            settings,
            clock: Arc::new(Steady::new(clock)),
            hand,
            share,
            held: Held::default(),
            keeper: None,
            places,
            precedence: Precedence::default(),
            heavy: HeavyLane::default(),
        };
        Self {
            context: Arc::new(context),
            listener,
            former: Mutex::default(),
        }
    }

    /// Decides for these autoscalers alone. To be said before anything else.
    pub fn for_share(mut self, share: Share) -> Self {
        let context = Arc::get_mut(&mut self.context).expect("nobody else has it before it runs");
        context.share = share;
        self
    }

    /// Begins with the memory of a former leader, and keeps its own in the same store. To be said before anything else.
    pub fn remembering(mut self, beginning: Beginning) -> Self {
        let context = Arc::get_mut(&mut self.context).expect("nobody else has it before it runs");
        // What is held and what is stored have the same times.
        context.keeper = Some(beginning.keeper.with_clock(context.clock.clone()));
        *self.former.lock() = Some((beginning.records, beginning.last_alive));
        self
    }

    /// What is remembered of an autoscaler at this moment; `None` where there is none of this name.
    pub fn memory(&self, key: &Key) -> Option<Memory> {
        self.context.held.known_memory(key)
    }

    /// What was said last about an autoscaler; `None` where there is none of this name.
    pub fn status(&self, key: &Key) -> Option<Status> {
        let autoscaler = self.context.share.get(key)?;
        Some(self.context.held.status_of(&autoscaler))
    }

    /// Waits for full caches, then syncs until `stop`; ends when all syncs have ended, or `grace` is over. Ends by itself only
    /// where another process saves memory: that one leads.
    pub async fn run(&self, stop: CancellationToken) {
        let cx = &self.context;
        if stop.run_until_cancelled(cx.cluster.ready()).await.is_none() {
            return;
        }
        // What has appeared so far is taken in as it stands, not once more as changes.
        let _ = cx.share.changes().now_or_never();
        let keys = cx.share.keys();
        keys.iter().for_each(|key| cx.held.appeared(key));
        let Some(keeper) = &cx.keeper else {
            self.sync_until(stop, keys).await;
            return;
        };
        self.recollect();
        if keeper.claim(&cx.held).await == Saved::TakenOver {
            return;
        }
        let (halt, end) = (stop.child_token(), CancellationToken::new());
        let keep = async {
            let saved = keeper.run(&cx.held, &end).await;
            if saved == Saved::TakenOver {
                halt.cancel();
            }
            saved
        };
        let sync = async {
            let until = self.sync_until(halt.clone(), keys).await;
            end.cancel();
            until
        };
        let (saved, until) = tokio::join!(keep, sync);
        if saved != Saved::TakenOver {
            let left = until.saturating_duration_since(Instant::now());
            keeper.finish(&cx.held, left.max(LAST_SAVE)).await;
        }
    }

    /// Takes in what a former leader remembered.
    fn recollect(&self) {
        let Some((records, last_alive)) = self.former.lock().take() else {
            return;
        };
        let cx = &self.context;
        for (key, record) in records {
            if let Some(autoscaler) = cx.share.get(&key) {
                cx.held.recollect(&autoscaler, record, last_alive);
            }
        }
    }

    /// Gives until when whatever follows the syncs may last.
    async fn sync_until(&self, stop: CancellationToken, keys: Vec<Key>) -> Instant {
        let cx = &self.context;
        let mut state = Loop {
            schedule: Schedule::new(cx.settings.sync_period),
            started: Instant::now(),
            syncs: JoinSet::new(),
            tasks: HashMap::new(),
            passes: HashMap::new(),
            next_pass: 0,
            turns: 0,
            gone: Vec::new(),
            budget_asked: Instant::now(),
            prober: Prober::default(),
        };
        keys.into_iter().for_each(|key| state.schedule.wants(key));
        info!(autoscalers = state.schedule.len(), "Caches are full: syncing");
        while !stop.is_cancelled() {
            self.listener.beat();
            self.start_due(&mut state);
            self.write_waiting_statuses(&mut state);
            let probe = state
                .prober
                .start_due(&state.schedule, state.started, &cx.sources.resource);
            let next = state.schedule.next_due();
            let next = state.started + probe.map_or(next, |probe| next.min(probe));
            // Wakes now and then also when nothing is due, to say that it is alive.
            let wake = next.min(Instant::now() + Duration::from_secs(1));
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                changes = cx.share.changes() => self.take_in(&mut state, changes),
                Some(ended) = state.syncs.join_next_with_id() => {
                    self.ended(&mut state, ended);
                    // In a pass they end by the hundred.
                    while let Some(ended) = state.syncs.try_join_next_with_id() {
                        self.ended(&mut state, ended);
                    }
                }
                Some(probed) = state.prober.ended() => probed.tell(&mut state.schedule),
                () = sleep_until(wake) => {}
            }
        }
        self.finish(state).await
    }

    fn take_in(&self, state: &mut Loop, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Added(key) | Change::SpecChanged(key) => {
                    self.context.held.appeared(&key);
                    state.schedule.wants(key);
                }
                Change::StatusOnly(_) => {}
                Change::Deleted(key) => {
                    self.context.held.gone(&key);
                    self.context.hand.forget(&key);
                    self.context.heavy.forget(&key);
                    state.schedule.forget(&key);
                    // A sync of it may still run, and be told of after this.
                    for pass in state.passes.values_mut() {
                        pass.report.gone.push(key.clone());
                    }
                    state.gone.push(key);
                }
            }
        }
    }

    /// Starts a sync for each autoscaler that is due, in one pass.
    fn start_due(&self, state: &mut Loop) {
        let due = state.schedule.take_due(state.started.elapsed());
        if let Some(late) = due.late.filter(|late| *late > LATE) {
            warn!(elapsed_ms = late.as_millis() as u64, "A pass begins late");
        }
        // Of those that are gone it is told at once: there may be no others that a pass would be over.
        if due.autoscalers.is_empty() && due.missed == 0 && state.gone.is_empty() {
            return;
        }
        let report = PassReport {
            late: due.late,
            longest_interval: due.longest_interval,
            missed: due.missed,
            autoscalers: state.schedule.len(),
            invalid: self.context.share.invalid(),
            gone: std::mem::take(&mut state.gone),
            ..PassReport::default()
        };
        if due.autoscalers.is_empty() {
            return self.listener.pass(report);
        }
        if let Some(step) = self.context.clock.take_over() {
            let milliseconds = i64::try_from(step.as_millis()).unwrap_or(0);
            warn!(
                milliseconds,
                "The clock of this machine was set: windows and policies go on as if it had not been"
            );
            self.context.held.clock_was_set(milliseconds);
        }
        let answers = pass::questions(&self.context, &due.autoscalers, state.prober.subject());
        let left = due.autoscalers.len();
        let number = state.next_pass;
        state.next_pass += 1;
        state.passes.insert(
            number,
            OpenPass {
                began: Instant::now(),
                answers: answers.clone(),
                left,
                report,
            },
        );
        let first = state.turns;
        state.turns += due.autoscalers.len() as u64;
        for batch in batch::batches(&self.context, &answers, due.autoscalers, first) {
            let keys = batch.keys.clone();
            let task = state.syncs.spawn(batch.run(self.context.clone(), answers.clone()));
            state.tasks.insert(task.id(), (number, keys));
        }
    }

    fn ended(&self, state: &mut Loop, ended: Result<(tokio::task::Id, Vec<Turn>), tokio::task::JoinError>) {
        let (id, turns) = match ended {
            Ok((id, turns)) => (id, turns),
            Err(problem) => {
                error!(error = %problem, "Syncs broke off");
                (problem.id(), Vec::new())
            }
        };
        let Some((number, keys)) = state.tasks.remove(&id) else {
            return;
        };
        let mut turns = turns.into_iter();
        for key in keys.iter() {
            match turns.next() {
                Some(Turn::GoesOn(sync)) => go_on(state, number, key, sync),
                Some(Turn::Ended(report)) => self.sync_ended(state, number, key, report),
                None => self.sync_ended(state, number, key, None),
            }
        }
    }

    fn sync_ended(&self, state: &mut Loop, number: u64, key: &Key, report: Option<SyncReport>) {
        state.schedule.ended(key, state.started.elapsed());
        let Some(pass) = state.passes.get_mut(&number) else {
            return;
        };
        pass.left -= 1;
        pass.report.syncs.extend(report);
        if pass.left == 0
            && let Some(mut pass) = state.passes.remove(&number)
        {
            pass.report.duration = pass.began.elapsed();
            // A later report may have told of fewer already.
            pass.report.autoscalers = state.schedule.len();
            pass.report.invalid = self.context.share.invalid();
            if pass.report.late.is_some() {
                state
                    .prober
                    .pass_ended(&pass.answers, state.started, &mut state.schedule);
            }
            self.pass_ended(pass);
        }
    }

    fn pass_ended(&self, mut pass: OpenPass) {
        let cx = &self.context;
        if pass.report.duration > cx.settings.sync_period {
            warn!(
                elapsed_ms = pass.report.duration.as_millis() as u64,
                "A pass took longer than the sync period"
            );
        }
        pass.report.heavy = cx.heavy.len();
        cx.hand.pass_ended();
        if let Some(keeper) = &cx.keeper {
            keeper.pass_ended();
        }
        self.listener.pass(pass.report);
    }

    /// Writes the statuses whose turn has come, each as its last sync left it.
    fn write_waiting_statuses(&self, state: &mut Loop) {
        let Hand::Acting(acting) = &self.context.hand else {
            return;
        };
        if state.budget_asked.elapsed() < BUDGET_PERIOD {
            return;
        }
        state.budget_asked = Instant::now();
        let due = acting.budget.lock().due(Instant::now());
        // A sync that runs will offer its own, or let this one wait again.
        for key in due.into_iter().filter(|key| !state.schedule.is_running(key)) {
            let cx = self.context.clone();
            let waiting = cx.cluster.autoscalers.get(&key).zip(cx.held.take_waiting_status(&key));
            if let Some((autoscaler, (status, writing))) = waiting {
                state.syncs.spawn(async move {
                    if let Hand::Acting(acting) = &cx.hand {
                        acting.write_status_now(&cx.held, &autoscaler, &status).await;
                    }
                    drop(writing);
                    Vec::new()
                });
            }
        }
    }

    /// Lets running syncs end, for as long as `grace`; gives its end.
    async fn finish(&self, mut state: Loop) -> Instant {
        let until = Instant::now() + self.context.settings.grace;
        while let Ok(Some(ended)) = timeout_at(until, state.syncs.join_next_with_id()).await {
            self.ended(&mut state, ended);
        }
        if !state.syncs.is_empty() {
            warn!(syncs = state.syncs.len(), "Stopped before all syncs had ended");
        }
        // Those that are deleted before the next controller begins nobody will tell of.
        let mut gone = state.gone;
        gone.extend(state.schedule.keys().cloned());
        gone.iter().for_each(|key| self.context.hand.forget(key));
        self.listener.pass(PassReport {
            gone,
            ..PassReport::default()
        });
        info!("Stopped syncing");
        until
    }
}

/// Runs a sync that had its turn in a batch, and waits for something.
fn go_on(state: &mut Loop, number: u64, key: &Key, sync: Going) {
    let task = state.syncs.spawn(async move { vec![Turn::Ended(sync.await)] });
    state.tasks.insert(task.id(), (number, Arc::new([key.clone()])));
}

#[cfg(test)]
mod tests;
