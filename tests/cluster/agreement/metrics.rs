//! The metrics APIs: metrics.k8s.io as metrics-server answers it, custom.metrics.k8s.io and external.metrics.k8s.io as a
//! server made of Kubernetes' own library (custom-metrics-apiserver) does.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;
use trimtab::clock::Clock;
use trimtab::quantity::Quantity;
use trimtab::sim::api::{Described, Gauge, STATEFUL_SETS};
use trimtab::sim::fleet::Behaviour;
use trimtab::sim::load::Load;
use trimtab::sim::simulated::Simulated;
use trimtab::spec::Key;

use super::*;
use crate::harness::{Namespace, Workload, seconds, wait_until};

const POD_METRICS: &str = "/apis/metrics.k8s.io/v1beta1/namespaces/NS/pods";
const CUSTOM: &str = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/NS";
const EXTERNAL: &str = "/apis/external.metrics.k8s.io/v1beta1/namespaces/NS";

/// Values of one metric: of each pod, and of a Service.
const QPS: &str = "20";
const DEPTH: &str = "3500m";

/// What each adapter has its own way with is left out: lists of a metric that nobody has (this one's are empty, Prometheus
/// Adapter and the simulated one answer 404), and kinds of objects that nobody knows.
fn requests() -> Vec<Ask> {
    let mut all = Vec::new();
    let mut of = |base: &str, paths: &[&str]| all.extend(paths.iter().map(|path| get(&format!("{base}{path}"))));
    // There are no nodes in the simulated cluster, so that the document of the version is another.
    of("/apis/metrics.k8s.io", &[""]);
    of(
        POD_METRICS,
        &[
            "",
            "?labelSelector=app%3Dweb",
            "?labelSelector=app%3Dnothing",
            "?labelSelector=a+b",
            "?fieldSelector=metadata.name%3Dweb-1",
            "?limit=1",
            "/web-0",
            "/nothing",
        ],
    );
    of(
        CUSTOM,
        &[
            "/pods/*/qps",
            "/pods/*/qps?labelSelector=app%3Dweb",
            "/pods/*/qps?labelSelector=app%3Dnothing",
            "/pods/*/qps?labelSelector=a+b",
            "/pods/web-0/qps",
            "/pods/nothing/qps",
            "/services/front/depth",
            "/services/nobody/depth",
            "/services/front/nobody-has-it",
            "/metrics/jobs",
        ],
    );
    of(
        EXTERNAL,
        &[
            "/my-external-metric",
            "/my-external-metric?labelSelector=foo%3Dbar",
            "/my-external-metric?labelSelector=foo%3Dnothing",
            "/my-external-metric?labelSelector=a+b",
        ],
    );
    let refused = [
        (Method::POST, POD_METRICS.to_owned()),
        (Method::DELETE, format!("{POD_METRICS}/web-0")),
        (Method::POST, format!("{CUSTOM}/pods/*/qps")),
        (Method::DELETE, format!("{EXTERNAL}/my-external-metric")),
    ];
    all.extend(refused.map(|(method, path)| ask(method, &path, JSON, json!({}))));
    all
}

/// What differs by nature is named by its kind, where it is of that kind.
fn neutral(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(neutral),
        Value::Object(fields) => {
            for (name, value) in fields {
                let text = value.as_str();
                let kind = match name.as_str() {
                    "timestamp" if text.is_some_and(|text| text.parse::<Timestamp>().is_ok()) => "a time",
                    "window" if text.is_some_and(|text| text.ends_with('s')) => "a duration",
                    "cpu" | "memory" if text.is_some_and(|text| text.parse::<Quantity>().is_ok()) => "a quantity",
                    "controller-revision-hash" if text.is_some_and(|text| text.starts_with("web-")) => "a hash",
                    _ => {
                        neutral(value);
                        continue;
                    }
                };
                *value = kind.into();
            }
        }
        _ => {}
    }
}

/// A set of two pods that are measured, with values of other metrics.
async fn real(namespace: &Namespace) {
    let set = Workload::stateful_set(namespace, "web", 2);
    let service = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "front" },
        "spec": { "ports": [{ "port": 80 }] } });
    namespace.apply(&service);
    wait_until("both pods are measured", seconds(120), async || {
        match set.sampled_pods().await {
            2 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    for pod in ["web-0", "web-1"] {
        namespace.set_sample(&format!("pods/{pod}"), "qps", QPS, "");
    }
    namespace.set_sample("services/front", "depth", DEPTH, "");
}

/// The same in a simulated cluster, and what it answers.
fn simulated(namespace: &str) -> Vec<(u16, Vec<Value>)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O can be made");
    runtime.block_on(async {
        let cluster = Simulated::new(SystemClock.now(), 1);
        cluster.api.store.ensure_namespace(namespace);
        let behaviour = Behaviour {
            cpu: Load::Steady(100.0),
            ..Behaviour::default()
        };
        cluster.fleet.behave(Key::new(namespace, "web"), behaviour);
        let set = json!({ "metadata": { "name": "web" }, "spec": { "replicas": 2, "selector": { "matchLabels": { "app": "web" } },
            "template": { "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "app", "image": "x" }] } } } });
        let made = cluster.api.create(&STATEFUL_SETS, namespace, &set);
        made.expect("it is a StatefulSet");
        let fleet = cluster.fleet.clone();
        tokio::spawn(async move { fleet.run().await });
        sleep(Duration::from_secs(120)).await;
        let of = |resource: &str, name: &str| Described {
            namespace: namespace.to_owned(),
            resource: resource.to_owned(),
            name: name.to_owned(),
        };
        let gauge = |value: &str| Gauge {
            value: value.to_owned(),
            at: SystemClock.now(),
        };
        let labelled = |value: &str| [("foo".to_owned(), value.to_owned())].into();
        {
            let mut meters = cluster.api.meters.lock();
            meters.set_custom("qps", ["web-0", "web-1"].map(|pod| (of("pods", pod), gauge(QPS))));
            meters.set_custom("depth", [(of("services", "front"), gauge(DEPTH))]);
            let series = vec![(labelled("bar"), gauge("42")), (labelled("baz"), gauge("43"))];
            meters.set_external(namespace, "my-external-metric", series);
        }
        let server = Server::Simulated(cluster.api.clone());
        let mut answers = Vec::new();
        for asked in requests() {
            answers.push(server.answer(&asked, &Value::Null, namespace).await);
        }
        answers
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_simulated_metrics_apis_answer_as_the_real_ones_do() {
    let namespace = Cluster::main().await.namespace("agreement-metrics").await;
    real(&namespace).await;
    let name = namespace.name.clone();
    let simulated = tokio::task::spawn_blocking(move || simulated(&name)).await;
    let server = Server::Real(namespace.cluster.client.clone());
    let mut problems = Vec::new();
    for (asked, mut simulated) in requests().iter().zip(simulated.expect("it does not panic")) {
        let mut real = server.answer(asked, &Value::Null, &namespace.name).await;
        [&mut real.1, &mut simulated.1].into_iter().flatten().for_each(neutral);
        problems.extend(compared(asked, &real, &simulated));
    }
    all_agree(&problems);
}
