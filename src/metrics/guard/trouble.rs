//! Since when a source does not answer, and what it says. Takes `now`; tells the log when that changes.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::metrics::failure::{SourceError, SourceName};

/// A source that nobody has asked for so long is in no trouble that anybody would have.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(300);

/// Why a source does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Its last failure.
    pub message: String,
    /// The time since its first failure after an answer.
    pub lasts: Duration,
}

/// The trouble of one source.
#[derive(Debug, Default)]
pub(super) struct Troubles(Option<Noted>);

#[derive(Debug)]
struct Noted {
    first: Instant,
    last: Instant,
    message: String,
}

impl Troubles {
    /// A question has ended. A failure that is about the question alone is as good a sign as an answer.
    pub(super) fn note(&mut self, source: &SourceName, error: Option<&SourceError>, now: Instant) {
        let Some(error) = error.filter(|error| !error.is_of_question()) else {
            if self.0.take().is_some() {
                info!(%source, "The metric source answers again");
            }
            return;
        };
        let message = error.to_string();
        match &mut self.0 {
            Some(noted) => {
                noted.last = now;
                noted.message = message;
            }
            none => {
                warn!(%source, error = message, "The metric source does not answer");
                *none = Some(Noted {
                    first: now,
                    last: now,
                    message,
                });
            }
        }
    }

    /// The trouble that lasts.
    pub(super) fn lasting(&self, now: Instant) -> Option<Trouble> {
        let noted = self.0.as_ref()?;
        let recent = now.saturating_duration_since(noted.last) < FORGOTTEN_AFTER;
        recent.then(|| Trouble {
            message: noted.message.clone(),
            lasts: now.saturating_duration_since(noted.first),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::failure::MetricsApi;
    use crate::observe::FailureKind;

    fn error(kind: FailureKind, message: &str) -> SourceError {
        SourceError::of_question(MetricsApi::Custom, kind, message.to_owned())
    }

    #[test]
    fn trouble_begins_with_the_first_failure_and_ends_with_an_answer() {
        let (mut troubles, now) = (Troubles::default(), Instant::now());
        let seconds = Duration::from_secs;
        let source = MetricsApi::Custom.into();
        assert_eq!(troubles.lasting(now), None);
        troubles.note(&source, Some(&error(FailureKind::Unavailable, "gone")), now);
        troubles.note(&source, Some(&error(FailureKind::TimedOut, "slow")), now + seconds(5));
        let trouble = Trouble {
            message: "unable to fetch metrics from custom metrics API: slow".to_owned(),
            lasts: seconds(7),
        };
        assert_eq!(troubles.lasting(now + seconds(7)), Some(trouble));
        assert_eq!(troubles.lasting(now + seconds(5) + FORGOTTEN_AFTER), None);
        troubles.note(
            &source,
            Some(&error(FailureKind::Empty, "no such metric")),
            now + seconds(8),
        );
        assert_eq!(troubles.lasting(now + seconds(8)), None);
    }
}
