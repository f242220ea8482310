//! Which asks go together.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::plan::{Case, Plan, limited};
use super::query::{key, push};
use super::size::Size;
use super::variables::{Source, Variable, variables};
use super::{Ask, Definition, MergeLimits, Query};
use crate::promql::syntax::Placeholder;
use crate::promql::template::{LabelMatcher, Template};

/// The queries for all asks: each is in exactly one query, and equal ones are in the same. Those of [`Ask::needs_pods`]
/// and those with a [`problem`](Ask::problem) are left out. The queries' order, and that of the asks in them, follow from
/// the asks alone.
///
/// Asks are put as one where their definitions have the same Prometheus, step, freshness limit and query; where their
/// selectors name the same labels with the same operators; and where the query lets it be.
pub fn merge(asks: &[Ask], limits: MergeLimits) -> Vec<Query> {
    let mut planner = Planner::default();
    for (place, ask) in asks.iter().enumerate() {
        if !ask.needs_pods()
            && let Ok(matchers) = ask.matchers()
        {
            planner.add(place, ask, &matchers);
        }
    }
    let groups = planner.groups.into_iter();
    groups.flat_map(|group| group.queries(asks, limits)).collect()
}

/// Sorts asks into groups.
#[derive(Default)]
struct Planner {
    /// By the definition's address, so that its text is looked at once.
    known: FxHashMap<*const Definition, usize>,
    /// By what makes a definition's answer.
    definitions: FxHashMap<String, usize>,
    templates: Vec<Template>,
    shapes: FxHashMap<String, Arc<Plan>>,
    places: FxHashMap<String, usize>,
    groups: Vec<Group>,
}

/// Asks that can be put as one.
struct Group {
    plan: Arc<Plan>,
    cases: Vec<Case>,
    places: FxHashMap<String, usize>,
}

impl Planner {
    fn add(&mut self, place: usize, ask: &Ask, matchers: &[LabelMatcher]) {
        let Some(definition) = self.definition(&ask.definition) else {
            return;
        };
        let object = ask.object.as_deref().unwrap_or_default();
        let mut shape = format!("{definition} {} {}:", !ask.namespace.is_empty(), !object.is_empty());
        for matcher in matchers {
            push(&mut shape, &matcher.label);
            // One value is one value, however it is written.
            push(
                &mut shape,
                if matcher.exact_value().is_some() {
                    ""
                } else {
                    matcher.operator
                },
            );
        }
        let template = &self.templates[definition];
        let plan = self.shapes.entry(shape.clone()).or_insert_with(|| {
            let variables = variables(template, !ask.namespace.is_empty(), !object.is_empty(), matchers);
            Arc::new(Plan::new(template.clone(), variables))
        });
        // What is no variable must be the same.
        let is_variable = |source| plan.variables.iter().any(|v| v.source == source);
        let mut group = shape;
        if template.names_namespace() && !is_variable(Source::Placeholder(Placeholder::Namespace)) {
            push(&mut group, &ask.namespace);
        }
        if template.names_object() && !is_variable(Source::Placeholder(Placeholder::Object)) {
            push(&mut group, object);
        }
        for (i, matcher) in matchers.iter().enumerate() {
            if !is_variable(Source::Selector(i)) {
                push(&mut group, matcher.operator);
                push(&mut group, &matcher.value);
            }
        }
        let value = |variable: &Variable| match variable.source {
            Source::Placeholder(Placeholder::Object) => ask.object.clone().unwrap_or_default(),
            Source::Placeholder(_) => ask.namespace.clone(),
            Source::Selector(i) => matchers[i].value.as_str().into(),
        };
        let values: Box<[Arc<str>]> = plan.variables.iter().map(value).collect();
        let at = *self.places.entry(group).or_insert_with(|| {
            self.groups.push(Group {
                plan: plan.clone(),
                cases: Vec::new(),
                places: FxHashMap::default(),
            });
            self.groups.len() - 1
        });
        self.groups[at].add(place, values);
    }

    /// The place of the definition's query among the templates.
    fn definition(&mut self, definition: &Arc<Definition>) -> Option<usize> {
        if let Some(known) = self.known.get(&Arc::as_ptr(definition)) {
            return Some(*known);
        }
        let mut same = format!(
            "{:?} {:?} {:?}:",
            definition.step,
            definition.freshness,
            definition.template.selector_form()
        );
        push(&mut same, &definition.endpoint);
        push(&mut same, definition.template.text());
        let place = match self.definitions.get(&same) {
            Some(place) => *place,
            None => {
                self.templates.push(limited(definition).ok()?);
                let place = self.templates.len() - 1;
                self.definitions.insert(same, place);
                place
            }
        };
        self.known.insert(Arc::as_ptr(definition), place);
        Some(place)
    }
}

impl Group {
    fn add(&mut self, place: usize, values: Box<[Arc<str>]>) {
        let same = key(values.iter().map(|value| &**value));
        let case = *self.places.entry(same).or_insert_with(|| {
            self.cases.push(Case {
                values,
                asks: Vec::new(),
            });
            self.cases.len() - 1
        });
        self.cases[case].asks.push(place);
    }

    /// As few queries as `limits` allow. Cases are taken in the order of their values, so that what goes together stays
    /// together however the asks came.
    fn queries(mut self, asks: &[Ask], limits: MergeLimits) -> Vec<Query> {
        self.cases.sort_by(|a, b| a.values.cmp(&b.values));
        let mut queries = Vec::new();
        let mut chunk: Vec<Case> = Vec::new();
        let mut size = Size::new(self.plan.occurrences());
        for case in self.cases {
            if !chunk.is_empty() && !size.fits(&case, limits) {
                queries.extend(Plan::query(&self.plan, asks, std::mem::take(&mut chunk)));
                size.clear();
            }
            if chunk.is_empty() {
                size.bytes = self.plan.bytes(asks, &case);
            }
            size.add(&case);
            chunk.push(case);
        }
        queries.extend(Plan::query(&self.plan, asks, chunk));
        queries
    }
}
