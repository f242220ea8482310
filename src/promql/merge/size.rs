//! How large a query becomes.

use std::sync::Arc;

use rustc_hash::FxHashSet;

use super::MergeLimits;
use super::plan::Case;
use crate::promql::syntax::{quote, regex_escape};

/// How large a merged query becomes, told without writing it.
pub(super) struct Size {
    pub bytes: usize,
    /// The values of each variable.
    values: Vec<FxHashSet<Arc<str>>>,
    /// How often the text says the value of each.
    occurrences: Vec<usize>,
}

impl Size {
    pub fn new(occurrences: Vec<usize>) -> Self {
        Self {
            bytes: 0,
            values: vec![FxHashSet::default(); occurrences.len()],
            occurrences,
        }
    }

    pub fn clear(&mut self) {
        self.bytes = 0;
        self.values.iter_mut().for_each(FxHashSet::clear);
    }

    /// The bytes that `case` adds; the quotes are more than the bar that each value needs.
    fn more(&self, case: &Case) -> usize {
        let new = case
            .values
            .iter()
            .enumerate()
            .filter(|(i, value)| !self.values[*i].contains(*value));
        new.map(|(i, value)| quote(&regex_escape(value)).len() * self.occurrences[i])
            .sum()
    }

    pub fn fits(&self, case: &Case, limits: MergeLimits) -> bool {
        let mut values = case.values.iter().zip(&self.values);
        values.all(|(value, seen)| seen.contains(value) || seen.len() < limits.values)
            && self.bytes + self.more(case) <= limits.bytes
    }

    pub fn add(&mut self, case: &Case) {
        self.bytes += self.more(case);
        for (value, seen) in case.values.iter().zip(&mut self.values) {
            seen.insert(value.clone());
        }
    }
}
