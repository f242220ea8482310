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
    rounds: FxHashMap<Arc<str>, Shared<BoxFuture<'static, Arc<Planned>>>>,
}

/// An endpoint's part in a pass.
struct Planned {
    round: Round,
    /// What the rules answer for, or with what listing their series failed; `None` where nobody asks.
    rules: Option<Result<Listing, SourceError>>,
}

impl PrometheusPass {
    pub(super) fn new(inner: &Arc<Inner>, wanted: Vec<Wanted>, now: Timestamp) -> Self {
        let mut by_endpoint: FxHashMap<Arc<str>, Vec<(Wanted, Arc<Definition>)>> = FxHashMap::default();
        let mut for_rules = Vec::new();
        for wanted in wanted {
            match inner.catalog.own(&wanted.source) {
                Some(definition) => {
                    let of_endpoint = by_endpoint.entry(definition.endpoint.clone()).or_default();
                    of_endpoint.push((wanted, definition.clone()));
                }
                None if inner.rules_server().is_some() && ruled_type(&wanted.source) => for_rules.push(wanted),
                None => {}
            }
        }
        let mut rounds = FxHashMap::default();
        for (name, server) in &inner.servers {
            let own = by_endpoint.remove(name).unwrap_or_default();
            let ruled = match inner
                .rules_server()
                .is_some_and(|with_rules| Arc::ptr_eq(with_rules, server))
            {
                true => std::mem::take(&mut for_rules),
                false => Vec::new(),
            };
            if own.is_empty() && ruled.is_empty() {
                continue;
            }
            let planned = plan(inner.clone(), server.clone(), own, ruled, now);
            rounds.insert(name.clone(), planned.boxed().shared());
        }
        Self {
            inner: inner.clone(),
            rounds,
        }
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
        let (definition, planned) = match self.inner.catalog.own(source) {
            Some(definition) => (definition.clone(), self.rounds.get(&definition.endpoint)?.clone().await),
            None if ruled_type(source) => {
                let planned = self.rounds.get(&self.inner.rules_server()?.name)?.clone().await;
                match planned.rules.as_ref()? {
                    Err(error) => return Some(Reading::Failed(error.failure())),
                    Ok(listing) => match listing.lock().find(source)? {
                        Ok(definition) => (definition, planned.clone()),
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
        let reading = match planned.round.outcome(&catalog::key(&ask, source), &ask, &names).await {
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

/// Plans an endpoint's part. Only what Prometheus Adapter's rules answer for may take time: their names of series.
async fn plan(
    inner: Arc<Inner>,
    server: Arc<Server>,
    mut own: Vec<(Wanted, Arc<Definition>)>,
    for_rules: Vec<Wanted>,
    now: Timestamp,
) -> Arc<Planned> {
    let rules = match inner.catalog.rules().filter(|_| !for_rules.is_empty()) {
        Some(rules) => Some(inner.names.current(rules, &server, now).await),
        None => None,
    };
    if let Some(Ok(listing)) = &rules {
        let mut listing = listing.lock();
        for wanted in for_rules {
            if let Some(Ok(definition)) = listing.find(&wanted.source) {
                own.push((wanted, definition));
            }
        }
    }
    let round = Round::new(&server, wishes(own), now);
    Arc::new(Planned { round, rules })
}

/// What is asked, each once.
fn wishes(wanted: Vec<(Wanted, Arc<Definition>)>) -> Vec<Wish> {
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
