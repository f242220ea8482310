//! Values of a certain age only.
//!
//! Prometheus answers with samples up to five minutes old (its lookback), and a rate over ten minutes with what lies ten
//! minutes back. Under a limit, a value is made of series alone that have a sample within it. That is asked for where
//! samples come in, at each selector, so that a series that ended some minutes ago does not linger in a sum:
//!
//! ```text
//! sum(queue_length)          sum((queue_length and last_over_time(queue_length[2m])))
//! rate(requests_total[10m])  (rate(requests_total[10m]) and last_over_time(requests_total[2m]))
//! rate(requests_total[1m])   as it is: without a sample in that minute it gives nothing
//! ```
//!
//! `and` changes no label, no value and no name, so that all around it stays as it was.

use std::time::Duration;

use super::Template;
use super::definition::range;
use super::syntax::{Behaviour, Expr, Kind, MAX_BYTES, MatchOperator, Matcher, Selector, Span, behaviour};
use super::template::{Edit, apply};

/// The age of a query's values cannot be limited.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the age of this query's values cannot be limited: {reason}; write freshness-limit: off to do without")]
pub struct NotLimitable {
    /// Why.
    pub reason: String,
}

impl Template {
    /// Whether the age of its values can be limited to `limit`.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub fn can_be_limited(&self, limit: Duration) -> Result<(), NotLimitable> {
        let guards = self.guards(limit)?;
        let bytes = self.text().len() + guards.iter().map(|guard| guard.text.len()).sum::<usize>();
        if bytes > MAX_BYTES {
            let reason = format!("it would have {bytes} bytes, and {MAX_BYTES} are allowed");
            return Err(NotLimitable { reason });
        }
        Ok(())
    }

    /// The query that gives values of series alone that have a sample within `limit`.
    ///
    /// # Errors
    /// As [`can_be_limited`](Self::can_be_limited).
    pub fn limited(&self, limit: Duration) -> Result<Template, NotLimitable> {
        let text = apply(self.text(), self.guards(limit)?);
        Template::parse_as(&text, self.selector_form()).map_err(|error| NotLimitable {
            reason: error.to_string(),
        })
    }

    fn guards(&self, limit: Duration) -> Result<Vec<Edit>, NotLimitable> {
        let because = |reason: String| NotLimitable { reason };
        self.is_readable().map_err(because)?;
        let limit_ms = i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
        if !(1..=MAX_LIMIT_MS).contains(&limit_ms) {
            return Err(because("the limit is not between a millisecond and a year".into()));
        }
        let mut guard = Guard {
            text: self.text(),
            limit_ms,
            edits: Vec::new(),
        };
        if let Ok(tree) = &self.reading().tree {
            guard.walk(tree, None)?;
        }
        Ok(guard.edits)
    }
}

/// A year, more than any Prometheus looks back for.
const MAX_LIMIT_MS: i64 = 365 * 86_400_000;

struct Guard<'a> {
    text: &'a str,
    limit_ms: i64,
    edits: Vec<Edit>,
}

/// The time that a selector looks at, where it is not the query's own.
#[derive(Clone, Debug, Default)]
struct When {
    /// What stands behind `@`.
    at: Option<String>,
    offset_ms: i64,
}

impl When {
    /// The time of something with these modifiers inside a subquery that ends at `around`.
    fn within(self, around: Option<&When>) -> When {
        match (self.at, around) {
            (None, Some(around)) => When {
                at: around.at.clone(),
                offset_ms: around.offset_ms.saturating_add(self.offset_ms),
            },
            (at, _) => When {
                at,
                offset_ms: self.offset_ms,
            },
        }
    }

    fn text(&self) -> String {
        let at = self.at.as_ref().map_or(String::new(), |at| format!(" @ {at}"));
        let offset = match self.offset_ms {
            0 => String::new(),
            ms if ms < 0 => format!(" offset -{}", duration(ms)),
            ms => format!(" offset {}", duration(ms)),
        };
        at + &offset
    }
}

/// A selector as it stands: with its range, offsets and time.
struct Leaf<'e> {
    selector: &'e Selector,
    span: Span,
    range_ms: Option<i64>,
    when: When,
}

impl Guard<'_> {
    /// `around`: the end of the subquery that `expr` is in.
    fn walk(&mut self, expr: &Expr, around: Option<&When>) -> Result<(), NotLimitable> {
        if let Some(leaf) = self.leaf(expr) {
            // A range by itself is an argument, and its function sees to it.
            return if leaf.range_ms.is_none() {
                self.guard(expr.span, leaf, around)
            } else {
                Ok(())
            };
        }
        match &expr.kind {
            Kind::Offset { .. } | Kind::At { .. } | Kind::Subquery { .. } => {
                let (when, inner) = self.modifiers(expr);
                match &inner.kind {
                    // A series is to be fresh at the subquery's end, not at each of its steps.
                    Kind::Subquery { of } => {
                        let mut end = when.within(around);
                        end.at.get_or_insert_with(|| "end()".to_owned());
                        self.walk(of, Some(&end))
                    }
                    _ => self.walk(inner, around),
                }
            }
            Kind::Call { function, arguments } => {
                let Some(behaviour) = behaviour(function) else {
                    let reason = format!("{function} is no function that is known here");
                    return Err(NotLimitable { reason });
                };
                if behaviour == Behaviour::Absent {
                    // What is not there has no age.
                    return Ok(());
                }
                let takes_samples = matches!(behaviour, Behaviour::EachRange | Behaviour::Timestamp);
                for argument in arguments {
                    match self.leaf(argument.bare()) {
                        Some(leaf) if takes_samples => self.guard(expr.span, leaf, around)?,
                        _ => self.walk(argument, around)?,
                    }
                }
                Ok(())
            }
            Kind::Binary {
                matching, left, right, ..
            } => {
                self.walk(left, around)?;
                // `group_left` and a parenthesis would be read as a list of labels.
                if let Some(end) = matching.group.as_ref().and_then(|group| group.open_end) {
                    self.insert(end, " ()".to_owned());
                }
                self.walk(right, around)
            }
            _ => expr.children().try_for_each(|child| self.walk(child, around)),
        }
    }

    /// Takes `whole`, which is computed of `leaf`, only where that has a sample within the limit.
    fn guard(&mut self, whole: Span, leaf: Leaf<'_>, around: Option<&When>) -> Result<(), NotLimitable> {
        let implied = leaf.range_ms.is_some_and(|range| range <= self.limit_ms);
        if implied && around.is_none() {
            return Ok(());
        }
        let selector = leaf.span.of(self.text);
        if !names_metric(leaf.selector) {
            let reason = format!("{selector} does not say which metric it picks");
            return Err(NotLimitable { reason });
        }
        let (limit, when) = (duration(self.limit_ms), leaf.when.within(around).text());
        self.insert(whole.start, "(".to_owned());
        self.insert(whole.end, format!(" and last_over_time({selector}[{limit}]{when}))"));
        Ok(())
    }

    fn insert(&mut self, at: usize, text: String) {
        let span = Span { start: at, end: at };
        self.edits.push(Edit { span, text });
    }

    /// The selector that `expr` is, if it is one.
    fn leaf<'e>(&self, expr: &'e Expr) -> Option<Leaf<'e>> {
        let (when, inner) = self.modifiers(expr);
        let (of, range_ms) = match &inner.kind {
            Kind::Range { of, range_ms } => (&**of, Some(*range_ms)),
            _ => (inner, None),
        };
        match &of.kind {
            Kind::Selector(selector) => Some(Leaf {
                selector,
                span: of.span,
                range_ms,
                when,
            }),
            _ => None,
        }
    }

    /// The offsets and the time around an expression, and the expression without them.
    fn modifiers<'e>(&self, expr: &'e Expr) -> (When, &'e Expr) {
        let mut when = When::default();
        let mut inner = expr;
        loop {
            inner = match &inner.kind {
                Kind::Offset { of, offset_ms } => {
                    when.offset_ms = when.offset_ms.saturating_add(*offset_ms);
                    of
                }
                Kind::At { of, time } => {
                    when.at.get_or_insert_with(|| time.of(self.text).to_owned());
                    of
                }
                _ => return (when, inner),
            };
        }
    }
}

/// Whether all that `selector` picks has one name: `and` does not tell names apart.
fn names_metric(selector: &Selector) -> bool {
    selector.named
        || selector.matchers.iter().any(|matcher| match matcher {
            Matcher::Name => true,
            Matcher::Label { label, operator, .. } => label == "__name__" && *operator == MatchOperator::Equal,
            Matcher::Placeholder => false,
        })
}

/// As PromQL writes it.
fn duration(ms: i64) -> String {
    range(Duration::from_millis(ms.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(text: &str) -> Result<String, NotLimitable> {
        let limit = Duration::from_secs(120);
        let template = Template::parse(text).unwrap().limited(limit)?;
        template.is_readable().unwrap();
        Ok(template.text().to_owned())
    }

    #[test]
    fn samples_are_asked_for_where_they_come_in() {
        for (text, expected) in [
            ("a", "(a and last_over_time(a[2m]))"),
            ("sum(a) # why", "sum((a and last_over_time(a[2m]))) # why"),
            (
                "a{x=\"$namespace\",$selector} offset 90s",
                "(a{x=\"$namespace\",$selector} offset 90s and last_over_time(a{x=\"$namespace\",$selector}[2m] offset 90s))",
            ),
            ("rate(a[1m])", "rate(a[1m])"),
            ("rate(a[2m])", "rate(a[2m])"),
            ("rate(a[3m])", "(rate(a[3m]) and last_over_time(a[2m]))"),
            (
                "rate(a[5m] @ 100 offset -1m)",
                "(rate(a[5m] @ 100 offset -1m) and last_over_time(a[2m] @ 100 offset -1m))",
            ),
            (
                "quantile_over_time(scalar(b), a[5m])",
                "(quantile_over_time(scalar((b and last_over_time(b[2m]))), a[5m]) and last_over_time(a[2m]))",
            ),
            (
                "histogram_quantile(0.9, sum by (le) (rate(a_bucket[5m]))) or vector(0)",
                "histogram_quantile(0.9, sum by (le) ((rate(a_bucket[5m]) and last_over_time(a_bucket[2m])))) or vector(0)",
            ),
            (
                "time() - timestamp(a)",
                "time() - (timestamp(a) and last_over_time(a[2m]))",
            ),
            ("timestamp(abs(a))", "timestamp(abs((a and last_over_time(a[2m]))))"),
            (
                "absent(a) or absent_over_time(a[5m])",
                "absent(a) or absent_over_time(a[5m])",
            ),
            (
                "max_over_time(sum(rate(a[1m]))[10m:30s])",
                "max_over_time(sum((rate(a[1m]) and last_over_time(a[2m] @ end())))[10m:30s])",
            ),
            (
                "max_over_time((a offset 1m)[10m:] offset 1h)",
                "max_over_time(((a offset 1m and last_over_time(a[2m] @ end() offset 61m)))[10m:] offset 1h)",
            ),
            (
                "max_over_time(min_over_time(a[5m:])[10m:] @ 100)",
                "max_over_time(min_over_time((a and last_over_time(a[2m] @ 100))[5m:])[10m:] @ 100)",
            ),
            (
                "a * on (x) group_left b",
                "(a and last_over_time(a[2m])) * on (x) group_left () (b and last_over_time(b[2m]))",
            ),
            ("1 + vector(2)", "1 + vector(2)"),
        ] {
            assert_eq!(limited(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_limited_says_so_and_what_to_do() {
        for (text, part) in [
            ("{__name__=~\"a|b\"}", "does not say which metric"),
            ("rollup_rate(a[5m])", "rollup_rate is no function"),
            ("a if b", "expected an operator or the end"),
        ] {
            let error = limited(text).unwrap_err().to_string();
            assert!(
                error.contains(part) && error.contains("freshness-limit: off"),
                "{error}"
            );
        }
        let template = Template::parse("a").unwrap();
        assert!(template.limited(Duration::ZERO).is_err());
        assert!(template.limited(Duration::MAX).is_err());
    }
}
