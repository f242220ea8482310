//! Prometheus Adapter's configuration, read as it is.

use std::sync::Arc;

use super::Definition;
use crate::spec::{MetricSource, ObjectRef};

/// Prometheus Adapter's rules.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AdapterRules {}

/// One mistake in a rule file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}:{line}:{column}: {problem}")]
pub struct RuleMistake {
    /// The file.
    pub path: Arc<str>,
    /// The line, from 1.
    pub line: u64,
    /// The column, from 1.
    pub column: u64,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl AdapterRules {
    /// Reads a configuration file of Prometheus Adapter, or a ConfigMap that holds one.
    ///
    /// # Errors
    /// Everything that is wrong or not supported.
    pub fn parse(path: &str, text: &str, endpoint: &Arc<str>) -> Result<Self, Vec<RuleMistake>> {
        let _ = (path, text, endpoint);
        todo!()
    }

    /// The `match[]` selectors whose series' names must be known to find metrics; see [`find`](Self::find).
    pub fn series_queries(&self) -> Vec<&str> {
        todo!()
    }

    /// The definition that answers for a metric, given the names of the series behind each of
    /// [`series_queries`](Self::series_queries). `described` for Object metrics.
    pub fn find(
        &self,
        source: &MetricSource,
        described: Option<&ObjectRef>,
        names: &[Arc<[Arc<str>]>],
    ) -> Option<Definition> {
        let _ = (source, described, names);
        todo!()
    }

    /// The definitions of `resourceRules`.
    pub fn resources(&self) -> Vec<Definition> {
        todo!()
    }
}
