//! A proxy between a controller and the API server, that can make answers slow or refuse requests, and knows what was asked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, header};
use kube::Client;
use parking_lot::Mutex;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::Namespace;

/// The largest body that a controller sends.
const REQUEST_BYTES: usize = 1024 * 1024;

/// What the proxy does to requests. Watches are never touched.
#[derive(Clone, Copy, Debug, Default)]
pub struct Troubles {
    /// Each answer takes so long at least.
    pub answers_take: Duration,
    /// The same for answers of the metrics server.
    pub usages_take: Duration,
    /// One request in so many is refused with 429 and `Retry-After`; 0: none, 1: all.
    pub refuse_one_in: usize,
}

impl Troubles {
    fn delay(&self, of_metrics: bool) -> Duration {
        let usages_take = if of_metrics { self.usages_take } else { Duration::ZERO };
        self.answers_take.max(usages_take)
    }

    /// Whether the request of this number is one of the unlucky ones: a share of them, in no regular order, since requests come
    /// in a regular one.
    fn refuses(&self, number: usize) -> bool {
        // Knuth's multiplicative hash.
        let mixed = (number as u32).wrapping_mul(2_654_435_761) >> 16;
        self.refuse_one_in > 0 && (mixed as usize).is_multiple_of(self.refuse_one_in)
    }
}

/// What a request was for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asked {
    /// A list of all usages of a namespace or of the cluster.
    Usages,
    /// A write of this workload's scale.
    Scale(String),
    /// A write of this autoscaler's status.
    Status(String),
    /// Anything else.
    Other,
}

/// A request that was answered.
#[derive(Clone, Debug)]
pub struct Answered {
    pub asked: Asked,
    pub began: Instant,
    pub took: Duration,
    pub status: StatusCode,
}

/// A running proxy, which speaks HTTP without TLS and acts as the cluster's administrator. It ends when dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    upstream: Client,
    troubles: Mutex<Troubles>,
    answered: Mutex<Vec<Answered>>,
    under_way: Mutex<BTreeMap<Asked, usize>>,
    most_at_once: Mutex<BTreeMap<Asked, usize>>,
    count: AtomicUsize,
}

impl Proxy {
    pub async fn to(upstream: Client) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let shared = Arc::new(Shared {
            upstream,
            troubles: Mutex::default(),
            answered: Mutex::default(),
            under_way: Mutex::default(),
            most_at_once: Mutex::default(),
            count: AtomicUsize::new(0),
        });
        let routes = Router::new().fallback(pass_on).with_state(shared.clone());
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.expect("the proxy serves") });
        Proxy { address, shared, task }
    }

    /// A kubeconfig for whoever is to go through the proxy.
    pub fn kubeconfig(&self, namespace: &Namespace) -> PathBuf {
        namespace.file(
            "proxy.kubeconfig",
            &json!({
                "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
                "clusters": [{"name": "proxy", "cluster": {"server": format!("http://{}", self.address)}}],
                "users": [{"name": "nobody", "user": {}}],
                "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "nobody"}}],
            })
            .to_string(),
        )
    }

    pub fn set(&self, troubles: Troubles) {
        *self.shared.troubles.lock() = troubles;
    }

    /// What was answered since then, in the order in which it was asked.
    pub fn answered_since(&self, since: Instant) -> Vec<Answered> {
        let answered = self.shared.answered.lock();
        let mut found: Vec<Answered> = answered.iter().filter(|a| a.began >= since).cloned().collect();
        found.sort_by_key(|answered| answered.began);
        found
    }

    /// The workloads whose scale was written since then, in the order in which that was asked; each once.
    pub fn scaled_since(&self, since: Instant) -> Vec<String> {
        let mut names = Vec::new();
        for answered in self.answered_since(since) {
            if let Asked::Scale(name) = answered.asked
                && answered.status.is_success()
                && !names.contains(&name)
            {
                names.push(name);
            }
        }
        names
    }

    /// What was refused since then.
    pub fn refused_since(&self, since: Instant) -> Vec<Asked> {
        let answered = self.answered_since(since).into_iter();
        let refused = answered.filter(|answered| answered.status == StatusCode::TOO_MANY_REQUESTS);
        refused.map(|answered| answered.asked).collect()
    }

    /// The median of the times that answers took so far.
    pub fn usual_time(&self) -> Duration {
        let mut times: Vec<Duration> = self
            .shared
            .answered
            .lock()
            .iter()
            .map(|answered| answered.took)
            .collect();
        times.sort();
        times.get(times.len() / 2).copied().unwrap_or_default()
    }

    /// The writes that were asked for a second time while the first was not answered yet.
    pub fn overlapping_writes(&self) -> Vec<Asked> {
        let most = self.shared.most_at_once.lock();
        let twice = most.iter().filter(|(_, count)| **count > 1).map(|(asked, _)| asked);
        let writes = twice.filter(|asked| matches!(asked, Asked::Scale(_) | Asked::Status(_)));
        writes.cloned().collect()
    }

    /// How many lists of usages were under way at the same time, at most.
    pub fn lists_at_once(&self) -> usize {
        let most = self.shared.most_at_once.lock();
        most.get(&Asked::Usages).copied().unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A request on its way; it is over when it is answered, or the controller has given it up.
struct UnderWay<'a> {
    shared: &'a Shared,
    asked: Asked,
}

impl<'a> UnderWay<'a> {
    fn begin(shared: &'a Shared, asked: Asked) -> Self {
        let mut under_way = shared.under_way.lock();
        let now = under_way.entry(asked.clone()).or_default();
        *now += 1;
        let mut most = shared.most_at_once.lock();
        let most = most.entry(asked.clone()).or_default();
        *most = (*most).max(*now);
        UnderWay { shared, asked }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        *self.shared.under_way.lock().entry(self.asked.clone()).or_default() -= 1;
    }
}

fn what(method: &Method, path: &str, query: &str) -> Asked {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let name = |back: usize| parts[parts.len() - back].to_owned();
    match parts.as_slice() {
        ["apis", "metrics.k8s.io", ..] if !query.contains("labelSelector=") => Asked::Usages,
        [.., _, "scale"] if method == Method::PATCH => Asked::Scale(name(2)),
        [.., "horizontalpodautoscalers", _, "status"] if *method != Method::GET => Asked::Status(name(2)),
        _ => Asked::Other,
    }
}

async fn pass_on(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let began = Instant::now();
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let query = uri.query().unwrap_or_default();
    if query.contains("watch=") {
        return forward(&shared, request).await;
    }
    let asked = what(&method, uri.path(), query);
    let _under_way = UnderWay::begin(&shared, asked.clone());
    let turn = shared.count.fetch_add(1, Ordering::Relaxed) + 1;
    let refused = shared.troubles.lock().refuses(turn);
    let response = if refused {
        refusal()
    } else {
        forward(&shared, request).await
    };
    let of_metrics = uri.path().starts_with("/apis/metrics.k8s.io/");
    // Looked at again and again, so that with the trouble its delays end.
    while began.elapsed() < shared.troubles.lock().delay(of_metrics) {
        sleep(Duration::from_millis(20)).await;
    }
    shared.answered.lock().push(Answered {
        asked,
        began,
        took: began.elapsed(),
        status: response.status(),
    });
    response
}

/// As kube-apiserver says it when it has too much to do.
fn refusal() -> Response {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 429, "reason": "TooManyRequests",
        "message": "The server has received too many requests and has asked us to try again later",
        "details": {"retryAfterSeconds": 1},
    });
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::RETRY_AFTER, "1")];
    (StatusCode::TOO_MANY_REQUESTS, headers, status.to_string()).into_response()
}

async fn forward(shared: &Shared, request: Request) -> Response {
    let (mut head, body) = request.into_parts();
    // The upstream's own address goes in here.
    head.headers.remove(header::HOST);
    let body = to_bytes(body, REQUEST_BYTES)
        .await
        .expect("a controller's request is small");
    let request = http::Request::from_parts(head, kube::client::Body::from(body));
    match shared.upstream.send(request).await {
        Ok(response) => response.map(Body::new),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}
