//! One server that speaks Prometheus' HTTP API: how it is reached, who we are to it, and one bounded question at a time.

mod carried;
mod failure;
mod files;
mod secrets;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus_http_query::Client;
use reqwest::{Certificate, Identity, Response, Url, redirect};
use tokio::time::Instant;
use tracing::warn;

use self::files::Files;
use self::secrets::Secrets;
use super::EndpointError;
use super::answer::{self, Answer, AnswerError};
use crate::settings::sources::{self, Credentials};
pub use carried::Carry;
pub(super) use failure::{QueryError, QueryFailure};

/// The largest answer, after decompression: 150 000 pods (Kubernetes' own limit) of four containers at 200 bytes.
const ANSWER_BYTES: usize = 128 * 1024 * 1024;

/// The most that is read of an answer that says no.
const REFUSAL_BYTES: usize = 64 * 1024;

/// Larger answers are decoded beside the event loop: 1 MiB takes some milliseconds.
const DECODE_ASIDE_BYTES: usize = 1024 * 1024;

/// The time for a connection, TLS included; less where the time for a query is less.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// How often files are read again at most: a rotated secret is known at the next pass.
const FILES_EVERY: Duration = Duration::from_secs(1);

/// The most names of series that one listing may give: adapters' rules name them by the hundred.
const NAMES: usize = 100_000;

/// The longest query that is sent by GET, to a server that takes no POST: many refuse lines of more than 8 KiB, and a
/// query grows in a URL by half.
pub(super) const GET_BYTES: usize = 4 * 1024;

/// A server, and how to reach it.
pub(super) struct Endpoint {
    name: Arc<str>,
    settings: sources::Endpoint,
    url: Url,
    /// Further query parameters.
    parameters: Vec<(&'static str, String)>,
    link: Mutex<Link>,
    /// It takes no POST.
    by_get: AtomicBool,
    /// Carries requests in the place of the client.
    carry: Option<Carry>,
}

/// A client made from the files as they stood.
struct Link {
    client: Client,
    secrets: Secrets,
    files: Files,
    read: Instant,
    /// Why what stands in the files now is not in use.
    problem: Option<String>,
}

impl Endpoint {
    /// The server that `settings` describe. Nothing is asked yet.
    ///
    /// # Errors
    /// An address, header or file that cannot be used.
    pub(super) fn new(
        name: &Arc<str>,
        settings: &sources::Endpoint,
        carry: Option<Carry>,
    ) -> Result<Self, EndpointError> {
        // Without a provider of cryptography the HTTP client panics. An error says that there is one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let bad = |message: String| EndpointError {
            endpoint: name.clone(),
            message,
        };
        let url = address(&settings.url).map_err(bad)?;
        let files = Files::read(settings).map_err(|error| bad(error.to_string()))?;
        let (client, secrets) = client(settings, &url, &files).map_err(bad)?;
        let link = Link {
            client,
            secrets,
            files,
            read: Instant::now(),
            problem: None,
        };
        // prometheus-http-query wants names that live for ever. These do: they are the configuration's.
        let leak = |(name, value): (&String, &String)| (&*name.clone().leak(), value.clone());
        Ok(Self {
            name: name.clone(),
            parameters: settings.query_parameters.iter().map(leak).collect(),
            settings: settings.clone(),
            url,
            link: Mutex::new(link),
            by_get: AtomicBool::new(false),
            carry,
        })
    }

    /// Whether it refuses POST, so that queries must be short.
    pub(super) fn takes_no_post(&self) -> bool {
        self.by_get.load(Ordering::Relaxed)
    }

    /// Evaluates a query at a time.
    ///
    /// # Errors
    /// Why there is no answer. Bounded in size here, and in time by whoever asks.
    pub(super) async fn query(&self, text: &str, at: Timestamp) -> Result<Answer, QueryError> {
        let mut answer = self
            .evaluated(text, at)
            .await
            .map_err(|error| self.without_secrets(error))?;
        if !answer.warnings.is_empty() {
            let secrets = self.link.lock().secrets.clone();
            answer.warnings = answer
                .warnings
                .into_iter()
                .map(|warning| secrets.out_of(warning))
                .collect();
        }
        Ok(answer)
    }

    async fn evaluated(&self, text: &str, at: Timestamp) -> Result<Answer, QueryError> {
        let client = self.client().await;
        let mut response = None;
        if !self.takes_no_post() {
            let posted = self.asked(&client, text, at, Method::POST).await?;
            match posted.status() {
                StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
                    self.by_get.store(true, Ordering::Relaxed);
                }
                _ => response = Some(posted),
            }
        }
        let response = match response {
            Some(response) => response,
            None => self.asked(&client, text, at, Method::GET).await?,
        };
        self.read(response, answer::decode).await
    }

    async fn asked(&self, client: &Client, text: &str, at: Timestamp, method: Method) -> Result<Response, QueryError> {
        if let Some(carry) = &self.carry {
            let (at, timeout) = (seconds(at), format!("{}ms", self.settings.timeout.as_millis()));
            let asked = [("query", text), ("time", &at), ("timeout", &timeout)];
            return self.carried(carry, method, "query", &asked).await;
        }
        let query = self.instant(client, text, at);
        match method {
            Method::POST => query.post_raw().await,
            _ => query.get_raw().await,
        }
        .map_err(unsent)
    }

    async fn carried(
        &self,
        carry: &Carry,
        method: Method,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Response, QueryError> {
        let more = self.parameters.iter().map(|(name, value)| (*name, value.as_str()));
        let parameters: Vec<(&str, &str)> = parameters.iter().copied().chain(more).collect();
        let request = carried::request(method, &self.path(path), &parameters).map_err(unsent)?;
        carry(request).await.map(Response::from).map_err(unsent)
    }

    /// The address of what the API has there.
    fn path(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/api/v1/{path}", url.path().trim_end_matches('/')));
        url
    }

    /// The names of the series that a selector picks among those with samples since `since`.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub(super) async fn series_names(&self, selector: &str, since: Timestamp) -> Result<Vec<Arc<str>>, QueryError> {
        let listed = self.listed(selector, since).await;
        listed.map_err(|error| self.without_secrets(error))
    }

    async fn listed(&self, selector: &str, since: Timestamp) -> Result<Vec<Arc<str>>, QueryError> {
        const PATH: &str = "label/__name__/values";
        let since = seconds(since);
        let asked = [("match[]", selector), ("start", &since)];
        let response = match &self.carry {
            Some(carry) => self.carried(carry, Method::GET, PATH, &asked).await?,
            None => {
                // prometheus-http-query takes selectors only as values of its own type, and rule files have them as text.
                let client = self.client().await;
                let request = client.inner().get(self.path(PATH)).query(&self.parameters);
                request.query(&asked).send().await.map_err(unsent)?
            }
        };
        self.read(response, |text| answer::decode_values(text, NAMES)).await
    }

    fn without_secrets(&self, error: QueryError) -> QueryError {
        QueryError {
            message: self.link.lock().secrets.out_of(error.message),
            ..error
        }
    }

    fn instant(&self, client: &Client, text: &str, at: Timestamp) -> prometheus_http_query::InstantQueryBuilder {
        let millis = i64::try_from(self.settings.timeout.as_millis()).unwrap_or(i64::MAX);
        let query = client.query(text).query("time", seconds(at)).timeout(millis);
        self.parameters
            .iter()
            .fold(query, |query, (name, value)| query.query(name, value))
    }

    async fn read<T: Send + 'static>(
        &self,
        mut response: Response,
        decode: impl FnOnce(&str) -> Result<T, AnswerError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let code = response.status();
        if !code.is_success() {
            let leads_to = response
                .headers()
                .get(header::LOCATION)
                .and_then(|to| origin(&self.url, to));
            // A refusal that cannot be read whole is still a refusal.
            let body = body(&mut response, REFUSAL_BYTES).await.unwrap_or_default();
            // Before it is shortened, which may cut a secret in two.
            let text = self
                .link
                .lock()
                .secrets
                .out_of(String::from_utf8_lossy(&body).into_owned());
            return Err(QueryError::refused(code, leads_to.as_deref(), &text));
        }
        let body = body(&mut response, ANSWER_BYTES).await?;
        let small = body.len() < DECODE_ASIDE_BYTES;
        let decode = move || {
            let text = std::str::from_utf8(&body)
                .map_err(|_| QueryError::new(QueryFailure::Unreadable, "the answer is not text"))?;
            decode(text).map_err(|error| QueryError::unusable(&error))
        };
        if small {
            return decode();
        }
        let aside = tokio::task::spawn_blocking(decode).await;
        aside.unwrap_or_else(|_| {
            Err(QueryError::new(
                QueryFailure::Unreadable,
                "reading the answer broke off",
            ))
        })
    }

    /// The client for the files as they stand now.
    async fn client(&self) -> Client {
        let former = {
            let mut link = self.link.lock();
            let fresh = link.read.elapsed() < FILES_EVERY;
            if fresh || !Files::are_named_in(&self.settings) {
                return link.client.clone();
            }
            // Others take the former client meanwhile.
            link.read = Instant::now();
            link.client.clone()
        };
        let settings = self.settings.clone();
        // A file may lie on a file system that hangs.
        let read = tokio::task::spawn_blocking(move || Files::read(&settings)).await;
        let Ok(read) = read else { return former };
        self.renewed(read.map_err(|error| error.to_string()))
    }

    fn renewed(&self, read: Result<Files, String>) -> Client {
        let mut link = self.link.lock();
        let renewed = read.and_then(|files| match files == link.files {
            true => Ok(None),
            false => client(&self.settings, &self.url, &files).map(|made| Some((made, files))),
        });
        match renewed {
            Ok(None) => link.problem = None,
            Ok(Some(((client, secrets), files))) => {
                link.client = client;
                link.secrets = secrets;
                link.files = files;
                link.problem = None;
            }
            Err(problem) if link.problem.as_ref() != Some(&problem) => {
                warn!(prometheus = %self.name, problem, "What a file held before stays in use");
                link.problem = Some(problem);
            }
            Err(_) => {}
        }
        link.client.clone()
    }
}

/// The address as it is asked: no credentials, no query, no slash at its end.
fn address(text: &str) -> Result<Url, String> {
    let mut url = Url::parse(text).map_err(|error| format!("the `url` is no address: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("the `url` must begin with http:// or https://".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the `url` must not hold credentials: see `basic-auth`".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("the `url` must not hold a query: see `query-parameters`".into());
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

/// The HTTP client: certificates verified, no redirects, proxies as the environment says; and what its requests carry.
fn client(settings: &sources::Endpoint, url: &Url, files: &Files) -> Result<(Client, Secrets), String> {
    let headers = headers(settings, files)?;
    let secrets = Secrets::of(settings, files, &headers);
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("trimtab/", env!("CARGO_PKG_VERSION")))
        // A redirect may lead to another host, which must not get our credentials.
        .redirect(redirect::Policy::none())
        // Packing a large answer takes Prometheus more time than the bytes are worth that it saves.
        .gzip(false)
        .connect_timeout(CONNECT_TIME.min(settings.timeout))
        .pool_max_idle_per_host(settings.queries_in_flight.get() as usize)
        .default_headers(headers);
    if let Some(pem) = &files.authorities {
        let certificates = Certificate::from_pem_bundle(pem).map_err(|error| in_file("ca-file", &error))?;
        if certificates.is_empty() {
            return Err("`ca-file` holds no certificate".into());
        }
        builder = builder.tls_certs_only(certificates);
    } else if url.scheme() == "http" {
        // So that an image without the system's authorities will do.
        builder = builder.tls_certs_only([]);
    }
    if let Some(pem) = &files.identity {
        let identity = Identity::from_pem(pem).map_err(|error| in_file("client-certificate-file", &error))?;
        builder = builder.identity(identity);
    }
    let client = builder.build().map_err(|error| in_file("the TLS files", &error))?;
    let client = Client::from(client, url.as_str()).map_err(|error| error.to_string())?;
    Ok((client, secrets))
}

fn headers(settings: &sources::Endpoint, files: &Files) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in &settings.headers {
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is no name of a header"))?;
        let mut value =
            HeaderValue::from_str(value).map_err(|_| format!("the header {name} cannot have this value"))?;
        value.set_sensitive(true);
        headers.insert(header, value);
    }
    let secret = files.secret.as_deref();
    let authorization = match (&settings.credentials, secret) {
        (Credentials::BearerToken { .. }, Some(token)) => Some(
            HeaderValue::from_str(&format!("Bearer {token}"))
                .map_err(|_| "the bearer token holds what a header cannot have".to_owned())?,
        ),
        (Credentials::Basic { username, .. }, password) => basic(username, password),
        _ => None,
    };
    if let Some(mut value) = authorization {
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    Ok(headers)
}

/// The HTTP client knows how basic credentials are written; a request that is never sent says it.
fn basic(username: &str, password: Option<&str>) -> Option<HeaderValue> {
    let request = reqwest::Client::builder().tls_certs_only([]).build().ok()?;
    let request = request
        .get("http://localhost")
        .basic_auth(username, password)
        .build()
        .ok()?;
    request.headers().get(header::AUTHORIZATION).cloned()
}

fn in_file(key: &str, error: &reqwest::Error) -> String {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{key} cannot be used{cause}")
}

/// Where a redirect leads, without what may be secret in it.
fn origin(asked: &Url, to: &HeaderValue) -> Option<String> {
    let to = asked.join(to.to_str().ok()?).ok()?;
    to.has_host()
        .then(|| format!("{}{}", to.origin().ascii_serialization(), to.path()))
}

async fn body(response: &mut Response, limit: usize) -> Result<Vec<u8>, QueryError> {
    let mut whole = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| QueryError::unsent(&error))? {
        if whole.len() + chunk.len() > limit {
            let message = format!("the answer is larger than {limit} bytes");
            return Err(QueryError::new(QueryFailure::TooLarge, message));
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole)
}

fn unsent(error: impl Error + 'static) -> QueryError {
    QueryError::unsent(&error)
}

/// A time as Prometheus' API takes it, to the millisecond.
fn seconds(at: Timestamp) -> String {
    let millis = at.as_millisecond();
    format!("{}.{:03}", millis.div_euclid(1000), millis.rem_euclid(1000))
}
