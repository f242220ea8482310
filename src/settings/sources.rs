//! Where metrics come from besides the metrics APIs: the blocks `prometheus:` and `metrics:` of the configuration file.

mod endpoint;
mod metric;
mod shown;
mod url;

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use url::Url;

use super::layers::{Effective, Origin};
use super::mistake::Mistakes;
use crate::promql::Definition;
use crate::promql::adapter::AdapterRules;
use crate::yaml::{self, Node};

/// Prometheus endpoints, and the metrics that they answer for.
#[derive(Clone, Debug, PartialEq)]
pub struct Sources {
    /// The endpoints by name.
    pub prometheus: BTreeMap<Arc<str>, Endpoint>,
    /// The metrics, in the file's order; no two answer for the same.
    pub metrics: Vec<Arc<Definition>>,
    /// Prometheus Adapter's rules: whoever reads the settings reads their file and puts them here.
    pub adapter_rules: Option<Arc<AdapterRules>>,
    /// How long a listing of the names of series counts, for those rules.
    pub relist_interval: Duration,
}

impl Default for Sources {
    fn default() -> Self {
        Self {
            prometheus: BTreeMap::new(),
            metrics: Vec::new(),
            adapter_rules: None,
            relist_interval: Duration::from_secs(60),
        }
    }
}

/// A server that speaks Prometheus' HTTP API.
#[derive(Clone, PartialEq)]
pub struct Endpoint {
    /// Its address, `http` or `https`, with a path where it has one, and without a slash at the end.
    pub url: String,
    /// PEM certificates of the authorities to trust, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Our certificate and its key, PEM; both or none.
    pub client_certificate: Option<ClientCertificate>,
    /// How we say who we are.
    pub credentials: Credentials,
    /// More headers, such as a tenant's id.
    pub headers: BTreeMap<String, String>,
    /// More query parameters, such as Thanos' `dedup`.
    pub query_parameters: BTreeMap<String, String>,
    /// The time for one query.
    pub timeout: Duration,
    /// The most queries that one pass sends.
    pub queries_per_pass: NonZeroU32,
    /// The most queries that wait for an answer at a time.
    pub queries_in_flight: NonZeroU32,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate's PEM file.
    pub certificate_file: PathBuf,
    /// The key's PEM file.
    pub key_file: PathBuf,
}

/// How we say who we are. Secrets stand in files, never in the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Not at all.
    #[default]
    None,
    /// A bearer token, read again when its file changes.
    BearerToken {
        /// The token's file.
        file: PathBuf,
    },
    /// A user and a password, read again when its file changes.
    Basic {
        /// The user.
        username: String,
        /// The password's file.
        password_file: PathBuf,
    },
}

/// The time for one query. Prometheus itself gives up after two minutes; a sync period is 15 s.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The most queries of a pass: far above what merged queries need, far below what hurts a Prometheus.
const QUERIES_PER_PASS: NonZeroU32 = NonZeroU32::new(100).expect("it is not 0");

/// The most queries at a time: Prometheus evaluates 20 at a time by default, for all who ask.
const QUERIES_IN_FLIGHT: NonZeroU32 = NonZeroU32::new(4).expect("it is not 0");

impl Endpoint {
    /// The endpoint at `url`, all else at its default.
    pub fn new(url: &Url) -> Self {
        Self {
            url: url.as_str().to_owned(),
            ca_file: None,
            client_certificate: None,
            credentials: Credentials::None,
            headers: BTreeMap::new(),
            query_parameters: BTreeMap::new(),
            timeout: TIMEOUT,
            queries_per_pass: QUERIES_PER_PASS,
            queries_in_flight: QUERIES_IN_FLIGHT,
        }
    }
}

/// Without the headers' values, which may be anything that a proxy asks for.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("url", &self.url)
            .field("headers", &self.headers.keys())
            .finish_non_exhaustive()
    }
}

impl Sources {
    /// As the file's blocks would say it, every default written out: `prometheus`, then `metrics`. The values of headers are
    /// left out, and so is the endpoint of the setting `prometheus-url` where it is a `shorthand` for one.
    pub fn shown(&self, shorthand: bool) -> [(&'static str, serde_json::Value); 2] {
        [
            ("prometheus", shown::endpoints(self, shorthand)),
            ("metrics", shown::metrics(self)),
        ]
    }
}

/// The blocks as they stand in the file, before they are read.
#[derive(Default)]
pub(super) struct Blocks {
    path: Arc<str>,
    prometheus: Option<Node>,
    metrics: Option<Node>,
}

impl Blocks {
    pub(super) fn new(path: &str, prometheus: Option<Node>, metrics: Option<Node>) -> Self {
        Self {
            path: path.into(),
            prometheus,
            metrics,
        }
    }

    /// What they say, together with the setting `prometheus-url`.
    pub(super) fn read(&self, effective: &Effective, mistakes: &mut Mistakes) -> Sources {
        let mut found = Vec::new();
        let mut prometheus = match &self.prometheus {
            Some(node) => endpoint::read(node, &mut found),
            None => BTreeMap::new(),
        };
        if let Some(url) = &effective.settings.prometheus_url {
            let before = prometheus.insert(DEFAULT.into(), Endpoint::new(url));
            if before.is_some() {
                mistakes.add(
                    effective.origin("prometheus-url").clone(),
                    Some("prometheus-url"),
                    format!("is short for the endpoint {DEFAULT:?}, which the block prometheus has as well"),
                );
            }
        }
        let metrics = match &self.metrics {
            Some(node) => metric::read(node, &prometheus, &mut found),
            None => Vec::new(),
        };
        for yaml::Mistake { place, path, problem } in found {
            mistakes.add(Origin::of_place(&self.path, place), Some(&path), problem);
        }
        Sources {
            prometheus,
            metrics,
            adapter_rules: None,
            relist_interval: effective.settings.adapter_rules_relist_interval,
        }
    }
}

/// The endpoint that `prometheus-url` gives.
const DEFAULT: &str = "default";
