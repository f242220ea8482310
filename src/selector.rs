//! Kubernetes label selectors: parsed, printed and matched as Kubernetes does it.
//!
//! Source: Kubernetes v1.36, apimachinery `pkg/labels/selector.go`, and `LabelSelectorAsSelector` of `pkg/apis/meta/v1`.

mod labels;
mod object;
mod parse;

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

pub use labels::Labels;
pub(crate) use parse::{is_subdomain as is_dns_subdomain, key_problem as label_key_problem};

/// A label selector: every requirement has to hold. Without requirements it picks everything.
///
/// Prints in Kubernetes' canonical form: sorted by key, values sorted, joined by commas.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selector {
    /// Sorted by key.
    requirements: Arc<[Requirement]>,
}

/// One requirement on one label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    key: Arc<str>,
    operator: Operator,
    /// Sorted, without duplicates; one value for comparisons, none for existence.
    values: Vec<Arc<str>>,
}

/// How a requirement compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `key=value`
    Equals,
    /// `key==value`, which means the same
    DoubleEquals,
    /// `key!=value`, or no such label
    NotEquals,
    /// `key in (a,b)`
    In,
    /// `key notin (a,b)`, or no such label
    NotIn,
    /// `key`
    Exists,
    /// `!key`
    DoesNotExist,
    /// `key>5`
    GreaterThan,
    /// `key<5`
    LessThan,
}

/// Why a text or an object is no selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(String);

impl Selector {
    /// The selector that picks everything.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Whether it picks everything.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Its requirements, sorted by key.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether it picks what has these labels.
    pub fn matches(&self, labels: &(impl Labels + ?Sized)) -> bool {
        self.requirements.iter().all(|r| r.matches(labels.label(&r.key)))
    }

    /// A label that everything it picks must have, with that value: what an index can look up. `None` where it asks for
    /// no single value.
    pub fn exact_label(&self) -> Option<(&Arc<str>, &Arc<str>)> {
        self.exact_labels().next()
    }

    /// All labels that everything it picks must have, with that value, sorted by key.
    pub fn exact_labels(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        self.requirements
            .iter()
            .filter_map(|r| match (r.operator, r.values.as_slice()) {
                (Operator::Equals | Operator::DoubleEquals | Operator::In, [value]) => Some((&r.key, value)),
                _ => None,
            })
    }

    fn new(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self {
            requirements: requirements.into(),
        }
    }
}

impl Requirement {
    /// The label.
    pub fn key(&self) -> &Arc<str> {
        &self.key
    }

    /// How it compares.
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// What it compares with, sorted, each once: one value for comparisons, none for existence.
    pub fn values(&self) -> &[Arc<str>] {
        &self.values
    }

    /// A requirement that Kubernetes' validation lets through.
    fn new(key: &str, operator: Operator, mut values: Vec<Arc<str>>) -> Result<Self, SelectorError> {
        use Operator::{DoubleEquals, Equals, GreaterThan, In, LessThan, NotEquals, NotIn};
        let error = |problem: String| Err(SelectorError(format!("label {key:?}: {problem}")));
        if let Some(problem) = parse::key_problem(key) {
            return error(problem);
        }
        match (operator, values.len()) {
            (In | NotIn, 0) => return error("in and notin need at least one value".into()),
            (Equals | DoubleEquals | NotEquals | GreaterThan | LessThan, count) if count != 1 => {
                return error("one value is needed to compare with".into());
            }
            _ => {}
        }
        if let (GreaterThan | LessThan, Some(value)) = (operator, values.first())
            && value.parse::<i64>().is_err()
        {
            return error(format!("{value:?} is no whole number to compare with"));
        }
        if let Some(value) = values.iter().find(|v| !parse::is_label_value(v)) {
            return error(format!(
                "{value:?} is no label value: at most 63 letters, digits, '-', '_' and '.'"
            ));
        }
        values.sort();
        values.dedup();
        Ok(Self {
            key: key.into(),
            operator,
            values,
        })
    }

    fn matches(&self, label: Option<&str>) -> bool {
        let holds = |value: &str| self.values.iter().any(|v| **v == *value);
        let number = |value: &str| value.parse::<i64>().ok();
        let bound = || self.values.first().and_then(|v| number(v));
        match self.operator {
            Operator::Equals | Operator::DoubleEquals | Operator::In => label.is_some_and(holds),
            Operator::NotEquals | Operator::NotIn => !label.is_some_and(holds),
            Operator::Exists => label.is_some(),
            Operator::DoesNotExist => label.is_none(),
            Operator::GreaterThan => label.and_then(number).zip(bound()).is_some_and(|(n, b)| n > b),
            Operator::LessThan => label.and_then(number).zip(bound()).is_some_and(|(n, b)| n < b),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.requirements.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            requirement.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, values, .. } = self;
        let values = values.join(",");
        match self.operator {
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::DoubleEquals => write!(f, "{key}=={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::Exists => write!(f, "{key}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

impl Serialize for Selector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn canonical(text: &str) -> Result<String, SelectorError> {
        Selector::parse(text).map(|s| s.to_string())
    }

    fn picks(selector: &str, labels: &[(&str, &str)]) -> bool {
        let labels: BTreeMap<Arc<str>, Arc<str>> = labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        Selector::parse(selector).unwrap().matches(&labels)
    }

    #[test]
    fn prints_the_canonical_form() {
        for (text, expected) in [
            ("", ""),
            ("   ", ""),
            ("app=web", "app=web"),
            ("app==web", "app==web"),
            ("tier in (b, a) , app = web,!canary", "app=web,!canary,tier in (a,b)"),
            ("k in (v)", "k in (v)"),
            ("a notin (x,y),b!=c,d", "a notin (x,y),b!=c,d"),
            ("n>5,m<07", "m<07,n>5"),
            ("app=", "app="),
            ("in in (in,notin)", "in in (in,notin)"),
            ("example.com/app=web", "example.com/app=web"),
            ("a in (,b)", "a in (,b)"),
        ] {
            assert_eq!(canonical(text).as_deref(), Ok(expected), "{text:?}");
        }
    }

    /// Random texts with what apimachinery 0.36.3 makes of them.
    #[test]
    fn reads_and_prints_as_apimachinery_does() {
        for line in include_str!("selector/vectors.txt").lines() {
            let (text, expected) = line.split_once('\t').unwrap();
            let read = canonical(text).map_or("err".into(), |printed| format!("ok {printed}"));
            assert_eq!(read, expected, "{text:?}");
        }
    }

    #[test]
    fn refuses_what_kubernetes_refuses() {
        for text in [
            "app in (web",
            "app in web",
            ",",
            "a,",
            "a,,b",
            "=b",
            "a=b c",
            "!a=b",
            "a=b=c",
            "a>x",
            "-a=b",
            "a=-b",
            "a in (b))",
            "a/b/c=d",
            "!",
            "(a)",
            "a notin",
            "A_/x=1",
        ] {
            assert!(canonical(text).is_err(), "{text:?} is {:?}", canonical(text));
        }
    }

    #[test]
    fn matches_as_kubernetes_does() {
        let web = [("app", "web"), ("size", "7")];
        for (selector, expected) in [
            ("", true),
            ("app=web", true),
            ("app=api", false),
            ("app!=api", true),
            ("none!=api", true),
            ("none notin (a)", true),
            ("app notin (web,api)", false),
            ("app in (web,api)", true),
            ("app", true),
            ("!app", false),
            ("!none", true),
            ("size>6", true),
            ("size>7", false),
            ("size<8", true),
            ("app>1", false),
            ("none>1", false),
            ("app=web,size=8", false),
        ] {
            assert_eq!(picks(selector, &web), expected, "{selector:?}");
        }
    }

    #[test]
    fn an_index_is_given_a_label_that_must_be_there() {
        let exact = |text| {
            Selector::parse(text)
                .unwrap()
                .exact_label()
                .map(|(k, v)| format!("{k}={v}"))
        };
        assert_eq!(exact("tier,app=web").as_deref(), Some("app=web"));
        assert_eq!(exact("app in (web)").as_deref(), Some("app=web"));
        assert_eq!(exact("app in (web,api),tier!=a"), None);
    }

    proptest! {
        #[test]
        fn no_text_panics_and_the_canonical_form_is_stable(text in "[ a-z0-9=!,()<>./_-]{0,40}|\\PC{0,20}") {
            if let Ok(selector) = Selector::parse(&text) {
                let printed = selector.to_string();
                prop_assert_eq!(Selector::parse(&printed).map(|s| s.to_string()), Ok(printed.clone()));
            }
        }
    }
}
