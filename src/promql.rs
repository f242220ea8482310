//! From a metric's name to PromQL: which query answers for which metric, how the queries of many autoscalers become one,
//! and who gets which of its series.
//!
//! Text in, text out: nothing is sent here.

pub mod adapter;
pub mod definition;
pub mod evaluate;
pub mod freshness;
pub mod merge;
mod syntax;
pub mod template;

use std::sync::Arc;

pub use definition::{Answers, Definition, Missing};
pub use freshness::NotLimitable;
pub use merge::{Ask, AskError, MergeLimits, Query, merge, single};
pub use template::{SelectorForm, Template, TemplateError};

/// One series of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its labels, sorted by name; `__name__` among them where it has one.
    pub labels: Box<[(Arc<str>, Arc<str>)]>,
    /// Its value; may be NaN or infinite.
    pub value: f64,
}

impl Series {
    /// The value of the label `name`; empty where the series has none, which is the same in PromQL.
    pub fn label(&self, name: &str) -> &str {
        self.labels
            .iter()
            .find(|(label, _)| &**label == name)
            .map_or("", |(_, value)| value)
    }
}
