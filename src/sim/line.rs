//! The connection of one process to a simulated API.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as HttpBody, Frame};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use tokio::time::sleep;
use tower::service_fn;

use super::api::{AnswerBody, Api};
use crate::metrics::prometheus::Carry;

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

    /// The same for who asks the cluster's Prometheus.
    pub(super) fn carry(&self) -> Carry {
        let line = self.clone();
        Arc::new(move |request| {
            let line = line.clone();
            let carried = async move {
                let answer = line.carried(request).await?;
                Ok(answer.map(|body| reqwest::Body::wrap(Shared(Mutex::new(body)))))
            };
            carried.boxed()
        })
    }

    async fn send(&self, request: Request<Body>) -> io::Result<Response<AnswerBody>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        self.carried(Request::from_parts(head, body)).await
    }

    async fn carried(&self, request: Request<Bytes>) -> io::Result<Response<AnswerBody>> {
        self.way().await;
        let answer = match &self.between {
            Some(between) => between.carry(&self.api, request).await,
            None => Ok(self.api.answer(request.map(Full::new)).await),
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

/// A body that several threads may know of, as an HTTP client wants it; only its owner reads it.
struct Shared(Mutex<AnswerBody>);

impl HttpBody for Shared {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Pin::new(self.0.get_mut()).poll_frame(context)
    }
}
