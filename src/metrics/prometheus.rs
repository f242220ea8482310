//! Prometheus, and whatever speaks its API, asked directly: no adapter between.

pub mod answer;
mod endpoint;
#[cfg(test)]
mod fake;

#[allow(dead_code)] // The pass, which makes them, follows.
mod reading;

use std::sync::Arc;

use jiff::Timestamp;

use super::guard::SourceHealth;
use crate::observe::{Pod, Reading};
use crate::promql::adapter::AdapterRules;
use crate::selector::Selector;
use crate::settings::sources::Sources;
use crate::spec::MetricSource;

/// Every Prometheus that is configured, with the metrics that they answer for.
#[derive(Clone)]
pub struct Prometheus {}

/// Why an endpoint cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("prometheus {endpoint}: {message}")]
pub struct EndpointError {
    /// The endpoint's name.
    pub endpoint: Arc<str>,
    /// What is wrong, and what would help.
    pub message: String,
}

/// What an autoscaler will ask for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The autoscaler's namespace.
    pub namespace: Arc<str>,
    /// The metric.
    pub source: MetricSource,
}

/// How one endpoint is doing.
#[derive(Clone, Debug)]
pub struct EndpointHealth {
    /// The endpoint's name.
    pub endpoint: Arc<str>,
    /// How it is doing.
    pub health: SourceHealth,
}

impl Prometheus {
    /// Prometheus endpoints as configured. Nothing is asked yet.
    ///
    /// # Errors
    /// An endpoint whose address, certificates or headers cannot be used.
    pub fn new(sources: &Sources, rules: Option<AdapterRules>, seed: u64) -> Result<Self, EndpointError> {
        let _ = (sources, rules, seed);
        todo!()
    }

    /// Begins a pass at `now`, in which all of `wanted` will be asked for (those that no Prometheus answers for are passed
    /// over). Nothing is asked before someone waits for an answer.
    pub fn pass(&self, wanted: Vec<Wanted>, now: Timestamp) -> PrometheusPass {
        let _ = (wanted, now);
        todo!()
    }

    /// How each endpoint is doing.
    pub fn health(&self) -> Vec<EndpointHealth> {
        todo!()
    }
}

/// The answers of one pass: each query is sent once, and all who wait for it get the same answer.
pub struct PrometheusPass {}

impl PrometheusPass {
    /// What a Prometheus says of a metric, for an autoscaler of `namespace` whose `selector` picks `pods`; `None` where no
    /// Prometheus answers for it, so that the metrics APIs do.
    pub async fn reading(
        &self,
        namespace: &Arc<str>,
        source: &MetricSource,
        selector: &Selector,
        pods: &[Pod],
    ) -> Option<Reading> {
        let _ = (namespace, source, selector, pods);
        todo!()
    }
}
