//! `/metrics`, `/healthz` and `/readyz` on a port of their own.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use http::{HeaderMap, StatusCode, header};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::Telemetry;
use super::access::Access;
use super::health::Verdict;

/// Connections at once: the kubelet, a few Prometheus servers, and people. Others wait in the kernel's queue.
const CONNECTIONS: usize = 64;

/// The time for a request's head, waiting for it on a kept connection included.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// The head of a request, in bytes and in header lines.
const HEAD_BYTES: usize = 16 * 1024;
const HEADERS: usize = 64;

/// A connection is closed after this long, so that nobody holds one by reading slowly. Clients open another.
const CONNECTION_TIME: Duration = Duration::from_secs(300);

/// The time that requests under way have when the server stops.
const STOP_TIME: Duration = Duration::from_millis(500);

/// Rest after a connection could not be accepted, as when the process has no file descriptors left.
const ACCEPT_REST: Duration = Duration::from_secs(1);

/// OpenMetrics, the one format that there is.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The pages: no request changes anything, and none waits for anything.
///
/// The kubelet can show no token that stands in a Secret, so `/healthz` and `/readyz` answer everyone. Those who are not
/// admitted learn from them whether all is well, and not what is wrong.
pub fn router(telemetry: Arc<Telemetry>, access: &Access) -> Router {
    let guarded = Router::new()
        .route("/metrics", get(metrics))
        .with_state(telemetry.clone());
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state((telemetry, access.clone()))
        .merge(access.guard(guarded))
}

async fn metrics(State(telemetry): State<Arc<Telemetry>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, OPEN_METRICS)], telemetry.metrics())
}

/// What a probe sees.
type Probed = (Arc<Telemetry>, Access);

async fn healthz(State((telemetry, access)): State<Probed>, headers: HeaderMap) -> (StatusCode, String) {
    answer(&telemetry.alive(), access.admits(&headers))
}

async fn readyz(State((telemetry, access)): State<Probed>, headers: HeaderMap) -> (StatusCode, String) {
    answer(&telemetry.ready(), access.admits(&headers))
}

fn answer(verdict: &Verdict, admitted: bool) -> (StatusCode, String) {
    let (code, word) = match verdict.is_good() {
        true => (StatusCode::OK, "ok\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "failed; with the token it says what\n"),
    };
    let text = if admitted { verdict.to_string() } else { word.to_owned() };
    (code, text)
}

/// Serves `router` until `stop`; then ends connections within half a second.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = stop.run_until_cancelled(async {
            let place = places
                .clone()
                .acquire_owned()
                .await
                .expect("the semaphore is never closed");
            (place, listener.accept().await)
        });
        match accepted.await {
            None => break,
            Some((place, Ok((stream, peer)))) => {
                let (router, stop) = (router.clone(), stop.clone());
                connections.spawn(async move {
                    connection(stream, peer, router, stop).await;
                    drop(place);
                });
            }
            Some((_, Err(error))) => {
                warn!(error = &error as &dyn std::error::Error, "Connection not accepted");
                sleep(ACCEPT_REST).await;
            }
        }
        // Ended ones are let go, so that the set does not grow.
        while connections.try_join_next().is_some() {}
    }
    let ended = async { while connections.join_next().await.is_some() {} };
    let _ = timeout(STOP_TIME, ended).await;
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    router: Router,
    stop: CancellationToken,
) {
    let service = TowerToHyperService::new(router);
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS);
    let mut connection = pin!(server.serve_connection(TokioIo::new(stream), service));
    let whole = async {
        let ended: Option<Result<(), hyper::Error>> = stop.run_until_cancelled(connection.as_mut()).await;
        match ended {
            Some(outcome) => outcome,
            None => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    match timeout(CONNECTION_TIME, whole).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%peer, error = &error as &dyn std::error::Error, "Connection broke"),
        Err(_) => debug!(%peer, "Connection closed after its time"),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::net::TcpStream;
    use tokio::time::Instant;

    use super::*;
    use crate::cluster::watch::{Need, WatchHealth};
    use crate::telemetry::Vitals;

    fn pods(ready: bool) -> WatchHealth {
        WatchHealth {
            resource: "pods".to_owned(),
            namespace: None,
            need: Need::Required,
            ready_for: ready.then_some(Duration::ZERO),
            heard_ago: None,
            trouble: None,
            unreadable: 0,
            lists: 0,
        }
    }

    /// A server whose cache is full or not; its address, and what stops it.
    async fn start(ready: bool) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
        start_with(ready, Access::open()).await
    }

    async fn start_with(ready: bool, access: Access) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
        let vitals = move || Vitals {
            watches: vec![pods(ready)],
            ..Vitals::default()
        };
        let telemetry = Telemetry::new(Duration::from_secs(60), vitals);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(listener, router(telemetry, &access), stop.clone()));
        (address, stop, task)
    }

    /// Sends this, and reads until the server closes.
    async fn exchange(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn page(address: SocketAddr, path: &str) -> String {
        exchange(
            address,
            &format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        )
        .await
    }

    #[tokio::test]
    async fn the_pages_are_served() {
        let (address, ..) = start(true).await;
        let metrics = page(address, "/metrics").await;
        assert!(metrics.starts_with("HTTP/1.1 200 OK"), "{metrics}");
        assert!(
            metrics.contains(OPEN_METRICS) && metrics.ends_with("# EOF\n"),
            "{metrics}"
        );
        assert!(page(address, "/healthz").await.ends_with("[+]loop ok\ncheck passed\n"));
        assert!(page(address, "/readyz").await.ends_with("[+]pods ok\ncheck passed\n"));
        assert!(page(address, "/secrets").await.starts_with("HTTP/1.1 404"));
    }

    #[tokio::test]
    async fn with_a_token_probes_answer_everyone_and_only_who_shows_it_sees_more() {
        let path = std::env::temp_dir().join(format!("trimtab-server-token-{}", std::process::id()));
        std::fs::write(&path, "s3cret").unwrap();
        let (address, ..) = start_with(false, Access::with_token(&path).unwrap()).await;
        let asked = async |path: &str, token: &str| {
            let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{token}\r\n");
            exchange(address, &head).await
        };
        let token = "Authorization: Bearer s3cret\r\n";
        for wrong in ["", "Authorization: Bearer guess\r\n"] {
            let metrics = asked("/metrics", wrong).await;
            assert!(
                metrics.starts_with("HTTP/1.1 401") && !metrics.contains("trimtab_"),
                "{metrics}"
            );
            let ready = asked("/readyz", wrong).await;
            assert!(ready.starts_with("HTTP/1.1 503") && !ready.contains("pods"), "{ready}");
            let alive = asked("/healthz", wrong).await;
            assert!(
                alive.starts_with("HTTP/1.1 200") && alive.ends_with("\r\n\r\nok\n"),
                "{alive}"
            );
        }
        assert!(asked("/metrics", token).await.starts_with("HTTP/1.1 200"));
        assert!(asked("/readyz", token).await.contains("[-]pods failed"));
    }

    #[tokio::test]
    async fn a_cache_that_is_not_full_makes_503() {
        let (address, ..) = start(false).await;
        let ready = page(address, "/readyz").await;
        assert!(
            ready.starts_with("HTTP/1.1 503") && ready.contains("[-]pods failed: not read yet"),
            "{ready}"
        );
    }

    #[tokio::test]
    async fn a_head_that_is_too_large_is_refused() {
        let (address, ..) = start(true).await;
        let header = format!("X-Long: {}\r\n", "x".repeat(HEAD_BYTES));
        let answer = exchange(address, &format!("GET /metrics HTTP/1.1\r\n{header}\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }

    /// The time until a connection is ended whose client does this again and again, until it says that it is over.
    async fn held(client: impl AsyncFn(&mut DuplexStream) -> std::io::Result<bool>) -> Duration {
        let telemetry = Telemetry::new(Duration::from_secs(60), Vitals::default);
        let (mut ours, theirs) = tokio::io::duplex(16 * 1024);
        let (peer, stop) = (SocketAddr::from(([127, 0, 0, 1], 1)), CancellationToken::new());
        tokio::spawn(connection(theirs, peer, router(telemetry, &Access::open()), stop));
        let begun = Instant::now();
        let ended = async { while client(&mut ours).await.unwrap_or(false) {} };
        let patience = 10 * CONNECTION_TIME;
        assert!(timeout(patience, ended).await.is_ok(), "held for {patience:?}");
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_holds_a_connection_for_ever() {
        let took = held(async |stream: &mut DuplexStream| {
            stream.write_all(b"X").await?;
            // The end of the connection, or an answer that says that the time is over.
            let mut rest = [0; 100];
            let read = timeout(Duration::from_secs(10), stream.read(&mut rest)).await;
            Ok(read.is_err())
        })
        .await;
        let late = took.checked_sub(HEAD_TIME);
        assert!(
            late.is_some_and(|late| late <= Duration::from_secs(10)),
            "a head byte by byte: {took:?}"
        );
        let took = held(async |stream: &mut DuplexStream| {
            stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await?;
            let mut answer = [0; 1000];
            let read = stream.read(&mut answer).await?;
            sleep(Duration::from_secs(21)).await;
            Ok(read > 0)
        })
        .await;
        let late = took.checked_sub(CONNECTION_TIME);
        assert!(
            late.is_some_and(|late| late <= Duration::from_secs(42)),
            "one request after the other: {took:?}"
        );
    }

    /// Others wait in the kernel's queue.
    #[tokio::test]
    async fn no_more_connections_are_served_at_once_than_there_are_places() {
        let (address, ..) = start(true).await;
        let mut idle = Vec::new();
        for _ in 0..CONNECTIONS {
            idle.push(TcpStream::connect(address).await.unwrap());
        }
        // All of them are served: each has its place.
        for stream in &mut idle {
            stream
                .write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
                .await
                .unwrap();
            stream.read_exact(&mut [0; 12]).await.unwrap();
        }
        let mut waiting = tokio::spawn(async move { page(address, "/healthz").await });
        assert!(
            timeout(Duration::from_millis(200), &mut waiting).await.is_err(),
            "it was served"
        );
        drop(idle.pop());
        assert!(waiting.await.unwrap().contains("200 OK"));
    }

    #[tokio::test]
    async fn a_stop_ends_the_server_and_its_idle_connections() {
        let (address, stop, task) = start(true).await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        let mut answer = [0; 12];
        idle.read_exact(&mut answer).await.unwrap();
        stop.cancel();
        timeout(Duration::from_secs(2), task).await.unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }
}
