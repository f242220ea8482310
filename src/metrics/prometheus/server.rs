//! An endpoint with all that stands before it: its guard, its health, and what is logged of it.

use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use rustc_hash::{FxHashMap, FxHashSet};
use tracing::{info, warn};

use super::answer::Answer;
use super::endpoint::{Carry, Endpoint, GET_BYTES, QueryError, QueryFailure};
use super::memory::{AskKey, Memory};
use super::{EndpointError, EndpointHealth};
use crate::metrics::failure::{SourceError, SourceName};
use crate::metrics::guard::{BreakerSettings, Guard, GuardSettings};
use crate::observe::FailureKind;
use crate::promql::MergeLimits;
use crate::settings::sources;

/// The most different warnings that are logged of one endpoint.
const WARNINGS: usize = 64;

/// One endpoint.
pub(super) struct Server {
    pub name: Arc<str>,
    pub memory: Mutex<Memory>,
    /// The most queries that one pass sends.
    pub budget: usize,
    endpoint: Endpoint,
    guard: Guard,
    told: Mutex<Told>,
}

/// What has been logged, so that it is logged once.
#[derive(Default)]
struct Told {
    /// What is wrong with queries, by the first who asks.
    queries: FxHashMap<AskKey, String>,
    warnings: FxHashSet<String>,
}

impl Server {
    pub(super) fn new(
        name: &Arc<str>,
        settings: &sources::Endpoint,
        breaker: BreakerSettings,
        seed: u64,
        carry: Option<Carry>,
    ) -> Result<Self, EndpointError> {
        let guard = GuardSettings {
            time: settings.timeout,
            concurrency: settings.queries_in_flight.get() as usize,
            breaker,
        };
        Ok(Self {
            name: name.clone(),
            memory: Mutex::default(),
            budget: settings.queries_per_pass.get() as usize,
            endpoint: Endpoint::new(name, settings, carry)?,
            guard: Guard::new(SourceName::Prometheus(name.clone()), guard, seed),
            told: Mutex::default(),
        })
    }

    pub(super) fn merge_limits(&self) -> MergeLimits {
        let limits = MergeLimits::default();
        match self.endpoint.takes_no_post() {
            true => MergeLimits {
                bytes: GET_BYTES.min(limits.bytes),
                ..limits
            },
            false => limits,
        }
    }

    /// Evaluates a query at a time, when its turn comes.
    pub(super) async fn query(&self, text: &str, at: Timestamp) -> Result<Answer, SourceError> {
        let answer = self.guarded(self.endpoint.query(text, at)).await?;
        self.tell_warnings(&answer.warnings);
        Ok(answer)
    }

    /// The names of the series that a selector picks.
    pub(super) async fn series_names(&self, selector: &str, since: Timestamp) -> Result<Vec<Arc<str>>, SourceError> {
        self.guarded(self.endpoint.series_names(selector, since)).await
    }

    async fn guarded<T>(&self, question: impl Future<Output = Result<T, QueryError>>) -> Result<T, SourceError> {
        let question = async { question.await.map_err(|error| error.of(&self.name)) };
        self.guard.ask(question).await
    }

    pub(super) fn over_budget(&self) -> SourceError {
        SourceError {
            asked: SourceName::Prometheus(self.name.clone()),
            kind: FailureKind::OverBudget,
            message: format!(
                "its budget of {} queries a pass is used up (`queries-per-pass`)",
                self.budget
            ),
            strains: false,
            source: None,
        }
    }

    pub(super) fn too_many_names(&self, most: usize) -> SourceError {
        let message =
            format!("the adapter's rules match more than {most} names of series (are their `seriesQuery` too wide?)");
        QueryError::new(QueryFailure::TooLarge, message).of(&self.name)
    }

    pub(super) fn health(&self) -> EndpointHealth {
        EndpointHealth {
            endpoint: self.name.clone(),
            health: self.guard.health(),
        }
    }

    /// Logs what is wrong with a query, once for as long as it stays the same. `key`: the first who asks.
    pub(super) fn tell_query(&self, key: &AskKey, metric: &str, askers: usize, error: &SourceError) {
        let former = self.told.lock().queries.insert(key.clone(), error.message.clone());
        if former.as_ref() != Some(&error.message) {
            warn!(prometheus = %self.name, metric, askers, error = error.message, "Query failed");
        }
    }

    /// Notes that those who ask this had an answer.
    pub(super) fn forget_query(&self, keys: impl Iterator<Item = AskKey>) {
        let mut told = self.told.lock();
        if told.queries.is_empty() {
            return;
        }
        for key in keys {
            if told.queries.remove(&key).is_some() {
                info!(prometheus = %self.name, "Query answered again");
            }
        }
    }

    /// Forgets what was logged of those who ask no more.
    pub(super) fn forget_others(&self, asks: impl Fn(&AskKey) -> bool) {
        self.told.lock().queries.retain(|key, _| asks(key));
    }

    fn tell_warnings(&self, warnings: &[String]) {
        for warning in warnings {
            let mut told = self.told.lock();
            if told.warnings.len() < WARNINGS && told.warnings.insert(warning.clone()) {
                warn!(prometheus = %self.name, warning, "Prometheus warns of an answer");
            }
        }
    }
}

/// In which way a question failed; `None` where it was not even asked.
pub(super) fn failure(error: &SourceError) -> Option<QueryFailure> {
    let source = error.source.as_ref()?;
    source.downcast_ref::<QueryError>().map(|error| error.failure)
}
