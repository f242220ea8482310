//! Connections to a Kubernetes API server: where it is, who we are, and how much may be asked at once.

mod limit;
mod proxy;
mod source;

use std::num::NonZeroUsize;
use std::time::Duration;

use http::Uri;
use http::header::{HeaderValue, USER_AGENT};
use kube::Client;
use kube::client::ClientBuilder;
use thiserror::Error;

use crate::wire::causes;
pub use limit::RequestRate;
pub use source::{ConfigError, Source};

/// How to reach an API server.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Where the address and the credentials come from.
    pub source: Source,
    /// The most requests that wait for an answer at a time, watches apart. Default: 24.
    ///
    /// Each needs a connection of its own, since kube speaks HTTP/1.1 only, and takes a place of the API server's own
    /// limit (600 of everybody's requests, by default).
    pub concurrency: NonZeroUsize,
    /// The same for requests to metrics APIs, which are counted apart: one that hangs must not hold up writes. Default: 8.
    pub metrics_concurrency: NonZeroUsize,
    /// The most requests a second, watches apart; `None`, the default, is no limit.
    pub rate: Option<RequestRate>,
    /// What the API server's audit log calls us.
    pub user_agent: String,
    /// The most time that one connection may take to come about. Default: 10 s.
    pub connect_timeout: Duration,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            source: Source::default(),
            concurrency: NonZeroUsize::new(24).expect("24 is not 0"),
            metrics_concurrency: NonZeroUsize::new(8).expect("8 is not 0"),
            rate: None,
            user_agent: concat!("trimtab/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: Duration::from_secs(10),
        }
    }
}

/// Clients of one API server, by use. They share connections and credentials, not their limits.
///
/// None of them repeats a request by itself: kube's default would repeat for many minutes within one call.
#[derive(Clone)]
pub struct Clients {
    /// For reads and writes of the Kubernetes API.
    pub api: Client,
    /// For scales of kinds that Kubernetes does not have itself, and for what kinds there are: the API server may pass these on to
    /// another server, or to a webhook. Half of the places of `api`, so that one that hangs does not hold up writes.
    pub custom: Client,
    /// For the metrics APIs.
    pub metrics: Client,
    /// For watches, which last; without limits.
    pub watches: Client,
    /// For leases, of which there are few; without limits: a renewal that waits its turn loses the lead.
    pub leases: Client,
    /// The API server's address, for messages.
    pub server: String,
    /// The namespace that the credentials name; `default` where they name none.
    pub default_namespace: String,
}

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clients")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

/// Why there is no client.
#[derive(Debug, Error)]
pub enum ClientError {
    /// There is no address, or there are no credentials.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The user agent is not a header value.
    #[error("the user agent {0:?} holds what a header may not hold")]
    UserAgent(String),
    /// The credentials or certificates cannot be used.
    #[error("make a client of {server} with the credentials of {origin}: {message}")]
    Build {
        /// The API server.
        server: String,
        /// Where the credentials are from.
        origin: String,
        /// What is wrong with them.
        message: String,
    },
}

impl Clients {
    /// Clients as the settings say. Nothing is sent yet, but a credential plugin may run.
    ///
    /// # Errors
    ///
    /// A [`ClientError`] that names the file and context at fault, and what would help.
    pub async fn connect(settings: &ClientSettings) -> Result<Self, ClientError> {
        let (mut config, origin) = settings.source.load().await?;
        config.cluster_url = without_credentials(config.cluster_url);
        config.default_retry = false;
        config.connect_timeout = Some(settings.connect_timeout);
        let user_agent = HeaderValue::from_str(&settings.user_agent)
            .map_err(|_| ClientError::UserAgent(settings.user_agent.clone()))?;
        config.headers.push((USER_AGENT, user_agent));
        let server = config.cluster_url.to_string();
        let default_namespace = config.default_namespace.clone();
        let builder = ClientBuilder::try_from(config).map_err(|error| ClientError::Build {
            server: server.clone(),
            origin,
            message: causes(&error),
        })?;
        Ok(Self::over(builder.build(), settings, server, default_namespace))
    }

    /// Clients over one that exists: a simulated API, in most cases.
    pub fn over(base: Client, settings: &ClientSettings, server: String, default_namespace: String) -> Self {
        let rate = settings.rate.map(limit::Bucket::shared);
        let api = limit::limited(&base, settings.concurrency, rate.clone());
        let half = NonZeroUsize::new(settings.concurrency.get() / 2).unwrap_or(NonZeroUsize::MIN);
        Self {
            custom: limit::limited(&api, half, None),
            api,
            metrics: limit::limited(&base, settings.metrics_concurrency, rate),
            leases: base.clone(),
            watches: base,
            server,
            default_namespace,
        }
    }
}

/// The address without a user and password, which nobody is sent: they would only be found in the logs of libraries.
fn without_credentials(url: Uri) -> Uri {
    let host = url
        .authority()
        .and_then(|authority| authority.as_str().rsplit_once('@'));
    let Some(host) = host.and_then(|(_, host)| host.parse().ok()) else {
        return url;
    };
    let mut parts = url.clone().into_parts();
    parts.authority = Some(host);
    Uri::from_parts(parts).unwrap_or(url)
}
