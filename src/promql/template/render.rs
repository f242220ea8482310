//! Filling in.

use std::sync::Arc;

use super::{Hole, Template};
use crate::promql::syntax::{MatchOperator, Part, Placeholder, Span, quote, regex_escape};

/// What stands for the placeholders.
pub(in crate::promql) struct Values<'a> {
    pub namespace: &'a str,
    pub object: &'a str,
    pub pods: &'a [Arc<str>],
    /// The matchers of the selector as text; empty where there are none.
    pub selector: &'a str,
}

/// A stretch of the text that is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::promql) struct Edit {
    pub span: Span,
    pub text: String,
}

impl Template {
    /// The edits that fill in every place, except those within a stretch of `taken`.
    pub(in crate::promql) fn fill(&self, values: &Values<'_>, taken: &[Edit]) -> Vec<Edit> {
        let free = |span: Span| {
            !taken
                .iter()
                .any(|edit| edit.span.start <= span.start && span.end <= edit.span.end)
        };
        let edit = |hole: &Hole| match hole {
            Hole::Value { literal, operator } => Edit {
                span: literal.span,
                text: quote(&value(&literal.parts, *operator, values)),
            },
            Hole::Selector { with_comma, .. } if values.selector.is_empty() => Edit {
                span: *with_comma,
                text: String::new(),
            },
            Hole::Dollar(span) => Edit {
                span: *span,
                text: "$".to_owned(),
            },
            Hole::Selector { span, .. } => Edit {
                span: *span,
                text: values.selector.to_owned(),
            },
        };
        self.reading
            .holes
            .iter()
            .map(edit)
            .filter(|edit| free(edit.span))
            .collect()
    }
}

fn value(parts: &[Part], operator: MatchOperator, values: &Values<'_>) -> String {
    let regex = matches!(operator, MatchOperator::Regex | MatchOperator::NotRegex);
    let escaped = |value: &str| if regex { regex_escape(value) } else { value.to_owned() };
    let text = |part: &Part| match part {
        Part::Text(text) => text.clone(),
        Part::Placeholder(Placeholder::Namespace) => escaped(values.namespace),
        Part::Placeholder(Placeholder::Object) => escaped(values.object),
        Part::Placeholder(Placeholder::Pods) => {
            let names: Vec<String> = values.pods.iter().map(|pod| regex_escape(pod)).collect();
            names.join("|")
        }
        // Never within quotes: `Template::parse` sees to it.
        Part::Placeholder(Placeholder::Selector) => String::new(),
    };
    parts.iter().map(text).collect()
}

/// `text` with the edits made. No two of them overlap.
pub(in crate::promql) fn apply(text: &str, mut edits: Vec<Edit>) -> String {
    edits.sort_by_key(|edit| (edit.span.start, edit.span.end));
    let mut out = String::with_capacity(text.len() + edits.iter().map(|e| e.text.len()).sum::<usize>());
    let mut at = 0;
    for edit in &edits {
        debug_assert!(at <= edit.span.start, "edits of {text:?} overlap: {edits:?}");
        out.push_str(text.get(at..edit.span.start).unwrap_or_default());
        out.push_str(&edit.text);
        at = edit.span.end.max(at);
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}
