//! Where metrics come from besides the metrics APIs: the blocks `prometheus:` and `metrics:` of the configuration file.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::promql::Definition;

/// Prometheus endpoints, and the metrics that they answer for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sources {
    /// The endpoints by name.
    pub prometheus: BTreeMap<Arc<str>, Endpoint>,
    /// The metrics, in the file's order; no two answer for the same.
    pub metrics: Vec<Arc<Definition>>,
}

/// A server that speaks Prometheus' HTTP API.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Its address, `http` or `https`, with a path where it has one.
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
