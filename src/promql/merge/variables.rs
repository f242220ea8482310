//! By which labels asks of one query may differ and still be put as one.

use std::sync::Arc;

use super::flow::{Flow, trace};
use crate::promql::syntax::{Expr, MatchOperator, Matcher, Placeholder, Selector};
use crate::promql::template::{Hole, LabelMatcher, PodsUse, Template};

/// A label whose value differs from ask to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Variable {
    pub label: Arc<str>,
    pub source: Source,
}

/// Where a variable's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A placeholder that is the whole value of a matcher.
    Placeholder(Placeholder),
    /// This place in the list of the selector's matchers.
    Selector(usize),
}

/// The most variables of one query; selectors with more labels are told apart by the rest.
const MAX_VARIABLES: usize = 16;

impl Variable {
    /// Whether `selector` asks for one value of this label.
    pub fn is_bound(&self, selector: &Selector) -> bool {
        selector.matchers.iter().any(|matcher| match (matcher, self.source) {
            (Matcher::Placeholder, Source::Selector(_)) => true,
            (Matcher::Label { value, .. }, Source::Placeholder(placeholder)) => value.whole() == Some(placeholder),
            _ => false,
        })
    }
}

/// The variables of asks with `matchers` for their selectors. `namespace`, `object`: whether there is one. All else stays
/// what it is, so that only asks that agree in it are put as one.
pub(super) fn variables(
    template: &Template,
    namespace: bool,
    object: bool,
    matchers: &[LabelMatcher],
) -> Vec<Variable> {
    let reading = template.reading();
    let Ok(tree) = &reading.tree else {
        return Vec::new();
    };
    let mut found: Vec<Variable> = Vec::new();
    let placeholders = [(Placeholder::Namespace, namespace), (Placeholder::Object, object)];
    for (placeholder, _) in placeholders.iter().filter(|(_, there)| *there) {
        if let Some(label) = bound_label(&reading.holes, tree, *placeholder) {
            found.push(Variable {
                label: label.into(),
                source: Source::Placeholder(*placeholder),
            });
        }
    }
    let mut asked = tree.selectors().into_iter().flat_map(|(s, _)| &s.matchers);
    if asked.any(|m| matches!(m, Matcher::Placeholder)) {
        for (i, matcher) in matchers.iter().enumerate() {
            let twice = matchers.iter().filter(|m| m.label == matcher.label).count() > 1;
            if matcher.exact_value().is_some() && !twice && may_vary(&matcher.label) {
                found.push(Variable {
                    label: matcher.label.clone(),
                    source: Source::Selector(i),
                });
            }
        }
    }
    let mut kept: Vec<Variable> = Vec::new();
    for variable in found {
        if kept.len() < MAX_VARIABLES
            && kept.iter().all(|k| k.label != variable.label)
            && trace(template.text(), tree, std::slice::from_ref(&variable)).is_ok()
        {
            kept.push(variable);
        }
    }
    // What each can do alone, they nearly always can do together.
    while !kept.is_empty() && trace(template.text(), tree, &kept).is_err() {
        kept.pop();
    }
    kept
}

/// The one label whose value `placeholder` is, wherever it stands.
fn bound_label(holes: &[Hole], tree: &Expr, placeholder: Placeholder) -> Option<String> {
    let elsewhere = |hole: &Hole| match hole {
        Hole::Value { literal, operator } => {
            literal.placeholders().any(|p| p == placeholder)
                && !(literal.whole().is_some() && matches!(operator, MatchOperator::Equal | MatchOperator::Regex))
        }
        Hole::Selector { .. } | Hole::Dollar(_) => false,
    };
    if holes.iter().any(elsewhere) {
        return None;
    }
    let mut labels = tree.selectors().into_iter().flat_map(|(selector, _)| {
        selector.matchers.iter().filter_map(move |matcher| match matcher {
            Matcher::Label { label, value, .. } if value.whole() == Some(placeholder) => Some(label),
            _ => None,
        })
    });
    let label = labels.next()?;
    (labels.all(|other| other == label) && may_vary(label)).then(|| label.clone())
}

/// Functions drop the metric's name, and histograms their `le`.
fn may_vary(label: &str) -> bool {
    !matches!(label, "__name__" | "le")
}

/// Whether the pods' names can be left out: each series of the answer must bear the pod's name, as it is written, from
/// the selectors up.
pub(in crate::promql) fn pods_use(holes: &[Hole], tree: Option<&Expr>, text: &str) -> PodsUse {
    let pods = Placeholder::Pods;
    let asked = |hole: &Hole| match hole {
        Hole::Value { literal, .. } => literal.placeholders().any(|p| p == pods),
        Hole::Selector { .. } | Hole::Dollar(_) => false,
    };
    if !holes.iter().any(asked) {
        return PodsUse::None;
    }
    let droppable = || {
        let tree = tree?;
        let label = bound_label(holes, tree, pods)?;
        let variable = Variable {
            label: label.into(),
            source: Source::Placeholder(pods),
        };
        let traced = trace(text, tree, std::slice::from_ref(&variable)).ok()?;
        (traced.edits.is_empty() && traced.flow == Flow::Carried { own: 1 }).then_some(())
    };
    if droppable().is_some() {
        PodsUse::Droppable
    } else {
        PodsUse::Needed
    }
}
