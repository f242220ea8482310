//! Keeps what is remembered in the store, for one term of leadership: what is saved when.
//!
//! - Before a scale write that policies count: its intent, one save for all that come at about the same time. A save that
//!   fails holds no write up for longer than 2 s.
//! - After a pass: what it recommended where a window or a policy holds a recommendation back. There, each
//!   recommendation counts for when the hold ends.
//! - The rest once in a minute.

mod begin;
mod parts;
mod unsaved;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::held::{Held, Standing};
use crate::clock::Clock;
use crate::cluster::events::{EventRecorder, Involved, InvolvedKind};
use crate::cluster::lease::{LastWord, Leadership};
use crate::cluster::stored::MemoryStore;
use crate::decide::{Event, EventKind};
use crate::memory::stored::{Intent, MOST_BYTES, MOST_PARTS, PART_BYTES, Part, encode, place};
use crate::spec::Key;
use crate::wire::{WireError, WireFailure};
pub use begin::{Beginning, begin};
use parts::Parts;

/// The longest that a scale write waits for its intent to be saved.
const INTENT_TIME: Duration = Duration::from_secs(2);
/// Further intents are waited for as long as one comes within this time, since a pass decides in bulk,
const LINGER: Duration = Duration::from_millis(20);
/// but no longer than this.
const MOST_LINGER: Duration = Duration::from_millis(100);

/// What became of a save.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Saved {
    /// It is in the store.
    Done,
    /// It is not, or nobody knows.
    Failed,
    /// Another process writes there: we lead no more.
    TakenOver,
}

/// What keeping memory takes beside the store.
#[derive(Clone)]
pub struct Circumstances {
    /// The wall clock, for what is stored.
    pub clock: Arc<dyn Clock>,
    /// Takes Events about the store.
    pub recorder: EventRecorder,
    /// Whether we lead: nothing is saved otherwise.
    pub leadership: watch::Receiver<Leadership>,
}

/// Saves memory, as long as its controller runs.
pub struct Keeper {
    store: Arc<MemoryStore>,
    circumstances: Circumstances,
    /// What the former leader has stored is known.
    was_read: bool,
    /// Tells the next leader what is not saved,
    word: LastWord,
    /// as long as this term of it lasts.
    term: u64,
    state: Arc<Mutex<State>>,
    wake: Notify,
}

/// A decision whose write is under way, until this is dropped.
pub(super) struct Open<'a> {
    keeper: &'a Keeper,
    key: &'a Key,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.keeper.state.lock().parts.close(self.key);
    }
}

struct State {
    parts: Parts,
    /// Intents that wait to be saved: at most one for each autoscaler.
    waiting: Vec<(Key, oneshot::Sender<Saved>)>,
    /// Since when nothing could be saved.
    trouble: Option<Instant>,
}

impl Keeper {
    /// The same with another clock for what is stored.
    pub(super) fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.circumstances.clock = clock;
        self
    }

    /// Saves that `intent` is about to be carried out, together with others.
    pub(super) async fn intend(&self, held: &Held, key: &Key, intent: Intent, standing: Standing) -> Saved {
        held.intend(key, intent, standing);
        let (tell, told) = oneshot::channel();
        self.state.lock().waiting.push((key.clone(), tell));
        self.wake.notify_one();
        let saved = match timeout(INTENT_TIME, told).await {
            Ok(Ok(saved)) => saved,
            _ => Saved::Failed,
        };
        if saved == Saved::Failed {
            self.store.count_unsaved_write();
        }
        saved
    }

    /// An autoscaler's memory is to be saved within this pass. `is_new`: what is saved of it would have the next leader decide
    /// otherwise.
    pub(super) fn note(&self, key: &Key, is_new: bool) {
        self.state.lock().parts.mark(key, is_new, Instant::now());
    }

    /// A write is about to be made, and what was decided is not remembered before it has ended.
    pub(super) fn open<'a>(&'a self, key: &'a Key) -> Open<'a> {
        self.state.lock().parts.open(key);
        Open { keeper: self, key }
    }

    /// A pass has ended.
    pub(super) fn pass_ended(&self) {
        if self.state.lock().parts.pass_ended() {
            self.wake.notify_one();
        }
    }

    /// Saves everything once: from then on a former leader that still runs can save nothing more.
    pub(super) async fn claim(&self, held: &Held) -> Saved {
        let all = (0..self.state.lock().parts.len()).collect();
        let saved = self.save(held, all).await;
        // Not before: until now nothing was recommended, and what the former leader said of its own store holds.
        let state = Arc::downgrade(&self.state);
        let word = move || state.upgrade().map(|state| state.lock().parts.word());
        self.word.speak(self.term, word);
        saved
    }

    /// Saves what is due until `end`; ends earlier where another process writes to the store.
    pub(super) async fn run(&self, held: &Held, end: &CancellationToken) -> Saved {
        loop {
            let next = self.state.lock().parts.next_due(Instant::now());
            tokio::select! {
                biased;
                () = end.cancelled() => return Saved::Done,
                () = self.wake.notified() => {}
                () = sleep_until(next) => {}
            }
            self.linger().await;
            let now = Instant::now();
            let (waiting, due) = {
                let mut state = self.state.lock();
                let waiting = std::mem::take(&mut state.waiting);
                let count = state.parts.len();
                let wall = self.circumstances.clock.now();
                let worth = |number| held.is_worth_saving(number, count, wall);
                let mut due = state.parts.take_due(now, worth);
                due.extend(waiting.iter().map(|(key, _)| place(key, count)));
                due.sort_unstable();
                due.dedup();
                (waiting, due)
            };
            if due.is_empty() {
                continue;
            }
            let Some(saved) = end.run_until_cancelled(self.save(held, due)).await else {
                return Saved::Done;
            };
            // Whoever has waited for too long is gone.
            for (_, tell) in waiting {
                let _ = tell.send(saved);
            }
            if saved == Saved::TakenOver {
                return saved;
            }
        }
    }

    /// Saves what has changed a last time.
    pub(super) async fn finish(&self, held: &Held, limit: Duration) {
        let now = self.circumstances.clock.now();
        let unsaved = {
            let state = self.state.lock();
            let count = state.parts.len();
            state.parts.unsaved(|number| held.is_worth_saving(number, count, now))
        };
        if !unsaved.is_empty() && timeout(limit, self.save(held, unsaved)).await.is_err() {
            warn!("Memory was not saved a last time: the store did not answer");
        }
    }

    /// Lets intents come together.
    async fn linger(&self) {
        let until = Instant::now() + MOST_LINGER;
        loop {
            let before = self.state.lock().waiting.len();
            if before == 0 || Instant::now() >= until {
                return;
            }
            sleep(LINGER).await;
            if self.state.lock().waiting.len() == before {
                return;
            }
        }
    }

    async fn save(&self, held: &Held, numbers: Vec<usize>) -> Saved {
        if !self.circumstances.leadership.borrow().leads(Instant::now()) {
            let mut state = self.state.lock();
            numbers
                .iter()
                .for_each(|number| state.parts.failed(*number, Instant::now()));
            return Saved::Failed;
        }
        let numbers = self.state.lock().parts.with_new(numbers);
        let drafts = self.compose(held, numbers);
        let is_new = |draft: &Draft| self.state.lock().parts.version(draft.part.number).is_none();
        let (new, old): (Vec<_>, Vec<_>) = drafts.into_iter().partition(is_new);
        // What an old part gives to a new one is nowhere, should this process end between the two.
        let mut saved = self.save_drafts(new).await;
        if saved == Saved::Done {
            saved = self.save_drafts(old).await;
        } else {
            let mut state = self.state.lock();
            let left = old.iter().map(|draft| draft.part.number);
            left.for_each(|number| state.parts.failed(number, Instant::now()));
        }
        if saved == Saved::Done && self.state.lock().trouble.take().is_some() {
            info!("Memory is saved again");
        }
        saved
    }

    /// Saves all of them at the same time.
    async fn save_drafts(&self, drafts: Vec<Draft>) -> Saved {
        let saves = drafts.into_iter().map(async |draft| {
            let (number, is_held, is_empty) = (draft.part.number, draft.is_held, draft.part.records.is_empty());
            let began = Instant::now();
            match self.put(draft.part, draft.bytes).await {
                Ok(version) => {
                    let mut state = self.state.lock();
                    state.parts.saved(number, version, began, is_held, is_empty);
                    Saved::Done
                }
                Err(PutError::TakenOver(writer)) => {
                    warn!(writer, "Another process saves memory: this one leads no more");
                    Saved::TakenOver
                }
                Err(PutError::Wire(error)) => {
                    self.state.lock().parts.failed(number, Instant::now());
                    self.in_trouble(number, &error);
                    Saved::Failed
                }
            }
        });
        let outcomes = join_all(saves).await;
        if outcomes.contains(&Saved::TakenOver) {
            return Saved::TakenOver;
        }
        if outcomes.contains(&Saved::Failed) {
            return Saved::Failed;
        }
        Saved::Done
    }

    /// The parts of these numbers as they are now; all parts, where they have to become more.
    fn compose(&self, held: &Held, mut numbers: Vec<usize>) -> Vec<Draft> {
        let now = self.circumstances.clock.now();
        loop {
            let count = {
                let mut state = self.state.lock();
                numbers.iter().for_each(|number| state.parts.begin(*number));
                state.parts.len()
            };
            let drafts: Vec<Draft> = held
                .records(&numbers, count, now)
                .into_iter()
                .map(|drafted| {
                    let part = Part {
                        writer: self.store.writer().to_owned(),
                        saved_at: now,
                        number: drafted.number,
                        parts: count,
                        records: drafted.records,
                    };
                    Draft {
                        bytes: encode(&part),
                        part,
                        is_held: drafted.is_held,
                    }
                })
                .collect();
            if count < MOST_PARTS && drafts.iter().any(|draft| draft.bytes.len() > PART_BYTES) {
                self.state.lock().parts.double();
                numbers = (0..self.state.lock().parts.len()).collect();
                continue;
            }
            return drafts.into_iter().map(Draft::cut_to_fit).collect();
        }
    }

    /// Saves a part; where there is another version than we know, finds out whether it is ours.
    async fn put(&self, part: Part, bytes: Vec<u8>) -> Result<String, PutError> {
        let version = self.state.lock().parts.version(part.number);
        let end = self.end_of_lead();
        match self.store.save(&part, bytes.clone(), version.as_deref(), end).await {
            Err(error) if matches!(error.failure(), WireFailure::Conflict | WireFailure::NotFound) => {}
            outcome => return Ok(outcome?),
        }
        // The answer to our last save was lost, somebody touched the object, deleted it, or another process leads.
        let found = self.store.list().await?;
        let found = found.into_iter().find(|found| found.number == part.number);
        if let Some(Ok(content)) = found.as_ref().map(|found| &found.content)
            && content.writer != part.writer
            // Where the store could not be read, that may be what a former leader has left, and this one has the Lease.
            && (self.was_read || version.is_some())
        {
            return Err(PutError::TakenOver(content.writer.clone()));
        }
        let version = found.map(|found| found.version);
        let end = self.end_of_lead();
        Ok(self.store.save(&part, bytes, version.as_deref(), end).await?)
    }

    /// Nothing is saved from then on: whoever leads next has read what was saved before.
    fn end_of_lead(&self) -> Instant {
        let end = self.circumstances.leadership.borrow().end();
        end.unwrap_or_else(Instant::now)
    }

    /// Says once that nothing can be saved.
    fn in_trouble(&self, number: usize, error: &WireError) {
        let new = self.state.lock().trouble.replace(Instant::now()).is_none();
        if new {
            warn!(
                error = error as &dyn std::error::Error,
                "Memory not saved: after a restart, windows and policies would begin anew"
            );
            self.event(
                "FailedSaveMemory",
                number,
                &format!("memory could not be saved: {}", error.message()),
            );
        }
    }

    fn event(&self, reason: &'static str, number: usize, message: &str) {
        event(&self.store, &self.circumstances, reason, number, message);
    }
}

/// A warning about a part of the store.
fn event(store: &MemoryStore, circumstances: &Circumstances, reason: &'static str, number: usize, message: &str) {
    let involved = Involved {
        kind: InvolvedKind::ConfigMap,
        key: Key::new(store.namespace(), store.object(number)),
        uid: "".into(),
        resource_version: "".into(),
    };
    let event = Event {
        kind: EventKind::Warning,
        reason,
        message: message.to_owned(),
    };
    circumstances
        .recorder
        .record(&involved, &event, circumstances.clock.now());
}

/// Why a part was not saved.
enum PutError {
    Wire(WireError),
    TakenOver(String),
}

impl From<WireError> for PutError {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

/// A part about to be saved.
struct Draft {
    part: Part,
    bytes: Vec<u8>,
    is_held: bool,
}

impl Draft {
    /// Leaves records out where there are more than an object can hold, which takes some hundred thousand autoscalers.
    fn cut_to_fit(mut self) -> Self {
        let all = self.part.records.len();
        while self.bytes.len() > MOST_BYTES {
            // Every second one, so that it is not always those whose names come last.
            let mut keep = false;
            self.part.records.retain(|record| {
                keep = !keep;
                keep || record.intent.is_some()
            });
            self.bytes = encode(&self.part);
        }
        let left_out = all - self.part.records.len();
        if left_out > 0 {
            warn!(
                autoscalers = left_out,
                "There is no room to save what is remembered of all autoscalers"
            );
        }
        self
    }
}
