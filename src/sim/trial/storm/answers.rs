//! Answers that are old, broken off, or never end.

use std::io;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Method, Request, Response, Uri};
use http_body_util::StreamBody;
use hyper::body::Frame;

use crate::sim::api::AnswerBody;

/// What is read at once of an answer that never ends.
pub(super) const PIECE: &[u8] = &[b' '; 1024 * 1024];

/// A whole answer.
pub(super) fn whole(head: http::response::Parts, body: Bytes) -> Response<AnswerBody> {
    of_frames(head, vec![Ok(Frame::data(body))])
}

/// An answer that breaks off in its middle.
pub(super) fn broken_off(head: http::response::Parts, body: &Bytes) -> Response<AnswerBody> {
    let half = body.slice(..body.len() / 2);
    let broken = io::Error::new(io::ErrorKind::UnexpectedEof, "the connection broke in the middle");
    of_frames(head, vec![Ok(Frame::data(half)), Err(broken)])
}

/// An answer to which more and more spaces are added, in its middle, so that it stays JSON.
pub(super) fn endless(head: http::response::Parts, body: Bytes) -> Response<AnswerBody> {
    let begins = body.iter().position(|byte| *byte == b',').unwrap_or(0);
    let first = stream::iter([Ok(Frame::data(body.slice(..begins)))]);
    let rest = stream::repeat_with(|| Ok(Frame::data(Bytes::from_static(PIECE))));
    Response::from_parts(head, StreamBody::new(first.chain(rest).boxed()))
}

fn of_frames(head: http::response::Parts, frames: Vec<io::Result<Frame<Bytes>>>) -> Response<AnswerBody> {
    Response::from_parts(head, StreamBody::new(stream::iter(frames).boxed()))
}

/// Turns a read of objects that Kubernetes may serve from a cache that lags into one of a version that was. The Lease and what
/// is stored are read from etcd, which has no old answers.
pub(super) fn read_old(request: &mut Request<Bytes>, version: Option<u64>) {
    let Some(version) = version else { return };
    let lags = ["/pods", "/deployments", "/horizontalpodautoscalers"];
    let path = request.uri().path();
    let is_list = request.method() == Method::GET && lags.iter().any(|resource| path.ends_with(resource));
    let query = request.uri().query().unwrap_or_default();
    if !is_list || query.contains("watch=") || query.contains("continue=") || query.contains("resourceVersion=") {
        return;
    }
    let and = if query.is_empty() { "" } else { "&" };
    let old = format!("{path}?{query}{and}resourceVersion={version}&resourceVersionMatch=Exact");
    if let Ok(old) = old.parse::<Uri>() {
        *request.uri_mut() = old;
    }
}
