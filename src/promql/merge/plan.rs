//! How asks are put as one.

use std::sync::Arc;

use super::flow::{Flow, trace};
use super::variables::{Source, Variable};
use super::{Ask, AskError, Definition, Query};
use crate::promql::syntax::{Matcher, Placeholder, Span, regex_escape};
use crate::promql::template::{Edit, Hole, LabelMatcher, PodsUse, Template, Values, apply};

/// The query for one ask alone, with its pods by name where the query wants them. It stands for place 0 of a list.
///
/// # Errors
/// The [`problem`](Ask::problem), or that there are no pods to name.
pub fn single(ask: &Ask, pods: &[Arc<str>]) -> Result<Query, AskError> {
    let matchers = ask.matchers()?;
    let template = limited(&ask.definition)?;
    if template.names_pods() && pods.is_empty() {
        return Err(AskError::NoPods);
    }
    let text = apply(
        template.text(),
        template.fill(&values(ask, &selector_text(&matchers), pods), &[]),
    );
    Ok(Query {
        text,
        asks: vec![0],
        plan: Arc::new(Plan::new(template, Vec::new())),
        cases: vec![Case {
            values: Box::default(),
            asks: vec![0],
        }],
    })
}

/// The definition's query with the limit of its values' age in it.
pub(super) fn limited(definition: &Definition) -> Result<Template, AskError> {
    Ok(match definition.freshness {
        Some(limit) => definition.template.limited(limit)?,
        None => definition.template.clone(),
    })
}

fn values<'a>(ask: &'a Ask, selector: &'a str, pods: &'a [Arc<str>]) -> Values<'a> {
    Values {
        namespace: &ask.namespace,
        object: ask.object.as_deref().unwrap_or_default(),
        pods,
        selector,
    }
}

fn selector_text(matchers: &[LabelMatcher]) -> String {
    let texts: Vec<String> = matchers.iter().map(ToString::to_string).collect();
    texts.join(",")
}

/// How the asks of one shape are put as one.
#[derive(Debug)]
pub(super) struct Plan {
    template: Template,
    /// What the asks differ in.
    pub variables: Vec<Variable>,
    /// The groupings and matchings of a merged query.
    edits: Vec<Edit>,
    /// The matchers of pods, which leave the names out.
    pods: Vec<Edit>,
    /// The matchers whose value is a variable, by its place.
    bound: Vec<(usize, Span)>,
    /// The variables' labels that a single query's answer does not bear.
    pub added: Vec<Arc<str>>,
}

/// Asks that are the same.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// The variables' values.
    pub values: Box<[Arc<str>]>,
    /// Places in the list of asks.
    pub asks: Vec<usize>,
}

impl Plan {
    pub fn new(template: Template, variables: Vec<Variable>) -> Self {
        let mut plan = Self {
            template,
            variables,
            edits: Vec::new(),
            pods: Vec::new(),
            bound: Vec::new(),
            added: Vec::new(),
        };
        let Ok(tree) = &plan.template.reading().tree else {
            return plan;
        };
        if let Ok(traced) = trace(plan.template.text(), tree, &plan.variables) {
            plan.edits = traced.edits;
            let own = match traced.flow {
                Flow::Carried { own } => own,
                Flow::Fixed(_) => 0,
            };
            let lost = plan.variables.iter().enumerate().filter(|(i, _)| own & (1 << i) == 0);
            plan.added = lost.map(|(_, variable)| variable.label.clone()).collect();
        }
        for matcher in tree.selectors().into_iter().flat_map(|(s, _)| &s.matchers) {
            let Matcher::Label { label, value, span, .. } = matcher else {
                continue;
            };
            match value.whole() {
                // Series without a pod's name are no pod's.
                Some(Placeholder::Pods) if plan.template.reading().pods == PodsUse::Droppable => plan.pods.push(Edit {
                    span: *span,
                    text: format!("{label}!=\"\""),
                }),
                Some(placeholder) => {
                    let source = Source::Placeholder(placeholder);
                    let variable = plan.variables.iter().position(|v| v.source == source);
                    plan.bound.extend(variable.map(|place| (place, *span)));
                }
                None => {}
            }
        }
        plan
    }

    /// The query for `cases`; `None` where there are none.
    pub fn query(plan: &Arc<Self>, asks: &[Ask], cases: Vec<Case>) -> Option<Query> {
        let first = asks.get(*cases.first()?.asks.first()?)?;
        let matchers = first.matchers().ok()?;
        let text = match cases.as_slice() {
            [_] => plan.text(first, matchers, None),
            several => plan.text(first, matchers, Some(several)),
        };
        Some(Query {
            text,
            asks: cases.iter().flat_map(|case| case.asks.iter().copied()).collect(),
            plan: plan.clone(),
            cases,
        })
    }

    /// The text for `ask`, or for all `cases`, of which it is one.
    fn text(&self, ask: &Ask, mut matchers: Vec<LabelMatcher>, cases: Option<&[Case]>) -> String {
        let mut edits = self.pods.clone();
        if let Some(cases) = cases {
            edits.extend(self.edits.iter().cloned());
            for (place, variable) in self.variables.iter().enumerate() {
                let matcher = alternatives(variable, place, cases);
                match variable.source {
                    Source::Selector(i) => matchers[i] = matcher,
                    Source::Placeholder(_) => {
                        let spans = self.bound.iter().filter(|(bound, _)| *bound == place);
                        let text = matcher.to_string();
                        edits.extend(spans.map(|(_, span)| Edit {
                            span: *span,
                            text: text.clone(),
                        }));
                    }
                }
            }
        }
        let filled = self.template.fill(&values(ask, &selector_text(&matchers), &[]), &edits);
        edits.extend(filled);
        apply(self.template.text(), edits)
    }

    /// How long the merged query is besides its values, at most.
    pub fn bytes(&self, asks: &[Ask], case: &Case) -> usize {
        let ask = case.asks.first().and_then(|place| asks.get(*place));
        let matchers = ask.and_then(|ask| ask.matchers().ok());
        match (ask, matchers) {
            (Some(ask), Some(matchers)) => self.text(ask, matchers, Some(std::slice::from_ref(case))).len(),
            _ => 0,
        }
    }

    /// How often the text says the value of each variable.
    pub fn occurrences(&self) -> Vec<usize> {
        let selectors = self.template.reading().holes.iter();
        let selectors = selectors.filter(|hole| matches!(hole, Hole::Selector { .. })).count();
        let count = |(place, variable): (usize, &Variable)| match variable.source {
            Source::Selector(_) => selectors,
            Source::Placeholder(_) => self.bound.iter().filter(|(bound, _)| *bound == place).count(),
        };
        self.variables.iter().enumerate().map(count).collect()
    }
}

/// The matcher of all values that `cases` have for the variable at `place`.
fn alternatives(variable: &Variable, place: usize, cases: &[Case]) -> LabelMatcher {
    let mut values: Vec<&str> = cases.iter().map(|case| &*case.values[place]).collect();
    values.sort_unstable();
    values.dedup();
    let label = variable.label.clone();
    match values.as_slice() {
        [value] => LabelMatcher {
            label,
            operator: "=",
            value: (*value).to_owned(),
        },
        several => LabelMatcher {
            label,
            operator: "=~",
            value: several.iter().map(|v| regex_escape(v)).collect::<Vec<_>>().join("|"),
        },
    }
}
