//! A query for many, and whose each series of its answer is.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::plan::{Case, Plan};
use super::{Ask, Series};

/// One query to send, for one or many asks.
#[derive(Clone, Debug)]
pub struct Query {
    /// The PromQL.
    pub text: String,
    /// Whom it is for: places in the list that [`merge`](super::merge) was given.
    pub asks: Vec<usize>,
    pub(super) plan: Arc<Plan>,
    /// The asks, equals together, in the order of `asks`.
    pub(super) cases: Vec<Case>,
}

impl Query {
    /// The labels that merging added to the answer's series: those that are asked for alone do not have them.
    pub fn added_labels(&self) -> &[Arc<str>] {
        if self.is_merged() { &self.plan.added } else { &[] }
    }

    /// Whether it is for asks that differ.
    pub fn is_merged(&self) -> bool {
        self.cases.len() > 1
    }

    /// The series of the answer that belong to each of [`asks`](Self::asks), in the same order; series that nobody asked
    /// for are left out. Equal asks share one list. The series are those that the ask's own query would give, in the same
    /// order, but for [`added_labels`](Self::added_labels) and for pods that only others select.
    pub fn split<'a>(&self, series: &'a [Series]) -> Vec<Arc<[&'a Series]>> {
        if !self.is_merged() {
            let all: Arc<[&Series]> = series.iter().collect();
            return self.asks.iter().map(|_| all.clone()).collect();
        }
        let mut places: FxHashMap<String, usize> = FxHashMap::default();
        for (place, case) in self.cases.iter().enumerate() {
            places.insert(key(case.values.iter().map(|value| &**value)), place);
        }
        let mut parts: Vec<Vec<&Series>> = vec![Vec::new(); self.cases.len()];
        for one in series {
            let values = self.plan.variables.iter().map(|variable| one.label(&variable.label));
            if let Some(place) = places.get(&key(values)) {
                parts[*place].push(one);
            }
        }
        let mut out = Vec::with_capacity(self.asks.len());
        for (case, part) in self.cases.iter().zip(parts) {
            let part: Arc<[&Series]> = part.into();
            out.extend(case.asks.iter().map(|_| part.clone()));
        }
        out
    }

    /// Two queries, for half of the asks each; `None` where all asks are the same. For a query that fails for reasons that
    /// may lie with one of those for whom it is asked. `asks` are those that [`merge`](super::merge) was given.
    pub fn halves(&self, asks: &[Ask]) -> Option<[Query; 2]> {
        let (left, right) = self.cases.split_at(self.cases.len() / 2);
        let query = |cases: &[Case]| Plan::query(&self.plan, asks, cases.to_vec());
        Some([query(left)?, query(right)?])
    }
}

/// Values as one text, each with its length before it: no two lists make the same.
pub(super) fn key<'a>(values: impl Iterator<Item = &'a str>) -> String {
    let mut key = String::new();
    for value in values {
        push(&mut key, value);
    }
    key
}

/// Adds a value to a key.
pub(super) fn push(key: &mut String, value: &str) {
    use std::fmt::Write as _;
    let _ = write!(key, "{}:", value.len());
    key.push_str(value);
}
