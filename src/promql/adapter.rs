//! Prometheus Adapter's configuration, read as it is.
//!
//! The rules become [`Definition`]s, so that the queries of many autoscalers merge as those of any other. The adapter finds
//! out by itself which series there are; here whoever uses the rules lists the *names* of the series behind
//! [`series_queries`](AdapterRules::series_queries), and makes a [`Catalog`] of them.
//!
//! Source: Prometheus Adapter, `pkg/config/config.go`, `pkg/naming`, `pkg/custom-provider`, `pkg/external-provider`,
//! `pkg/resourceprovider`.

mod catalog;
mod go_template;
mod labels;
mod names;
mod query;
mod read;
mod regex;
mod series;

use std::sync::Arc;

pub use catalog::Catalog;

use super::Definition;
use crate::yaml::Place;
use labels::Labels;
use names::Naming;

/// Prometheus Adapter's rules.
#[derive(Clone, Debug)]
pub struct AdapterRules {
    /// The file's text, from which all else comes.
    text: Arc<str>,
    endpoint: Arc<str>,
    custom: Arc<[Rule]>,
    external: Arc<[Rule]>,
    resources: Vec<Arc<Definition>>,
    series_queries: Vec<Arc<str>>,
    warnings: Vec<RuleMistake>,
}

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

/// Why a rule that gives a metric cannot be asked for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rule at {path}:{line} cannot be asked: {problem}")]
pub struct RuleProblem {
    /// The file.
    pub path: Arc<str>,
    /// The line of the rule, from 1.
    pub line: u64,
    /// What it lacks.
    pub problem: String,
}

/// One of `rules` or `externalRules`.
#[derive(Debug)]
struct Rule {
    path: Arc<str>,
    place: Place,
    series: Series,
    naming: Naming,
    labels: Labels,
    /// Whether external metrics are asked for with the autoscaler's namespace.
    namespaced: bool,
    query: Vec<go_template::Part>,
}

/// The series that a rule is for.
#[derive(Debug)]
enum Series {
    /// This one; nothing has to be listed.
    Named(Arc<str>),
    /// Those behind the series query at this place of [`AdapterRules::series_queries`].
    Listed(usize),
}

impl PartialEq for AdapterRules {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.endpoint == other.endpoint
    }
}

/// The largest file that is read: a ConfigMap has at most 1 MiB.
pub const FILE_MAX_BYTES: u64 = 1 << 20;

impl AdapterRules {
    /// Reads a configuration file of Prometheus Adapter, or a ConfigMap that holds one as `config.yaml`. All rules ask
    /// `endpoint`.
    ///
    /// # Errors
    /// Everything that is wrong or not supported, in the file's order.
    pub fn parse(path: &str, text: &str, endpoint: &Arc<str>) -> Result<Self, Vec<RuleMistake>> {
        read::read(path, text, endpoint)
    }

    /// What is odd and not wrong.
    pub fn warnings(&self) -> &[RuleMistake] {
        &self.warnings
    }

    /// The Prometheus that all rules ask.
    pub fn endpoint(&self) -> &Arc<str> {
        &self.endpoint
    }

    /// The `match[]` selectors whose series' names must be listed for [`catalog`](Self::catalog), each once. Rules that name
    /// their one series are not among them; there may be none.
    pub fn series_queries(&self) -> &[Arc<str>] {
        &self.series_queries
    }

    /// The metrics that there are, given the names of the series behind each of
    /// [`series_queries`](Self::series_queries), in the same order.
    pub fn catalog(&self, names: &[Arc<[Arc<str>]>]) -> Catalog {
        Catalog::new(self, names)
    }

    /// The definitions of `resourceRules`: cpu, memory, both or none. They need no listing.
    pub fn resources(&self) -> &[Arc<Definition>] {
        &self.resources
    }
}
