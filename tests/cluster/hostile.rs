//! The largest and the oddest objects that a real API server lets through: each is decided, or it is said why not, and nobody
//! else is held up. What the API server refuses by itself is shown beside it.

use futures_util::{StreamExt, stream};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Map, Value, json};

use crate::harness::{
    Autoscaler, Cluster, Controller, Load, Namespace, Record, Workload, gadget_definition, seconds, utilization,
    wait_until,
};
use crate::scaling::HOLD;

/// The longest name of an object, and the longest value (and name, without a prefix) of a label.
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// The most bytes of all annotations of an object together.
const ANNOTATIONS: usize = 256 * 1024;

/// Pods that a selector picks which matches everything. They are on no node, so that only the API server has work with them.
const MANY_PODS: usize = 1000;

/// More than any object holds that etcd takes (1.5 MiB).
const TOO_MANY_METRICS: usize = 40_000;

/// The longest line of a log, whatever an autoscaler has: its names, and some messages of a kilobyte.
const LONGEST_LINE: usize = 16 * 1024;

/// A label's longest name with its longest prefix, another one for each number.
fn long_label(number: usize) -> (String, String) {
    let part = |letter: &str, length: usize| letter.repeat(length);
    // A prefix is a DNS subdomain: 63 characters each between the dots.
    let prefix = [part("p", 63), part("q", 63), part("r", 63), part("s", 61)].join(".");
    let name = format!("{}{number:02}", part("n", LONGEST_LABEL - 2));
    (
        format!("{prefix}/{name}"),
        format!("{}{number:02}", part("v", LONGEST_LABEL - 2)),
    )
}

fn long_labels(count: usize) -> Map<String, Value> {
    (0..count)
        .map(long_label)
        .map(|(name, value)| (name, value.into()))
        .collect()
}

/// Annotations that fill what is allowed, but for so many bytes.
fn annotations(but: usize) -> Value {
    let name = "trimtab.test/much";
    json!({ name: "x".repeat(ANNOTATIONS - name.len() - but) })
}

/// Metrics that all can be answered: the CPU of the one container, so many times.
fn metrics(count: usize) -> Vec<Value> {
    let metric = json!({"type": "ContainerResource", "containerResource": {
        "name": "cpu", "container": "app", "target": {"type": "AverageValue", "averageValue": "100m"},
    }});
    vec![metric; count]
}

/// As POST: `kubectl apply` would keep a copy in an annotation, which is too long for these.
async fn create(
    namespace: &Namespace,
    name: &str,
    workload: &Workload,
    mut spec: Value,
    more: Value,
) -> kube::Result<()> {
    spec["scaleTargetRef"] = workload.reference();
    let mut metadata = more;
    metadata["name"] = name.into();
    let object = json!({"metadata": metadata, "spec": spec});
    let object: HorizontalPodAutoscaler = serde_json::from_value(object).expect("an autoscaler");
    let api = namespace.api::<HorizontalPodAutoscaler>();
    api.create(&PostParams::default(), &object).await.map(drop)
}

fn refusal(outcome: kube::Result<()>) -> Option<(u16, String)> {
    match outcome {
        Ok(()) => None,
        Err(kube::Error::Api(status)) => Some((status.code, status.message.clone())),
        Err(error) => panic!("no answer: {error}"),
    }
}

fn spec_with(metrics: Vec<Value>) -> Value {
    json!({"minReplicas": 1, "maxReplicas": 4, "metrics": metrics})
}

/// An autoscaler with as many metrics as the API server takes, in steps of a tenth; gives how many.
async fn with_most_metrics(namespace: &Namespace, name: &str, workload: &Workload) -> usize {
    let mut count = TOO_MANY_METRICS;
    loop {
        let refused = refusal(create(namespace, name, workload, spec_with(metrics(count)), json!({})).await);
        match refused {
            None => return count,
            // Etcd's limit, or that of a request's body.
            Some((code, said)) => assert!(
                said.contains("too large") || said.contains("exceeds"),
                "{count} metrics: {code} {said}"
            ),
        }
        count = count * 9 / 10;
    }
}

/// A Deployment whose selector, names, labels and annotations are as large as they may be. Its ReplicaSet needs 11 characters more.
fn large_deployment(namespace: &Namespace, name: &str) -> Workload {
    let mut labels = long_labels(20);
    labels.insert("app".to_owned(), name[..LONGEST_LABEL].into());
    // What Kubernetes and the test add to a pod's annotations needs some room.
    let mut annotations = annotations(8 * 1024);
    annotations["trimtab.dev/cpu"] = "190m".into();
    annotations["trimtab.dev/memory"] = "1Mi".into();
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels, "annotations": annotations},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [
                {"name": "app", "image": "app", "resources": {"requests": {"cpu": "200m"}}},
            ]},
        }},
    });
    let path = namespace.folder().join("large.json");
    std::fs::write(&path, deployment.to_string()).expect("write a manifest");
    namespace.kubectl(&["create", "--filename", path.to_str().expect("test paths are text")]);
    Workload::known_deployment(namespace, name)
}

/// Pods that are on no node, and that a selector matches which names nothing that they have.
async fn many_pods(namespace: &Namespace) {
    let pods = namespace.api::<Pod>();
    let created = stream::iter(0..MANY_PODS).map(|number| {
        let pods = pods.clone();
        async move {
            let pod = json!({
                "metadata": {"name": format!("pod-{number}"), "labels": {"number": number.to_string()}},
                "spec": {"schedulerName": "nobody", "containers": [
                    {"name": "app", "image": "app", "resources": {"requests": {"cpu": "200m"}}},
                ]},
            });
            let pod: Pod = serde_json::from_value(pod).expect("a pod");
            pods.create(&PostParams::default(), &pod).await.expect("create a pod");
        }
    });
    created.buffer_unordered(8).collect::<Vec<()>>().await;
}

/// A custom resource that says that every pod of the namespace is its own.
async fn owner_of_all(namespace: &Namespace, name: &str) -> Workload {
    namespace.apply(&json!({
        "apiVersion": "trimtab.test/v1", "kind": "Gadget", "metadata": {"name": name}, "spec": {"replicas": 2},
    }));
    let gadget = Workload::known_gadget(namespace, name);
    let status = Patch::Merge(json!({"status": {"replicas": 2, "selector": "!nobody,number notin (none)"}}));
    let api: Api<DynamicObject> = gadget.api();
    api.patch_status(name, &PatchParams::default(), &status)
        .await
        .expect("tell the gadget's status");
    gadget
}

fn hpa(namespace: &Namespace, name: &str) -> Autoscaler {
    Autoscaler {
        namespace: namespace.clone(),
        name: name.to_owned(),
    }
}

/// Waits until this is said of an autoscaler, in its condition ScalingActive or in an Event.
async fn is_told(hpa: &Autoscaler, wanted: &str) {
    let name: String = hpa.name.chars().take(20).collect();
    wait_until(&format!("{name} says {wanted}"), seconds(300), async || {
        let active = hpa.condition("ScalingActive").await;
        let events = hpa.events().await.into_iter();
        let told: Vec<String> = events.map(|event| format!("{}: {}", event.1, event.2)).collect();
        let told = format!("ScalingActive {active:?}, {told:?}");
        match told.contains(wanted) {
            true => Ok(()),
            false => Err(told.chars().take(2000).collect::<String>()),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a core for two minutes, which the tests beside it would miss: `tests/run --extended hostile`"]
async fn what_the_api_server_lets_through_is_decided_or_told_and_holds_nobody_up() {
    let cluster = Cluster::main().await;
    let (hostile, full) = (
        cluster.namespace("hostile").await,
        cluster.namespace("hostile-full").await,
    );
    let ordinary = cluster.namespace("hostile-beside").await;
    hostile.apply(&gadget_definition());
    let established = [
        "wait",
        "--for=condition=Established",
        "crd/gadgets.trimtab.test",
        "--timeout=20s",
    ];
    hostile.kubectl(&established);

    let web = Workload::deployment(&ordinary, "web", 2);
    Autoscaler::of(
        &web,
        "web",
        json!({"minReplicas": 1, "maxReplicas": 8, "metrics": [utilization("cpu", 50)],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}}),
    );
    let load = Load::on(&web, 190, 100);
    let record = Record::of(&web).await;

    // Names, labels and annotations of the largest size; 200m of a pod where 100m are wanted.
    let (most, thousand) = (
        Workload::deployment(&hostile, "most", 1),
        Workload::deployment(&hostile, "thousand", 1),
    );
    let _loads = [Load::on(&most, 190, 100), Load::on(&thousand, 190, 100)];
    let large = large_deployment(&hostile, &"d".repeat(LONGEST_NAME - 11));
    let longest = "a".repeat(LONGEST_NAME);
    let values: Vec<String> = (0..1000).map(|number| long_label(number % 100).1).collect();
    let of_much = json!({"labels": long_labels(50), "annotations": annotations(0)});
    let spec = json!({"minReplicas": 1, "maxReplicas": 4, "metrics": [utilization("cpu", 50), {"type": "External", "external": {
        "metric": {"name": "my-external-metric", "selector": {"matchLabels": long_labels(20), "matchExpressions": [
            {"key": "foo", "operator": "NotIn", "values": values}]}},
        "target": {"type": "AverageValue", "averageValue": "100"}}}]});
    create(&hostile, &longest, &large, spec, of_much)
        .await
        .expect("the largest names");
    create(&hostile, "thousand", &thousand, spec_with(metrics(1000)), json!({}))
        .await
        .expect("a thousand metrics");
    let count = with_most_metrics(&hostile, "most", &most).await;
    eprintln!("the API server takes {count} metrics");
    assert!(count >= 1000, "the API server takes {count} metrics");

    // A selector that matches everything, which is what other autoscalers select, too.
    many_pods(&full).await;
    let everything = owner_of_all(&full, "everything").await;
    let inside = Workload::deployment(&full, "inside", 1);
    let _inside = Load::on(&inside, 90, 100);
    for (name, target) in [("everything", &everything), ("inside", &inside)] {
        create(&full, name, target, spec_with(vec![utilization("cpu", 50)]), json!({}))
            .await
            .expect("an ordinary autoscaler");
    }

    let namespaces = [&hostile, &full, &ordinary].map(|namespace| namespace.name.as_str());
    let controller = Controller::start(
        &ordinary,
        &cluster.kubeconfig(),
        &["--namespace", &namespaces.join(","), "--leader-elect=false"],
    );
    // Who is beside them has more to do from the start.
    load.cpu(490);
    // A thousand metrics are decided; so are the largest names and labels, of which one metric has no series.
    is_told(&hpa(&hostile, "thousand"), "True/ValidMetricFound").await;
    is_scaled(&thousand).await;
    let status = hpa(&hostile, "thousand").status().await;
    assert_eq!(status.current_metrics.unwrap_or_default().len(), 1000);
    is_told(&hpa(&hostile, &longest), "FailedGetExternalMetric").await;
    // Of the most metrics, the status does not fit into the object beside them: the log says so (an Event may be one too many
    // after those of twenty thousand metrics), and the count is written.
    let unwritten = format!("Status not written hpa={}/most ", hostile.name);
    wait_until(
        "the log says that a status is too large",
        seconds(300),
        async || match controller.log().contains(&unwritten) {
            true => Ok(()),
            false => Err("it does not"),
        },
    )
    .await;
    is_scaled(&most).await;
    for name in ["everything", "inside"] {
        is_told(&hpa(&full, name), "False/AmbiguousSelector").await;
    }
    record.settles(5, HOLD, seconds(240)).await;
    // It takes a core of two: enough of it.
    hostile.kubectl(&["delete", "hpa", "most"]);
    load.cpu(290);
    record.settles(3, HOLD, seconds(240)).await;

    let log = controller.log();
    let decided = |namespace: &Namespace, name: &str| {
        let decided = format!(" Decided hpa={}/{name} ", namespace.name);
        log.lines().filter(|line| line.contains(&decided)).count()
    };
    let (of_most, of_web) = (decided(&hostile, "most"), decided(&ordinary, "web"));
    assert!(
        of_web > of_most,
        "the largest was decided {of_most} times, and the ordinary one {of_web} times"
    );
    eprintln!("{of_most} decisions for the largest, {of_web} for the ordinary one");
    let longest_line = log.lines().map(str::len).max().unwrap_or_default();
    assert!(
        longest_line <= LONGEST_LINE,
        "a line of the log has {longest_line} bytes"
    );
}

/// Its one pod uses twice what is wanted of each.
async fn is_scaled(workload: &Workload) {
    wait_until(
        &format!("{} is scaled", workload.name),
        seconds(240),
        async || match workload.replicas().await {
            2 => Ok(()),
            count => Err(count),
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_itself_refuses_what_is_larger() {
    let namespace = Cluster::main().await.namespace("refused").await;
    let web = Workload::deployment(&namespace, "web", 1);
    let spec = || spec_with(vec![utilization("cpu", 50)]);
    let labelled = |name: &str, value: &str| json!({"labels": {name: value}});
    let (label, value) = long_label(0);
    let with_selector = |operator: &str| {
        spec_with(vec![json!({"type": "External", "external": {
            "metric": {"name": "depth", "selector": {"matchExpressions": [{"key": "a", "operator": operator}]}},
            "target": {"type": "Value", "value": "1"},
        }})])
    };
    let long = |length: usize| "a".repeat(length);
    for (what, name, spec, metadata) in [
        ("a name", long(LONGEST_NAME + 1), spec(), json!({})),
        (
            "a label's value",
            long(5),
            spec(),
            labelled(&label, &format!("{value}v")),
        ),
        (
            "a label's name",
            long(5),
            spec(),
            labelled(&format!("{label}n"), &value),
        ),
        (
            "annotations",
            long(5),
            spec(),
            json!({"annotations": {"trimtab.test/x": "x".repeat(ANNOTATIONS)}}),
        ),
        (
            "no name of a metric",
            long(5),
            spec_with(vec![json!({"type": "Pods"})]),
            json!({}),
        ),
    ] {
        let (code, said) = refusal(create(&namespace, &name, &web, spec, metadata).await).expect(what);
        assert_eq!(code, 422, "{what}: {said}");
    }
    // What it does not look at: the operator of a metric's selector.
    let odd = refusal(create(&namespace, "odd", &web, with_selector("Unlike"), json!({})).await);
    assert_eq!(odd, None);
}
