//! A made-up cluster for the loop, in virtual time: an API server and a metrics server that can be slow or refuse.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tower::service_fn;

use crate::clock::Clock;

/// How often the metrics server has new values, how old these are when they can first be read, and when the first are there.
pub(super) const RESOLUTION: Duration = Duration::from_secs(15);
const AGE: SignedDuration = SignedDuration::from_secs(3);
pub(super) const FIRST: Duration = Duration::from_millis(6_200);

/// How long each answer of the external metrics API takes.
pub(super) const EXTERNAL_TAKES: Duration = Duration::from_millis(100);

const NAMESPACES: usize = 4;
const PODS: usize = 2;

/// What goes wrong.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    /// Each write takes so long.
    pub(super) write_takes: Duration,
    /// Each answer of the metrics server takes so long.
    pub(super) metrics_take: Duration,
    /// Writes are refused with 429 and `Retry-After`.
    pub(super) too_many: bool,
    /// Scales are written, and nobody answers.
    pub(super) lose_answers: bool,
    /// Scales are written so long after they arrive, and nobody answers; zero: at once.
    pub(super) late: Duration,
    /// ConfigMaps are refused with 403.
    pub(super) no_config_maps: bool,
    /// New ones are, and there is nothing wrong with those that are there.
    pub(super) no_new_config_maps: bool,
    /// Each answer about ConfigMaps takes so long.
    pub(super) config_maps_take: Duration,
}

/// What is asked of the autoscalers; the first may be unlike the others.
#[derive(Clone, Debug)]
pub(super) struct Load {
    /// The pods of the first one.
    pub(super) pods: usize,
    /// Its metrics.
    pub(super) metrics: Vec<Value>,
    /// Those of each other one.
    pub(super) of_others: Vec<Value>,
}

impl Default for Load {
    fn default() -> Self {
        let cpu = json!({"type": "Resource", "resource": {"name": "cpu",
            "target": {"type": "Utilization", "averageUtilization": 50}}});
        Self {
            pods: PODS,
            metrics: vec![cpu.clone()],
            of_others: vec![cpu],
        }
    }
}

/// A scale that was written.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) at: Duration,
    pub(super) autoscaler: usize,
    pub(super) replicas: i64,
}

#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) scales: Vec<Written>,
    pub(super) statuses: Vec<Duration>,
    /// How often a status was written while one of the same autoscaler was.
    pub(super) statuses_twice: usize,
    writing: BTreeSet<String>,
    /// When ConfigMaps were written.
    pub(super) saves: Vec<Duration>,
    /// What was recommended for autoscaler 0, and when.
    pub(super) recommended: Vec<(Duration, i32)>,
    /// When the Lease was written, and by whom.
    pub(super) renewals: Vec<(Duration, String)>,
    /// The reasons of Events.
    pub(super) events: Vec<String>,
    /// When lists of all usages were asked for, and how many were under way at most.
    pub(super) lists: Vec<Duration>,
    pub(super) lists_at_once: usize,
    pub(super) probes: Vec<Duration>,
    listing: usize,
    refused: usize,
}

/// The cluster: so many autoscalers, each with a Deployment of two pods that use half of what they request, the target.
pub(super) struct World {
    pub(super) started: Instant,
    epoch: Timestamp,
    autoscalers: usize,
    /// From these times on each pod uses so much, as samples show it; before the first, half of what it requests.
    loads: Mutex<Vec<(Duration, u32)>>,
    behavior: Value,
    asked: Load,
    /// The counts that were written.
    counts: Mutex<BTreeMap<usize, i64>>,
    /// Writes of counts that have not taken place yet, each with the count that it expects.
    late: Mutex<Vec<(i64, Written)>>,
    /// ConfigMaps by name.
    pub(super) config_maps: Mutex<BTreeMap<String, Value>>,
    /// Leases by name.
    leases: Mutex<BTreeMap<String, Value>>,
    pub(super) faults: Mutex<Faults>,
    pub(super) seen: Mutex<Seen>,
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        self.epoch + SignedDuration::try_from(self.started.elapsed()).unwrap()
    }
}

impl World {
    pub(super) fn new(autoscalers: usize) -> Arc<Self> {
        Self::with_behavior(autoscalers, Value::Null)
    }

    pub(super) fn with_behavior(autoscalers: usize, behavior: Value) -> Arc<Self> {
        Self::with_load(autoscalers, behavior, Load::default())
    }

    pub(super) fn with_load(autoscalers: usize, behavior: Value, asked: Load) -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            epoch: "2026-01-05T08:00:00Z".parse().unwrap(),
            autoscalers,
            loads: Mutex::default(),
            behavior,
            asked,
            counts: Mutex::default(),
            late: Mutex::default(),
            config_maps: Mutex::default(),
            leases: Mutex::default(),
            faults: Mutex::default(),
            seen: Mutex::default(),
        })
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Doubles the load; gives when that can first be read.
    pub(super) fn double(&self) -> Duration {
        self.load(100)
    }

    /// Each pod uses so many thousandths of a core; gives when that can first be read.
    pub(super) fn load(&self, milli: u32) -> Duration {
        let shows = FIRST + RESOLUTION * (self.sample() + 1);
        self.loads.lock().push((shows, milli));
        shows
    }

    /// The last sample that can be read.
    fn sample(&self) -> u32 {
        let since = self.elapsed().saturating_sub(FIRST);
        u32::try_from(since.as_millis() / RESOLUTION.as_millis()).unwrap()
    }

    pub(super) fn client(self: &Arc<Self>) -> Client {
        let world = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let world = world.clone();
            async move { Ok::<_, Infallible>(world.answer(request).await) }
        });
        Client::new(service, "default")
    }

    async fn answer(&self, request: Request<Body>) -> Response<StreamBody<Frames>> {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let (path, query) = (uri.path().to_owned(), uri.query().unwrap_or_default().to_owned());
        if query.contains("watch=") {
            return response(StatusCode::OK, bookmarks().boxed());
        }
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let (code, value) = match method {
            Method::PATCH => self.write(&path, &body).await,
            _ if path.contains("/leases") => self.leases(method, &body).await,
            _ if path.contains("/configmaps") => self.config_maps(method, &path, &body).await,
            Method::POST => {
                let event: Value = serde_json::from_slice(&body).unwrap();
                self.seen
                    .lock()
                    .events
                    .push(event["reason"].as_str().unwrap().to_owned());
                (201, event)
            }
            _ if path.starts_with("/apis/external.metrics.k8s.io") => {
                sleep(EXTERNAL_TAKES).await;
                (200, external())
            }
            _ if path.ends_with("/scale") => (200, self.scale(&path)),
            _ if path.starts_with("/apis/metrics.k8s.io") => (200, self.usages(&path, &query).await),
            _ => (200, self.list(&path)),
        };
        let frame = http_body::Frame::data(Bytes::from(value.to_string()));
        let mut response = response(StatusCode::from_u16(code).unwrap(), stream::iter([Ok(frame)]).boxed());
        if code == 429 {
            response.headers_mut().insert("Retry-After", "1".parse().unwrap());
        }
        response
    }

    async fn write(&self, path: &str, body: &Bytes) -> (u16, Value) {
        let faults = *self.faults.lock();
        if !self.seen.lock().writing.insert(path.to_owned()) {
            self.seen.lock().statuses_twice += usize::from(path.ends_with("/status"));
        }
        sleep(faults.write_takes + Duration::from_millis(5)).await;
        self.seen.lock().writing.remove(path);
        if faults.too_many {
            self.seen.lock().refused += 1;
            let status = json!({"kind": "Status", "status": "Failure", "reason": "TooManyRequests", "code": 429,
                "message": "too many requests"});
            return (429, status);
        }
        let at = self.elapsed();
        let name = path.rsplit('/').nth(1).unwrap().to_owned();
        let metadata = json!({"name": name, "resourceVersion": "1000"});
        if path.ends_with("/status") {
            self.seen.lock().statuses.push(at);
            return (
                200,
                json!({"kind": "HorizontalPodAutoscaler", "apiVersion": "autoscaling/v2", "metadata": metadata}),
            );
        }
        let patch: Value = serde_json::from_slice(body).unwrap();
        let replicas = patch.as_array().unwrap().last().unwrap()["value"].as_i64().unwrap();
        let autoscaler = name[4..].parse().unwrap();
        if !faults.late.is_zero() {
            let from = patch[0]["value"].as_i64().unwrap_or(0);
            let written = Written {
                at: at + faults.late,
                autoscaler,
                replicas,
            };
            self.late.lock().push((from, written));
            std::future::pending::<()>().await;
        }
        if patch[0]["value"].as_i64().unwrap_or(0) != self.count(autoscaler) {
            let status =
                json!({"kind": "Status", "status": "Failure", "reason": "Invalid", "code": 422, "message": "no"});
            return (422, status);
        }
        self.counts.lock().insert(autoscaler, replicas);
        self.seen.lock().scales.push(Written {
            at,
            autoscaler,
            replicas,
        });
        if faults.lose_answers {
            std::future::pending::<()>().await;
        }
        (200, self.scale(path))
    }

    fn scale(&self, path: &str) -> Value {
        let name = path.rsplit('/').nth(1).unwrap();
        let replicas = self.count(name[4..].parse().unwrap());
        json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": name, "resourceVersion": "1000"},
            "spec": {"replicas": replicas}, "status": {"replicas": 2, "selector": format!("app={name}")}})
    }

    fn count(&self, autoscaler: usize) -> i64 {
        self.lands();
        self.count_before(autoscaler)
    }

    /// Does what is late and due by now, if the count is still the one that it expects.
    fn lands(&self) {
        let now = self.elapsed();
        let due: Vec<(i64, Written)> = self
            .late
            .lock()
            .extract_if(.., |(_, written)| written.at <= now)
            .collect();
        for (from, written) in due {
            if self.count_before(written.autoscaler) == from {
                self.counts.lock().insert(written.autoscaler, written.replicas);
                self.seen.lock().scales.push(written);
            }
        }
    }

    fn count_before(&self, autoscaler: usize) -> i64 {
        let written = self.counts.lock().get(&autoscaler).copied();
        written.unwrap_or(self.pods_of(autoscaler) as i64)
    }

    fn pods_of(&self, autoscaler: usize) -> usize {
        if autoscaler == 0 { self.asked.pods } else { PODS }
    }

    fn metrics_of(&self, autoscaler: usize) -> &[Value] {
        if autoscaler == 0 {
            &self.asked.metrics
        } else {
            &self.asked.of_others
        }
    }

    async fn config_maps(&self, method: Method, path: &str, body: &Bytes) -> (u16, Value) {
        let takes = self.faults.lock().config_maps_take;
        sleep(takes + Duration::from_millis(5)).await;
        let refused = |code: u16, reason| {
            (
                code,
                json!({"kind": "Status", "code": code, "reason": reason, "message": "no"}),
            )
        };
        let faults = *self.faults.lock();
        if faults.no_config_maps || faults.no_new_config_maps && method == Method::POST {
            return refused(403, "Forbidden");
        }
        let mut objects = self.config_maps.lock();
        if method == Method::GET {
            let items: Vec<Value> = objects.values().cloned().collect();
            return (
                200,
                json!({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {}, "items": items}),
            );
        }
        let mut object: Value = serde_json::from_slice(body).unwrap();
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let version = objects
            .get(&name)
            .map(|there| there["metadata"]["resourceVersion"].clone());
        match (method, version) {
            (Method::POST, None) => {}
            (Method::PUT, Some(version)) if version == object["metadata"]["resourceVersion"] => {
                assert!(path.ends_with(&name), "{path}");
            }
            (Method::PUT, None) => return refused(404, "NotFound"),
            _ => return refused(409, "Conflict"),
        }
        let mut seen = self.seen.lock();
        seen.saves.push(self.elapsed());
        object["metadata"]["resourceVersion"] = json!(seen.saves.len().to_string());
        objects.insert(name, object.clone());
        (200, object)
    }

    async fn leases(&self, method: Method, body: &Bytes) -> (u16, Value) {
        sleep(Duration::from_millis(5)).await;
        let mut objects = self.leases.lock();
        let there = objects.get("trimtab").cloned();
        if method == Method::GET {
            return there.map_or((404, json!({})), |there| (200, there));
        }
        let mut object: Value = serde_json::from_slice(body).unwrap();
        let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
        if there.is_some_and(|there| version(&there) != version(&object)) {
            return (409, json!({}));
        }
        let mut seen = self.seen.lock();
        let who = object["spec"]["holderIdentity"].as_str().unwrap().to_owned();
        seen.renewals.push((self.elapsed(), who));
        object["metadata"]["resourceVersion"] = json!(seen.renewals.len().to_string());
        objects.insert("trimtab".to_owned(), object.clone());
        (200, object)
    }

    async fn usages(&self, path: &str, query: &str) -> Value {
        let whole = !path.contains("/namespaces/");
        let probe = query.contains("labelSelector");
        {
            let mut seen = self.seen.lock();
            let at = self.elapsed();
            if probe {
                seen.probes.push(at);
            } else {
                seen.lists.push(at);
                seen.listing += 1;
                seen.lists_at_once = seen.lists_at_once.max(seen.listing);
            }
        }
        let takes = self.faults.lock().metrics_take;
        let _listing = (!probe).then(|| Listing(self));
        sleep(takes + Duration::from_millis(5)).await;
        let selected = |n: usize| {
            (whole || path.contains(&format!("/namespaces/{}/", namespace(n))))
                && (!probe
                    || query.ends_with(&format!("app%3D{}", name(n)))
                    || query.ends_with(&format!("={}", name(n))))
        };
        let shown = FIRST + RESOLUTION * self.sample();
        let at = self.epoch + SignedDuration::try_from(shown).unwrap() - AGE;
        let loads = self.loads.lock().clone();
        let milli = loads
            .iter()
            .rev()
            .find(|(from, _)| shown >= *from)
            .map_or(50, |(_, milli)| *milli);
        let items: Vec<Value> = (0..self.autoscalers)
            .filter(|n| selected(*n))
            .flat_map(|n| (0..self.pods_of(n)).map(move |pod| (n, pod)))
            .map(|(n, pod)| {
                json!({"metadata": {"name": pod_name(n, pod), "namespace": namespace(n), "labels": {"app": name(n)}},
                    "timestamp": at.to_string(), "window": "15s",
                    "containers": [{"name": "main", "usage": {"cpu": format!("{milli}m"), "memory": "10Mi"}}]})
            })
            .collect();
        json!({"kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {}, "items": items})
    }

    fn list(&self, path: &str) -> Value {
        let kind = path.rsplit('/').next().unwrap();
        let items: Vec<Value> = match kind {
            "horizontalpodautoscalers" => (0..self.autoscalers)
                .map(|n| autoscaler(n, &self.behavior, self.metrics_of(n)))
                .collect(),
            "deployments" => (0..self.autoscalers).map(|n| deployment(n, self.count(n))).collect(),
            "pods" => (0..self.autoscalers)
                .flat_map(|n| (0..self.pods_of(n)).map(move |pod_number| pod(n, pod_number)))
                .collect(),
            _ => Vec::new(),
        };
        json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "100"}, "items": items})
    }
}

/// A list under way.
struct Listing<'a>(&'a World);

impl Drop for Listing<'_> {
    fn drop(&mut self) {
        self.0.seen.lock().listing -= 1;
    }
}

type Frames = stream::BoxStream<'static, Result<http_body::Frame<Bytes>, std::io::Error>>;

fn response(code: StatusCode, frames: Frames) -> Response<StreamBody<Frames>> {
    Response::builder().status(code).body(StreamBody::new(frames)).unwrap()
}

/// A watch in which nothing happens.
fn bookmarks() -> impl stream::Stream<Item = Result<http_body::Frame<Bytes>, std::io::Error>> {
    stream::repeat(()).then(|()| async {
        sleep(Duration::from_secs(30)).await;
        let bookmark = json!({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "100"}}});
        Ok(http_body::Frame::data(Bytes::from(format!("{bookmark}\n"))))
    })
}

fn namespace(n: usize) -> String {
    format!("shop-{}", n % NAMESPACES)
}

fn name(n: usize) -> String {
    format!("web-{n}")
}

fn pod_name(n: usize, pod: usize) -> String {
    let mut name = name(n);
    write!(name, "-{pod}").unwrap();
    name
}

/// An answer of one value, as it should be.
fn external() -> Value {
    json!({"kind": "ExternalMetricValueList", "apiVersion": "external.metrics.k8s.io/v1beta1",
        "items": [{"metricName": "queue", "timestamp": "2026-01-05T08:00:00Z", "value": "10"}]})
}

fn autoscaler(n: usize, behavior: &Value, metrics: &[Value]) -> Value {
    json!({"metadata": {"name": name(n), "namespace": namespace(n), "uid": format!("u{n}"), "resourceVersion": "10"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name(n)},
            "minReplicas": 1, "maxReplicas": if n == 0 { 100_000 } else { 10 }, "behavior": behavior, "metrics": metrics}})
}

fn deployment(n: usize, count: i64) -> Value {
    json!({"metadata": {"name": name(n), "namespace": namespace(n), "resourceVersion": "10"},
        "spec": {"replicas": count, "selector": {"matchLabels": {"app": name(n)}}}, "status": {"replicas": count}})
}

fn pod(n: usize, pod: usize) -> Value {
    json!({"metadata": {"name": pod_name(n, pod), "namespace": namespace(n), "resourceVersion": "10",
            "labels": {"app": name(n)}},
        "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "100m"}}}]},
        "status": {"phase": "Running", "startTime": "2026-01-05T06:00:00Z",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-05T06:01:00Z"}]}})
}
