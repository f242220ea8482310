//! The connection of one process to a simulated API.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use kube::Client;
use kube::client::Body;
use tokio::time::sleep;
use tower::service_fn;

use super::api::{AnswerBody, Api};

/// How long each request takes, there and back: what an API server nearby needs.
const LATENCY: Duration = Duration::from_millis(2);

/// Stands between a process and the API, and carries requests and answers, or loses them.
pub trait Between: Send + Sync {
    /// Carries one request there, and its answer back.
    fn carry<'a>(&'a self, api: &'a Api, request: Request<Bytes>) -> BoxFuture<'a, io::Result<Response<AnswerBody>>>;
}

/// A connection that can be cut.
#[derive(Clone)]
pub(super) struct Line {
    api: Arc<Api>,
    between: Option<Arc<dyn Between>>,
    up: Arc<AtomicBool>,
}

impl Line {
    pub(super) fn new(api: Arc<Api>, between: Option<Arc<dyn Between>>) -> Self {
        Self {
            api,
            between,
            up: Arc::new(AtomicBool::new(true)),
        }
    }

    /// From now on nothing reaches the API, and no answer comes back.
    pub(super) fn cut(&self) {
        self.up.store(false, Ordering::Relaxed);
    }

    pub(super) fn client(&self) -> Client {
        let line = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let line = line.clone();
            async move { line.send(request).await }
        });
        Client::new(service, "default")
    }

    async fn send(&self, request: Request<Body>) -> io::Result<Response<AnswerBody>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        self.way().await;
        let answer = match &self.between {
            Some(between) => between.carry(&self.api, Request::from_parts(head, body)).await,
            None => Ok(self.api.answer(Request::from_parts(head, Full::new(body))).await),
        };
        self.way().await;
        answer
    }

    /// Half of a request's time; never ends where the line is cut.
    async fn way(&self) {
        sleep(LATENCY / 2).await;
        if !self.up.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }
}
