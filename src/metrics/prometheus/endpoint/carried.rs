//! Requests that go another way than over sockets: to a Prometheus in memory.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Method, Request, Response, header};
use reqwest::{Body, Url};

/// Carries a request to a server, and its answer back.
pub type Carry = Arc<dyn Fn(Request<Bytes>) -> BoxFuture<'static, io::Result<Response<Body>>> + Send + Sync>;

/// A request for `url` with these parameters, in the body or in the address as `method` has it.
pub(super) fn request(method: Method, url: &Url, parameters: &[(&str, &str)]) -> io::Result<Request<Bytes>> {
    let mut asked = url.clone();
    asked.query_pairs_mut().extend_pairs(parameters);
    let by_post = method == Method::POST;
    let request = Request::builder().method(method);
    let request = match by_post {
        true => {
            let body = Bytes::from(asked.query().unwrap_or_default().to_owned());
            let request = request.uri(url.as_str());
            let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
            request.body(body)
        }
        false => request.uri(asked.as_str()).body(Bytes::new()),
    };
    request.map_err(io::Error::other)
}
