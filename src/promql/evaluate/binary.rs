//! Operators between two expressions.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Evaluated, Evaluation, LabelSet, NAME, Refused, Value, distinct, only};
use crate::promql::Series;
use crate::promql::syntax::{Expr, Kind, Matching, Operator};

/// What an operator makes of two numbers, and whether it picks this pair.
type Operation = fn(f64, f64) -> (f64, bool);

/// The value of a binary expression.
pub(super) fn value(evaluation: &Evaluation<'_>, expr: &Expr) -> Evaluated<Value> {
    let Kind::Binary {
        operator,
        sign,
        matching,
        left,
        right,
    } = &expr.kind
    else {
        return Err(evaluation.unknown(expr, "this"));
    };
    if let (Some(on), Some(group)) = (&matching.on, &matching.group)
        && let Some(twice) = group.labels.iter().find(|label| !on.all_but && on.names(label))
    {
        let problem = format!("label {twice:?} must not occur in ON and GROUP clause at once");
        return Err(evaluation.unreadable(expr, &problem));
    }
    let (left, right) = (evaluation.value(left)?, evaluation.value(right)?);
    if let Operator::And | Operator::Or | Operator::Unless = operator {
        let (Value::Vector(left), Value::Vector(right)) = (left, right) else {
            return Err(evaluation.unreadable(expr, "set operator not allowed in binary scalar expression"));
        };
        if matching.group.is_some() {
            return Err(evaluation.unreadable(expr, "no grouping allowed for set operations"));
        }
        return distinct(of_sets(*operator, matching, left, right)).map(Value::Vector);
    }
    let sign = sign.of(evaluation.text);
    let operation = operation(sign).ok_or_else(|| evaluation.unknown(expr, sign))?;
    let picks = *operator == Operator::Comparison && !matching.returns_bool;
    let pairing = Pairing {
        operation,
        picks,
        returns_bool: matching.returns_bool,
    };
    match (left, right) {
        (Value::Scalar(_), Value::Scalar(_)) if picks => {
            Err(evaluation.unreadable(expr, "comparisons between scalars must use BOOL modifier"))
        }
        (Value::Scalar(left), Value::Scalar(right)) => {
            Ok(Value::Scalar(pairing.value(left, right).unwrap_or_default()))
        }
        (Value::Vector(left), Value::Vector(right)) => {
            distinct(pairing.of_vectors(matching, left, right)?).map(Value::Vector)
        }
        (Value::Vector(left), Value::Scalar(right)) => {
            distinct(pairing.of_each(left, |value| (value, right))).map(Value::Vector)
        }
        (Value::Scalar(left), Value::Vector(right)) => {
            distinct(pairing.of_each(right, |value| (left, value))).map(Value::Vector)
        }
    }
}

fn operation(sign: &str) -> Option<Operation> {
    Some(match sign {
        "+" => |a, b| (a + b, true),
        "-" => |a, b| (a - b, true),
        "*" => |a, b| (a * b, true),
        "/" => |a, b| (a / b, true),
        "%" => |a, b| (a % b, true),
        "^" => |a, b| (a.powf(b), true),
        "==" => |a, b| (a, a == b),
        "!=" => |a, b| (a, a != b),
        "<" => |a, b| (a, a < b),
        "<=" => |a, b| (a, a <= b),
        ">" => |a, b| (a, a > b),
        ">=" => |a, b| (a, a >= b),
        _ => return None,
    })
}

struct Pairing {
    operation: Operation,
    /// It is a comparison that leaves out what does not hold.
    picks: bool,
    returns_bool: bool,
}

impl Pairing {
    fn value(&self, left: f64, right: f64) -> Option<f64> {
        match (self.operation)(left, right) {
            (_, holds) if self.returns_bool => Some(f64::from(u8::from(holds))),
            (value, true) => Some(value),
            (_, false) => None,
        }
    }

    /// Only what is picked keeps its name.
    fn keeps(&self, label: &str) -> bool {
        self.picks || label != NAME
    }

    /// With a number: what is picked keeps its own value, on whichever side it stands.
    fn of_each(&self, vector: Vec<Series>, pair: impl Fn(f64) -> (f64, f64)) -> Vec<Series> {
        let paired = vector.into_iter().filter_map(|series| {
            let (left, right) = pair(series.value);
            let value = self.value(left, right)?;
            Some(Series {
                labels: only(&series.labels, |label| self.keeps(label)),
                value: if self.picks { series.value } else { value },
            })
        });
        paired.collect()
    }

    /// Source: Prometheus v2.42 `promql/engine.go`, `VectorBinop` and `resultMetric`.
    fn of_vectors(&self, matching: &Matching, left: Vec<Series>, right: Vec<Series>) -> Evaluated<Vec<Series>> {
        if left.is_empty() || right.is_empty() {
            return Ok(Vec::new());
        }
        let group = matching.group.as_ref();
        // Of the side that is not grouped each pair has one.
        let ones_left = group.is_some_and(|group| !group.left);
        let (many, ones) = if ones_left { (right, left) } else { (left, right) };
        let mut by_signature: HashMap<LabelSet, &Series> = HashMap::new();
        for one in &ones {
            if by_signature.insert(signature(matching, one), one).is_some() {
                let message = "found duplicate series for the match group: many-to-many matching not allowed: matching labels must be unique on one side";
                return Err(Refused::Execution(message.to_owned()));
            }
        }
        let (mut paired, mut seen) = (Vec::new(), HashSet::new());
        for series in &many {
            let signature = signature(matching, series);
            let Some(one) = by_signature.get(&signature) else {
                continue;
            };
            let (left, right) = if ones_left { (one, &series) } else { (&series, one) };
            let Some(value) = self.value(left.value, right.value) else {
                continue;
            };
            let labels = self.labels(matching, series, one);
            let is_new = match group {
                None => seen.insert((signature, Box::default())),
                Some(_) => seen.insert((signature, labels.clone())),
            };
            if !is_new {
                let message = "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right), or grouping labels must ensure unique matches";
                return Err(Refused::Execution(message.to_owned()));
            }
            paired.push(Series { labels, value });
        }
        Ok(paired)
    }

    fn labels(&self, matching: &Matching, many: &Series, one: &Series) -> LabelSet {
        let matched = |label: &str| match &matching.on {
            Some(on) => on.names(label) != on.all_but,
            None => true,
        };
        let grouped = matching.group.is_some();
        let kept = |label: &str| {
            let of_pair = grouped
                || if label == NAME {
                    on_alone(matching, label)
                } else {
                    matched(label)
                };
            self.keeps(label) && of_pair
        };
        let mut labels: Vec<(Arc<str>, Arc<str>)> = only(&many.labels, kept).into_vec();
        for included in matching.group.iter().flat_map(|group| &group.labels) {
            labels.retain(|(name, _)| **name != **included);
            let taken = one.labels.iter().find(|(name, _)| **name == **included);
            labels.extend(taken.cloned());
        }
        labels.sort();
        labels.into()
    }
}

/// Whether a pair keeps the name: without `on` it does, with `on` only where that says so.
fn on_alone(matching: &Matching, label: &str) -> bool {
    match &matching.on {
        Some(on) if !on.all_but => on.names(label),
        Some(ignoring) => !ignoring.names(label),
        None => true,
    }
}

/// What two series must have in common.
fn signature(matching: &Matching, series: &Series) -> LabelSet {
    match &matching.on {
        Some(on) if !on.all_but => only(&series.labels, |label| on.names(label)),
        Some(ignoring) => only(&series.labels, |label| label != NAME && !ignoring.names(label)),
        None => only(&series.labels, |label| label != NAME),
    }
}

fn of_sets(operator: Operator, matching: &Matching, mut left: Vec<Series>, right: Vec<Series>) -> Vec<Series> {
    let signatures =
        |side: &[Series]| -> HashSet<LabelSet> { side.iter().map(|series| signature(matching, series)).collect() };
    if operator == Operator::Or {
        let there = signatures(&left);
        let others = right
            .into_iter()
            .filter(|series| !there.contains(&signature(matching, series)));
        left.extend(others);
        return left;
    }
    let there = signatures(&right);
    left.retain(|series| there.contains(&signature(matching, series)) == (operator == Operator::And));
    left
}
