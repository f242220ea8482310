//! Functions, and what aggregations share with them.

use super::select::{Selection, ranges, selection};
use super::{Evaluated, Evaluation, NAME, Value, distinct, each, only};
use crate::promql::Series;
use crate::promql::syntax::Expr;

/// A function's value.
pub(super) fn call(evaluation: &Evaluation<'_>, expr: &Expr, function: &str, arguments: &[Expr]) -> Evaluated<Value> {
    let of_each: fn(f64) -> f64 = match (function, arguments) {
        ("time", []) => return Ok(Value::Scalar(evaluation.at_ms as f64 / 1000.0)),
        ("vector", [of]) => {
            let value = evaluation.scalar(of)?;
            let labels = Box::default();
            return Ok(Value::Vector(vec![Series { labels, value }]));
        }
        ("scalar", [of]) => {
            let vector = evaluation.vector(of)?;
            return Ok(Value::Scalar(match vector.as_slice() {
                [only] => only.value,
                _ => f64::NAN,
            }));
        }
        ("clamp_min" | "clamp_max", [of, bound]) => {
            let (vector, bound) = (evaluation.vector(of)?, evaluation.scalar(bound)?);
            let clamped = |value: f64| match function {
                "clamp_min" => max(value, bound),
                _ => min(value, bound),
            };
            return each(vector, clamped).map(Value::Vector);
        }
        ("abs", [_]) => f64::abs,
        ("ceil", [_]) => f64::ceil,
        ("floor", [_]) => f64::floor,
        ("sqrt", [_]) => f64::sqrt,
        _ => return over_time(evaluation, expr, function, arguments),
    };
    each(evaluation.vector(&arguments[0])?, of_each).map(Value::Vector)
}

/// Of a series' samples in a range one value, or none.
type OverTime = fn(&[(i64, f64)], &Selection, i64) -> Option<f64>;

fn over_time(evaluation: &Evaluation<'_>, expr: &Expr, function: &str, arguments: &[Expr]) -> Evaluated<Value> {
    let of_samples: OverTime = match function {
        "rate" => |samples, of, range| Some(extrapolated(samples, of.end_ms, range, true)? / (range as f64 / 1000.0)),
        "increase" => |samples, of, range| extrapolated(samples, of.end_ms, range, true),
        "delta" => |samples, of, range| extrapolated(samples, of.end_ms, range, false),
        "irate" => |samples, _, _| instant_rate(samples),
        "avg_over_time" => |samples, _, _| Some(average(&values(samples))),
        "min_over_time" => |samples, _, _| Some(least(&values(samples))),
        "max_over_time" => |samples, _, _| Some(most(&values(samples))),
        "sum_over_time" => |samples, _, _| Some(values(samples).iter().sum()),
        "count_over_time" => |samples, _, _| Some(samples.len() as f64),
        "last_over_time" => |samples, _, _| samples.last().map(|(_, value)| *value),
        "present_over_time" => |_, _, _| Some(1.0),
        _ => {
            let problem = format!("unknown function with name {function:?}, or other arguments than are known here");
            return Err(evaluation.unreadable(expr, &problem));
        }
    };
    let [of] = arguments else {
        return Err(evaluation.unreadable(expr, &format!("expected 1 argument(s) in call to {function:?}")));
    };
    let selection = selection(evaluation, of.bare())?;
    let Some(range_ms) = selection.range_ms else {
        return Err(evaluation.unreadable(of, "expected type range vector, got instant vector"));
    };
    let keeps_name = function == "last_over_time";
    let series = ranges(evaluation, &selection, range_ms).into_iter();
    let series = series.filter_map(|(recorded, samples)| {
        Some(Series {
            labels: only(&recorded.labels, |name| keeps_name || name != NAME),
            value: of_samples(&samples, &selection, range_ms)?,
        })
    });
    distinct(series.collect()).map(Value::Vector)
}

fn values(samples: &[(i64, f64)]) -> Vec<f64> {
    samples.iter().map(|(_, value)| *value).collect()
}

/// By how much a series has grown over all of the range, from what it has grown between its first and last sample there; a
/// counter that falls has begun anew.
///
/// Source: Prometheus v2.42 `promql/functions.go`, `extrapolatedRate`.
fn extrapolated(samples: &[(i64, f64)], end_ms: i64, range_ms: i64, is_counter: bool) -> Option<f64> {
    let [(first_at, first), .., (last_at, last)] = samples else {
        return None;
    };
    let mut grown = last - first;
    if is_counter {
        let falls = samples.windows(2).filter(|pair| pair[1].1 < pair[0].1);
        falls.for_each(|pair| grown += pair[0].1);
    }
    let seconds = |millis: i64| millis as f64 / 1000.0;
    let mut to_start = seconds(first_at - (end_ms - range_ms));
    let to_end = seconds(end_ms - last_at);
    let sampled = seconds(last_at - first_at);
    let between = sampled / (samples.len() - 1) as f64;
    if is_counter && grown > 0.0 && *first >= 0.0 {
        // It was not below 0 before.
        to_start = to_start.min(sampled * (first / grown));
    }
    // Samples are missing at an edge that is further away than this.
    let threshold = between * 1.1;
    let reached = |distance: f64| if distance < threshold { distance } else { between / 2.0 };
    let covered = sampled + reached(to_start) + reached(to_end);
    Some(grown * (covered / sampled))
}

/// By the last two samples.
fn instant_rate(samples: &[(i64, f64)]) -> Option<f64> {
    let [.., (before, first), (at, last)] = samples else {
        return None;
    };
    let grown = if last < first { *last } else { last - first };
    (at != before).then(|| grown / ((at - before) as f64 / 1000.0))
}

pub(super) fn average(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// NaN only where there is nothing else.
pub(super) fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NAN, f64::min)
}

/// As [`least`].
pub(super) fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NAN, f64::max)
}

/// NaN if one of them is, as in Go.
fn min(one: f64, other: f64) -> f64 {
    if one.is_nan() || other.is_nan() {
        f64::NAN
    } else {
        one.min(other)
    }
}

fn max(one: f64, other: f64) -> f64 {
    if one.is_nan() || other.is_nan() {
        f64::NAN
    } else {
        one.max(other)
    }
}
