//! Probes of the resource metrics between passes, and what passes show of the same pods: both teach the schedule when values
//! change.

use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::schedule::{Read, Schedule};
use crate::metrics::resource::{ResourceMetricsSource, Subject};
use crate::metrics::sources::MetricPass;

/// The time for a probe: an answer that takes longer says too little about when the values changed.
const PROBE_TIME: Duration = Duration::from_secs(1);

/// Sends probes, one at a time.
#[derive(Default)]
pub(super) struct Prober {
    /// Whose pods are looked at; `None` until a pass has found some.
    subject: Option<Subject>,
    /// The one under way, if one is.
    running: JoinSet<Probed>,
}

/// What became of a probe.
pub(super) struct Probed {
    asked: Duration,
    answered: Duration,
    /// The newest sample; `None` within where there is none, and without where nothing was answered.
    newest: Option<Option<Timestamp>>,
}

impl Prober {
    pub(super) fn subject(&self) -> Option<Subject> {
        self.subject.clone()
    }

    /// Starts a probe if one is due; gives when the next one is, as long as none is under way.
    pub(super) fn start_due(
        &mut self,
        schedule: &Schedule,
        started: Instant,
        source: &ResourceMetricsSource,
    ) -> Option<Duration> {
        let subject = self.subject.as_ref()?;
        if !self.running.is_empty() {
            return None;
        }
        let due = schedule.next_probe()?;
        let asked = started.elapsed();
        if asked < due {
            return Some(due);
        }
        let (source, subject) = (source.clone(), subject.clone());
        self.running.spawn(async move {
            let outcome = timeout(PROBE_TIME, source.probe(&subject)).await;
            Probed {
                asked,
                answered: started.elapsed(),
                // The guard has counted the failure, and the next pass will say it.
                newest: outcome.ok().and_then(Result::ok),
            }
        });
        None
    }

    /// Waits for the probe under way; `None` where there is none, or it broke off.
    pub(super) async fn ended(&mut self) -> Option<Probed> {
        self.running.join_next().await?.ok()
    }

    /// Takes in what a pass has seen.
    pub(super) fn pass_ended(&mut self, answers: &MetricPass, started: Instant, schedule: &mut Schedule) {
        let shown = answers.shown();
        if let Some(shown) = shown {
            let read = Read {
                asked: shown.asked.saturating_duration_since(started),
                answered: shown.answered.saturating_duration_since(started),
                newest: shown.newest,
            };
            schedule.read(read, false);
        }
        // The subject's pods may be gone, or nobody asks for its namespace any more.
        if shown.and_then(|shown| shown.newest).is_none()
            && let Some(candidate) = answers.candidate()
        {
            self.subject = Some(candidate);
            schedule.forget_shown();
        }
    }
}

impl Probed {
    pub(super) fn tell(self, schedule: &mut Schedule) {
        match self.newest {
            None => schedule.probe_failed(self.asked),
            Some(newest) => {
                let (asked, answered) = (self.asked, self.answered);
                schedule.read(
                    Read {
                        asked,
                        answered,
                        newest,
                    },
                    true,
                );
            }
        }
    }
}
