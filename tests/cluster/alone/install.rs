//! What `kubectl apply -k manifests` installs: enough for the controller, and not more.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{
    Alone, Autoscaler, Cluster, Controller, Load, Record, Request, Workload, client, gadget_definition, kustomization,
    seconds, utilization, wait_until,
};

#[tokio::test(flavor = "multi_thread")]
async fn no_right_of_the_manifests_is_missing_and_none_is_unused() {
    // Without streamed lists, so that `list` is asked for as well as `watch`.
    let cluster = Alone::with_api_server_flags("install", "--feature-gates=WatchList=false", &["sample-metrics"]).await;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests");
    cluster.kubectl(&["apply", "--kustomize", folder]);
    rolled_out(&cluster);
    with_a_configuration(&cluster);

    let namespace = cluster.namespace("install").await;
    namespace.apply(&gadget_definition());
    namespace.kubectl(&[
        "wait",
        "--for=condition=Established",
        "crd/gadgets.trimtab.test",
        "--timeout=20s",
    ]);
    let kubeconfig = cluster.account_kubeconfig("trimtab", "trimtab", &namespace.folder().join("trimtab.kubeconfig"));
    are_queued_as_workload_high(&cluster, &kubeconfig).await;
    let spec = json!({"minReplicas": 2, "maxReplicas": 10, "metrics": [utilization("cpu", 50)]});
    let web = Workload::deployment(&namespace, "web", 2);
    Autoscaler::of(&web, "web", spec.clone());
    let _load = Load::on(&web, 390, 100);
    let (gadget, _gadgets_controller) = Workload::gadget(&namespace, "gadget", 1);
    Autoscaler::of(&gadget, "gadget", spec.clone());
    // Its metric fails again and again, with the same words: that is what an Event's count is raised for.
    let poor = Workload::deployment_with(&namespace, "poor", 2, json!({}));
    let failing = Autoscaler::of(&poor, "poor", spec.clone());
    // ReplicaSets and ReplicationControllers are watched only where they are targets.
    for kind in ["ReplicaSet", "ReplicationController"] {
        let name = kind.to_lowercase();
        Autoscaler::of(&Workload::still(&namespace, kind, &name, 2), &name, spec.clone());
    }
    // A Pods and an External metric, besides CPU: each API is asked.
    let busy = Workload::deployment(&namespace, "busy", 2);
    let average = json!({"type": "AverageValue", "averageValue": "10"});
    Autoscaler::of(
        &busy,
        "busy",
        json!({"minReplicas": 2, "maxReplicas": 10, "metrics": [
            {"type": "Pods", "pods": {"metric": {"name": "qps"}, "target": average}},
            {"type": "External", "external": {"metric": {"name": "other-external-metric"}, "target": average}},
        ]}),
    );
    let record = Record::of(&web).await;

    let place = "--leader-elect-resource-namespace=trimtab";
    let controller = Controller::start(&namespace, &kubeconfig, &[place]);
    record.settles(4, seconds(5), seconds(120)).await;
    failing.tells("Warning", "FailedGetResourceMetric", seconds(30)).await;
    wait_until(
        "the Lease is renewed and the Events are counted",
        seconds(60),
        async || {
            let unused = compare(&cluster).1;
            if unused.is_empty() {
                Ok(())
            } else {
                Err(format!("not asked for: {unused:?}"))
            }
        },
    )
    .await;
    let (status, _) = controller.terminate();
    assert!(status.success(), "{status}");
    let (missing, unused) = compare(&cluster);
    assert!(
        missing.is_empty() && unused.is_empty(),
        "missing: {missing:?}\nunused: {unused:?}"
    );
}

fn rolled_out(cluster: &Cluster) {
    let status = ["rollout", "status", "deployment/trimtab", "--timeout=30s"];
    cluster.kubectl(&[&["--namespace=trimtab"][..], &status].concat());
}

/// The component that mounts a configuration file: what the Deployment names is there, and the Deployment is rolled out.
fn with_a_configuration(cluster: &Cluster) {
    let folder = "tests/cluster/configured";
    let objects = kustomization(cluster, folder);
    let of_kind = |kind: &str| {
        objects
            .iter()
            .find(|object| object["kind"] == kind)
            .expect("one of each kind")
    };
    let (map, pod) = (of_kind("ConfigMap"), &of_kind("Deployment")["spec"]["template"]["spec"]);
    let container = &pod["containers"][0];
    assert_eq!(pod["volumes"][0]["configMap"]["name"], map["metadata"]["name"]);
    assert_eq!(container["env"][0]["name"], "TRIMTAB_CONFIG");
    let path = container["env"][0]["value"].as_str().expect("a path");
    let (mount, file) = path.rsplit_once('/').expect("an absolute path");
    assert_eq!(container["volumeMounts"][0]["mountPath"], mount);
    assert!(map["data"][file].is_string(), "{map}");
    let folder = format!("{}/{folder}", env!("CARGO_MANIFEST_DIR"));
    cluster.kubectl(&["apply", "--kustomize", &folder]);
    rolled_out(cluster);
}

/// What was asked for and refused, and what is granted and was not asked for.
fn compare(cluster: &Cluster) -> (Vec<Request>, Vec<String>) {
    let requests: BTreeSet<Request> = cluster.requests_of("trimtab", "trimtab").into_iter().collect();
    let mut unused = Vec::new();
    for role in kustomization(cluster, "manifests") {
        for rule in role["rules"].as_array().into_iter().flatten() {
            for grant in grants(rule) {
                if !requests.iter().any(|request| grant.covers(request)) {
                    unused.push(format!("{grant:?}"));
                }
            }
        }
    }
    (
        requests.into_iter().filter(|request| !request.allowed).collect(),
        unused,
    )
}

/// One verb on one resource, of the many that a rule may hold.
#[derive(Debug)]
struct Grant {
    verb: String,
    group: String,
    resource: String,
    name: Option<String>,
}

fn grants(rule: &Value) -> Vec<Grant> {
    let words = |key: &str| -> Vec<String> {
        let list = rule[key].as_array().into_iter().flatten();
        list.map(|word| word.as_str().expect("a word").to_owned()).collect()
    };
    let names = match words("resourceNames") {
        names if names.is_empty() => vec![None],
        names => names.into_iter().map(Some).collect(),
    };
    let mut all = Vec::new();
    for group in words("apiGroups") {
        for resource in words("resources") {
            for verb in words("verbs") {
                assert_ne!(verb, "*", "a verb of everything");
                all.extend(names.iter().map(|name| Grant {
                    verb: verb.clone(),
                    group: group.clone(),
                    resource: resource.clone(),
                    name: name.clone(),
                }));
            }
        }
    }
    all
}

impl Grant {
    fn covers(&self, request: &Request) -> bool {
        let resource = match self.resource.strip_prefix("*/") {
            Some(subresource) => request
                .resource
                .split_once('/')
                .is_some_and(|(_, found)| found == subresource),
            None => self.resource == "*" || self.resource == request.resource,
        };
        let name = self.name.as_ref().is_none_or(|name| *name == request.name);
        self.verb == request.verb && (self.group == "*" || self.group == request.group) && resource && name
    }
}

/// The manifests' FlowSchema puts the requests of this kubeconfig's account into workload-high.
async fn are_queued_as_workload_high(cluster: &Cluster, kubeconfig: &Path) {
    let schema: Value =
        serde_json::from_str(&cluster.kubectl(&["get", "flowschema", "trimtab", "--output=json"])).expect("JSON");
    assert_eq!(schema["spec"]["priorityLevelConfiguration"]["name"], "workload-high");
    let client = client(kubeconfig).await;
    wait_until("the API server uses the FlowSchema", seconds(30), async || {
        let request = http::Request::get("/version")
            .body(kube::client::Body::empty())
            .expect("a request");
        let answer = client.send(request).await.map_err(|error| error.to_string())?;
        let used = answer
            .headers()
            .get("x-kubernetes-pf-flowschema-uid")
            .and_then(|uid| uid.to_str().ok());
        if used == schema["metadata"]["uid"].as_str() {
            Ok(())
        } else {
            Err(format!("{} by {used:?}", answer.status()))
        }
    })
    .await;
}
