//! One request to the Kubernetes API, bounded in time and size.
//!
//! Every read of the project goes through here, and every write that is not a watch. kube's own `Client::request` has
//! no time-out, reads a body of any size into a `String`, and logs the whole of it where it does not decode.

mod error;
mod incoming;
pub mod protobuf;
mod query;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Collected, Limited};
use kube::Client;
use kube::client::Body;
use tokio::time::{Instant, timeout};

pub use error::{WireError, WireFailure, causes, shortened};
pub use incoming::Incoming;
pub use query::{path_and_query, path_segment};

/// The most that is read of an answer that says no: a `Status` object has a few hundred bytes.
const REFUSAL_BYTES: usize = 64 * 1024;

/// The bounds of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the first byte sent to the last one read, waiting for a free place included.
    pub time: Duration,
    /// The largest body that is read, after decompression.
    pub bytes: usize,
}

/// When a write may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteTime {
    /// As [`Limits::time`].
    pub limit: Duration,
    /// From then on it may not be sent any more, however long it has waited for its place; `None`: at any time.
    pub not_after: Option<Instant>,
}

impl From<Duration> for WriteTime {
    fn from(limit: Duration) -> Self {
        Self { limit, not_after: None }
    }
}

/// What a request has with it that is not to be sent at this time or later.
#[derive(Clone, Copy, Debug)]
pub struct NotAfter(pub Instant);

/// Asks for `path`, an absolute path without a query, with `query` as its parameters; parameters with empty values are
/// left out.
///
/// # Errors
///
/// A [`WireError`] that says what was asked and why there is no answer.
pub async fn get(client: &Client, path: &str, query: &[(&str, &str)], limits: Limits) -> Result<Bytes, WireError> {
    send(
        client,
        request(Method::GET, &path_and_query(path, query), Vec::new())?,
        limits,
    )
    .await
}

/// A request that takes JSON as its answer, to be changed further and given to [`send`].
///
/// # Errors
///
/// [`WireFailure::BadRequest`] where `target`, a path with or without a query, is not one.
pub fn request(method: Method, target: &str, body: Vec<u8>) -> Result<Request<Vec<u8>>, WireError> {
    let attempted = format!("{method} {target}");
    Request::builder()
        .method(method)
        .uri(target)
        .header(header::ACCEPT, "application/json")
        .body(body)
        .map_err(|error| WireError::new(attempted, WireFailure::BadRequest, error.to_string()))
}

/// Writes `body`, which is of the media type `kind`, to `path`, and reads the whole answer.
///
/// # Errors
///
/// As [`request`] and [`send`].
pub async fn write(
    client: &Client,
    method: Method,
    path: &str,
    kind: &'static str,
    body: Vec<u8>,
    limits: Limits,
) -> Result<Bytes, WireError> {
    let mut request = request(method, path, body)?;
    request
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    send(client, request, limits).await
}

/// As [`write()`], of which at most `bytes` of the answer are read, and not after its time: that is asked once more as the request
/// leaves, since it may have waited.
///
/// # Errors
///
/// As [`write()`].
pub async fn write_in_time(
    client: &Client,
    path: &str,
    (method, kind): (Method, &'static str),
    body: Vec<u8>,
    time: WriteTime,
    bytes: usize,
) -> Result<Bytes, WireError> {
    let mut request = request(method, path, body)?;
    let kind = HeaderValue::from_static(kind);
    request.headers_mut().insert(header::CONTENT_TYPE, kind);
    let mut limit = time.limit;
    if let Some(end) = time.not_after {
        request.extensions_mut().insert(NotAfter(end));
        limit = limit.min(end.saturating_duration_since(Instant::now()));
    }
    send(client, request, Limits { time: limit, bytes }).await
}

/// Sends `request` and reads the whole answer.
///
/// Nothing is repeated here: whoever asks knows whether a second try makes sense.
///
/// # Errors
///
/// A [`WireError`] that says what was asked and why there is no answer. Where it is of a kind that may mean that the
/// answer was lost ([`WireFailure::TimedOut`], [`WireFailure::Connection`]), a write may have taken place.
pub async fn send(client: &Client, request: Request<Vec<u8>>, limits: Limits) -> Result<Bytes, WireError> {
    begin(client, request, limits).await?.whole().await
}

/// Sends `request` and hands out the answer as it comes, once the server has said yes; the limits hold for all of it.
///
/// # Errors
///
/// As [`send`].
pub async fn begin(client: &Client, request: Request<Vec<u8>>, limits: Limits) -> Result<Incoming, WireError> {
    let (attempted, began) = (attempted(&request), Instant::now());
    let response = match timeout(limits.time, exchange(client, request, &attempted)).await {
        Ok(outcome) => outcome?,
        Err(_) => return Err(WireError::timed_out(attempted, limits.time)),
    };
    let (head, body) = response.into_parts();
    Ok(Incoming::new(attempted, head.headers, body, limits, began))
}

/// Sends `request` and hands out the body as it comes, once the server has accepted: for watches.
///
/// `patience` bounds the time until then; the body's own time and size are the caller's to bound.
///
/// # Errors
///
/// As [`send`].
pub async fn open(client: &Client, request: Request<Vec<u8>>, patience: Duration) -> Result<Response<Body>, WireError> {
    let attempted = attempted(&request);
    match timeout(patience, exchange(client, request, &attempted)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(WireError::timed_out(attempted, patience)),
    }
}

/// Whether a server says that its answer is of this media type.
pub fn is_of_type(headers: &HeaderMap, media_type: &str) -> bool {
    let said = headers.get(header::CONTENT_TYPE).and_then(|said| said.to_str().ok());
    said.and_then(|said| said.split(';').next())
        .is_some_and(|said| said.trim().eq_ignore_ascii_case(media_type))
}

/// The request as people write it, without its query: that may be long, and full of labels.
fn attempted(request: &Request<Vec<u8>>) -> String {
    format!("{} {}", request.method(), request.uri().path())
}

async fn exchange(client: &Client, request: Request<Vec<u8>>, attempted: &str) -> Result<Response<Body>, WireError> {
    let response = client
        .send(request.map(Body::from))
        .await
        .map_err(|error| WireError::unsent(attempted, error))?;
    if response.status().is_success() {
        return Ok(response);
    }
    let (head, body) = response.into_parts();
    // A refusal that cannot be read whole is still a refusal.
    let text = Limited::new(body, REFUSAL_BYTES)
        .collect()
        .await
        .map(Collected::to_bytes);
    let text = text.unwrap_or_default();
    let retry_after = head
        .headers
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    Err(refusal(attempted, head.status, retry_after, &text))
}

fn refusal(attempted: &str, code: StatusCode, retry_after: Option<u64>, text: &[u8]) -> WireError {
    WireError::refused(attempted, code, retry_after.map(Duration::from_secs), text)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::StreamExt;
    use http_body_util::Full;
    use kube::client::AuthError;
    use tower::service_fn;

    use super::*;

    const LIMITS: Limits = Limits {
        time: Duration::from_secs(5),
        bytes: 100,
    };

    /// A client of a server that answers everything with this.
    fn client(code: u16, body: &'static str) -> Client {
        let service = service_fn(move |request: Request<Body>| async move {
            assert_eq!(request.headers()[header::ACCEPT], "application/json");
            let response = Response::builder().status(code).header(header::RETRY_AFTER, "3");
            Ok::<_, Infallible>(response.body(Full::new(Bytes::from(body))).unwrap())
        });
        Client::new(service, "default")
    }

    async fn failure(code: u16, body: &'static str) -> WireError {
        get(&client(code, body), "/api/v1/pods", &[("limit", "5")], LIMITS)
            .await
            .unwrap_err()
    }

    #[tokio::test]
    async fn an_answer_is_read_whole() {
        let body = get(&client(200, "{\"items\":[]}"), "/api/v1/pods", &[], LIMITS)
            .await
            .unwrap();
        assert_eq!(&body[..], b"{\"items\":[]}");
    }

    #[tokio::test]
    async fn a_refusal_says_what_the_server_said() {
        let status = r#"{"kind":"Status","code":403,"reason":"Forbidden","message":"pods is forbidden: no"}"#;
        let error = failure(403, status).await;
        assert_eq!((error.failure(), error.reason()), (WireFailure::Forbidden, "Forbidden"));
        assert_eq!(error.to_string(), "GET /api/v1/pods: pods is forbidden: no");
        assert_eq!(error.status().unwrap().reason, "Forbidden");
    }

    #[tokio::test]
    async fn a_refusal_may_come_as_protobuf() {
        let status = "k8s\0\x12\x0b\x1a\x02no\x22\x05Never";
        let error = failure(403, status).await;
        assert_eq!(error.to_string(), "GET /api/v1/pods: no");
        assert_eq!(error.status().unwrap().reason, "Never");
    }

    #[tokio::test]
    async fn a_refusal_that_is_no_status_has_its_text_and_code() {
        let error = failure(503, "no endpoints\n").await;
        assert_eq!((error.failure(), error.code()), (WireFailure::Unavailable, Some(503)));
        assert_eq!(
            error.to_string(),
            "GET /api/v1/pods: 503 Service Unavailable: no endpoints"
        );
        assert_eq!(error.retry_after(), Some(Duration::from_secs(3)));
        assert_eq!(failure(404, "").await.to_string(), "GET /api/v1/pods: 404 Not Found");
    }

    /// An adapter answers for its group by itself, and there is one refusal for each question of a pass.
    #[tokio::test]
    async fn of_a_refusal_that_is_long_little_is_kept() {
        let long = "é".repeat(12_000);
        let cause = r#"{"reason":"r","message":"m","field":"f"}"#;
        let status = |message: &str, causes: usize| {
            let causes = vec![cause; causes].join(",");
            format!(
                r#"{{"kind":"Status","code":500,"reason":"{message}","message":"{message}","details":{{"causes":[{causes}]}}}}"#
            )
        };
        for (text, has_status) in [
            (status(&long, 0), true),
            (status("no", 1000), true),
            (long.clone(), false),
        ] {
            let error = failure(500, text.leak()).await;
            assert!(
                error.message().len() < 2100 && error.to_string().len() < 2200,
                "{}",
                error.message().len()
            );
            assert_eq!(error.status().is_some(), has_status);
            if let Some(status) = error.status() {
                assert!(status.message.len() + status.reason.len() < 4200);
                assert!(status.details.as_ref().unwrap().causes.len() <= 16);
            }
        }
    }

    #[tokio::test]
    async fn what_a_server_says_is_one_line_and_steers_no_terminal() {
        let status = r#"{"kind":"Status","code":500,"message":"no\n2026-11-22T08:00:00Z INFO \u001b[2JLeads"}"#;
        for text in [status, "no\n2026-11-22T08:00:00Z INFO \x1b[2JLeads"] {
            let told = failure(500, text).await.to_string();
            assert!(told.ends_with("no 2026-11-22T08:00:00Z INFO  [2JLeads"), "{told:?}");
        }
    }

    /// What could not be read of an answer is quoted by whoever reads it.
    #[test]
    fn of_a_long_message_the_end_is_left_out() {
        let error = WireError::new("GET /api".to_owned(), WireFailure::Other, "x".repeat(5000));
        assert_eq!(error.message().len(), 1024 + "…".len());
        assert!(error.message().ends_with("x…"));
    }

    #[tokio::test]
    async fn codes_become_failures() {
        for (code, expected) in [
            (400, WireFailure::BadRequest),
            (401, WireFailure::Unauthorized),
            (403, WireFailure::Forbidden),
            (404, WireFailure::NotFound),
            (405, WireFailure::Other),
            (409, WireFailure::Conflict),
            (410, WireFailure::Gone),
            (422, WireFailure::Invalid),
            (429, WireFailure::TooManyRequests),
            (500, WireFailure::Unavailable),
            (502, WireFailure::Unavailable),
            (504, WireFailure::Unavailable),
        ] {
            assert_eq!(failure(code, "").await.failure(), expected, "{code}");
        }
    }

    #[tokio::test]
    async fn an_answer_over_the_limit_is_too_large() {
        let body = "x".repeat(101).leak();
        assert_eq!(failure(200, body).await.failure(), WireFailure::TooLarge);
    }

    #[tokio::test]
    async fn an_answer_in_pieces_says_what_it_is_and_has_the_same_limits() {
        let service = service_fn(|_: Request<Body>| async {
            let pieces = ["ab", "cde", "x".repeat(96).leak()].map(|piece| Ok::<_, Infallible>(Bytes::from(piece)));
            let body = http_body_util::StreamBody::new(futures_util::stream::iter(
                pieces.map(|piece| piece.map(http_body::Frame::data)),
            ));
            let response = Response::builder().header(header::CONTENT_TYPE, "Application/Json;charset=utf-8");
            Ok::<_, Infallible>(response.body(body).unwrap())
        });
        let request = request(Method::GET, "/api", Vec::new()).unwrap();
        let mut incoming = begin(&Client::new(service, "default"), request, LIMITS).await.unwrap();
        assert!(incoming.is("application/json") && !incoming.is("application/json;charset=utf-8"));
        assert_eq!(incoming.next().await.unwrap().unwrap(), "ab");
        assert_eq!(incoming.next().await.unwrap().unwrap(), "cde");
        assert_eq!(incoming.taken(), 5);
        assert_eq!(incoming.next().await.unwrap_err().failure(), WireFailure::TooLarge);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_stops_in_the_middle_is_timed_out() {
        let service = service_fn(|_: Request<Body>| async {
            let begun = futures_util::stream::iter([Ok::<_, Infallible>(http_body::Frame::data(Bytes::from("ab")))]);
            let body = http_body_util::StreamBody::new(begun.chain(futures_util::stream::pending()));
            Ok::<_, Infallible>(Response::new(body))
        });
        let error = get(&Client::new(service, "default"), "/api", &[], LIMITS)
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "GET /api: no answer within 5s");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_come_is_timed_out() {
        let service =
            service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>());
        let error = get(&Client::new(service, "default"), "/api", &[], LIMITS)
            .await
            .unwrap_err();
        assert_eq!(error.failure(), WireFailure::TimedOut);
        assert_eq!(error.to_string(), "GET /api: no answer within 5s");
    }

    /// kube tells all that a plug-in printed, and its command; and a proxy's address as it was written.
    #[test]
    fn neither_what_a_plugin_printed_nor_the_password_of_a_proxy_is_told() {
        use std::os::unix::process::ExitStatusExt;
        let output = std::process::Output {
            status: std::process::ExitStatus::from_raw(256),
            stdout: b"sEcReT".to_vec(),
            stderr: b"log in first\n".to_vec(),
        };
        let failed = || AuthError::AuthExecRun {
            cmd: "KEY=sEcReT login".to_owned(),
            out: Box::new(output.clone()),
        };
        let proxy: Box<http::Uri> = Box::new("socks5://me:sEcReT@proxy:1080".parse().unwrap());
        let ended = "the kubeconfig's credential plug-in ended with exit status: 1: log in first";
        for (error, expected) in [
            (kube::Error::Auth(failed()), ended),
            (kube::Error::Service(Box::new(failed())), ended),
            (
                kube::Error::ProxyProtocolUnsupported {
                    proxy_url: proxy.clone(),
                },
                "the proxy socks5://proxy is of no protocol that is known; http:// and https:// are",
            ),
            (
                kube::Error::ProxyProtocolDisabled {
                    proxy_url: proxy,
                    protocol_feature: "socks5",
                },
                "the proxy socks5://proxy is of a protocol that is not supported; http:// and https:// are",
            ),
        ] {
            assert!(error.to_string().contains("sEcReT"), "kube tells it: {error}");
            assert_eq!(causes(&error), expected);
        }
    }

    #[tokio::test]
    async fn a_connection_that_breaks_tells_every_cause_once() {
        let service = service_fn(|_: Request<Body>| async {
            Err::<Response<Full<Bytes>>, _>(std::io::Error::other("connection refused"))
        });
        let error = get(&Client::new(service, "default"), "/api", &[], LIMITS)
            .await
            .unwrap_err();
        assert_eq!(error.failure(), WireFailure::Connection);
        assert_eq!(error.to_string(), "GET /api: connection refused");
    }
}
