//! A made-up API server for tests: answers by a script, remembers what it was asked.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response, header};
use http_body_util::StreamBody;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use tower::service_fn;

/// One answer.
#[derive(Clone)]
pub(crate) enum Answer {
    /// A status code and a body that ends.
    Whole(u16, String),
    /// Success, and a body that stays open after this.
    Open(String),
    /// Success, and a body of protobuf that stays open after this.
    Protobuf(Vec<u8>),
    /// Success, and a body that breaks off with an error after this.
    Broken(String),
}

/// A script of answers, given in order; when they are used up, nothing is answered any more.
#[derive(Clone, Default)]
pub(crate) struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<String>>>,
    /// Given when the answers are used up.
    always: Option<Answer>,
}

type Frames = stream::BoxStream<'static, Result<http_body::Frame<Bytes>, std::io::Error>>;

impl Script {
    pub(crate) fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let script = Self::default();
        script.answers.lock().extend(answers);
        script
    }

    /// The same answer to everything.
    pub(crate) fn always(answer: Answer) -> Self {
        Self {
            always: Some(answer),
            ..Self::default()
        }
    }

    /// Every request so far, as `GET /path?query`.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }

    pub(crate) fn client(&self) -> Client {
        let script = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            script
                .asked
                .lock()
                .push(format!("{} {}", request.method(), request.uri()));
            let answer = script.answers.lock().pop_front().or_else(|| script.always.clone());
            async move {
                let kind = match answer {
                    Some(Answer::Protobuf(_)) => "application/vnd.kubernetes.protobuf;stream=watch",
                    _ => "application/json",
                };
                let (code, frames): (u16, Frames) = match answer {
                    None => std::future::pending().await,
                    Some(Answer::Whole(code, text)) => (code, frame(text).boxed()),
                    Some(Answer::Open(text)) => (200, frame(text).chain(stream::pending()).boxed()),
                    Some(Answer::Protobuf(bytes)) => (200, frame(bytes).chain(stream::pending()).boxed()),
                    Some(Answer::Broken(text)) => {
                        let error = std::io::Error::other("connection reset");
                        (200, frame(text).chain(stream::iter([Err(error)])).boxed())
                    }
                };
                let body = StreamBody::new(frames);
                Ok::<_, Infallible>(
                    Response::builder()
                        .status(code)
                        .header(header::CONTENT_TYPE, kind)
                        .body(body)
                        .expect("a status code and a body"),
                )
            }
        });
        Client::new(service, "default")
    }
}

fn frame(text: impl Into<Bytes>) -> impl StreamExt<Item = Result<http_body::Frame<Bytes>, std::io::Error>> + Send {
    stream::iter([Ok(http_body::Frame::data(text.into()))])
}
