//! A made-up metrics API for tests.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use tower::service_fn;

/// A server that keeps what it was asked, path and query, and answers after 10 ms as `answer` says: code and body; no answer
/// for 0.
pub(super) fn server(
    answer: impl Fn(&str) -> (u16, String) + Clone + Send + 'static,
) -> (Client, Arc<Mutex<Vec<String>>>) {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = asked.clone();
    let service = service_fn(move |request: Request<Body>| {
        let target = request.uri().to_string();
        let (code, body) = answer(&target);
        log.lock().push(target);
        async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if code == 0 {
                std::future::pending::<()>().await;
            }
            Ok::<_, Infallible>(
                Response::builder()
                    .status(code)
                    .body(Full::new(Bytes::from(body)))
                    .unwrap(),
            )
        }
    });
    (Client::new(service, "default"), asked)
}
