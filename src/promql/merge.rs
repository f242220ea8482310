//! Many questions, few queries.
//!
//! Asks of one query that differ only by the values of labels are put as one: the matchers name all values, the labels
//! are added to every grouping and matching on the way up, and each series of the answer says whose it is. What may be
//! merged so is found out on the tree (`flow`); whatever is in doubt is asked for by itself.

mod flow;
mod groups;
mod plan;
mod query;
mod size;
mod variables;

use std::sync::Arc;

pub use groups::merge;
pub use plan::single;
pub use query::Query;

use super::template::{LabelMatcher, PodsUse, SelectorForm, matchers};
use super::{Definition, Series};
use crate::selector::Selector;

pub(super) use variables::pods_use;

/// What an autoscaler asks of a definition.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The metric's definition; the same `Arc` for all who ask for it.
    pub definition: Arc<Definition>,
    /// The autoscaler's namespace.
    pub namespace: Arc<str>,
    /// The object's name, for an Object metric.
    pub object: Option<Arc<str>>,
    /// The metric's selector.
    pub selector: Selector,
}

/// How large a query may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergeLimits {
    /// The longest text.
    pub bytes: usize,
    /// The most label values that one matcher names.
    pub values: usize,
}

impl Default for MergeLimits {
    /// So that 5,000 asks of a query with two guarded selectors are ten queries at most. Prometheus, Thanos and Mimir have
    /// no bound of their own; VictoriaMetrics reads 16 KiB as it is delivered (`-search.maxQueryLen`), and what it
    /// refuses is halved.
    fn default() -> Self {
        Self {
            bytes: 64_000,
            values: 1_000,
        }
    }
}

/// Why a definition cannot be asked this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The selector compares numbers.
    #[error("the metric's selector compares label {label} with < or >, which PromQL cannot; use in or notin")]
    Comparison {
        /// The label.
        label: Arc<str>,
    },
    /// The selector has a label that Prometheus cannot have.
    #[error("the metric's selector has the label {label}, and Prometheus' labels have letters, digits and _ only")]
    LabelName {
        /// The label.
        label: Arc<str>,
    },
    /// The selector would change nothing.
    #[error("the metric has the selector {selector}, but its query has no $selector to take it")]
    SelectorUnused {
        /// The selector.
        selector: Selector,
    },
    /// The query wants an object's name.
    #[error("the metric's query has $object, and this metric is of no object")]
    NoObject,
    /// The query wants pods' names.
    #[error("the metric's query has $pods, and there are no pods")]
    NoPods,
    /// The age of the values cannot be limited.
    #[error("{0}")]
    NotLimitable(#[from] super::freshness::NotLimitable),
}

impl AskError {
    /// Whether the fault is the selector's, and not the definition's.
    pub fn is_selectors(&self) -> bool {
        matches!(
            self,
            Self::Comparison { .. } | Self::LabelName { .. } | Self::SelectorUnused { .. }
        )
    }
}

impl Ask {
    /// Whether the query cannot be asked without the pods' names, so that it is asked for each autoscaler by itself.
    pub fn needs_pods(&self) -> bool {
        self.definition.template.reading().pods == PodsUse::Needed
    }

    /// Why this cannot be asked at all.
    pub fn problem(&self) -> Option<AskError> {
        let unlimited = || self.definition.not_limitable().map(AskError::from);
        self.matchers().err().or_else(unlimited)
    }

    /// The selector's matchers, where all else is right too.
    fn matchers(&self) -> Result<Vec<LabelMatcher>, AskError> {
        let template = &self.definition.template;
        if template.names_object() && self.object.is_none() {
            return Err(AskError::NoObject);
        }
        let form = template.selector_form();
        if !template.names_selector() {
            // Prometheus Adapter passes it over; here nobody is to believe that it counts.
            return if form == SelectorForm::AsAdapter || self.selector.is_everything() {
                Ok(Vec::new())
            } else {
                let selector = self.selector.clone();
                Err(AskError::SelectorUnused { selector })
            };
        }
        matchers(&self.selector, form)
    }
}

#[cfg(test)]
mod tests;
