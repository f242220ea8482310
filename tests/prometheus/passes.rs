//! Passes: what autoscalers are told by a real Prometheus, and what that costs it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use trimtab::metrics::guard::BreakerSettings;
use trimtab::metrics::prometheus::{Prometheus, Wanted};
use trimtab::observe::{ContainerKind, ContainerRequests, Pod, PodPhase, PodRequests, Reading, ResourceList};
use trimtab::promql::adapter::AdapterRules;
use trimtab::promql::definition::{DEFAULT_WINDOW, default_query};
use trimtab::promql::{Answers, Definition, Missing, Template};
use trimtab::selector::Selector;
use trimtab::settings::sources::{Credentials, Endpoint, Sources};
use trimtab::spec::{Key, MetricSource, Spec};

use super::data::NOW;
use super::proxy::Proxy;
use super::remote_write::{STALE, Written};
use super::server::Server;

/// The endpoint at `url`, all else at its default.
pub fn endpoint(url: &str) -> Endpoint {
    Endpoint {
        url: url.to_owned(),
        ca_file: None,
        client_certificate: None,
        credentials: Credentials::None,
        headers: BTreeMap::new(),
        query_parameters: BTreeMap::new(),
        timeout: Duration::from_secs(10),
        queries_per_pass: 100.try_into().unwrap(),
        queries_in_flight: 4.try_into().unwrap(),
    }
}

pub fn definition(name: &str, answers: Answers, query: &str) -> Definition {
    Definition {
        name: name.into(),
        answers,
        endpoint: "main".into(),
        template: Template::parse(query).unwrap_or_else(|error| panic!("{query}: {error}")),
        step: Duration::ZERO,
        freshness: Some(Duration::from_secs(120)),
        missing: Missing::Fails,
    }
}

fn of_pods() -> Answers {
    Answers::Pods {
        pod_label: "pod".into(),
    }
}

fn resource(name: &str) -> Definition {
    let answers = Answers::Resource {
        pod_label: "pod".into(),
        container_label: "container".into(),
        namespace_label: "namespace".into(),
        window: DEFAULT_WINDOW,
    };
    definition(name, answers, &default_query(name, DEFAULT_WINDOW).unwrap())
}

pub fn prometheus(endpoint: Endpoint, metrics: Vec<Definition>, rules: Option<&str>) -> Prometheus {
    let rules = rules.map(|text| AdapterRules::parse("rules.yaml", text, &"main".into()).unwrap());
    let sources = Sources {
        prometheus: BTreeMap::from([("main".into(), endpoint)]),
        metrics: metrics.into_iter().map(Arc::new).collect(),
        adapter_rules: rules.map(Arc::new),
        ..Sources::default()
    };
    Prometheus::new(&sources, BreakerSettings::default(), 1).unwrap()
}

/// A metric as it stands in an HPA.
pub fn source(metric: serde_json::Value) -> MetricSource {
    let hpa = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"namespace": "n", "name": "h"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}, "maxReplicas": 5,
                 "metrics": [metric]},
    });
    let spec = Spec::from_manifest(&hpa, &Default::default()).unwrap();
    assert_eq!(spec.key, Key::new("n", "h"));
    spec.metrics[0].source.clone()
}

pub fn pods_metric(name: &str) -> MetricSource {
    let target = json!({"type": "AverageValue", "averageValue": "1"});
    source(json!({"type": "Pods", "pods": {"metric": {"name": name}, "target": target}}))
}

pub fn external(name: &str, labels: serde_json::Value) -> MetricSource {
    let metric = json!({"name": name, "selector": {"matchLabels": labels}});
    let target = json!({"type": "AverageValue", "averageValue": "1"});
    source(json!({"type": "External", "external": {"metric": metric, "target": target}}))
}

fn object(name: &str, kind: &str, of: &str) -> MetricSource {
    let described = json!({"apiVersion": "networking.k8s.io/v1", "kind": kind, "name": of});
    let target = json!({"type": "Value", "value": "1"});
    source(
        json!({"type": "Object", "object": {"describedObject": described, "metric": {"name": name}, "target": target}}),
    )
}

fn of_resource(name: &str) -> MetricSource {
    let target = json!({"type": "AverageValue", "averageValue": "1"});
    source(json!({"type": "Resource", "resource": {"name": name, "target": target}}))
}

fn of_container(name: &str, container: &str) -> MetricSource {
    let target = json!({"type": "AverageValue", "averageValue": "1"});
    source(
        json!({"type": "ContainerResource", "containerResource": {"name": name, "container": container, "target": target}}),
    )
}

fn pod(name: &str) -> Pod {
    let container = ContainerRequests {
        name: "app".into(),
        kind: ContainerKind::Main,
        requests: ResourceList::default(),
    };
    Pod {
        name: name.into(),
        phase: PodPhase::Running,
        terminating: false,
        ready: None,
        started: None,
        requests: Arc::new(PodRequests {
            containers: vec![container],
            ..PodRequests::default()
        }),
    }
}

/// The readings of one pass, in a few words each: thousandths by pod, what is unusable, or how it failed.
pub fn pass(prometheus: &Prometheus, asked: &[(&str, &MetricSource, &[&str])]) -> Vec<String> {
    let wanted = asked.iter().map(|(namespace, source, _)| Wanted {
        namespace: (*namespace).into(),
        source: (*source).clone(),
    });
    let pass = prometheus.pass(wanted.collect(), Timestamp::from_second(NOW).unwrap());
    let everything = Selector::everything();
    let readings = asked.iter().map(async |(namespace, source, pods)| {
        let pods: Vec<Pod> = pods.iter().map(|name| pod(name)).collect();
        pass.reading(&(*namespace).into(), source, &everything, &pods).await
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(join_all(readings)).iter().map(print).collect()
}

fn print(reading: &Option<Reading>) -> String {
    match reading {
        None => "nobody".into(),
        Some(Reading::Single(value)) => value.0.to_string(),
        Some(Reading::Several(values)) => {
            let mut values: Vec<i64> = values.iter().map(|value| value.0).collect();
            values.sort_unstable();
            values.iter().map(ToString::to_string).collect::<Vec<_>>().join("+")
        }
        Some(Reading::PerPod(samples)) => {
            let of_pods = samples.of_pods.iter();
            let mut texts: Vec<String> = of_pods
                .map(|sample| sample.map_or("-".into(), |sample| sample.value.0.to_string()))
                .collect();
            texts.extend(samples.unusable.iter().map(|(pod, why)| format!("{pod} {why:?}")));
            texts.join(" ")
        }
        Some(Reading::Failed(failure)) => format!("{:?}: {}", failure.kind, failure.message),
    }
}

/// A series with these values, 15 s apart; the last `ago` seconds before [`NOW`].
fn series(name: &str, labels: &[(&str, &str)], ago: i64, values: &[f64]) -> Written {
    let name = [("__name__", name)];
    let labels = name
        .iter()
        .chain(labels)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let steps = (0..values.len() as i64).rev();
    Written {
        labels: labels.collect(),
        samples: steps
            .zip(values)
            .map(|(step, value)| ((NOW - ago - step * 15) * 1000, *value))
            .collect(),
    }
}

/// A counter that grows by `each` a scrape, for five minutes.
fn counter(name: &str, labels: &[(&str, &str)], each: f64) -> Written {
    let values: Vec<f64> = (0..20).map(|i| f64::from(i) * each).collect();
    series(name, labels, 0, &values)
}

const QPS: &str = r#"sum by (pod) (rate(http_requests_total{namespace="$namespace",pod=~"$pods",$selector}[1m]))"#;

#[test]
fn all_five_types_of_metric_are_answered() {
    let server = Server::start();
    let container = |pod, container| [("namespace", "shop"), ("pod", pod), ("container", container)];
    server.write(&[
        counter("http_requests_total", &[("namespace", "shop"), ("pod", "a")], 150.0),
        counter("http_requests_total", &[("namespace", "shop"), ("pod", "b")], 7.5),
        counter("http_requests_total", &[("namespace", "shop"), ("pod", "z")], 30.0),
        series(
            "ingress_requests",
            &[("namespace", "shop"), ("ingress", "front")],
            5,
            &[-1.5],
        ),
        series("queue_depth", &[("namespace", "shop"), ("queue", "x")], 5, &[3.0]),
        series("queue_depth", &[("namespace", "shop"), ("queue", "y")], 5, &[4.25]),
        series("queue_depth", &[("namespace", "bank"), ("queue", "x")], 5, &[100.0]),
        counter("container_cpu_usage_seconds_total", &container("a", "app"), 3.75),
        counter("container_cpu_usage_seconds_total", &container("a", "log"), 1.5),
        counter("container_cpu_usage_seconds_total", &container("a", "POD"), 99.0),
        counter("container_cpu_usage_seconds_total", &container("a", ""), 99.0),
        counter("container_cpu_usage_seconds_total", &container("b", "log"), 1.5),
        series(
            "container_memory_working_set_bytes",
            &container("a", "app"),
            5,
            &[1048576.0],
        ),
    ]);
    let metrics = vec![
        definition("qps", of_pods(), QPS),
        definition(
            "hits",
            Answers::Object { kind: None },
            r#"ingress_requests{namespace="$namespace",ingress="$object"}"#,
        ),
        definition(
            "depth",
            Answers::External,
            r#"queue_depth{namespace="$namespace",$selector}"#,
        ),
        resource("cpu"),
        resource("memory"),
    ];
    let prometheus = prometheus(endpoint(server.url()), metrics, None);
    let pods: &[&str] = &["a", "b", "c"];
    let no = json!({});
    let readings = pass(
        &prometheus,
        &[
            ("shop", &pods_metric("qps"), pods),
            ("shop", &object("hits", "Ingress", "front"), pods),
            ("shop", &external("depth", no), pods),
            ("shop", &external("depth", json!({"queue": "y"})), pods),
            ("shop", &of_resource("cpu"), pods),
            ("shop", &of_container("cpu", "log"), pods),
            ("shop", &of_resource("memory"), pods),
            ("shop", &pods_metric("other"), pods),
        ],
    );
    // Pod b's container app has no cpu: a part of its usage is none.
    let expected = [
        "10000 500 -",
        "-1500",
        "3000+4250",
        "4250",
        "350 - -",
        "100 100 -",
        "1048576000 - -",
        "nobody",
    ];
    assert_eq!(readings, expected);
}

#[test]
fn what_is_no_value_says_why() {
    let server = Server::start();
    let gauge = |pod, instance, ago, value: f64| {
        let labels = [("namespace", "shop"), ("pod", pod), ("instance", instance)];
        series("load", &labels, ago, &[value])
    };
    server.write(&[
        gauge("good", "x", 5, 2.0),
        gauge("nan", "x", 5, f64::NAN),
        gauge("inf", "x", 5, f64::INFINITY),
        gauge("twice", "x", 5, 1.0),
        gauge("twice", "y", 5, 1.0),
        gauge("old", "x", 150, 1.0),
        gauge("ended", "x", 30, f64::from_bits(STALE)),
        gauge("negative", "x", 5, -0.5),
    ]);
    let metrics = vec![
        definition("load", of_pods(), r#"load{namespace="$namespace",pod=~"$pods"}"#),
        definition("one", Answers::External, r#"load{namespace="$namespace",pod="nan"}"#),
        definition("none", Answers::External, r#"load{namespace="$namespace",pod="old"}"#),
        definition(
            "several",
            Answers::Object { kind: None },
            r#"load{pod="twice",namespace="$namespace"}"#,
        ),
        definition("number", Answers::External, "vector(1) * scalar(vector(7))"),
    ];
    let prometheus = prometheus(endpoint(server.url()), metrics, None);
    let pods: &[&str] = &["good", "nan", "inf", "twice", "old", "ended", "negative", "none"];
    let readings = pass(
        &prometheus,
        &[
            ("shop", &pods_metric("load"), pods),
            ("shop", &external("one", json!({})), pods),
            ("shop", &external("none", json!({})), pods),
            ("shop", &object("several", "Ingress", "x"), pods),
            ("shop", &external("number", json!({})), pods),
            ("shop", &pods_metric("load"), &["nan"]),
        ],
    );
    assert_eq!(
        readings[0],
        "2000 - - - - - -500 - nan NotANumber inf Infinite twice Several"
    );
    for (i, start) in [(1, "NotFinite: "), (2, "Empty: "), (3, "Several: "), (5, "NotFinite: ")] {
        let start = format!("{start}unable to fetch metrics from Prometheus main: ");
        assert!(readings[i].starts_with(&start), "{}", readings[i]);
    }
    assert_eq!(readings[4], "7000");
}

#[test]
fn a_wrong_query_is_told_in_prometheus_own_words() {
    let server = Server::start();
    let wrong = r#"sum by (pod) (rate(http_requests_total{namespace="$namespace"}[1m]) by (x))"#;
    let range = r#"http_requests_total{namespace="$namespace"}[1m]"#;
    let metrics = [("wrong", wrong), ("range", range)].map(|(name, query)| Definition {
        freshness: None,
        ..definition(name, Answers::External, query)
    });
    let prometheus = prometheus(endpoint(server.url()), metrics.into(), None);
    let readings = pass(
        &prometheus,
        &[
            ("shop", &external("wrong", json!({})), &[]),
            ("shop", &external("range", json!({})), &[]),
        ],
    );
    let start = "BadQuery: unable to fetch metrics from Prometheus main: ";
    assert!(
        readings[0].starts_with(&format!("{start}bad_data: ")),
        "{}",
        readings[0]
    );
    assert!(readings[0].contains("parse error"), "{}", readings[0]);
    assert!(
        readings[1].starts_with(start) && readings[1].contains("range vector"),
        "{}",
        readings[1]
    );
}

#[test]
fn five_thousand_autoscalers_cost_a_few_queries_a_pass() {
    let server = Server::start();
    let namespaces: Vec<String> = (0..500).map(|i| format!("team-{i}-production")).collect();
    let pods: Vec<String> = (0..10).map(|i| format!("web-{i}")).collect();
    let mut written = Vec::new();
    for (i, namespace) in namespaces.iter().enumerate() {
        for (j, pod) in pods.iter().enumerate() {
            let labels = [("namespace", namespace.as_str()), ("pod", pod)];
            written.push(counter("http_requests_total", &labels, 15.0 * (i * 10 + j) as f64));
        }
    }
    server.write(&written);
    let proxy = Proxy::before(server.url());
    let prometheus = prometheus(endpoint(&proxy.url), vec![definition("qps", of_pods(), QPS)], None);
    // Ten autoscalers in each, of one pod each.
    let qps = pods_metric("qps");
    let own: Vec<[&str; 1]> = pods.iter().map(|pod| [pod.as_str()]).collect();
    let asked: Vec<(&str, &MetricSource, &[&str])> = namespaces
        .iter()
        .flat_map(|namespace| own.iter().map(|pod| (namespace.as_str(), &qps, &pod[..])))
        .collect();
    assert_eq!(asked.len(), 5000);
    let readings = pass(&prometheus, &asked);
    for (i, reading) in readings.iter().enumerate() {
        assert_eq!(*reading, (i * 1000).to_string());
    }
    let requests = proxy.requests();
    println!("{requests} requests");
    assert!((1..=10).contains(&requests), "{requests} requests");
    // Alone each is told the same.
    for i in [0, 4321] {
        assert_eq!(pass(&prometheus, &asked[i..=i]), readings[i..=i]);
    }
}

#[test]
fn one_namespace_with_doubles_does_not_fail_the_others() {
    let server = Server::start();
    let names: Vec<String> = (0..50).map(|i| format!("shop-{i}")).collect();
    let mut written = Vec::new();
    for name in &names {
        let labels = [("namespace", name.as_str()), ("pod", "a")];
        written.push(series("busy", &labels, 5, &[3.0]));
        written.push(series(
            "limit",
            &[&labels[..], &[("instance", "x")]].concat(),
            5,
            &[2.0],
        ));
    }
    let twice = [("namespace", "shop-13"), ("pod", "a"), ("instance", "y")];
    written.push(series("limit", &twice, 5, &[2.0]));
    server.write(&written);
    let query = r#"busy{namespace="$namespace"} / on (pod) limit{namespace="$namespace"}"#;
    let proxy = Proxy::before(server.url());
    let prometheus = prometheus(endpoint(&proxy.url), vec![definition("load", of_pods(), query)], None);
    let load = pods_metric("load");
    let asked: Vec<(&str, &MetricSource, &[&str])> =
        names.iter().map(|name| (name.as_str(), &load, &["a"][..])).collect();
    let first = pass(&prometheus, &asked);
    for (name, reading) in names.iter().zip(&first) {
        match name == "shop-13" {
            true => assert!(
                reading.contains("execution: ") && reading.contains("duplicate series"),
                "{reading}"
            ),
            false => assert_eq!(reading, "1500", "{name}"),
        }
    }
    let before = proxy.requests();
    assert!(before <= 15, "{before} requests");
    assert_eq!(pass(&prometheus, &asked), first);
    assert_eq!(proxy.requests() - before, 2);
}

#[test]
fn prometheus_adapters_rules_are_answered() {
    let server = Server::start();
    let labels = |pod| [("namespace", "shop"), ("pod", pod), ("kubernetes_namespace", "shop")];
    server.write(&[
        counter("http_requests_total", &labels("a"), 150.0),
        counter("http_requests_total", &labels("b"), 15.0),
        series(
            "queue_messages_ready",
            &[("namespace", "shop"), ("queue", "x")],
            5,
            &[12.0],
        ),
    ]);
    let rules = r#"
rules:
- seriesQuery: '{__name__=~"^http_.*_total$",namespace!="",pod!=""}'
  resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}}}
  name: {matches: "^(.*)_total$", as: "${1}_per_second"}
  metricsQuery: 'sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)'
externalRules:
- seriesQuery: '{__name__="queue_messages_ready",namespace!=""}'
  resources: {overrides: {namespace: {resource: namespace}}}
  metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>}) by (queue)'
"#;
    let proxy = Proxy::before(server.url());
    let prometheus = prometheus(endpoint(&proxy.url), Vec::new(), Some(rules));
    let (qps, depth) = (
        pods_metric("http_requests_per_second"),
        external("queue_messages_ready", json!({"queue": "x"})),
    );
    let (unknown, resource) = (pods_metric("unknown"), of_resource("cpu"));
    let asked: [(&str, &MetricSource, &[&str]); 4] = [
        ("shop", &qps, &["a", "b"]),
        ("shop", &depth, &[]),
        ("shop", &unknown, &["a"]),
        ("shop", &resource, &["a"]),
    ];
    // The listing looks at the last minutes before the pass.
    assert_eq!(pass(&prometheus, &asked), ["10000 1000", "12000", "nobody", "nobody"]);
    // One listing, and one query for each metric; then queries alone.
    let before = proxy.requests();
    assert!(before <= 4, "{before} requests");
    pass(&prometheus, &asked);
    assert_eq!(proxy.requests() - before, 2);
}

#[test]
fn a_step_is_asked_once() {
    let server = Server::start();
    server.write(&[series("depth", &[("namespace", "shop")], 5, &[3.0])]);
    let proxy = Proxy::before(server.url());
    let step = Duration::from_secs(60);
    let definition = Definition {
        step,
        ..definition("depth", Answers::External, r#"depth{namespace="$namespace"}"#)
    };
    let prometheus = prometheus(endpoint(&proxy.url), vec![definition], None);
    let now = Timestamp::from_second(NOW - NOW % 60).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let depth = external("depth", json!({}));
    for (seconds, requests) in [(0, 1), (15, 1), (59, 1), (60, 2)] {
        let wanted = Wanted {
            namespace: "shop".into(),
            source: depth.clone(),
        };
        let pass = prometheus.pass(vec![wanted], now + SignedDuration::from_secs(seconds));
        let everything = Selector::everything();
        let shop = "shop".into();
        let reading = runtime.block_on(pass.reading(&shop, &depth, &everything, &[]));
        println!("{}", print(&reading));
        assert_eq!(proxy.requests(), requests, "after {seconds} s");
    }
}
