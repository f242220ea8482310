//! What a query gives of series in memory.
//!
//! As much of PromQL as trimtab's own queries, and what its rewriting makes of users' queries, are made of; the rest is
//! refused and never guessed. For the simulated Prometheus; whether it agrees with a real one, `tests/prometheus.rs` judges.
//!
//! Sources: Prometheus v2.42 `promql/engine.go`, `promql/functions.go`.

mod binary;
mod functions;
mod select;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::Series;
use super::syntax::{Expr, Kind, Labels, parse, tokens};
use select::{instant, selection};

/// The name of a metric is the value of this label.
const NAME: &str = "__name__";

/// The labels of a series, sorted by name.
pub type LabelSet = Box<[(Arc<str>, Arc<str>)]>;

/// A value that says: the series has ended.
///
/// Source: Prometheus v2.42 `model/value/value.go`, `StaleNaN`.
pub const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// A series with all of its samples that are known.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its labels, `__name__` among them.
    pub labels: LabelSet,
    /// Milliseconds since 1970 and values, oldest first; [`STALE`] where it has ended.
    pub samples: Vec<(i64, f64)>,
}

/// What a query gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A number.
    Scalar(f64),
    /// Series, each with a value.
    Vector(Vec<Series>),
}

/// Why a query gives nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no PromQL, or more of it than is known here: `bad_data` in Prometheus.
    #[error("{at}: parse error: {problem}")]
    Unreadable {
        /// Where, as Prometheus writes it: line and column, from 1.
        at: String,
        /// What is wrong.
        problem: String,
    },
    /// It cannot be answered from the series that there are: `execution` in Prometheus.
    #[error("{0}")]
    Execution(String),
}

type Evaluated<T> = Result<T, Refused>;

/// What `query` gives at `at_ms` (milliseconds since 1970) of these series.
///
/// # Errors
/// It is not readable, uses what is not known here, or its series do not go together.
pub fn evaluate(query: &str, at_ms: i64, series: &[Recorded]) -> Result<Outcome, Refused> {
    // Here a dollar is a dollar, and begins no placeholder.
    let text = query.replace('$', "$$");
    let unreadable = |at: usize, problem: &str| Refused::Unreadable {
        at: place(&text, at),
        problem: problem.to_owned(),
    };
    let tokens = tokens(&text).map_err(|error| unreadable(0, &format!("{error:?}")))?;
    if tokens.len() <= 1 {
        return Err(unreadable(0, "no expression found in input"));
    }
    let tree = parse(&text, &tokens).map_err(|error| unreadable(error.at, &format!("expected {}", error.expected)))?;
    let evaluation = Evaluation {
        text: &text,
        at_ms,
        series,
    };
    Ok(match evaluation.value(&tree)? {
        Value::Scalar(value) => Outcome::Scalar(value),
        Value::Vector(vector) => Outcome::Vector(vector),
    })
}

/// Line and column of a byte.
fn place(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, str::len) + 1;
    format!("{line}:{column}")
}

#[derive(Clone, Debug)]
enum Value {
    Scalar(f64),
    Vector(Vec<Series>),
}

/// One query at one time.
struct Evaluation<'a> {
    text: &'a str,
    at_ms: i64,
    series: &'a [Recorded],
}

impl Evaluation<'_> {
    /// The parser has bounded how deep this goes.
    fn value(&self, expr: &Expr) -> Evaluated<Value> {
        match &expr.kind {
            Kind::Number => {
                let text = expr.span.of(self.text);
                let number = text
                    .parse()
                    .map_err(|_| self.unknown(expr, &format!("the number {text}")))?;
                Ok(Value::Scalar(number))
            }
            Kind::Paren(of) => self.value(of),
            Kind::Selector(_) | Kind::Offset { .. } => Ok(Value::Vector(instant(self, &selection(self, expr)?))),
            Kind::Unary(of) => self.unary(expr, of),
            Kind::Call { function, arguments } => functions::call(self, expr, function, arguments),
            Kind::Aggregate {
                operator,
                grouping,
                parameter: None,
                of,
                ..
            } => self.aggregated(expr, operator, grouping.as_ref(), of),
            Kind::Aggregate { operator, .. } => Err(self.unknown(expr, operator)),
            Kind::Binary { .. } => binary::value(self, expr),
            Kind::String(_) => Err(self.unknown(expr, "a string by itself")),
            Kind::Range { .. } => Err(self.unknown(expr, "a range vector by itself")),
            Kind::Subquery { .. } => Err(self.unknown(expr, "a subquery")),
            Kind::At { .. } => Err(self.unknown(expr, "the modifier @")),
        }
    }

    fn vector(&self, expr: &Expr) -> Evaluated<Vec<Series>> {
        match self.value(expr)? {
            Value::Vector(vector) => Ok(vector),
            Value::Scalar(_) => Err(self.unreadable(expr, "expected type instant vector, got scalar")),
        }
    }

    fn scalar(&self, expr: &Expr) -> Evaluated<f64> {
        match self.value(expr)? {
            Value::Scalar(value) => Ok(value),
            Value::Vector(_) => Err(self.unreadable(expr, "expected type scalar, got instant vector")),
        }
    }

    fn unary(&self, expr: &Expr, of: &Expr) -> Evaluated<Value> {
        let value = self.value(of)?;
        if !expr.span.of(self.text).starts_with('-') {
            return Ok(value);
        }
        match value {
            Value::Scalar(value) => Ok(Value::Scalar(-value)),
            Value::Vector(vector) => each(vector, |value| -value).map(Value::Vector),
        }
    }

    fn aggregated(&self, expr: &Expr, operator: &str, grouping: Option<&Labels>, of: &Expr) -> Evaluated<Value> {
        let mut groups: BTreeMap<LabelSet, Vec<f64>> = BTreeMap::new();
        for series in self.vector(of)? {
            let kept = |name: &str| match grouping {
                None => false,
                Some(grouping) if grouping.all_but => name != NAME && !grouping.names(name),
                Some(grouping) => grouping.names(name),
            };
            let labels = only(&series.labels, kept);
            groups.entry(labels).or_default().push(series.value);
        }
        let of_all: fn(&[f64]) -> f64 = match operator {
            "sum" => |values| values.iter().sum(),
            "avg" => functions::average,
            "min" => functions::least,
            "max" => functions::most,
            "count" => |values| values.len() as f64,
            "group" => |_| 1.0,
            _ => return Err(self.unknown(expr, operator)),
        };
        let series = groups.into_iter().map(|(labels, values)| Series {
            labels,
            value: of_all(&values),
        });
        Ok(Value::Vector(series.collect()))
    }

    fn unreadable(&self, expr: &Expr, problem: &str) -> Refused {
        Refused::Unreadable {
            at: place(self.text, expr.span.start),
            problem: problem.to_owned(),
        }
    }

    /// A real Prometheus may know it.
    fn unknown(&self, expr: &Expr, what: &str) -> Refused {
        self.unreadable(expr, &format!("{what} is not known to the simulated Prometheus"))
    }
}

/// Other values in the place of a vector's, and names no more: they were those of other values.
fn each(vector: Vec<Series>, value: impl Fn(f64) -> f64) -> Evaluated<Vec<Series>> {
    let changed = vector.into_iter().map(|series| Series {
        labels: only(&series.labels, |name| name != NAME),
        value: value(series.value),
    });
    distinct(changed.collect())
}

fn only(labels: &[(Arc<str>, Arc<str>)], kept: impl Fn(&str) -> bool) -> LabelSet {
    labels.iter().filter(|(name, _)| kept(name)).cloned().collect()
}

/// A vector in which no two series are called the same.
fn distinct(vector: Vec<Series>) -> Evaluated<Vec<Series>> {
    let different: HashSet<&LabelSet> = vector.iter().map(|series| &series.labels).collect();
    if different.len() == vector.len() {
        return Ok(vector);
    }
    let message = "vector cannot contain metrics with the same labelset";
    Err(Refused::Execution(message.to_owned()))
}

#[cfg(test)]
mod tests;
