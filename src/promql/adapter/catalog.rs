//! The metrics that rules give, by name.

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::labels::Resource;
use super::query::{Objects, freshness};
use super::{AdapterRules, Rule, RuleProblem, Series};
use crate::promql::definition::ObjectKind;
use crate::promql::{Answers, Definition, Missing};
use crate::selector::Selector;
use crate::spec::{MetricSource, ObjectRef};

/// The most definitions that are kept at a time: each metric that autoscalers name has one, and one for each selector where a
/// rule names the selector's values. Beyond it they are made anew.
const MOST_KEPT: usize = 10_000;

/// The metrics of one listing.
#[derive(Debug)]
pub struct Catalog {
    endpoint: Arc<str>,
    custom: Side,
    external: Side,
    kept: FxHashMap<Asked, Found>,
}

/// What [`Catalog::find`] gives.
type Found = Option<Result<Arc<Definition>, RuleProblem>>;

/// The rules of one API, and what they give.
#[derive(Debug)]
struct Side {
    rules: Arc<[Rule]>,
    /// By metric: rule and series, in the order in which the adapter notes them, of which the last counts.
    metrics: FxHashMap<String, Vec<(usize, Arc<str>)>>,
    /// Whether a rule's query depends on the values in a selector.
    names_values: bool,
}

/// What tells two questions apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Asked {
    metric: Arc<str>,
    kind: Kind,
    /// Everything where no query depends on it.
    selector: Selector,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Pods,
    Object { group: Arc<str>, kind: Arc<str> },
    External,
}

impl Catalog {
    pub(super) fn new(rules: &AdapterRules, names: &[Arc<[Arc<str>]>]) -> Self {
        Self {
            endpoint: rules.endpoint.clone(),
            custom: Side::new(&rules.custom, names),
            external: Side::new(&rules.external, names),
            kept: FxHashMap::default(),
        }
    }

    /// The definition that answers for a metric: the same one for all who ask the same. `None` where no rule gives it, and for
    /// the resources of containers, for which [`AdapterRules::resources`] answers.
    ///
    /// Where several rules give it, the last one counts, and of several series of a rule the last: so does the adapter.
    /// Unlike it this does not know which labels a series has. A rule counts if one of its labels names such objects; a
    /// series without that label gives an empty answer.
    ///
    /// # Errors
    /// A rule that gives the metric, and has no query for it.
    pub fn find(&mut self, source: &MetricSource) -> Found {
        let asked = self.asked(source)?;
        if let Some(found) = self.kept.get(&asked) {
            return found.clone();
        }
        let found = self.make(&asked);
        if self.kept.len() >= MOST_KEPT {
            self.kept.clear();
        }
        self.kept.insert(asked, found.clone());
        found
    }

    fn asked(&self, source: &MetricSource) -> Option<Asked> {
        let (metric, kind, side) = match source {
            MetricSource::Pods { metric } => (metric, Kind::Pods, &self.custom),
            MetricSource::Object { described, metric } => (metric, object_kind(described), &self.custom),
            MetricSource::External { metric } => (metric, Kind::External, &self.external),
            MetricSource::Resource { .. } | MetricSource::ContainerResource { .. } => return None,
        };
        let selector = match side.names_values {
            // One that does not convert fails before anything is asked.
            true => metric.selector.clone().unwrap_or_default(),
            false => Selector::everything(),
        };
        Some(Asked {
            metric: metric.name.clone(),
            kind,
            selector,
        })
    }

    fn make(&self, asked: &Asked) -> Found {
        let side = match asked.kind {
            Kind::External => &self.external,
            Kind::Pods | Kind::Object { .. } => &self.custom,
        };
        let candidates = side.metrics.get(&*asked.metric)?.iter().rev();
        let mut candidates = candidates.map(|(rule, series)| (&side.rules[*rule], series));
        let (rule, made) = match &asked.kind {
            Kind::External => {
                let (rule, series) = candidates.next()?;
                let query = rule.external_query(series, &asked.selector);
                (rule, query.map(|template| (template, Answers::External)))
            }
            Kind::Pods => {
                let (rule, series) = candidates.find(|(rule, _)| rule.has_label(&Objects::Pods))?;
                let query = rule.custom_query(series, &Objects::Pods, &asked.selector);
                (
                    rule,
                    query.map(|(template, pod_label)| (template, Answers::Pods { pod_label })),
                )
            }
            Kind::Object { group, kind } => {
                let objects = Objects::One(Resource::of_kind(group, kind));
                let (rule, series) = candidates.find(|(rule, _)| rule.has_label(&objects))?;
                let query = rule.custom_query(series, &objects, &asked.selector);
                let kind = Some(ObjectKind {
                    group: Some(group.clone()),
                    kind: kind.clone(),
                });
                (rule, query.map(|(template, _)| (template, Answers::Object { kind })))
            }
        };
        Some(match made {
            Ok((template, answers)) => Ok(Arc::new(Definition {
                name: asked.metric.clone(),
                answers,
                endpoint: self.endpoint.clone(),
                step: Duration::ZERO,
                freshness: freshness(&template),
                template,
                missing: Missing::Fails,
            })),
            Err(problem) => Err(RuleProblem {
                path: rule.path.clone(),
                line: rule.place.line,
                problem,
            }),
        })
    }
}

impl Side {
    fn new(rules: &Arc<[Rule]>, names: &[Arc<[Arc<str>]>]) -> Self {
        let mut metrics: FxHashMap<String, Vec<(usize, Arc<str>)>> = FxHashMap::default();
        for (index, rule) in rules.iter().enumerate() {
            let series = match &rule.series {
                Series::Named(name) => std::slice::from_ref(name),
                Series::Listed(query) => names.get(*query).map_or(&[][..], |names| names),
            };
            for name in series {
                let Some(metric) = rule.naming.metric(name) else {
                    continue;
                };
                let found = metrics.entry(metric).or_default();
                // Of one rule's series only the last can count.
                found.retain(|(rule, _)| *rule != index);
                found.push((index, name.clone()));
            }
        }
        Self {
            rules: rules.clone(),
            metrics,
            names_values: rules.iter().any(Rule::names_values),
        }
    }
}

/// The kind of an object, whatever its version.
fn object_kind(described: &ObjectRef) -> Kind {
    let group = described.api_version.split_once('/').map_or("", |(group, _)| group);
    Kind::Object {
        group: group.into(),
        kind: described.kind.clone(),
    }
}
