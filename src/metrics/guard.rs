//! How a source may be asked: for how long, how often at once, and not at all while it keeps failing.

mod breaker;
mod trouble;

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, timeout};

use super::failure::{SourceError, SourceName};
use crate::observe::FailureKind;
pub use breaker::{Admission, Breaker, BreakerSettings};
pub use trouble::Trouble;
use trouble::Troubles;

/// The bounds of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardSettings {
    /// The time for one question, from its first byte to the answer decoded.
    pub time: Duration,
    /// How many questions are under way at once; at least 1. Others wait for their turn.
    pub concurrency: usize,
    /// When to leave the source alone.
    pub breaker: BreakerSettings,
}

impl Default for GuardSettings {
    /// 10 s, two thirds of the usual sync period; 8 at once, which keeps 8 connections at most (kube speaks HTTP/1.1).
    fn default() -> Self {
        Self {
            time: Duration::from_secs(10),
            concurrency: 8,
            breaker: BreakerSettings::default(),
        }
    }
}

/// What became of a source's questions so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuardCounts {
    /// Answered.
    pub answered: u64,
    /// Asked, and failed.
    pub failed: u64,
    /// Not asked, since the source was resting.
    pub refused: u64,
}

/// How a source is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceHealth {
    /// What became of its questions so far.
    pub counts: GuardCounts,
    /// It is being left alone after failures.
    pub resting: bool,
    /// Why it does not answer, where it does not.
    pub trouble: Option<Trouble>,
}

/// Stands before a source and holds to its bounds.
#[derive(Debug)]
pub struct Guard {
    asked: SourceName,
    settings: GuardSettings,
    places: Semaphore,
    state: Mutex<State>,
    trial_over: Notify,
    answered: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
}

#[derive(Debug)]
struct State {
    breaker: Breaker,
    /// What is answered while the source rests.
    last: Option<SourceError>,
    troubles: Troubles,
}

impl Guard {
    /// A guard of the source called `asked`; `seed` varies how long it rests.
    pub fn new(asked: impl Into<SourceName>, settings: GuardSettings, seed: u64) -> Self {
        Self {
            asked: asked.into(),
            settings,
            places: Semaphore::new(settings.concurrency.max(1)),
            state: Mutex::new(State {
                breaker: Breaker::new(settings.breaker, seed),
                last: None,
                troubles: Troubles::default(),
            }),
            trial_over: Notify::new(),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Asks `question` when its turn comes.
    ///
    /// # Errors
    ///
    /// The question's own failure; [`FailureKind::TimedOut`] after the settings' time; while the source rests, the
    /// failure that it was last given, in the same words, so that nothing in a status changes.
    pub async fn ask<T>(&self, question: impl Future<Output = Result<T, SourceError>>) -> Result<T, SourceError> {
        let _place = self.places.acquire().await.expect("the semaphore is never closed");
        let trial = self.admitted().await?;
        let asked = Instant::now();
        let outcome = match timeout(self.settings.time, question).await {
            Ok(outcome) => outcome,
            Err(_) => Err(SourceError::timed_out(self.asked.clone(), self.settings.time)),
        };
        self.record(outcome.as_ref().err(), asked);
        drop(trial);
        outcome
    }

    /// What became of the questions so far.
    pub fn counts(&self) -> GuardCounts {
        GuardCounts {
            answered: self.answered.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    /// How the source is doing.
    pub fn health(&self) -> SourceHealth {
        let state = self.state.lock();
        SourceHealth {
            counts: self.counts(),
            resting: state.breaker.is_open(),
            trouble: state.troubles.lasting(Instant::now()),
        }
    }

    /// Whether the source is being left alone.
    pub fn is_resting(&self) -> bool {
        self.state.lock().breaker.is_open()
    }

    /// Waits for an admission; the trial, where this question is one.
    async fn admitted(&self) -> Result<Option<Trial<'_>>, SourceError> {
        loop {
            let mut over = std::pin::pin!(self.trial_over.notified());
            // Before the look at the breaker, so that an end in between is not missed.
            over.as_mut().enable();
            match self.admission()? {
                Admission::Trial => return Ok(Some(Trial { guard: self })),
                Admission::Wait => over.await,
                Admission::Ask | Admission::Rest => return Ok(None),
            }
        }
    }

    fn admission(&self) -> Result<Admission, SourceError> {
        let mut state = self.state.lock();
        let admission = state.breaker.admit(Instant::now());
        match (admission, &state.last) {
            (Admission::Rest, Some(last)) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                Err(last.clone())
            }
            _ => Ok(admission),
        }
    }

    fn record(&self, error: Option<&SourceError>, asked: Instant) {
        let now = Instant::now();
        let mut state = self.state.lock();
        state.troubles.note(&self.asked, error, now);
        match error {
            Some(error) if error.strains => {
                state.breaker.failed(asked, now);
                state.last = Some(error.clone());
            }
            _ => state.breaker.answered(),
        }
        let count = if error.is_some() { &self.failed } else { &self.answered };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// The trial after a rest. Whoever waits for it goes on when it ends, by an outcome or by being given up.
struct Trial<'a> {
    guard: &'a Guard,
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        self.guard.state.lock().breaker.abandoned(Instant::now());
        self.guard.trial_over.notify_waiters();
    }
}

impl SourceError {
    fn timed_out(asked: SourceName, limit: Duration) -> Self {
        let message = format!("no answer within {}", humantime::format_duration(limit));
        Self {
            asked,
            kind: FailureKind::TimedOut,
            message,
            strains: true,
            source: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures_util::future::join_all;

    use super::*;
    use crate::metrics::failure::MetricsApi;

    fn guard(concurrency: usize) -> Guard {
        Guard::new(
            MetricsApi::Resource,
            GuardSettings {
                concurrency,
                ..GuardSettings::default()
            },
            1,
        )
    }

    async fn hang() -> Result<(), SourceError> {
        std::future::pending().await
    }

    async fn answer() -> Result<(), SourceError> {
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_questions_than_places_are_under_way() {
        let (guard, now, most) = (guard(3), AtomicUsize::new(0), AtomicUsize::new(0));
        let question = || async {
            let running = now.fetch_add(1, Ordering::Relaxed) + 1;
            most.fetch_max(running, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(1)).await;
            now.fetch_sub(1, Ordering::Relaxed);
            Ok(())
        };
        join_all((0..10).map(|_| guard.ask(question()))).await;
        assert_eq!(most.into_inner(), 3);
        assert_eq!(guard.counts().answered, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_hangs_is_left_alone_and_then_tried_again() {
        let guard = guard(8);
        let texts: Vec<String> = join_all((0..20).map(|_| guard.ask(hang())))
            .await
            .into_iter()
            .map(|o| o.unwrap_err().to_string())
            .collect();
        // Eight at once hang; the others find the breaker open, and say the same.
        assert_eq!(
            guard.counts(),
            GuardCounts {
                answered: 0,
                failed: 8,
                refused: 12
            }
        );
        assert!(texts.iter().all(|text| *text == texts[0]));
        assert!(guard.is_resting());
        tokio::time::sleep(Duration::from_secs(1)).await;
        let outcomes = join_all((0..8).map(|_| guard.ask(answer()))).await;
        assert!(outcomes.into_iter().all(|outcome| outcome.is_ok()));
        assert!(!guard.is_resting());
    }

    #[tokio::test(start_paused = true)]
    async fn a_trial_that_fails_fails_all_who_waited_for_it() {
        let guard = guard(8);
        join_all((0..8).map(|_| guard.ask(hang()))).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        join_all((0..8).map(|_| guard.ask(hang()))).await;
        assert_eq!(
            guard.counts(),
            GuardCounts {
                answered: 0,
                failed: 9,
                refused: 7
            }
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_trial_that_is_dropped_lets_the_next_one_try() {
        let guard = guard(8);
        join_all((0..8).map(|_| guard.ask(hang()))).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let dropped = timeout(Duration::from_millis(10), guard.ask(hang()));
        let (dropped, next) = tokio::join!(dropped, guard.ask(answer()));
        assert!(dropped.is_err());
        assert!(next.is_ok());
    }
}
