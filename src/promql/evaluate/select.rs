//! Which series a selector picks, and which of their samples.

use std::sync::Arc;

use regex::Regex;

use super::{Evaluated, Evaluation, NAME, Recorded};
use crate::promql::Series;
use crate::promql::syntax::{Expr, Kind, MatchOperator, Matcher, Selector};

/// An instant vector has samples up to so old.
const LOOKBACK_MS: i64 = 5 * 60 * 1000;

/// A selector with the times that it looks at.
pub(super) struct Selection {
    tests: Vec<Test>,
    /// Its samples are not later than this.
    pub(super) end_ms: i64,
    pub(super) range_ms: Option<i64>,
}

struct Test {
    label: String,
    is: Is,
    wanted: bool,
}

enum Is {
    Text(String),
    Like(Regex),
}

impl Test {
    fn holds(&self, value: &str) -> bool {
        let is = match &self.is {
            Is::Text(text) => text == value,
            Is::Like(expression) => expression.is_match(value),
        };
        is == self.wanted
    }
}

impl Selection {
    fn picks(&self, labels: &[(Arc<str>, Arc<str>)]) -> bool {
        // A label that is missing and an empty one are the same.
        let value = |label: &str| labels.iter().find(|(name, _)| &**name == label).map_or("", |(_, v)| v);
        self.tests.iter().all(|test| test.holds(value(&test.label)))
    }
}

/// The selector that `expr` is, with its range and offset.
pub(super) fn selection(evaluation: &Evaluation<'_>, expr: &Expr) -> Evaluated<Selection> {
    let (mut range_ms, mut offset) = (None, 0);
    let mut inner = expr;
    loop {
        inner = match &inner.kind {
            Kind::Offset { of, offset_ms } => {
                offset += offset_ms;
                of
            }
            Kind::Range { of, range_ms: range } => {
                range_ms = Some(*range);
                of
            }
            Kind::Selector(selector) => {
                return Ok(Selection {
                    tests: tests(evaluation, inner, selector)?,
                    end_ms: evaluation.at_ms.saturating_sub(offset),
                    range_ms,
                });
            }
            _ => return Err(evaluation.unknown(inner, "anything but a selector here")),
        };
    }
}

fn tests(evaluation: &Evaluation<'_>, expr: &Expr, selector: &Selector) -> Evaluated<Vec<Test>> {
    let mut tests = Vec::new();
    if selector.named {
        let text = expr.span.of(evaluation.text);
        tests.push(Test {
            label: NAME.to_owned(),
            is: Is::Text(text.split('{').next().unwrap_or(text).trim().to_owned()),
            wanted: true,
        });
    }
    for matcher in &selector.matchers {
        let Matcher::Label {
            label, operator, value, ..
        } = matcher
        else {
            return Err(evaluation.unknown(expr, "a quoted name"));
        };
        let value = value.text().unwrap_or_default();
        let is = match operator {
            MatchOperator::Equal | MatchOperator::NotEqual => Is::Text(value.to_owned()),
            MatchOperator::Regex | MatchOperator::NotRegex => {
                let expression = Regex::new(&format!("^(?:{value})$"));
                Is::Like(expression.map_err(|_| evaluation.unreadable(expr, "error parsing regexp"))?)
            }
        };
        tests.push(Test {
            label: label.clone(),
            is,
            wanted: matches!(operator, MatchOperator::Equal | MatchOperator::Regex),
        });
    }
    if tests.iter().all(|test| test.holds("")) {
        let problem = "vector selector must contain at least one non-empty matcher";
        return Err(evaluation.unreadable(expr, problem));
    }
    Ok(tests)
}

/// The newest sample of each series, if it is young enough and no end.
pub(super) fn instant(evaluation: &Evaluation<'_>, selection: &Selection) -> Vec<Series> {
    let picked = evaluation
        .series
        .iter()
        .filter(|series| selection.picks(&series.labels));
    let newest = picked.filter_map(|series| {
        let samples = within(series, selection.end_ms - LOOKBACK_MS, selection.end_ms);
        let (_, value) = samples.last().filter(|(_, value)| !is_stale(*value))?;
        Some(Series {
            labels: series.labels.clone(),
            value: *value,
        })
    });
    newest.collect()
}

/// The series picked, with their samples within the range; none without a sample in it.
pub(super) fn ranges<'a>(
    evaluation: &Evaluation<'a>,
    selection: &Selection,
    range_ms: i64,
) -> Vec<(&'a Recorded, Vec<(i64, f64)>)> {
    let picked = evaluation
        .series
        .iter()
        .filter(|series| selection.picks(&series.labels));
    let samples = picked.filter_map(|series| {
        let all = within(series, selection.end_ms - range_ms, selection.end_ms);
        let samples: Vec<_> = all.iter().copied().filter(|(_, value)| !is_stale(*value)).collect();
        (!samples.is_empty()).then_some((series, samples))
    });
    samples.collect()
}

/// The samples after `from` and up to `to`.
///
/// The sample just at `from` counts up to Prometheus 2, and not from 3 on, as here.
fn within(series: &Recorded, from: i64, to: i64) -> &[(i64, f64)] {
    let begin = series.samples.partition_point(|(at, _)| *at <= from);
    let end = series.samples.partition_point(|(at, _)| *at <= to);
    &series.samples[begin..end.max(begin)]
}

fn is_stale(value: f64) -> bool {
    value.to_bits() == super::STALE.to_bits()
}
