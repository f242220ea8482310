//! One pass over one endpoint: its plan, and the answers, each asked for when the first one waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use jiff::Timestamp;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::answer::Answer;
use super::memory::{AskKey, Valued};
use super::plan::{Group, Plan, Wish, evaluated_at};
use super::reading::Values;
use super::server::Server;
use crate::metrics::allowance::Allowance;
use crate::metrics::failure::{SourceError, SourceName};
use crate::observe::FailureKind;
use crate::promql::{Ask, AskError, Definition, Query, Series, single};

/// Larger answers are split beside the event loop.
const SPLIT_ASIDE_SERIES: usize = 10_000;

/// What all answers of one endpoint within one pass may have together: one for each of 150,000 pods, for eight metrics. A
/// series of 200 bytes of labels takes some 300 bytes until it is a value.
const SERIES_PER_PASS: usize = 1_200_000;

/// What an ask came to.
pub(super) type Outcome = Result<Valued, SourceError>;

type Answered<T> = Shared<BoxFuture<'static, T>>;

/// The outcomes of one query's asks, by their places.
type Outcomes = Arc<FxHashMap<usize, Outcome>>;

/// The answers of one pass and endpoint.
pub(super) struct Round {
    sender: Arc<Sender>,
    places: FxHashMap<AskKey, usize>,
    planned: Vec<Planned>,
    /// Queries that name pods, by their text.
    singles: Mutex<FxHashMap<AskKey, Answered<Outcome>>>,
}

/// Where the answer to an ask comes from.
enum Planned {
    Known(Outcome),
    Query(Answered<Outcomes>),
    /// By itself, for each set of pods: so many may still be asked.
    Single(AtomicUsize),
}

/// Sends one pass's queries to one endpoint.
pub(super) struct Sender {
    pub server: Arc<Server>,
    pub now: Timestamp,
    /// Queries left in the budget.
    spare: AtomicUsize,
    scarce: bool,
    /// Series that may still come in this pass.
    series: Allowance,
}

impl Round {
    /// Plans a pass at `now` that sends at most `budget` queries. Nothing is asked before someone waits for an answer.
    pub(super) fn new(server: &Arc<Server>, wishes: Vec<Wish>, budget: usize, now: Timestamp) -> Self {
        let mut memory = server.memory.lock();
        memory.begin(now);
        let plan = Plan::new(&wishes, &mut memory, budget, server.merge_limits(), now);
        let left_out = plan.left_out.iter().map(|&place| {
            let wish = &wishes[place];
            let former = memory.fresh(&wish.key, &wish.ask.definition, now);
            (place, former.ok_or_else(|| server.over_budget()))
        });
        let left_out: Vec<(usize, Outcome)> = left_out.collect();
        drop(memory);

        let sender = Arc::new(Sender {
            server: server.clone(),
            now,
            spare: AtomicUsize::new(plan.spare),
            scarce: plan.scarce,
            series: Allowance::new(SERIES_PER_PASS),
        });
        // Each place is in exactly one of the plan's lists: nothing stays over budget that was planned otherwise.
        let mut planned: Vec<Planned> = wishes
            .iter()
            .map(|_| Planned::Known(Err(server.over_budget())))
            .collect();
        for (place, outcome) in left_out {
            planned[place] = Planned::Known(outcome);
        }
        for (place, valued) in plan.known {
            planned[place] = Planned::Known(Ok(valued));
        }
        for (place, queries) in plan.singles {
            planned[place] = Planned::Single(AtomicUsize::new(queries));
        }
        let groups: Vec<Arc<Group>> = plan.groups.into_iter().map(Arc::new).collect();
        for (group, query) in plan.queries {
            let group = groups[group].clone();
            let places: Vec<usize> = query.asks.iter().map(|&ask| group.places[ask]).collect();
            let answered = sender.clone().outcomes(group, query).boxed().shared();
            for place in places {
                planned[place] = Planned::Query(answered.clone());
            }
        }
        let places: FxHashMap<AskKey, usize> = wishes.iter().enumerate().map(|(i, w)| (w.key.clone(), i)).collect();
        server.forget_others(|key| places.contains_key(key));
        Self {
            sender,
            places,
            planned,
            singles: Mutex::default(),
        }
    }

    /// Takes all that is left of the budget.
    pub(super) fn take_spare(&self) -> usize {
        self.sender.spare.swap(0, Ordering::Relaxed)
    }

    /// What an ask came to, for an autoscaler with these pods.
    pub(super) async fn outcome(&self, key: &AskKey, ask: &Ask, pods: &[Arc<str>]) -> Outcome {
        match self.places.get(key).map(|&place| (place, &self.planned[place])) {
            Some((_, Planned::Known(outcome))) => outcome.clone(),
            Some((place, Planned::Query(answered))) => {
                let outcomes = answered.clone().await;
                match outcomes.get(&place) {
                    Some(outcome) => outcome.clone(),
                    None => Err(SourceError::broken_off(self.sender.name())),
                }
            }
            Some((_, Planned::Single(queries))) => self.single(ask, pods, queries).await,
            // Nobody said at the pass's beginning that this would be asked.
            None => self.single(ask, pods, &self.sender.spare).await,
        }
    }

    /// Asks for these pods alone; equal questions once.
    async fn single(&self, ask: &Ask, pods: &[Arc<str>], queries: &AtomicUsize) -> Outcome {
        let at = evaluated_at(&ask.definition, self.sender.now);
        let query = single(ask, pods).map_err(|error| refused(self.sender.name(), &error))?;
        let key: AskKey = query.text.as_str().into();
        let answered = {
            let mut singles = self.singles.lock();
            match singles.get(&key) {
                Some(answered) => answered.clone(),
                None => {
                    let memory = self.sender.server.memory.lock();
                    if let Some(valued) = memory.evaluated(&key, at) {
                        return Ok(valued);
                    }
                    if !take(queries, 1) {
                        let former = memory.fresh(&key, &ask.definition, self.sender.now);
                        return former.ok_or_else(|| self.sender.server.over_budget());
                    }
                    drop(memory);
                    let answered = self.sender.clone().alone(ask.clone(), key.clone(), at).boxed().shared();
                    singles.insert(key, answered.clone());
                    answered
                }
            }
        };
        answered.await
    }
}

impl Sender {
    pub(super) fn name(&self) -> SourceName {
        SourceName::Prometheus(self.server.name.clone())
    }

    /// Takes queries out of what is left of the budget, all or none.
    pub(super) fn take(&self, queries: usize) -> bool {
        take(&self.spare, queries)
    }

    /// The evaluation time of a query, whose asks all have the same step.
    pub(super) fn evaluated_at(&self, group: &Group, query: &Query) -> Timestamp {
        let first = query.asks.first().and_then(|&ask| group.asks.get(ask));
        first.map_or(self.now, |ask| evaluated_at(&ask.definition, self.now))
    }

    /// Evaluates a query, whose series count against what the pass may bring.
    pub(super) async fn query(&self, text: &str, at: Timestamp) -> Result<Answer, SourceError> {
        let too_many = || {
            let message = format!("its answers of this pass have more than {SERIES_PER_PASS} series together");
            SourceError::of_question(self.name(), FailureKind::OverBudget, message)
        };
        if self.series.left() == 0 {
            return Err(too_many());
        }
        let answer = self.server.query(text, at).await?;
        match self.series.spend(answer.series.len()) {
            true => Ok(answer),
            false => Err(too_many()),
        }
    }

    /// One query for one ask. `key`: its text.
    async fn alone(self: Arc<Self>, ask: Ask, key: AskKey, at: Timestamp) -> Outcome {
        let metric = &ask.definition.name;
        match self.query(&key, at).await {
            Ok(answer) => {
                let series: Vec<&Series> = answer.series.iter().collect();
                let values = Arc::new(Values::of(&ask.definition, &series));
                let valued = Valued { values, at };
                self.server.forget_query(std::iter::once(key.clone()));
                self.server
                    .memory
                    .lock()
                    .keep(&key, &ask.definition, &valued, self.scarce);
                Ok(valued)
            }
            Err(error) => {
                self.server.tell_query(&key, metric, 1, &error);
                Err(error)
            }
        }
    }

    /// The values of each ask of a query, by its place in the pass.
    pub(super) async fn split(&self, group: &Arc<Group>, query: &Query, answer: Answer) -> Vec<(usize, Outcome)> {
        let (group, query, name) = (group.clone(), query.clone(), self.name());
        let asks = query.asks.clone();
        let at = self.evaluated_at(&group, &query);
        let small = answer.series.len() < SPLIT_ASIDE_SERIES;
        let work = {
            let group = group.clone();
            move || values(&group, &query, at, &answer)
        };
        let split = match small {
            true => Some(work()),
            false => tokio::task::spawn_blocking(work).await.ok(),
        };
        let Some(split) = split else {
            let broken = Err(SourceError::broken_off(name));
            return asks.into_iter().map(|ask| (ask, broken.clone())).collect();
        };
        let mut memory = self.server.memory.lock();
        for (ask, valued) in &split {
            let key = &group.keys[*ask];
            memory.cleared(key);
            memory.keep(key, &group.asks[*ask].definition, valued, self.scarce);
        }
        drop(memory);
        self.server
            .forget_query(split.iter().map(|(ask, _)| group.keys[*ask].clone()));
        split.into_iter().map(|(ask, valued)| (ask, Ok(valued))).collect()
    }
}

/// Those whose asks are equal share their values.
fn values(group: &Group, query: &Query, at: Timestamp, answer: &Answer) -> Vec<(usize, Valued)> {
    type Last<'a> = (Arc<[&'a Series]>, &'a Arc<Definition>, Valued);
    let mut last: Option<Last<'_>> = None;
    let parts = query.split(&answer.series).into_iter();
    let valued = query.asks.iter().zip(parts).map(|(&ask, series)| {
        let definition = &group.asks[ask].definition;
        if let Some((of, for_, valued)) = &last
            && Arc::ptr_eq(of, &series)
            && Arc::ptr_eq(for_, definition)
        {
            return (ask, valued.clone());
        }
        let values = Arc::new(Values::of(definition, &series));
        let valued = Valued { values, at };
        last = Some((series, definition, valued.clone()));
        (ask, valued)
    });
    valued.collect()
}

/// What cannot be asked at all.
pub(super) fn refused(asked: SourceName, error: &AskError) -> SourceError {
    SourceError {
        asked,
        kind: match error.is_selectors() {
            true => FailureKind::BadSelector,
            false => FailureKind::BadQuery,
        },
        message: error.to_string(),
        strains: false,
        source: None,
    }
}

fn take(from: &AtomicUsize, queries: usize) -> bool {
    let taken = from.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(queries));
    taken.is_ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::super::fake::{Fake, json};
    use super::*;
    use crate::metrics::guard::BreakerSettings;
    use crate::settings::sources::{Credentials, Endpoint};

    /// Three series in each answer.
    const ANSWER: &str = r#"{"status":"success","data":{"resultType":"vector","result":[
        {"metric":{"n":"1"},"value":[1767600000,"1"]},{"metric":{"n":"2"},"value":[1767600000,"1"]},
        {"metric":{"n":"3"},"value":[1767600000,"1"]}]}}"#;

    #[tokio::test]
    async fn series_that_are_too_many_together_fail() {
        let fake = Fake::start(|_| json(200, ANSWER)).await;
        let endpoint = Endpoint {
            url: fake.url.clone(),
            ca_file: None,
            client_certificate: None,
            credentials: Credentials::None,
            headers: BTreeMap::new(),
            query_parameters: BTreeMap::new(),
            timeout: Duration::from_secs(20),
            queries_per_pass: NonZeroU32::new(10).unwrap(),
            queries_in_flight: NonZeroU32::MIN,
        };
        let server = Server::new(&"main".into(), &endpoint, BreakerSettings::default(), 1, None).unwrap();
        let now = Timestamp::from_second(1_767_600_000).unwrap();
        let sender = Sender {
            server: Arc::new(server),
            now,
            spare: AtomicUsize::new(10),
            scarce: false,
            series: Allowance::new(7),
        };
        let mut kinds = Vec::new();
        for query in ["a", "b", "c", "d"] {
            kinds.push(
                sender
                    .query(query, now)
                    .await
                    .map(|answer| answer.series.len())
                    .map_err(|error| error.kind),
            );
        }
        let over = Err(FailureKind::OverBudget);
        assert_eq!(kinds, [Ok(3), Ok(3), over, over]);
        assert_eq!(fake.asked().len(), 3, "what is over is not even asked");
    }
}
