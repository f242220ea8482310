//! Decoding of what is read again and again.

use std::fmt::Write;
use std::hint::black_box;

use serde_json::json;
use trimtab::cluster::pods::SlimPod;
use trimtab::metrics::prometheus::answer;
use trimtab::metrics::resource::{PodMetricsReader, Usages};

use super::protobuf::{self, Usage};
use super::{Case, Named, counted};

pub fn cases() -> Vec<Named> {
    vec![
        counted("decoding, PodMetrics of 1,000 pods, JSON", || {
            Decoding::new(pod_metrics(1_000), |text| {
                assert_eq!(black_box(Usages::decode(text)).expect("a list").len(), 1_000);
            })
        }),
        counted("decoding, PodMetrics of 1,000 pods, protobuf", || {
            Decoding::new(usages(1_000), |bytes| {
                let mut reader = PodMetricsReader::default();
                // As it comes from the network.
                for piece in bytes.chunks(16 * 1024) {
                    reader.push(piece).expect("a list");
                }
                assert_eq!(black_box(reader.finish()).expect("a list").len(), 1_000);
            })
        }),
        counted("decoding, 100 pods, JSON", || {
            Decoding::new(pods(100), |text| {
                let pods = black_box(serde_json::from_str::<Vec<SlimPod>>(text));
                assert_eq!(pods.expect("pods").len(), 100);
            })
        }),
        counted("decoding, Prometheus' answer, 1,000 series", || {
            Decoding::new(prometheus_answer(1_000), |text| {
                assert_eq!(black_box(answer::decode(text)).expect("an answer").series.len(), 1_000);
            })
        }),
    ]
}

struct Decoding<T> {
    answer: T,
    decode: fn(&T),
}

impl<T> Decoding<T> {
    fn new(answer: T, decode: fn(&T)) -> Self {
        Self { answer, decode }
    }
}

impl<T> Case for Decoding<T> {
    fn run(&mut self) {
        (self.decode)(&self.answer);
    }
}

fn labels(n: usize) -> serde_json::Value {
    json!({
        "app.kubernetes.io/instance": format!("release-{}", n / 20),
        "app.kubernetes.io/managed-by": "Helm",
        "app.kubernetes.io/name": format!("web-{}", n / 20),
        "pod-template-hash": "5d4f8c7b9",
        "team": format!("team-{}", n / 400),
    })
}

/// As a metrics server writes it; a workload has 20 pods.
fn pod_metrics(pods: usize) -> String {
    let item = |n: usize| {
        let cpu = 123_456_789 + n * 1_234;
        json!({
            "metadata": {
                "name": format!("web-{}-5d4f8c7b9-{n:05x}", n / 20), "namespace": format!("team-{}", n / 400),
                "creationTimestamp": "2026-01-05T08:00:09Z", "labels": labels(n),
            },
            "timestamp": "2026-01-05T08:00:00Z", "window": "15.523s",
            "containers": [
                {"name": "app", "usage": {"cpu": format!("{cpu}n"), "memory": format!("{}Ki", 123_456 + n)}},
                {"name": "proxy", "usage": {"cpu": format!("{}n", cpu / 10), "memory": "34567Ki"}},
            ],
        })
    };
    let items: Vec<String> = (0..pods).map(|n| item(n).to_string()).collect();
    let items = items.join(",");
    format!(r#"{{"kind":"PodMetricsList","apiVersion":"metrics.k8s.io/v1beta1","metadata":{{}},"items":[{items}]}}"#)
}

/// The same in protobuf.
fn usages(pods: usize) -> Vec<u8> {
    let usage = |n: usize| {
        let cpu = 123_456_789 + n * 1_234;
        let labels = labels(n);
        let labels = labels.as_object().into_iter().flatten();
        Usage {
            namespace: format!("team-{}", n / 400),
            name: format!("web-{}-5d4f8c7b9-{n:05x}", n / 20),
            labels: labels
                .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
                .collect(),
            containers: vec![
                ("app", format!("{cpu}n"), format!("{}Ki", 123_456 + n)),
                ("proxy", format!("{}n", cpu / 10), "34567Ki".to_owned()),
            ],
        }
    };
    protobuf::pod_metrics((0..pods).map(usage))
}

/// Pods as an API server sends them, nine tenths of which is passed over.
fn pods(pods: usize) -> String {
    let probe = |path| {
        json!({"httpGet": {"path": path, "port": "http", "scheme": "HTTP"}, "initialDelaySeconds": 5, "timeoutSeconds": 1,
               "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3})
    };
    let container = |name: &str| {
        let env = |i| json!({"name": format!("SETTING_{i}"), "value": format!("the value of setting {i} in {name}")});
        json!({
            "name": name, "image": format!("images.example.com/shop/{name}:v1.27.3"), "args": ["--verbose", "--listen=:8080"],
            "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
            "env": (0..10).map(env).collect::<Vec<_>>(),
            "resources": {"limits": {"memory": "512Mi"}, "requests": {"cpu": "250m", "memory": "256Mi"}},
            "volumeMounts": [{"name": "kube-api-access-x7k2p", "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
            "livenessProbe": probe("/healthz"), "readinessProbe": probe("/readyz"),
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", "imagePullPolicy": "IfNotPresent",
        })
    };
    let state = |name: &str, n: usize| {
        json!({"name": name, "state": {"running": {"startedAt": "2026-01-05T08:00:05Z"}}, "lastState": {}, "ready": true,
               "restartCount": 0, "image": format!("images.example.com/shop/{name}:v1.27.3"), "started": true,
               "imageID": format!("images.example.com/shop/{name}@sha256:{n:064x}"), "containerID": format!("containerd://{n:064x}")})
    };
    let condition = |kind| json!({"type": kind, "status": "True", "lastProbeTime": null, "lastTransitionTime": "2026-01-05T08:00:10Z"});
    let managed = |manager| {
        json!({"manager": manager, "operation": "Update", "apiVersion": "v1", "time": "2026-01-05T08:00:00Z", "fieldsType": "FieldsV1",
               "fieldsV1": {"f:metadata": {"f:generateName": {}, "f:labels": {".": {}, "f:pod-template-hash": {}}},
                            "f:spec": {"f:containers": {"k:{\"name\":\"app\"}": {".": {}, "f:image": {}, "f:name": {}, "f:resources": {}}}}}})
    };
    let pod = |n: usize| {
        json!({
            "metadata": {
                "name": format!("web-{}-5d4f8c7b9-{n:05x}", n / 20), "generateName": "web-5d4f8c7b9-", "namespace": "team-1",
                "uid": format!("c0ffee00-0000-4000-8000-{n:012x}"), "resourceVersion": "123456789",
                "creationTimestamp": "2026-01-05T08:00:00Z", "labels": labels(n),
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d4f8c7b9", "controller": true}],
                "managedFields": [managed("kube-controller-manager"), managed("kubelet")],
            },
            "spec": {"containers": [container("app"), container("proxy")], "nodeName": "node-17", "restartPolicy": "Always",
                     "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}]},
            "status": {"phase": "Running", "hostIP": "10.0.0.17", "podIP": "10.1.17.4", "startTime": "2026-01-05T08:00:00Z",
                       "conditions": [condition("Initialized"), condition("Ready"), condition("ContainersReady"), condition("PodScheduled")],
                       "containerStatuses": [state("app", n), state("proxy", n)], "qosClass": "Burstable"},
        })
    };
    serde_json::Value::from((0..pods).map(pod).collect::<Vec<_>>()).to_string()
}

fn prometheus_answer(series: usize) -> String {
    let mut items = String::new();
    for n in 0..series {
        let comma = if n == 0 { "" } else { "," };
        let value = n as f64 * 1.37;
        write!(
            items,
            r#"{comma}{{"metric":{{"namespace":"team-{}","pod":"web-{}-5d4f8c7b9-{n:05x}"}},"value":[1767600000.123,"{value}"]}}"#,
            n / 400,
            n / 20
        )
        .expect("a String takes everything");
    }
    format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{items}]}}}}"#)
}
