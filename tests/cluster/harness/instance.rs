//! One instance of a service: a real HTTP server, which says on `/metrics` how many requests it has served.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// How long a request takes. A client that waits for each answer, as those of `ab` do, so makes 5 requests a second,
/// and the milliseconds that a busy machine adds hardly change it.
pub const TAKES: Duration = Duration::from_millis(200);

/// A running instance. When dropped it takes no more requests, and answers those that it has.
pub struct Instance {
    pub address: SocketAddr,
    served: Arc<AtomicU64>,
    end: CancellationToken,
}

impl Instance {
    pub async fn start() -> Instance {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let (served, end) = (Arc::new(AtomicU64::new(0)), CancellationToken::new());
        let routes = Router::new()
            .route("/", get(answer))
            .route("/metrics", get(metrics))
            .with_state(served.clone());
        let server = axum::serve(listener, routes).with_graceful_shutdown(end.clone().cancelled_owned());
        tokio::spawn(server.into_future());
        Instance { address, served, end }
    }

    pub fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

async fn answer(State(served): State<Arc<AtomicU64>>) -> &'static str {
    let end = Instant::now() + TAKES;
    served.fetch_add(1, Ordering::Relaxed);
    sleep_until(end).await;
    "done\n"
}

async fn metrics(State(served): State<Arc<AtomicU64>>) -> String {
    let count = served.load(Ordering::Relaxed);
    format!("# TYPE http_requests_total counter\nhttp_requests_total{{verb=\"GET\"}} {count}\n")
}
