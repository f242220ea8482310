//! All five types of metrics, from every source that can give them.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};

use crate::harness::{
    Autoscaler, Cluster, Controller, Load, Namespace, Record, Service, Way, Workload, seconds, trimtab, utilization,
    wait_until,
};
use crate::scaling::HOLD;

/// A workload of its own for one type of metric, and the count that it comes to rest at.
struct Case {
    name: &'static str,
    metric: Value,
    count: i32,
    record: Record,
    hpa: Autoscaler,
    workload: Workload,
}

impl Case {
    async fn new(namespace: &Namespace, name: &'static str, metric: Value, count: i32) -> Case {
        let workload = Workload::deployment(namespace, name, 2);
        let hpa = Autoscaler::of(
            &workload,
            name,
            json!({
                "minReplicas": 1, "maxReplicas": 10, "metrics": [metric],
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
            }),
        );
        let record = Record::of(&workload).await;
        Case {
            name,
            metric,
            count,
            record,
            hpa,
            workload,
        }
    }

    async fn rests(&self) {
        self.record.settles(self.count, HOLD, seconds(120)).await;
        let current = self.hpa.status().await.current_metrics.unwrap_or_default();
        let types: Vec<&str> = current.iter().map(|metric| metric.type_.as_str()).collect();
        assert_eq!(
            types,
            [self.metric["type"].as_str().unwrap_or_default()],
            "{}",
            self.name
        );
    }
}

fn container_cpu(percent: i32) -> Value {
    json!({"type": "ContainerResource", "containerResource": {
        "name": "cpu", "container": "app", "target": {"type": "Utilization", "averageUtilization": percent},
    }})
}

fn average(quantity: &str) -> Value {
    json!({"type": "AverageValue", "averageValue": quantity})
}

#[tokio::test(flavor = "multi_thread")]
async fn all_five_from_the_metric_apis() {
    let namespace = Cluster::main().await.namespace("five-types").await;
    let verb = json!({"matchLabels": {"verb": "GET"}});
    let pods = json!({"metric": {"name": "qps", "selector": verb}, "target": average("20")});
    let object = json!({
        "metric": {"name": "depth"}, "target": average("1"),
        "describedObject": {"apiVersion": "v1", "kind": "Service", "name": "front"},
    });
    let external = json!({
        "metric": {"name": "my-external-metric", "selector": {"matchLabels": {"foo": "bar"}}}, "target": average("10"),
    });
    let cases = join_all([
        Case::new(&namespace, "cpu", utilization("cpu", 50), 6),
        Case::new(&namespace, "container", container_cpu(50), 7),
        Case::new(&namespace, "pods", json!({"type": "Pods", "pods": pods}), 3),
        Case::new(&namespace, "object", json!({"type": "Object", "object": object}), 4),
        Case::new(
            &namespace,
            "external",
            json!({"type": "External", "external": external}),
            5,
        ),
    ])
    .await;
    let _loads = [(&cases[0], 590), (&cases[1], 690)].map(|(case, cpu)| Load::on(&case.workload, cpu, 100));
    for pod in pods_of(&namespace, "pods", 2).await {
        // A third pod has no sample, and counts as idle.
        namespace.set_sample(&format!("pods/{pod}"), "qps", "30", "verb=GET");
    }
    namespace.set_sample("services/front", "depth", "3500m", "");
    let _controller = Controller::on(&namespace, &[]);
    join_all(cases.iter().map(Case::rests)).await;

    namespace.set_sample("services/front", "depth", "-5", "");
    let object = &cases[3];
    object.record.settles(1, HOLD, seconds(60)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_five_from_prometheus_by_each_way() {
    let namespace = Cluster::reference().await.namespace("five-types").await;
    let service = |name: &str| json!({"apiVersion": "v1", "kind": "Service", "name": name});
    let qps = json!({"name": "qps", "selector": {"matchLabels": {"verb": "GET"}}});
    let pods = json!({"metric": qps, "target": average("20")});
    // So that one pod less is not at rest too where a busy machine serves somewhat less than it is asked for.
    let object = json!({"metric": qps, "target": average("14200m"), "describedObject": service("pods")});
    let external = json!({
        "metric": {"name": "requests_per_second", "selector": {"matchLabels": {"service": "pods"}}}, "target": average("11200m"),
    });
    let cases = join_all([
        Case::new(&namespace, "cpu", utilization("cpu", 50), 6),
        Case::new(&namespace, "container", container_cpu(50), 7),
        Case::new(&namespace, "pods", json!({"type": "Pods", "pods": pods}), 3),
        Case::new(&namespace, "object", json!({"type": "Object", "object": object}), 4),
        Case::new(
            &namespace,
            "external",
            json!({"type": "External", "external": external}),
            5,
        ),
    ])
    .await;
    let _loads = [(&cases[0], 590), (&cases[1], 690)].map(|(case, cpu)| Load::on(&case.workload, cpu, 100));
    let service = Service::of(&cases[2].workload).await;
    // 54 requests a second, a little less than 5 for each.
    service.clients(11);
    // Kubernetes' own autoscaler and the adapter lead to these counts.
    join_all(cases.iter().map(Case::rests)).await;
    for way in Way::ALL {
        let mut arguments = vec![
            "once".to_owned(),
            "--output=json".into(),
            format!("--namespace={}", namespace.name),
        ];
        arguments.extend(namespace.flags(way));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        // A pod that came last may have one scrape only, and a rate takes two; and a busy machine may serve less for a while.
        wait_until(&format!("{way:?} comes to the same counts"), seconds(120), async || {
            let lines = trimtab(&namespace.cluster, &arguments);
            let found = lines
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
            let wanted: BTreeMap<String, i64> = found
                .filter_map(|line| Some((line["name"].as_str()?.to_owned(), line["desiredReplicas"].as_i64()?)))
                .collect();
            let same = cases
                .iter()
                .all(|case| wanted.get(case.name) == Some(&i64::from(case.count)));
            if same { Ok(()) } else { Err(lines) }
        })
        .await;
    }
}

/// The names of a workload's pods, when there are as many.
async fn pods_of(namespace: &Namespace, app: &str, count: usize) -> Vec<String> {
    let api: Api<Pod> = namespace.api();
    let own = ListParams::default().labels(&format!("app={app}"));
    wait_until("its pods are there", seconds(30), async || {
        let found = api.list(&own).await.map_err(|error| error.to_string())?;
        let names: Vec<String> = found.items.into_iter().filter_map(|pod| pod.metadata.name).collect();
        if names.len() == count {
            Ok(names)
        } else {
            Err(format!("{names:?}"))
        }
    })
    .await
}
