//! The pod store keeps its budget of bytes a pod. One test in a process of its own, since it measures the process.
#![cfg(target_os = "linux")]

use serde_json::json;
use trimtab::cluster::pods::{PodRelist, PodStore, SlimPod};

const PODS: usize = 50_000;

/// Deployments of 50 pods each; their names, as Kubernetes makes them, and start times are each pod's own.
fn deployment_pod(n: usize) -> SlimPod {
    let workload = n / 50;
    let namespace = workload % 20;
    let name = format!("workload-{workload}-5d4f8c7b9{}-{:05x}", workload % 10, n);
    pod(
        namespace,
        &name,
        n,
        json!({
            "app.kubernetes.io/name": format!("workload-{workload}"),
            "app.kubernetes.io/instance": format!("release-{}", workload % 200),
            "app.kubernetes.io/managed-by": "Helm",
            "pod-template-hash": format!("5d4f8c7b9{}", workload % 10),
            "team": format!("team-{}", workload % 30),
        }),
    )
}

/// StatefulSets: two labels of five are each pod's own.
fn stateful_pod(n: usize) -> SlimPod {
    let workload = n / 50;
    let namespace = workload % 20;
    let name = format!("database-{workload}-{}", n % 50);
    pod(
        namespace,
        &name,
        n,
        json!({
            "app.kubernetes.io/name": format!("database-{workload}"),
            "apps.kubernetes.io/pod-index": (n % 50).to_string(),
            "controller-revision-hash": format!("database-{workload}-6f5d7c"),
            "statefulset.kubernetes.io/pod-name": name,
            "team": format!("team-{}", workload % 30),
        }),
    )
}

fn pod(namespace: usize, name: &str, n: usize, labels: serde_json::Value) -> SlimPod {
    let container = |name: &str, cpu: usize| json!({"name": name, "resources": {"requests": {"cpu": format!("{cpu}m"), "memory": "256Mi"}}});
    let pod = json!({
        "metadata": {"namespace": format!("namespace-{namespace}"), "name": name, "labels": labels, "resourceVersion": "123456789"},
        "spec": {"containers": [container("app", 100 * (1 + n / 50 % 12)), container("proxy", 50)]},
        "status": {"phase": "Running", "startTime": format!("2026-01-05T08:{:02}:{:02}Z", n / 60 % 60, n % 60), "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": format!("2026-01-05T09:{:02}:{:02}Z", n / 60 % 60, n % 60)}]},
    });
    serde_json::from_str(&pod.to_string()).expect("a pod")
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("Linux has it");
    let kilobytes: usize = line
        .split_whitespace()
        .nth(1)
        .expect("a number")
        .parse()
        .expect("a number");
    kilobytes * 1024
}

/// Bytes a pod of a store that was filled by a list.
fn measure(kind: &str, make: fn(usize) -> SlimPod) -> usize {
    let before = resident_bytes();
    let (store, mut relist) = (PodStore::default(), PodRelist::default());
    (0..PODS).for_each(|n| relist.add(make(n)));
    store.replace(None, relist);
    let bytes = resident_bytes().saturating_sub(before) / PODS;
    println!("{kind}: {bytes} bytes a pod");
    assert_eq!(store.len(), PODS);
    // Kept, so that the next measurement does not find its memory free.
    std::mem::forget(store);
    bytes
}

#[test]
fn a_pod_takes_at_most_400_bytes() {
    assert!(measure("Deployments", deployment_pod) <= 400);
    assert!(measure("StatefulSets", stateful_pod) <= 400);
}
