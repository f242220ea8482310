//! What goes wrong between a process and the API, as a plan says.

mod metrics;
mod watches;

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use serde_json::json;
use tokio::time::sleep;

use super::Mutation;
use super::judge::{Judge, Source};
use super::plan::{Event, What};
use crate::clock::Clock;
use crate::sim::api::{AnswerBody, Api, DEPLOYMENTS};
use crate::sim::line::Between;
use crate::sim::random::Random;
use crate::sim::time::VirtualClock;

/// Carries requests through everything that goes wrong, and shows the judge what happens.
pub(super) struct Storm {
    seed: u64,
    events: Vec<Event>,
    clock: Arc<VirtualClock>,
    judge: Arc<Judge>,
    mutation: Option<Mutation>,
    /// Metrics as they were when they stopped moving.
    old_answers: Mutex<FxHashMap<String, Bytes>>,
}

/// What kind of request it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Watch,
    Metrics,
    Read,
    Write,
}

impl Storm {
    pub(super) fn new(
        seed: u64,
        events: Vec<Event>,
        clock: Arc<VirtualClock>,
        judge: Arc<Judge>,
        mutation: Option<Mutation>,
    ) -> Arc<Self> {
        Arc::new(Self {
            seed,
            events,
            clock,
            judge,
            mutation,
            old_answers: Mutex::default(),
        })
    }

    /// What meets a request of this name now. By its name and time, and not by how many there were before, so that the
    /// order of what happens at the same time plays no part.
    fn met(&self, name: &str) -> Vec<&What> {
        let now = self.clock.elapsed();
        let events = self.events.iter().enumerate();
        let met = events.filter(|(number, event)| {
            let lasts = event.at <= now && now < event.at + event.lasts;
            lasts && Random::named(self.seed, &format!("{number} {name} {}", now.as_millis())).chance(event.share)
        });
        met.map(|(_, event)| &event.what).collect()
    }

    async fn carried(&self, api: &Api, mut request: Request<Bytes>) -> io::Result<Response<AnswerBody>> {
        let class = class(&request);
        let path = request.uri().path().to_owned();
        self.judge.asked(request.method(), &path);
        let name = format!("{} {path}", request.method());
        let met = self.met(&name);
        // What memory depends on: the store, the Lease, and knowing what became of a write.
        if !met.is_empty() && (path.contains("/configmaps") || path.contains("/leases") || path.ends_with("/scale")) {
            self.judge.memory_troubled();
        }
        let (mut lost, mut half, mut garbage) = (false, false, false);
        for what in &met {
            match what {
                What::Slow(by) => sleep(*by).await,
                What::Unanswered if class != Class::Watch => std::future::pending().await,
                What::Refused(code) => return self.refused(api, class, &path, *code),
                What::Conflicts if class == Class::Write => return self.refused(api, class, &path, 409),
                What::Forbidden(below) if path.starts_with(below) => return self.refused(api, class, &path, 403),
                What::AnswersLost => lost = class != Class::Watch,
                What::HalfAnswers => half = class != Class::Watch,
                What::Garbage => garbage = class != Class::Watch,
                _ => {}
            }
        }
        if self.mutation == Some(Mutation::WritesNothing) && path.ends_with("/scale") && class == Class::Write {
            return Ok(pretended(&request));
        }
        if self.mutation == Some(Mutation::WritesUntested) {
            untested(&mut request);
        }
        let scales = class == Class::Write && path.ends_with("/scale");
        if scales && met.contains(&&What::Raced) {
            race(api, &path);
        }
        let (sent, before) = (request.body().clone(), scales.then(|| replicas(api, &path)).flatten());
        let (head, body) = request.into_parts();
        let answer = api.answer(Request::from_parts(head, Full::new(body))).await;
        if scales && answer.status().is_success() {
            self.judge.scaled(&path, before, &sent, !(lost || half || garbage));
        }
        if lost {
            return Err(io::Error::new(
                io::ErrorKind::ConnectionReset,
                "connection reset by peer",
            ));
        }
        if class == Class::Watch {
            return Ok(watches::through(self, answer, &name));
        }
        let (mut head, body) = answer.into_parts();
        let mut body = BodyExt::collect(body).await?.to_bytes();
        if class == Class::Metrics && head.status.is_success() {
            body = metrics::through(self, &met, &path, body);
        }
        if self.mutation == Some(Mutation::ForgetsEverything) && path.ends_with("/configmaps") && class == Class::Read {
            body = Bytes::from_static(br#"{"kind":"ConfigMapList","apiVersion":"v1","metadata":{},"items":[]}"#);
        }
        if self.mutation.is_some_and(Mutation::is_of_specs) && path.ends_with("/horizontalpodautoscalers") {
            body = watches::misread_list(self.mutation, &body);
        }
        head.headers.remove(header::CONTENT_LENGTH);
        if garbage {
            return Ok(whole(head, Bytes::from_static(b"<html>Bad gateway</html>")));
        }
        if half {
            let half = body.slice(..body.len() / 2);
            let broken = io::Error::new(io::ErrorKind::UnexpectedEof, "the connection broke in the middle");
            return Ok(of_frames(head, vec![Ok(Frame::data(half)), Err(broken)]));
        }
        if class == Class::Metrics && head.status.is_success() {
            self.judge.measured(Source::of(&path));
        }
        Ok(whole(head, body))
    }

    fn refused(&self, api: &Api, class: Class, path: &str, code: u16) -> io::Result<Response<AnswerBody>> {
        if class == Class::Metrics && self.mutation == Some(Mutation::FailureIsZero) {
            return Ok(metrics::nothing_used(api, self.clock.now(), path));
        }
        let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
            "message": "it is as planned", "reason": "Planned" });
        let mut response = Response::builder()
            .status(code)
            .header(header::CONTENT_TYPE, "application/json");
        if code == 429 {
            response = response.header(header::RETRY_AFTER, "1");
        }
        let (head, ()) = response.body(()).map_err(io::Error::other)?.into_parts();
        Ok(whole(head, status.to_string().into()))
    }
}

impl Between for Storm {
    fn carry<'a>(&'a self, api: &'a Api, request: Request<Bytes>) -> BoxFuture<'a, io::Result<Response<AnswerBody>>> {
        self.carried(api, request).boxed()
    }
}

fn class(request: &Request<Bytes>) -> Class {
    let path = request.uri().path();
    if request.method() != Method::GET {
        Class::Write
    } else if request.uri().query().is_some_and(|query| query.contains("watch=")) {
        Class::Watch
    } else if path.contains("metrics.k8s.io/") {
        Class::Metrics
    } else {
        Class::Read
    }
}

/// The count of the workload whose scale has this path.
fn replicas(api: &Api, path: &str) -> Option<i64> {
    let key = super::judge::key_of_scale(path)?;
    let deployment = api.store.get(&DEPLOYMENTS, &key.namespace, &key.name)?;
    deployment["spec"]["replicas"].as_i64()
}

/// Somebody else takes one pod away, or adds one where there is only one.
fn race(api: &Api, path: &str) {
    let Some(key) = super::judge::key_of_scale(path) else {
        return;
    };
    // A workload that is gone has no count to change.
    let _ = api.store.update(&DEPLOYMENTS, &key.namespace, &key.name, |before| {
        let mut after = before.clone();
        let count = before["spec"]["replicas"].as_i64().unwrap_or(1);
        after["spec"]["replicas"] = if count > 1 { count - 1 } else { count + 1 }.into();
        Ok(after)
    });
}

/// Takes the test out of a patch.
fn untested(request: &mut Request<Bytes>) {
    if let Ok(serde_json::Value::Array(operations)) = serde_json::from_slice(request.body()) {
        let kept: Vec<_> = operations
            .into_iter()
            .filter(|operation| operation["op"] != "test")
            .collect();
        *request.body_mut() = json!(kept).to_string().into();
    }
}

/// As if a scale had been written.
fn pretended(request: &Request<Bytes>) -> Response<AnswerBody> {
    let patch: serde_json::Value = serde_json::from_slice(request.body()).unwrap_or_default();
    let scale = json!({ "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": { "resourceVersion": "1" },
        "spec": { "replicas": patch[1]["value"] }, "status": { "replicas": 1 } });
    let (mut head, ()) = Response::new(()).into_parts();
    head.status = StatusCode::OK;
    whole(head, scale.to_string().into())
}

fn whole(head: http::response::Parts, body: Bytes) -> Response<AnswerBody> {
    of_frames(head, vec![Ok(Frame::data(body))])
}

fn of_frames(head: http::response::Parts, frames: Vec<io::Result<Frame<Bytes>>>) -> Response<AnswerBody> {
    use futures_util::StreamExt;
    Response::from_parts(head, StreamBody::new(futures_util::stream::iter(frames).boxed()))
}
