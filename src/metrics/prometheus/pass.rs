//! The answers of one pass over all endpoints.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use jiff::Timestamp;
use rustc_hash::FxHashMap;

use super::memory::AskKey;
use super::names::Listing;
use super::plan::Wish;
use super::reading::Asked;
use super::round::{Round, refused};
use super::server::Server;
use super::{Inner, Wanted, catalog};
use crate::metrics::failure::{SourceError, SourceName};
use crate::observe::{FailureKind, MetricFailure, Pod, Reading};
use crate::promql::Definition;
use crate::selector::Selector;
use crate::spec::MetricSource;

/// The answers of one pass: each query is sent once, and all who wait for it get the same answer.
///
/// A future that nobody polls any more does not move on; dropping the pass gives up what is under way.
pub struct PrometheusPass {
    inner: Arc<Inner>,
    /// By the endpoint's name.
    parts: FxHashMap<Arc<str>, SharedPart>,
    /// What Prometheus Adapter's rules answer for, while nothing has been listed for them: nobody else waits for that.
    unlisted: Option<SharedPart>,
}

type SharedPart = Shared<BoxFuture<'static, Arc<Part>>>;

/// An endpoint's part in a pass.
struct Part {
    round: Round,
    /// What the rules answer for, or with what listing their series failed; `None` where nobody asks.
    rules: Option<Result<Listing, SourceError>>,
}

/// What an autoscaler wants, and the definition that answers for it.
type Answered = (Wanted, Arc<Definition>);

impl PrometheusPass {
    pub(super) fn new(inner: &Arc<Inner>, wanted: Vec<Wanted>, now: Timestamp) -> Self {
        let mut own: FxHashMap<Arc<str>, Vec<Answered>> = FxHashMap::default();
        let mut for_rules = Vec::new();
        for wanted in wanted {
            match inner.catalog.own(&wanted.source) {
                Some(definition) => {
                    let of_endpoint = own.entry(definition.endpoint.clone()).or_default();
                    of_endpoint.push((wanted, definition.clone()));
                }
                None if ruled_type(&wanted.source) => for_rules.push(wanted),
                None => {}
            }
        }
        let mut pass = Self {
            inner: inner.clone(),
            parts: FxHashMap::default(),
            unlisted: None,
        };
        let with_rules = inner.rules_server().filter(|_| !for_rules.is_empty());
        if let Some(server) = with_rules.filter(|_| inner.names.are_known()) {
            let own = own.remove(&server.name).unwrap_or_default();
            let part = listed(inner.clone(), server.clone(), own, std::mem::take(&mut for_rules), now);
            pass.parts.insert(server.name.clone(), part.boxed().shared());
        }
        for (name, own) in own {
            if let Some(server) = inner.servers.get(&name) {
                let part = planned(server.clone(), own, now);
                pass.parts.insert(name, part.boxed().shared());
            }
        }
        if let Some(server) = with_rules.filter(|_| !for_rules.is_empty()) {
            let beside = pass.parts.get(&server.name).cloned();
            let part = first_listed(inner.clone(), server.clone(), beside, for_rules, now);
            pass.unlisted = Some(part.boxed().shared());
        }
        pass
    }

    /// Whether a Prometheus may answer for a metric. Of resources it is known; of others not before the names of series are.
    pub fn answers(&self, source: &MetricSource) -> bool {
        ruled_type(source) || self.inner.catalog.own(source).is_some()
    }

    /// What a Prometheus says of a metric, for an autoscaler of `namespace` whose `selector` picks `pods`; `None` where no
    /// Prometheus answers for it, so that the metrics APIs do.
    pub async fn reading(
        &self,
        namespace: &Arc<str>,
        source: &MetricSource,
        selector: &Selector,
        pods: &[Pod],
    ) -> Option<Reading> {
        // What a Prometheus says of pods is joined by their names alone.
        let _ = selector;
        let (definition, part) = match self.inner.catalog.own(source) {
            Some(definition) => (definition.clone(), self.parts.get(&definition.endpoint)?.clone().await),
            None if ruled_type(source) => {
                let part = match &self.unlisted {
                    Some(part) => part,
                    None => self.parts.get(&self.inner.rules_server()?.name)?,
                };
                let part = part.clone().await;
                match part.rules.as_ref()? {
                    Err(error) => return Some(Reading::Failed(error.failure())),
                    Ok(listing) => match listing.lock().find(source)? {
                        Ok(definition) => (definition, part.clone()),
                        Err(problem) => {
                            let failure = MetricFailure::new(FailureKind::BadQuery, problem.to_string());
                            return Some(Reading::Failed(failure));
                        }
                    },
                }
            }
            None => return None,
        };
        let ask = match catalog::ask(&definition, namespace, source) {
            Ok(ask) => ask,
            Err(failure) => return Some(Reading::Failed(failure)),
        };
        if let Some(problem) = ask.problem() {
            let asked = SourceName::Prometheus(definition.endpoint.clone());
            return Some(Reading::Failed(refused(asked, &problem).failure()));
        }
        let names: Vec<Arc<str>> = pods.iter().map(|pod| pod.name.clone()).collect();
        if names.is_empty() && ask.needs_pods() {
            // There is nothing to ask for; the decision says that there are no pods.
            return Some(Reading::PerPod(Default::default()));
        }
        let container = match source {
            MetricSource::ContainerResource { container, .. } => Some(&**container),
            _ => None,
        };
        let reading = match part.round.outcome(&catalog::key(&ask, source), &ask, &names).await {
            Err(error) => Reading::Failed(error.failure()),
            Ok(valued) => {
                let asked = Asked {
                    definition: &definition,
                    at: valued.at,
                };
                valued.values.reading(asked, pods, container)
            }
        };
        Some(reading)
    }
}

/// Whether Prometheus Adapter's rules can answer for it once the names of series are known; resources are known without.
pub(super) fn ruled_type(source: &MetricSource) -> bool {
    !matches!(
        source,
        MetricSource::Resource { .. } | MetricSource::ContainerResource { .. }
    )
}

/// The part of an endpoint of which only the configuration's metrics are asked.
async fn planned(server: Arc<Server>, own: Vec<Answered>, now: Timestamp) -> Arc<Part> {
    let round = Round::new(&server, wishes(own), server.budget, now);
    Arc::new(Part { round, rules: None })
}

/// The part of the endpoint that Prometheus Adapter's rules are for, once there is a listing: within one budget with the
/// configuration's metrics.
async fn listed(
    inner: Arc<Inner>,
    server: Arc<Server>,
    mut own: Vec<Answered>,
    for_rules: Vec<Wanted>,
    now: Timestamp,
) -> Arc<Part> {
    let rules = listing(&inner, &server, now).await;
    own.extend(ruled(&rules, for_rules));
    let round = Round::new(&server, wishes(own), server.budget, now);
    Arc::new(Part { round, rules })
}

/// The same where there is no listing yet. It has what is left of the budget by what is asked `beside`.
async fn first_listed(
    inner: Arc<Inner>,
    server: Arc<Server>,
    beside: Option<SharedPart>,
    for_rules: Vec<Wanted>,
    now: Timestamp,
) -> Arc<Part> {
    let rules = listing(&inner, &server, now).await;
    let budget = match beside {
        Some(beside) => beside.await.round.take_spare(),
        None => server.budget,
    };
    let round = Round::new(&server, wishes(ruled(&rules, for_rules)), budget, now);
    Arc::new(Part { round, rules })
}

async fn listing(inner: &Inner, server: &Arc<Server>, now: Timestamp) -> Option<Result<Listing, SourceError>> {
    Some(inner.names.current(inner.catalog.rules()?, server, now).await)
}

/// What the rules answer for.
fn ruled(rules: &Option<Result<Listing, SourceError>>, wanted: Vec<Wanted>) -> Vec<Answered> {
    let Some(Ok(listing)) = rules else { return Vec::new() };
    let mut listing = listing.lock();
    let answered = wanted.into_iter().filter_map(|wanted| {
        let definition = listing.find(&wanted.source)?.ok()?;
        Some((wanted, definition))
    });
    answered.collect()
}

/// What is asked, each once.
fn wishes(wanted: Vec<Answered>) -> Vec<Wish> {
    let mut wishes: Vec<Wish> = Vec::new();
    let mut places: FxHashMap<AskKey, usize> = FxHashMap::default();
    for (wanted, definition) in wanted {
        // What cannot be asked fails by itself.
        let Ok(ask) = catalog::ask(&definition, &wanted.namespace, &wanted.source) else {
            continue;
        };
        if ask.problem().is_some() {
            continue;
        }
        let key = catalog::key(&ask, &wanted.source);
        match places.get(&key) {
            Some(&place) => wishes[place].askers += 1,
            None => {
                places.insert(key.clone(), wishes.len());
                wishes.push(Wish { key, ask, askers: 1 });
            }
        }
    }
    wishes
}
