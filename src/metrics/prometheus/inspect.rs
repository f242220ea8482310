//! One question to a Prometheus with all that came of it, for people.

use std::sync::Arc;

use jiff::Timestamp;

use super::Inner;
use super::catalog;
use super::pass::ruled_type;
use super::plan::evaluated_at;
use super::reading::{Asked, Values};
use super::round::refused;
use super::server::Server;
use crate::metrics::failure::SourceName;
use crate::observe::{FailureKind, MetricFailure, Pod, PodSamples, Reading};
use crate::promql::{AskError, Definition, MergeLimits, Series, merge, single};
use crate::spec::MetricSource;

/// What a Prometheus was asked for one metric of one autoscaler, and what it said.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The endpoint's name; empty where it is not known who answers.
    pub endpoint: Arc<str>,
    /// The metric's definition, of the configuration or made of one of Prometheus Adapter's rules; `None` where a rule gives
    /// none, or none can be found out.
    pub definition: Option<Arc<Definition>>,
    /// It is made of one of Prometheus Adapter's rules.
    pub by_rule: bool,
    /// The query and when it was evaluated; `None` where none could be sent.
    pub query: Option<(String, Timestamp)>,
    /// The series of the answer, as they came.
    pub series: Vec<Series>,
    /// What the server warned of.
    pub warnings: Vec<String>,
    /// What an autoscaler makes of it.
    pub reading: Reading,
}

impl Inner {
    /// Asks for one metric by itself; `None` where no Prometheus answers for it.
    ///
    /// The query is the one that a pass would send if nobody else asked: merged with others' it has more label values, and
    /// gives the same series.
    pub(super) async fn inspect(
        &self,
        namespace: &Arc<str>,
        source: &MetricSource,
        pods: &[Pod],
        now: Timestamp,
    ) -> Option<Inspection> {
        let own = self.catalog.own(source).cloned();
        let by_rule = own.is_none();
        let definition = match own {
            Some(definition) => definition,
            None => match self.of_rules(source, now).await? {
                Ok(definition) => definition,
                Err(failure) => {
                    return Some(Inspection {
                        endpoint: self
                            .rules_server()
                            .map_or_else(|| "".into(), |server| server.name.clone()),
                        definition: None,
                        by_rule,
                        query: None,
                        series: Vec::new(),
                        warnings: Vec::new(),
                        reading: Reading::Failed(failure),
                    });
                }
            },
        };
        let server = self.servers.get(&definition.endpoint)?;
        Some(inspect(server, definition, by_rule, namespace, source, pods, now).await)
    }

    /// The definition that one of Prometheus Adapter's rules gives; `None` where none does.
    async fn of_rules(&self, source: &MetricSource, now: Timestamp) -> Option<Result<Arc<Definition>, MetricFailure>> {
        let (rules, server) = (self.catalog.rules()?, self.rules_server()?);
        if !ruled_type(source) {
            return None;
        }
        let listing = match self.names.current(rules, server, now).await {
            Ok(listing) => listing,
            Err(error) => return Some(Err(error.failure())),
        };
        let found = listing.lock().find(source)?;
        Some(found.map_err(|problem| MetricFailure::new(FailureKind::BadQuery, problem.to_string())))
    }
}

async fn inspect(
    server: &Server,
    definition: Arc<Definition>,
    by_rule: bool,
    namespace: &Arc<str>,
    source: &MetricSource,
    pods: &[Pod],
    now: Timestamp,
) -> Inspection {
    let at = evaluated_at(&definition, now);
    let mut inspection = Inspection {
        endpoint: definition.endpoint.clone(),
        definition: Some(definition.clone()),
        by_rule,
        query: None,
        series: Vec::new(),
        warnings: Vec::new(),
        reading: Reading::PerPod(PodSamples::default()),
    };
    let text = match text(&definition, namespace, source, pods) {
        Ok(Some(text)) => text,
        // There is nothing to ask for.
        Ok(None) => return inspection,
        Err(failure) => {
            inspection.reading = Reading::Failed(failure);
            return inspection;
        }
    };
    match server.query(&text, at).await {
        Ok(answer) => {
            let series: Vec<&Series> = answer.series.iter().collect();
            let asked = Asked {
                definition: &definition,
                at,
            };
            let container = match source {
                MetricSource::ContainerResource { container, .. } => Some(&**container),
                _ => None,
            };
            inspection.reading = Values::of(&definition, &series).reading(asked, pods, container);
            inspection.series = answer.series;
            inspection.warnings = answer.warnings;
        }
        Err(error) => inspection.reading = Reading::Failed(error.failure()),
    }
    inspection.query = Some((text, at));
    inspection
}

/// The query; `None` where it needs pods, and there are none.
fn text(
    definition: &Arc<Definition>,
    namespace: &Arc<str>,
    source: &MetricSource,
    pods: &[Pod],
) -> Result<Option<String>, MetricFailure> {
    let name = || SourceName::Prometheus(definition.endpoint.clone());
    let failure = |problem: &AskError| refused(name(), problem).failure();
    let ask = catalog::ask(definition, namespace, source)?;
    if let Some(problem) = ask.problem() {
        return Err(failure(&problem));
    }
    if !ask.needs_pods()
        && let Some(query) = merge(std::slice::from_ref(&ask), MergeLimits::default()).pop()
    {
        return Ok(Some(query.text));
    }
    let names: Vec<Arc<str>> = pods.iter().map(|pod| pod.name.clone()).collect();
    if names.is_empty() && ask.needs_pods() {
        return Ok(None);
    }
    match single(&ask, &names) {
        Ok(query) => Ok(Some(query.text)),
        Err(problem) => Err(failure(&problem)),
    }
}
