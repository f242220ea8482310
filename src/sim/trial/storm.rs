//! What goes wrong between a process and the API, as a plan says.

mod answers;
mod metrics;
mod mutant;
mod prometheus;
mod watches;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use parking_lot::Mutex;
use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::Mutation;
use super::judge::{Judge, ScaleWrite};
use super::plan::{Asking, Event, Point, What};
use super::question::{Question, is_of_prometheus};
use crate::clock::Clock;
use crate::sim::api::{AnswerBody, Api, DEPLOYMENTS, LEASES, seconds};
use crate::sim::control::{LEASE, LEASE_NAMESPACE};
use crate::sim::line::Between;
use crate::sim::random::Random;
use crate::sim::time::VirtualClock;
use answers::{broken_off, endless, whole};

/// Versions are known that far back, for stale reads.
const VERSIONS_KEPT_FOR: Duration = Duration::from_secs(61);

/// Carries the requests of one process through everything that goes wrong, and shows the judge what happens.
pub(super) struct Storm {
    seed: u64,
    /// The events that meet this process, in the order of time.
    events: Mutex<Arc<[Event]>>,
    /// From then on nothing waits for a point in what the process does any more.
    calm: Duration,
    process: usize,
    clock: Arc<VirtualClock>,
    judge: Option<Arc<Judge>>,
    mutation: Option<Mutation>,
    /// Metrics as they were when they stopped moving.
    old_answers: Mutex<FxHashMap<String, Bytes>>,
    /// What was the newest version when.
    versions: Mutex<VecDeque<(Duration, u64)>>,
    /// Events that wait for a point in what the process does, and have had theirs.
    done: Mutex<FxHashSet<Duration>>,
    /// Takes whom to kill, and when to start it again.
    kills: mpsc::UnboundedSender<(usize, Duration)>,
    mutant: mutant::Mutant,
}

/// What kind of request it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Watch,
    Metrics,
    Read,
    Write,
}

/// What all storms of a trial have.
#[derive(Clone)]
pub(super) struct Weather {
    pub(super) seed: u64,
    pub(super) calm: Duration,
    pub(super) clock: Arc<VirtualClock>,
    /// `None`: nobody judges.
    pub(super) judge: Option<Arc<Judge>>,
    pub(super) mutation: Option<Mutation>,
    pub(super) kills: mpsc::UnboundedSender<(usize, Duration)>,
}

impl Storm {
    /// The storm around one process.
    pub(super) fn new(weather: Weather, events: &[Event], process: usize) -> Arc<Self> {
        let Weather {
            seed,
            calm,
            clock,
            judge,
            mutation,
            kills,
        } = weather;
        Arc::new(Self {
            seed,
            events: Mutex::new(meeting(events, process)),
            calm,
            process,
            clock,
            judge,
            mutation,
            old_answers: Mutex::default(),
            versions: Mutex::default(),
            done: Mutex::default(),
            kills,
            mutant: mutant::Mutant::default(),
        })
    }

    /// From now on these events meet it, in the place of all others; watches that are there already have those of their beginning.
    pub(super) fn turns(&self, events: &[Event]) {
        let events = meeting(events, self.process);
        self.done.lock().retain(|at| events.iter().any(|event| event.at == *at));
        *self.events.lock() = events;
        // Of workloads that are gone, else, for ever.
        self.old_answers.lock().clear();
    }

    fn events(&self) -> Arc<[Event]> {
        self.events.lock().clone()
    }

    /// What meets a request of this name now. By its name and time, and not by how many there were before, so that the
    /// order of what happens at the same time plays no part; and by when the event begins, so that others can be left out.
    fn met<'e>(&self, events: &'e [Event], name: &str) -> Vec<&'e What> {
        let now = self.clock.elapsed();
        let met = events.iter().filter(|event| {
            let lasts = event.at <= now && now < event.at + event.lasts;
            let drawn = || format!("{} {} {name} {}", event.at.as_millis(), self.process, now.as_millis());
            lasts && Random::named(self.seed, &drawn()).chance(event.share)
        });
        met.map(|event| &event.what).collect()
    }

    async fn carried(&self, api: &Api, mut request: Request<Bytes>) -> io::Result<Response<AnswerBody>> {
        let began = self.clock.elapsed();
        let class = class(&request);
        let asking = asking(&request);
        let question = (class == Class::Metrics).then(|| Question::of(&request));
        let path = request.uri().path().to_owned();
        if self.mutation == Some(Mutation::LeadsForEver)
            && self.process == 0
            && let Some(answer) = self.mutant.renewed(&request)
        {
            return Ok(answer);
        }
        self.tell(|judge| judge.asked(self.process, &request));
        let name = format!("{} {path}", request.method());
        let events = self.events();
        let met = self.met(&events, &name);
        if !met.is_empty() && matches!(asking, Some(Asking::Memory | Asking::Stored | Asking::Lease)) {
            self.tell(Judge::memory_troubled);
        }
        self.reached(api, asking, false).await;
        let (mut lost, mut half, mut garbage, mut oversized) = (false, false, false, false);
        for what in &met {
            match what {
                What::Slow(by) => sleep(*by).await,
                What::Unanswered if class != Class::Watch => std::future::pending().await,
                What::LeaseCut if asking == Some(Asking::Lease) => std::future::pending().await,
                What::Refused(code) => return self.refused(api, question.as_ref(), *code),
                What::Conflicts if class == Class::Write => return self.refused(api, question.as_ref(), 409),
                What::Forbidden(below) if path.starts_with(below.as_str()) => {
                    return self.refused(api, question.as_ref(), 403);
                }
                What::AnswersLost => lost = class != Class::Watch,
                What::HalfAnswers => half = class != Class::Watch,
                What::Garbage => garbage = class != Class::Watch,
                What::Oversized => oversized = class != Class::Watch,
                What::Stale(by) => answers::read_old(&mut request, self.version_before(*by)),
                _ => {}
            }
        }
        if asking == Some(Asking::Lease) && self.mutation == Some(Mutation::SaysAllIsSaved) {
            mutant::assured(&mut request);
        }
        if asking == Some(Asking::Scale) {
            match self.mutation {
                Some(Mutation::WritesNothing) => return Ok(mutant::pretended(&request)),
                Some(Mutation::WritesUntested) => mutant::untested(&mut request),
                Some(Mutation::Leaks) => self.mutant.leak(),
                _ => {}
            }
            if met.contains(&&What::Raced) {
                race(api, &path);
            }
        }
        let (sent, before) = (request.body().clone(), replicas(api, &path));
        let (head, body) = request.into_parts();
        let answer = api.answer(Request::from_parts(head, Full::new(body))).await;
        self.note_version(api);
        if answer.status().is_success() {
            match asking {
                Some(Asking::Scale) => self.tell(|judge| {
                    judge.scaled(ScaleWrite {
                        process: self.process,
                        path: &path,
                        before,
                        patch: &sent,
                        told: !(lost || half || garbage || oversized),
                    });
                }),
                Some(Asking::Memory) => self.tell(|judge| judge.saved(self.process, began, &sent)),
                Some(Asking::Lease) if class == Class::Write => self.tell(|judge| judge.renewed(began, &sent)),
                _ => {}
            }
        }
        self.reached(api, asking, true).await;
        if asking == Some(Asking::Scale) {
            self.tell(|judge| judge.concluded(&path));
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
        if let Some(question) = question.as_ref().filter(|_| head.status.is_success()) {
            body = metrics::through(self, &met, question, body);
        }
        if self.mutation.is_some_and(Mutation::is_of_specs) && path.ends_with("/horizontalpodautoscalers") {
            body = watches::misread_list(self.mutation, &body);
        }
        head.headers.remove(header::CONTENT_LENGTH);
        if garbage {
            return Ok(whole(head, Bytes::from_static(b"<html>Bad gateway</html>")));
        }
        if oversized {
            return Ok(endless(head, body));
        }
        if half {
            return Ok(broken_off(head, &body));
        }
        if head.status.is_success() {
            match (asking, &question) {
                (Some(Asking::Stored), _) => self.tell(|judge| judge.loaded(self.process)),
                (Some(Asking::Metrics), Some(question)) => self.tell(|judge| judge.measured(question, &body)),
                _ => {}
            }
            body = mutant::misread(self.mutation, asking, question.as_ref(), body, (api, self.clock.now()));
        }
        Ok(whole(head, body))
    }

    /// The process is at a point at which something may wait for it.
    async fn reached(&self, api: &Api, asking: Option<Asking>, done: bool) {
        let Some(request) = asking else { return };
        let (now, here) = (self.clock.elapsed(), Point { request, done });
        let events = self.events();
        for event in events.iter() {
            if !(event.at..self.calm).contains(&now) || self.done.lock().contains(&event.at) {
                continue;
            }
            match event.what {
                What::KilledAt(point, down) if point == here => {
                    self.done.lock().insert(event.at);
                    // Whoever listens ends before the trial does; nobody is killed after it.
                    let _ = self.kills.send((self.process, down));
                    std::future::pending().await
                }
                What::LeadTakenAt(point) if point == here => {
                    self.done.lock().insert(event.at);
                    self.tell(Judge::memory_troubled);
                    take_lead(api, &self.clock);
                }
                _ => {}
            }
        }
    }

    fn tell(&self, what: impl FnOnce(&Judge)) {
        if let Some(judge) = &self.judge {
            what(judge);
        }
    }

    fn note_version(&self, api: &Api) {
        let now = self.clock.elapsed();
        let mut versions = self.versions.lock();
        versions.push_back((now, api.store.newest()));
        while versions
            .front()
            .is_some_and(|(at, _)| now.saturating_sub(*at) > VERSIONS_KEPT_FOR)
        {
            versions.pop_front();
        }
    }

    /// The version that was the newest so long ago, or as long ago as is known.
    fn version_before(&self, by: Duration) -> Option<u64> {
        let then = self.clock.elapsed().saturating_sub(by);
        let versions = self.versions.lock();
        let before = versions.iter().rev().find(|(at, _)| *at <= then);
        before.or(versions.front()).map(|(_, version)| *version)
    }

    fn refused(&self, api: &Api, question: Option<&Question>, code: u16) -> io::Result<Response<AnswerBody>> {
        if let Some(question) = question
            && self.mutation == Some(Mutation::FailureIsZero)
        {
            return Ok(metrics::nothing_used(api, self.clock.now(), question));
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

/// Those that meet this process.
fn meeting(events: &[Event], process: usize) -> Arc<[Event]> {
    let meets = |event: &&Event| event.process.is_none_or(|met| met == process);
    events.iter().filter(meets).cloned().collect()
}

fn class(request: &Request<Bytes>) -> Class {
    let path = request.uri().path();
    if is_of_prometheus(path) {
        Class::Metrics
    } else if request.method() != Method::GET {
        Class::Write
    } else if request.uri().query().is_some_and(|query| query.contains("watch=")) {
        Class::Watch
    } else if path.contains("metrics.k8s.io/") {
        Class::Metrics
    } else {
        Class::Read
    }
}

/// What a request asks for, as far as something may happen just then.
pub(super) fn asking(request: &Request<Bytes>) -> Option<Asking> {
    let path = request.uri().path();
    let writes = request.method() != Method::GET;
    if path.contains("/leases") {
        Some(Asking::Lease)
    } else if path.contains("/configmaps") {
        Some(if writes { Asking::Memory } else { Asking::Stored })
    } else if writes && path.ends_with("/scale") {
        Some(Asking::Scale)
    } else if writes && path.ends_with("/status") {
        Some(Asking::Status)
    } else if class(request) == Class::Metrics && path.matches('/').count() > 3 {
        Some(Asking::Metrics)
    } else {
        None
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

/// Somebody who is none of the processes takes the Lease, whoever has it.
fn take_lead(api: &Api, clock: &VirtualClock) {
    let now = seconds(clock.now());
    // Without a Lease nobody leads yet.
    let _ = api.store.update(&LEASES, LEASE_NAMESPACE, LEASE, |before| {
        let mut after = before.clone();
        let spec = &mut after["spec"];
        spec["holderIdentity"] = "somebody".into();
        let transitions = spec["leaseTransitions"].as_i64().unwrap_or(0);
        spec["leaseTransitions"] = (transitions + 1).into();
        for time in ["acquireTime", "renewTime"] {
            spec[time] = format!("{}.000000Z", now.trim_end_matches('Z')).into();
        }
        Ok(after)
    });
}

/// An answer that is none, with this status.
fn head_of(status: StatusCode) -> http::response::Parts {
    let (mut head, ()) = Response::new(()).into_parts();
    head.status = status;
    head
}
