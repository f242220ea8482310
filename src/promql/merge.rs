//! Many questions, few queries.

use std::sync::Arc;

use super::{Definition, Series};
use crate::selector::Selector;

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

/// One query to send, for one or many asks.
#[derive(Clone, Debug)]
pub struct Query {
    /// The PromQL.
    pub text: String,
    /// Whom it is for: places in the list that [`merge`] was given.
    pub asks: Vec<usize>,
}

impl Query {
    /// The series of the answer that belong to each of [`asks`](Self::asks), in the same order.
    pub fn split<'a>(&self, series: &'a [Series]) -> Vec<Vec<&'a Series>> {
        let _ = series;
        todo!()
    }

    /// Two queries, for half of the asks each; `None` where there is only one. For a query that fails for reasons that may
    /// lie with one of those for whom it is asked.
    pub fn halves(&self, asks: &[Ask]) -> Option<[Query; 2]> {
        let _ = asks;
        todo!()
    }
}

/// The queries for all asks whose definitions can be merged or do not name pods: each ask is in exactly one query. Those of
/// [`Ask::needs_pods`] are left out.
pub fn merge(asks: &[Ask], limits: MergeLimits) -> Vec<Query> {
    let _ = (asks, limits);
    todo!()
}

/// The query for one ask alone, with its pods by name.
pub fn single(ask: &Ask, pods: &[Arc<str>]) -> Query {
    let _ = (ask, pods);
    todo!()
}

impl Ask {
    /// Whether the query cannot be asked without the pods' names, so that it is asked for each autoscaler by itself.
    pub fn needs_pods(&self) -> bool {
        todo!()
    }
}
