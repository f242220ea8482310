//! Reading an object's fields by name, with the path of whatever does not fit.
//!
//! As Kubernetes decodes: null is absent, and what is absent is empty. Problems are noted, not returned, so that one
//! reading finds them all.

use std::cell::RefCell;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::problem::Problem;
use crate::quantity::Quantity;

/// The problems found so far.
#[derive(Debug)]
pub(crate) struct Findings {
    problems: RefCell<Vec<Problem>>,
    names: Names,
}

/// How fields' names are taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Names {
    /// As they are; unknown fields are problems, as with `kubectl apply`.
    Known,
    /// As they are; unknown fields are ignored, as with objects that an API server gives.
    Lenient,
    /// In any case, as in annotations; unknown fields are ignored.
    AnyCase,
}

impl Findings {
    pub(crate) fn new(names: Names) -> Self {
        Self {
            problems: RefCell::default(),
            names,
        }
    }

    pub(crate) fn note(&self, problem: Problem) {
        let mut problems = self.problems.borrow_mut();
        // One problem a field: a wrong type would otherwise also be reported as missing.
        if problems.iter().all(|p| p.path != problem.path) {
            problems.push(problem);
        }
    }

    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }
}

/// One object's fields.
pub(crate) struct Fields<'r> {
    map: Option<&'r Map<String, Value>>,
    path: String,
    findings: &'r Findings,
    asked: RefCell<Vec<&'static str>>,
}

impl<'r> Fields<'r> {
    /// The fields of `value`, which stands at `path` (empty for the object itself).
    pub(crate) fn of(value: &'r Value, path: impl Into<String>, findings: &'r Findings) -> Self {
        let path = path.into();
        let map = match value {
            Value::Object(map) => Some(map),
            Value::Null => None,
            other => {
                findings.note(Problem::new(path.clone(), Some(other), "an object"));
                None
            }
        };
        Self {
            map,
            path,
            findings,
            asked: RefCell::default(),
        }
    }

    /// The path of the field `name` of this object.
    pub(crate) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// The field's value; absent and null are alike.
    pub(crate) fn value(&self, name: &'static str) -> Option<&'r Value> {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&name) {
            asked.push(name);
        }
        let map = self.map?;
        let exact = map.get(name);
        let value = match self.findings.names {
            Names::AnyCase => exact.or_else(|| map.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)),
            Names::Known | Names::Lenient => exact,
        };
        value.filter(|v| !v.is_null())
    }

    fn converted<T>(&self, name: &'static str, want: &str, convert: impl Fn(&'r Value) -> Option<T>) -> Option<T> {
        let value = self.value(name)?;
        let converted = convert(value);
        if converted.is_none() {
            self.findings.note(Problem::new(self.path_of(name), Some(value), want));
        }
        converted
    }

    pub(crate) fn text(&self, name: &'static str) -> Option<&'r str> {
        self.converted(name, "a string", Value::as_str)
    }

    pub(crate) fn count(&self, name: &'static str) -> Option<i32> {
        self.converted(name, "a whole number of 32 bits", |v| i32::try_from(v.as_i64()?).ok())
    }

    pub(crate) fn long_count(&self, name: &'static str) -> Option<i64> {
        self.converted(name, "a whole number of 64 bits", Value::as_i64)
    }

    pub(crate) fn quantity(&self, name: &'static str) -> Option<Quantity> {
        self.converted(name, "a quantity such as 500m, 1 or 150Mi", |v| {
            Quantity::deserialize(v).ok()
        })
    }

    /// The fields of an object, where it is there.
    pub(crate) fn object(&self, name: &'static str) -> Option<Fields<'r>> {
        let value = self.value(name)?;
        Some(Fields::of(value, self.path_of(name), self.findings))
    }

    /// The fields of an object, which are all absent where it is.
    pub(crate) fn object_or_empty(&self, name: &'static str) -> Fields<'r> {
        Fields::of(
            self.value(name).unwrap_or(&Value::Null),
            self.path_of(name),
            self.findings,
        )
    }

    /// The fields of each object of a list, where the list is there.
    pub(crate) fn list(&self, name: &'static str) -> Option<Vec<Fields<'r>>> {
        let path = self.path_of(name);
        let items = self.converted(name, "a list", Value::as_array)?;
        let item = |(place, item)| Fields::of(item, format!("{path}[{place}]"), self.findings);
        Some(items.iter().enumerate().map(item).collect())
    }

    /// Checks that a field, where it is there, is a list of strings.
    pub(crate) fn texts(&self, name: &'static str) {
        self.converted(name, "a list of strings", |v| {
            v.as_array()?.iter().all(Value::is_string).then_some(())
        });
    }

    /// Checks every field's value.
    pub(crate) fn each_value(&self, fits: impl Fn(&Value) -> bool, want: &str) {
        for (name, value) in self.map.into_iter().flatten().filter(|(_, value)| !fits(value)) {
            self.note(Problem::new(self.path_of(name), Some(value), want));
        }
    }

    /// Notes a problem.
    pub(crate) fn note(&self, problem: Problem) {
        self.findings.note(problem);
    }

    /// Notes the fields that nobody has asked for, where unknown fields are problems.
    pub(crate) fn end(&self) {
        if self.findings.names != Names::Known {
            return;
        }
        let asked = self.asked.borrow();
        let unknown = self
            .map
            .into_iter()
            .flatten()
            .filter(|(name, _)| !asked.contains(&name.as_str()));
        for (name, value) in unknown {
            let want = format!("no such field, only {}", asked.join(", "));
            self.findings.note(Problem::new(self.path_of(name), Some(value), want));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn problems(names: Names, value: &Value, read: impl Fn(&Fields<'_>)) -> Vec<String> {
        let findings = Findings::new(names);
        let fields = Fields::of(value, "spec", &findings);
        read(&fields);
        fields.end();
        findings.into_problems().iter().map(Problem::to_string).collect()
    }

    #[test]
    fn every_misfit_is_noted_with_its_path() {
        let value = json!({"a": "1", "b": 2.5, "c": [1], "d": 5e9, "e": null, "q": "1x"});
        let found = problems(Names::Known, &value, |fields| {
            assert_eq!(fields.count("a"), None);
            assert_eq!(fields.count("b"), None);
            assert_eq!(fields.list("c").map(|l| l.len()), Some(1));
            assert_eq!(fields.count("d"), None);
            assert_eq!(fields.text("e"), None);
            assert_eq!(fields.quantity("q"), None);
        });
        let paths: Vec<&str> = found.iter().map(|p| p.split(':').next().unwrap_or_default()).collect();
        assert_eq!(paths, ["spec.a", "spec.b", "spec.c[0]", "spec.d", "spec.q"]);
        assert_eq!(found[0], "spec.a: found \"1\", want a whole number of 32 bits");
    }

    #[test]
    fn unknown_fields_are_problems_only_in_manifests() {
        let value = json!({"minReplica": 1});
        let read = |fields: &Fields<'_>| assert_eq!(fields.count("minReplicas"), None);
        let found = problems(Names::Known, &value, read);
        assert_eq!(
            found,
            ["spec.minReplica: found 1, want no such field, only minReplicas"]
        );
        assert!(problems(Names::Lenient, &value, read).is_empty());
    }

    #[test]
    fn annotations_are_read_in_any_case() {
        let value = json!({"ScaleUp": {"SELECTPOLICY": "Min"}});
        let found = problems(Names::AnyCase, &value, |fields| {
            let up = fields.object("scaleUp").unwrap();
            assert_eq!(up.text("selectPolicy"), Some("Min"));
        });
        assert!(found.is_empty());
    }
}
