//! An API server with autoscalers, their Deployments and pods, and metrics that move a little from one pass to the next.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future, stream};
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower::service_fn;

use crate::cases::protobuf::{self, Usage};

const PODS_EACH: usize = 10;
/// So much comes at once, as over TLS.
const PIECE: usize = 16 * 1024;
const AUTOSCALERS_A_NAMESPACE: usize = 50;

/// What is answered to lists.
struct Lists {
    autoscalers: Bytes,
    deployments: Bytes,
    pods: Bytes,
    /// In turn.
    pod_metrics: [Bytes; 2],
    asked_for_metrics: AtomicUsize,
}

/// A client of a server with so many autoscalers.
pub fn client(autoscalers: usize) -> Client {
    let lists = Arc::new(Lists::of(autoscalers));
    let service = service_fn(move |request: Request<Body>| {
        let (code, text) = lists.answer(&request);
        let media_type = match text.starts_with(b"k8s\0") {
            true => "application/vnd.kubernetes.protobuf",
            false => "application/json",
        };
        let pieces: Vec<_> = text
            .chunks(PIECE)
            .map(|piece| Ok::<_, Infallible>(Frame::data(text.slice_ref(piece))))
            .collect();
        let text = stream::iter(pieces);
        // A watch stays open, and nothing ever happens in it.
        let frames = match request.uri().query().is_some_and(|query| query.contains("watch=")) {
            true => text.chain(stream::pending()).boxed(),
            false => text.boxed(),
        };
        let response = Response::builder().status(code).header(CONTENT_TYPE, media_type);
        let response = response.body(StreamBody::new(frames));
        future::ready(Ok::<_, Infallible>(response.expect("a status code and a body"))).boxed()
    });
    Client::new(service, "default")
}

impl Lists {
    fn of(autoscalers: usize) -> Self {
        let each = || (0..autoscalers).map(|n| (n, namespace(n)));
        let pods = || each().flat_map(|(n, namespace)| (0..PODS_EACH).map(move |i| (n, i, namespace.clone())));
        let metrics = |turn| {
            let usages = pods().map(|(n, i, namespace)| usage(n, i, namespace, turn));
            protobuf::pod_metrics(usages).into()
        };
        Self {
            autoscalers: list(
                "autoscaling/v2",
                "HorizontalPodAutoscalerList",
                each().map(|(n, namespace)| autoscaler(n, &namespace)),
            ),
            deployments: list(
                "apps/v1",
                "DeploymentList",
                each().map(|(n, namespace)| deployment(n, &namespace)),
            ),
            pods: list("v1", "PodList", pods().map(|(n, i, namespace)| pod(n, i, &namespace))),
            pod_metrics: [metrics(0), metrics(1)],
            asked_for_metrics: AtomicUsize::new(0),
        }
    }

    fn answer(&self, request: &Request<Body>) -> (StatusCode, Bytes) {
        let path = request.uri().path();
        if request.uri().query().is_some_and(|query| query.contains("watch=")) {
            return (StatusCode::OK, Bytes::new());
        }
        if request.method() == Method::PATCH || request.method() == Method::PUT {
            let written = json!({"metadata": {"name": path.rsplit('/').nth(1), "resourceVersion": "2"}});
            return (StatusCode::OK, written.to_string().into());
        }
        let found = match path {
            "/apis/autoscaling/v2/horizontalpodautoscalers" => &self.autoscalers,
            "/apis/apps/v1/deployments" => &self.deployments,
            "/api/v1/pods" => &self.pods,
            "/apis/metrics.k8s.io/v1beta1/pods" => {
                &self.pod_metrics[self.asked_for_metrics.fetch_add(1, Ordering::Relaxed) % 2]
            }
            _ => {
                let status =
                    json!({"kind": "Status", "apiVersion": "v1", "code": 404, "reason": "NotFound", "message": path});
                return (StatusCode::NOT_FOUND, status.to_string().into());
            }
        };
        (StatusCode::OK, found.clone())
    }
}

fn list(version: &str, kind: &str, items: impl Iterator<Item = Value>) -> Bytes {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    let items = items.join(",");
    format!(r#"{{"kind":"{kind}","apiVersion":"{version}","metadata":{{"resourceVersion":"1"}},"items":[{items}]}}"#)
        .into()
}

fn namespace(n: usize) -> String {
    format!("team-{}", n / AUTOSCALERS_A_NAMESPACE)
}

fn labels(n: usize) -> Value {
    json!({"app.kubernetes.io/name": format!("web-{n}"), "app.kubernetes.io/managed-by": "Helm", "pod-template-hash": "5d4f8c7b9"})
}

fn autoscaler(n: usize, namespace: &str) -> Value {
    let name = format!("web-{n}");
    json!({
        "metadata": {"namespace": namespace, "name": name, "uid": name, "resourceVersion": "1"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": 2, "maxReplicas": 100,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}}],
        },
    })
}

fn deployment(n: usize, namespace: &str) -> Value {
    let name = format!("web-{n}");
    json!({
        "metadata": {"namespace": namespace, "name": name, "resourceVersion": "1"},
        "spec": {"replicas": PODS_EACH, "selector": {"matchLabels": {"app.kubernetes.io/name": name}}},
        "status": {"replicas": PODS_EACH},
    })
}

fn pod_name(n: usize, i: usize) -> String {
    format!("web-{n}-5d4f8c7b9-{i:05x}")
}

fn pod(n: usize, i: usize, namespace: &str) -> Value {
    let container = |name, cpu| json!({"name": name, "resources": {"requests": {"cpu": cpu, "memory": "256Mi"}}});
    json!({
        "metadata": {"namespace": namespace, "name": pod_name(n, i), "labels": labels(n), "resourceVersion": "1"},
        "spec": {"containers": [container("app", "400m"), container("proxy", "100m")]},
        "status": {"phase": "Running", "startTime": "2026-01-05T08:00:00Z", "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-05T08:00:10Z"}]},
    })
}

/// A good three hundred millicores of five hundred, so that every count stays.
fn usage(n: usize, i: usize, namespace: String, turn: usize) -> Usage {
    let cpu = 250_000_000 + (n * 7 + i * 13 + turn * 5) % 20 * 1_000_000;
    let labels = labels(n);
    let labels = labels.as_object().into_iter().flatten();
    Usage {
        namespace,
        name: pod_name(n, i),
        labels: labels
            .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
            .collect(),
        containers: vec![
            ("app", format!("{cpu}n"), "123456Ki".to_owned()),
            ("proxy", "41234567n".to_owned(), "34567Ki".to_owned()),
        ],
    }
}
