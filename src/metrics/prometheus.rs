//! Prometheus, and whatever speaks its API, asked directly: no adapter between.
//!
//! A pass says beforehand what will be asked ([`Prometheus::pass`]). For each endpoint this becomes a plan (`plan`): asks that
//! differ by label values only are merged into few queries (`promql`), within the endpoint's budget. A query is sent when
//! the first sync waits for it (`round`), and its series are split among all who asked (`reading`).

pub mod answer;
mod catalog;
mod divide;
mod endpoint;
#[cfg(test)]
mod fake;
mod inspect;
mod memory;
mod names;
mod pass;
mod plan;
mod reading;
mod round;
mod server;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;

use self::catalog::Catalog;
use self::names::Names;
use self::server::Server;
use super::failure::SourceError;
use super::guard::{BreakerSettings, SourceHealth};
use crate::observe::Pod;
use crate::promql::Definition;
use crate::promql::adapter::AdapterRules;
use crate::settings::sources::Sources;
use crate::spec::MetricSource;
pub use endpoint::Carry;
pub use inspect::Inspection;
pub use pass::PrometheusPass;

/// Every Prometheus that is configured, with the metrics that they answer for.
#[derive(Clone)]
pub struct Prometheus {
    /// What holds now. A pass keeps what held when it began.
    current: Arc<Mutex<Arc<Inner>>>,
}

struct Inner {
    servers: BTreeMap<Arc<str>, Arc<Server>>,
    /// The configuration's.
    metrics: Vec<Arc<Definition>>,
    relist_interval: Duration,
    catalog: Catalog,
    names: Names,
}

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
    /// How it is doing. A query that is wrong is not the endpoint's trouble.
    pub health: SourceHealth,
}

impl Prometheus {
    /// Prometheus endpoints as configured. Nothing is asked yet. `breaker` says when they are left alone after failures, and
    /// `seed` varies for how long.
    ///
    /// # Errors
    /// An endpoint whose address, certificates or headers cannot be used.
    pub fn new(sources: &Sources, breaker: BreakerSettings, seed: u64) -> Result<Self, EndpointError> {
        Self::made(sources, breaker, seed, None)
    }

    /// The same, whose requests `carry` takes in the place of HTTP clients: a simulation's.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn over(sources: &Sources, breaker: BreakerSettings, seed: u64, carry: Carry) -> Result<Self, EndpointError> {
        Self::made(sources, breaker, seed, Some(carry))
    }

    fn made(
        sources: &Sources,
        breaker: BreakerSettings,
        seed: u64,
        carry: Option<Carry>,
    ) -> Result<Self, EndpointError> {
        let mut servers = BTreeMap::new();
        for (i, (name, settings)) in sources.prometheus.iter().enumerate() {
            let server = Server::new(name, settings, breaker, seed.wrapping_add(i as u64), carry.clone())?;
            servers.insert(name.clone(), Arc::new(server));
        }
        let inner = Inner::new(
            servers,
            sources.metrics.clone(),
            sources.relist_interval,
            sources.adapter_rules.clone(),
        );
        Ok(Self {
            current: Arc::new(Mutex::new(Arc::new(inner))),
        })
    }

    /// Has these rules of Prometheus Adapter answer in the place of those so far, from the next pass on. The names of series are
    /// listed first, so that no pass waits for them.
    ///
    /// # Errors
    /// Where the names cannot be listed: the rules so far stay in force.
    pub async fn replace_rules(&self, rules: Arc<AdapterRules>, now: Timestamp) -> Result<(), SourceError> {
        let before = self.inner();
        let inner = Inner::new(
            before.servers.clone(),
            before.metrics.clone(),
            before.relist_interval,
            Some(rules.clone()),
        );
        if let Some(server) = inner.rules_server() {
            inner.names.current(&rules, server, now).await?;
        }
        *self.current.lock() = Arc::new(inner);
        Ok(())
    }

    fn inner(&self) -> Arc<Inner> {
        self.current.lock().clone()
    }

    /// Begins a pass at `now`, in which all of `wanted` will be asked for, one entry for each autoscaler and metric (those
    /// that no Prometheus answers for are passed over). Nothing is asked before someone waits for an answer.
    pub fn pass(&self, wanted: Vec<Wanted>, now: Timestamp) -> PrometheusPass {
        PrometheusPass::new(&self.inner(), wanted, now)
    }

    /// Asks for one metric by itself, as an autoscaler of `namespace` with these `pods` would at `now`, and gives all that came
    /// of it; `None` where no Prometheus answers for it.
    pub async fn inspect(
        &self,
        namespace: &Arc<str>,
        source: &MetricSource,
        pods: &[Pod],
        now: Timestamp,
    ) -> Option<Inspection> {
        self.inner().inspect(namespace, source, pods, now).await
    }

    /// How each endpoint is doing.
    pub fn health(&self) -> Vec<EndpointHealth> {
        self.inner().servers.values().map(|server| server.health()).collect()
    }
}

impl Inner {
    fn new(
        servers: BTreeMap<Arc<str>, Arc<Server>>,
        metrics: Vec<Arc<Definition>>,
        relist_interval: Duration,
        rules: Option<Arc<AdapterRules>>,
    ) -> Self {
        Self {
            servers,
            catalog: Catalog::new(&metrics, rules),
            names: Names::new(relist_interval),
            metrics,
            relist_interval,
        }
    }

    /// The endpoint that Prometheus Adapter's rules are for.
    fn rules_server(&self) -> Option<&Arc<Server>> {
        let endpoint = self.catalog.rules()?.endpoint();
        self.servers.get(endpoint)
    }
}
