//! Kubernetes' selectors as PromQL's matchers.

use std::fmt;
use std::sync::Arc;

use super::SelectorForm;
use crate::promql::AskError;
use crate::promql::syntax::{quote, regex_escape};
use crate::selector::{Operator, Selector};

/// One requirement of a selector as a matcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::promql) struct LabelMatcher {
    pub label: Arc<str>,
    /// `=`, `!=`, `=~` or `!~`.
    pub operator: &'static str,
    /// Not yet quoted.
    pub value: String,
}

impl LabelMatcher {
    /// The one value that the label must have. An empty one is none: in PromQL it stands for a label that is missing.
    pub fn exact_value(&self) -> Option<&str> {
        let exact = match self.operator {
            "=" => true,
            "=~" => regex_escape(&self.value) == self.value,
            _ => false,
        };
        (exact && !self.value.is_empty()).then_some(&self.value)
    }
}

impl fmt::Display for LabelMatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.label, self.operator, quote(&self.value))
    }
}

/// The matchers that pick what `selector` picks, in its order. PromQL knows no label with an empty value: an empty value
/// stands for a missing label.
///
/// # Errors
/// A comparison of numbers, or a label that Prometheus cannot have.
pub(in crate::promql) fn matchers(selector: &Selector, form: SelectorForm) -> Result<Vec<LabelMatcher>, AskError> {
    let matcher = |requirement: &crate::selector::Requirement| {
        let label = requirement.key();
        if !is_label(label) {
            return Err(AskError::LabelName { label: label.clone() });
        }
        let values = requirement.values();
        let one = |operator| (operator, values.first().map_or_else(String::new, |v| v.to_string()));
        let several = |operator| {
            let alternatives: Vec<String> = match form {
                SelectorForm::Exact => values.iter().map(|v| regex_escape(v)).collect(),
                SelectorForm::AsAdapter => values.iter().map(|v| v.to_string()).collect(),
            };
            (operator, alternatives.join("|"))
        };
        let exactly_one = form == SelectorForm::Exact && values.len() == 1;
        let (operator, value) = match requirement.operator() {
            Operator::Equals | Operator::DoubleEquals => one("="),
            Operator::NotEquals => one("!="),
            Operator::In if exactly_one => one("="),
            Operator::NotIn if exactly_one => one("!="),
            Operator::In => several("=~"),
            Operator::NotIn => several("!~"),
            Operator::Exists => ("!=", String::new()),
            Operator::DoesNotExist => ("=", String::new()),
            Operator::GreaterThan | Operator::LessThan => {
                return Err(AskError::Comparison { label: label.clone() });
            }
        };
        Ok(LabelMatcher {
            label: label.clone(),
            operator,
            value,
        })
    };
    selector.requirements().iter().map(matcher).collect()
}

/// Whether every Prometheus can have such a label. Version 3 can have any, but must be asked for it in another syntax.
fn is_label(label: &str) -> bool {
    !label.starts_with(|c: char| c.is_ascii_digit())
        && !label.is_empty()
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(selector: &str, form: SelectorForm) -> Result<String, AskError> {
        let matchers = matchers(&Selector::parse(selector).unwrap(), form)?;
        let texts: Vec<String> = matchers.iter().map(ToString::to_string).collect();
        Ok(texts.join(","))
    }

    #[test]
    fn a_selector_is_written_exactly_or_as_prometheus_adapter_does() {
        for (selector, exact, as_adapter) in [
            ("", "", ""),
            ("a=b.c", r#"a="b.c""#, r#"a="b.c""#),
            ("a==b", r#"a="b""#, r#"a="b""#),
            ("a!=b", r#"a!="b""#, r#"a!="b""#),
            ("a in (b.c)", r#"a="b.c""#, r#"a=~"b.c""#),
            ("a in (c,b.x)", r#"a=~"b\\.x|c""#, r#"a=~"b.x|c""#),
            ("a notin (b)", r#"a!="b""#, r#"a!~"b""#),
            ("a notin (b.x,c)", r#"a!~"b\\.x|c""#, r#"a!~"b.x|c""#),
            ("a", r#"a!="""#, r#"a!="""#),
            ("!a", r#"a="""#, r#"a="""#),
            ("b=1,a=2", r#"a="2",b="1""#, r#"a="2",b="1""#),
        ] {
            assert_eq!(
                written(selector, SelectorForm::Exact).as_deref(),
                Ok(exact),
                "{selector}"
            );
            assert_eq!(
                written(selector, SelectorForm::AsAdapter).as_deref(),
                Ok(as_adapter),
                "{selector}"
            );
        }
    }

    #[test]
    fn what_promql_cannot_say_names_the_label() {
        let label: Arc<str> = "n".into();
        assert_eq!(written("n>5", SelectorForm::Exact), Err(AskError::Comparison { label }));
        for key in ["app.kubernetes.io/name", "a-b", "a.b", "1a"] {
            let error = written(&format!("{key}=x"), SelectorForm::AsAdapter);
            assert_eq!(error, Err(AskError::LabelName { label: key.into() }));
        }
    }
}
