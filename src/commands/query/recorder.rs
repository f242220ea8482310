//! What is asked of the metrics APIs, request by request.

use std::sync::Arc;

use http::{Request, StatusCode};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde::Serialize;
use tower::service_fn;

/// The most requests that are shown: a question takes two or three.
const REQUESTS: usize = 100;

/// A request that was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Sent {
    /// Path and query.
    pub path: String,
    /// The answer's status; `None`: there was none.
    pub status: Option<u16>,
}

/// Requests as they are sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests(Arc<Mutex<Vec<Sent>>>);

impl Requests {
    /// Those since the last time.
    pub(super) fn taken(&self) -> Vec<Sent> {
        std::mem::take(&mut *self.0.lock())
    }

    fn note(&self, path: String, status: Option<StatusCode>) {
        let mut sent = self.0.lock();
        if sent.len() < REQUESTS {
            sent.push(Sent {
                path,
                status: status.map(|status| status.as_u16()),
            });
        }
    }
}

/// The same client, and what it sends.
pub(super) fn recorded(client: Client) -> (Client, Requests) {
    let requests = Requests::default();
    let kept = requests.clone();
    let namespace = client.default_namespace().to_owned();
    let service = service_fn(move |request: Request<Body>| {
        let (client, kept) = (client.clone(), kept.clone());
        async move {
            let path = request
                .uri()
                .path_and_query()
                .map_or("", |path| path.as_str())
                .to_owned();
            let answer = client.send(request).await;
            kept.note(path, answer.as_ref().ok().map(http::Response::status));
            answer
        }
    });
    (Client::new(service, namespace), requests)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::Response;

    use super::*;

    #[tokio::test]
    async fn requests_are_noted_with_their_answers_status() {
        let server = service_fn(async |request: Request<Body>| {
            let status = if request.uri().path() == "/a" { 200 } else { 404 };
            Ok::<_, Infallible>(Response::builder().status(status).body(Body::empty()).unwrap())
        });
        let (client, requests) = recorded(Client::new(server, "shop"));
        for path in ["/a?labelSelector=x%3Dy", "/b"] {
            client
                .send(Request::get(path).body(Body::empty()).unwrap())
                .await
                .unwrap();
        }
        let sent = |path: &str, status| Sent {
            path: path.to_owned(),
            status: Some(status),
        };
        assert_eq!(requests.taken(), [sent("/a?labelSelector=x%3Dy", 200), sent("/b", 404)]);
        assert_eq!(requests.taken(), []);
        assert_eq!(client.default_namespace(), "shop");
    }
}
