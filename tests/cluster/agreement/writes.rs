//! Writes of which nothing comes, deletions of many at once, and strategies of Deployments.

use super::*;

pub(super) fn requests() -> Vec<Ask> {
    let mut all = dry_runs();
    all.extend(strategies());
    all.extend(deletions());
    all
}

const MAPS: &str = "/api/v1/namespaces/NS/configmaps";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/NS/deployments";

fn map(name: &str, group: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "labels": { "group": group } },
        "data": { "a": "1" } })
}

fn deployment(name: &str, strategy: Value) -> Value {
    json!({ "metadata": { "name": name }, "spec": { "replicas": 0, "strategy": strategy,
        "selector": { "matchLabels": { "app": name } }, "template": { "metadata": { "labels": { "app": name } },
            "spec": { "containers": [{ "name": "main", "image": "x" }] } } } })
}

fn dry_runs() -> Vec<Ask> {
    use Method as M;
    let hpas = "/apis/autoscaling/v2/namespaces/NS/horizontalpodautoscalers";
    let autoscaler = |max: i64| {
        json!({ "metadata": { "name": "dry" }, "spec": { "maxReplicas": max,
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" } } })
    };
    let kept = &format!("{MAPS}/kept");
    let dry = |path: &str| format!("{path}?dryRun=All");
    let applied = |path: &str| format!("{path}?dryRun=All&fieldManager=one");
    let two = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "kept" }, "data": { "b": "2" } });
    let web = &format!("{DEPLOYMENTS}/dry-web");
    let scale = &format!("{web}/scale");
    let replicas = |count: i64| json!({ "spec": { "replicas": count } });
    vec![
        ask(M::POST, &dry(MAPS), JSON, map("dry", "one")),
        get(&format!("{MAPS}/dry")),
        ask(M::POST, &format!("{MAPS}?dryRun=Some"), JSON, map("dry", "one")),
        ask(M::POST, &dry(MAPS), JSON, json!({ "metadata": { "name": "D" } })),
        ask(M::POST, MAPS, JSON, map("kept", "kept")),
        ask(M::POST, &dry(MAPS), JSON, map("kept", "kept")),
        ask(M::PUT, &dry(kept), JSON, two.clone()),
        ask(M::PATCH, &dry(kept), MERGE, json!({ "data": { "a": "3" } })),
        ask(
            M::PATCH,
            &format!("{kept}?dryRun=Some"),
            MERGE,
            json!({ "data": { "a": "3" } }),
        ),
        ask(M::PATCH, &applied(kept), APPLY, two),
        ask(M::PATCH, &applied(&format!("{MAPS}/fresh")), APPLY, map("fresh", "one")),
        get(&format!("{MAPS}/fresh")),
        ask(M::DELETE, &dry(kept), "", Value::Null),
        ask(M::DELETE, kept, JSON, json!({ "dryRun": ["All"] })),
        ask(M::DELETE, kept, JSON, json!({ "dryRun": ["Some"] })),
        ask(M::DELETE, &format!("{kept}?dryRun=Some"), "", Value::Null),
        get(kept),
        ask(M::POST, DEPLOYMENTS, JSON, deployment("dry-web", Value::Null)),
        ask(M::PATCH, &dry(scale), MERGE, replicas(3)),
        ask(M::PATCH, &dry(scale), MERGE, replicas(-3)),
        ask(M::PATCH, &dry(web), MERGE, replicas(4)),
        get(scale),
        ask(M::POST, &dry(hpas), JSON, autoscaler(0)),
        ask(M::POST, &dry(hpas), JSON, autoscaler(5)),
        get(&format!("{hpas}/dry")),
    ]
}

fn strategies() -> Vec<Ask> {
    use Method as M;
    let strategy = |strategy: Value| json!({ "spec": { "strategy": strategy } });
    let again = &format!("{DEPLOYMENTS}/again");
    let patch = |kind, to: Value| ask(M::PATCH, again, kind, strategy(to));
    vec![
        ask(
            M::POST,
            DEPLOYMENTS,
            JSON,
            deployment("again", json!({ "type": "Recreate" })),
        ),
        patch(MERGE, json!({ "type": "RollingUpdate" })),
        patch(MERGE, json!({ "type": "Recreate" })),
        patch(MERGE, json!({ "rollingUpdate": { "maxSurge": 2 } })),
        patch(MERGE, json!({ "type": "Else" })),
        patch(MERGE, json!({ "type": "Recreate", "rollingUpdate": null })),
        get(again),
        patch(STRATEGIC, json!({ "rollingUpdate": { "maxSurge": 1 } })),
        patch(MERGE, Value::Null),
        ask(
            M::POST,
            DEPLOYMENTS,
            JSON,
            deployment(
                "wrong",
                json!({ "type": "Recreate", "rollingUpdate": { "maxSurge": 1 } }),
            ),
        ),
    ]
}

fn deletions() -> Vec<Ask> {
    use Method as M;
    let delete = |path: &str| ask(M::DELETE, path, "", Value::Null);
    let picked = |selector: &str| format!("{MAPS}?labelSelector={selector}");
    let leases = "/apis/coordination.k8s.io/v1/namespaces/NS/leases";
    let lease = |name: &str| json!({ "metadata": { "name": name }, "spec": { "holderIdentity": "a" } });
    vec![
        ask(M::POST, MAPS, JSON, map("x", "one")),
        ask(M::POST, MAPS, JSON, map("y", "one")),
        ask(M::POST, MAPS, JSON, map("z", "two")),
        delete(&format!("{}&dryRun=All", picked("group%3Done"))),
        get(&picked("group+in+%28one%2Ctwo%29")),
        delete(&picked("a+b")),
        delete(&picked("group%3Dnothing")),
        delete(&picked("group%3Done")),
        get(&picked("group+in+%28one%2Ctwo%29")),
        ask(
            M::DELETE,
            &picked("group%3Dtwo"),
            JSON,
            json!({ "preconditions": { "uid": "x" } }),
        ),
        delete(&format!("{MAPS}?fieldSelector=metadata.name%3Dz")),
        get(&picked("group+in+%28one%2Ctwo%29")),
        ask(M::POST, leases, JSON, lease("one")),
        ask(M::POST, leases, JSON, lease("two")),
        ask(M::DELETE, leases, JSON, json!({ "dryRun": ["All"] })),
        delete(leases),
        get(leases),
        delete("/apis/apps/v1/deployments"),
        delete("/api/v1/namespaces"),
        delete("/api/v1/namespaces/nothing/configmaps"),
    ]
}
