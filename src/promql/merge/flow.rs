//! How labels run through an expression.
//!
//! A query for one value `v` of a label `L` has `L="v"` in its selectors. The merged query has `L=~"v|w|…"` there, and
//! must give the sum of what the single ones give, each series with the `L` that it belongs to. That holds for an
//! expression if it holds for its parts and if it never brings series of two values together. So, from the selectors up:
//! what works series by series keeps it; a grouping keeps it once `L` is among its labels; a matching keeps it once `L`
//! is among its labels, provided that the single query would not have told the two sides apart by `L`. Whatever else a
//! part does, nothing is merged.

use super::variables::Variable;
use crate::promql::syntax::{Behaviour, Expr, Kind, Labels, Matching, Operator, Span, behaviour};
use crate::promql::template::Edit;

/// What an expression gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// The same for every value of the variables.
    Fixed(Type),
    /// Series that bear each variable's label.
    Carried {
        /// The variables, as bits, whose label the series of a single query bear too. It would bear the others nowhere.
        own: u32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Scalar,
    String,
    Series,
}

/// What came out, and what is to be changed for it.
#[derive(Debug)]
pub(super) struct Traced {
    pub flow: Flow,
    /// Groupings and matchings with the variables' labels among them.
    pub edits: Vec<Edit>,
}

/// There is a part of which it cannot be said that the merged query gives what the single ones give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InDoubt;

/// Aggregations whose result comes from the values of the group alone. Not those that pick series (`topk`): among equals
/// they pick by chance; nor `count_values`, which makes a label.
const AGGREGATIONS: [&str; 9] = [
    "sum", "avg", "count", "min", "max", "group", "stddev", "stdvar", "quantile",
];

/// Follows the labels of `variables` (at most 32) through `tree`, which is that of `text`.
pub(super) fn trace(text: &str, tree: &Expr, variables: &[Variable]) -> Result<Traced, InDoubt> {
    let mut tracer = Tracer {
        text,
        variables,
        edits: Vec::new(),
    };
    let flow = tracer.flow(tree)?;
    let edits = tracer.edits;
    Ok(Traced { flow, edits })
}

struct Tracer<'a> {
    text: &'a str,
    variables: &'a [Variable],
    edits: Vec<Edit>,
}

const SERIES: Flow = Flow::Fixed(Type::Series);

impl Tracer<'_> {
    fn flow(&mut self, expr: &Expr) -> Result<Flow, InDoubt> {
        match &expr.kind {
            Kind::Number => Ok(Flow::Fixed(Type::Scalar)),
            Kind::String(_) => Ok(Flow::Fixed(Type::String)),
            Kind::Selector(selector) => {
                let bound = self.bits(|variable| variable.is_bound(selector));
                match bound {
                    0 => Ok(SERIES),
                    bound if bound == self.bits(|_| true) => Ok(Flow::Carried { own: bound }),
                    _ => Err(InDoubt),
                }
            }
            Kind::Range { of, .. } | Kind::Subquery { of } | Kind::Offset { of, .. } | Kind::At { of, .. } => {
                self.flow(of)
            }
            Kind::Unary(of) | Kind::Paren(of) => self.flow(of),
            Kind::Call { function, arguments } => self.call(function, arguments),
            Kind::Aggregate {
                operator,
                operator_span,
                grouping,
                parameter,
                of,
            } => {
                if let Some(parameter) = parameter
                    && !matches!(self.flow(parameter)?, Flow::Fixed(Type::Scalar | Type::String))
                {
                    return Err(InDoubt);
                }
                match self.flow(of)? {
                    Flow::Fixed(_) => Ok(SERIES),
                    Flow::Carried { own } if AGGREGATIONS.contains(&operator.as_str()) => {
                        Ok(self.group(own, *operator_span, grouping.as_ref()))
                    }
                    Flow::Carried { .. } => Err(InDoubt),
                }
            }
            Kind::Binary {
                operator,
                matching,
                left,
                right,
                ..
            } => {
                let (left, right) = (self.flow(left)?, self.flow(right)?);
                match (left, right) {
                    (Flow::Fixed(Type::Scalar), Flow::Fixed(Type::Scalar)) => Ok(Flow::Fixed(Type::Scalar)),
                    (Flow::Fixed(_), Flow::Fixed(_)) => Ok(SERIES),
                    (Flow::Carried { own }, Flow::Fixed(Type::Scalar))
                    | (Flow::Fixed(Type::Scalar), Flow::Carried { own }) => Ok(Flow::Carried { own }),
                    (Flow::Carried { own: left }, Flow::Carried { own: right }) => {
                        self.matched(*operator, matching, left, right)
                    }
                    // Series that are the same for all would have to be given to each.
                    _ => Err(InDoubt),
                }
            }
        }
    }

    fn call(&mut self, function: &str, arguments: &[Expr]) -> Result<Flow, InDoubt> {
        let behaviour = behaviour(function).ok_or(InDoubt)?;
        let mut carried = None;
        let mut series = false;
        for argument in arguments {
            match self.flow(argument)? {
                Flow::Carried { .. } if carried.is_some() => return Err(InDoubt),
                Flow::Carried { own } => carried = Some(own),
                Flow::Fixed(kind) => series |= kind == Type::Series,
            }
        }
        let Some(own) = carried else {
            return Ok(match behaviour {
                Behaviour::Scalar | Behaviour::Number => Flow::Fixed(Type::Scalar),
                _ => SERIES,
            });
        };
        let kept = match behaviour {
            Behaviour::EachInstant
            | Behaviour::EachRange
            | Behaviour::Timestamp
            | Behaviour::Histogram
            | Behaviour::Date => !series,
            Behaviour::SetsLabel => !series && self.sets_another_label(function, arguments, own),
            Behaviour::Absent | Behaviour::Scalar | Behaviour::Vector | Behaviour::Number => false,
        };
        if kept { Ok(Flow::Carried { own }) } else { Err(InDoubt) }
    }

    /// Whether `label_replace` or `label_join` sets no variable's label, and reads none that the single query's series do
    /// not bear: the merged ones have it, and with it another text.
    fn sets_another_label(&self, function: &str, arguments: &[Expr], own: u32) -> bool {
        let variable = |argument: &Expr| match &argument.bare().kind {
            Kind::String(literal) => literal.text().map(|label| self.bits(|v| *v.label == *label)),
            _ => None,
        };
        let sources = if function == "label_replace" { 1 } else { usize::MAX };
        arguments.get(1).and_then(variable) == Some(0)
            && arguments
                .iter()
                .skip(3)
                .take(sources)
                .all(|source| variable(source).is_some_and(|bits| bits & !own == 0))
    }

    /// An aggregation by groups that keep the labels.
    fn group(&mut self, own: u32, operator: Span, grouping: Option<&Labels>) -> Flow {
        let Some(grouping) = grouping else {
            let labels: Vec<&str> = self.variables.iter().map(|v| &*v.label).collect();
            self.edits.push(Edit {
                span: Span {
                    start: operator.end,
                    end: operator.end,
                },
                text: format!(" by ({})", labels.join(", ")),
            });
            return Flow::Carried { own: 0 };
        };
        let named = self.bits(|variable| grouping.names(&variable.label));
        let own = if grouping.all_but { own & !named } else { own & named };
        self.keep_labels(grouping, if grouping.all_but { "without" } else { "by" });
        Flow::Carried { own }
    }

    /// Two sides of an operator, matched by labels that tell the values of the variables apart.
    fn matched(&mut self, operator: Operator, matching: &Matching, left: u32, right: u32) -> Result<Flow, InDoubt> {
        let all = self.bits(|_| true);
        let differing = left ^ right;
        let (named, all_but) = match &matching.on {
            Some(on) => (self.bits(|variable| on.names(&variable.label)), on.all_but),
            None => (0, true),
        };
        // Where the single query compares a label that only one side has, nothing would match.
        let compared = if all_but { all & !named } else { named };
        let mixed = if operator == Operator::Or { differing } else { 0 };
        if differing & compared != 0 || mixed != 0 {
            return Err(InDoubt);
        }
        if let Some(group) = &matching.group
            && self.bits(|variable| group.labels.iter().any(|l| **l == *variable.label)) != 0
        {
            return Err(InDoubt);
        }
        if let Some(on) = &matching.on {
            self.keep_labels(on, if all_but { "ignoring" } else { "on" });
        }
        let own = match (operator, &matching.group) {
            (Operator::And | Operator::Or | Operator::Unless, _) => left,
            (_, Some(group)) => {
                if group.left {
                    left
                } else {
                    right
                }
            }
            // One to one keeps the labels that it compares.
            (_, None) => left & compared,
        };
        Ok(Flow::Carried { own })
    }

    /// Adds the variables' labels to a list of labels, or takes them out of a list of those to leave out.
    fn keep_labels(&mut self, list: &Labels, keyword: &str) {
        let is_variable = |name: &str| self.variables.iter().any(|v| &*v.label == name);
        let mut labels: Vec<&str> = list
            .labels
            .iter()
            .filter(|label| !(list.all_but && is_variable(&label.name)))
            .map(|label| label.span.of(self.text))
            .collect();
        let before = list.labels.len();
        let mut changed = labels.len() != before;
        if !list.all_but {
            labels.extend(self.variables.iter().map(|v| &*v.label).filter(|l| !list.names(l)));
            changed = labels.len() != before;
        }
        if changed {
            let text = format!("{keyword} ({})", labels.join(", "));
            let span = list.span;
            self.edits.push(Edit { span, text });
        }
    }

    fn bits(&self, is: impl Fn(&Variable) -> bool) -> u32 {
        self.variables
            .iter()
            .enumerate()
            .filter(|(_, variable)| is(variable))
            .fold(0, |bits, (i, _)| bits | 1 << i)
    }
}
