//! ReplicaSets, StatefulSets and ReplicationControllers.

use super::*;
use crate::sim::api::{REPLICATION_CONTROLLERS, STATEFUL_SETS};

/// A workload called `db` of another kind, beside the Deployment `web`.
async fn beside(resource: &'static Resource, replicas: usize, policy: &str) -> Scene {
    let scene = Scene::begin(quick(0.0), 1).await;
    scene.fleet.behave(Key::new("shop", "db"), quick(0.0));
    let template = json!({ "metadata": { "labels": { "app": "db" } },
        "spec": { "containers": [{ "name": "main", "image": "v1" }] } });
    let selector = match resource == &REPLICATION_CONTROLLERS {
        true => json!({ "app": "db" }),
        false => json!({ "matchLabels": { "app": "db" } }),
    };
    let object = json!({ "metadata": { "name": "db" }, "spec": { "replicas": replicas, "selector": selector,
        "template": template, "podManagementPolicy": policy } });
    scene.api.create(resource, "shop", &object).unwrap();
    scene
}

fn names(scene: &Scene) -> Vec<String> {
    let pods = scene.pods().into_iter();
    let of_db = pods.filter(|pod| pod["metadata"]["labels"]["app"] == "db");
    let living = of_db.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    living
        .map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}

fn edit(scene: &Scene, resource: &'static Resource, edit: impl Fn(&mut Value)) {
    let edited = |before: &Value| {
        let mut after = before.clone();
        edit(&mut after);
        Ok(after)
    };
    scene.api.store.update(resource, "shop", "db", edited).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_deployments_pods_belong_to_a_replica_set_for_each_template() {
    let scene = Scene::begin(quick(0.0), 3).await;
    sleep(secs(60)).await;
    let sets = || scene.api.store.list(&REPLICA_SETS, Some("shop")).0;
    let first = sets()[0].clone();
    let deployment = scene.api.store.get(&DEPLOYMENTS, "shop", "web").unwrap();
    assert_eq!(
        (&first["spec"]["replicas"], &first["status"]["readyReplicas"]),
        (&json!(3), &json!(3))
    );
    assert_eq!(
        first["metadata"]["ownerReferences"][0]["uid"],
        deployment["metadata"]["uid"]
    );
    for pod in scene.pods() {
        let owner = &pod["metadata"]["ownerReferences"][0];
        assert_eq!(
            (&owner["kind"], &owner["uid"]),
            (&json!("ReplicaSet"), &first["metadata"]["uid"])
        );
        let hash = &pod["metadata"]["labels"]["pod-template-hash"];
        assert_eq!(hash, &first["spec"]["selector"]["matchLabels"]["pod-template-hash"]);
    }
    scene.write(|deployment| deployment["spec"]["template"]["spec"]["containers"][0]["image"] = "v2".into());
    sleep(secs(120)).await;
    let counts: Vec<Value> = sets().iter().map(|set| set["status"]["replicas"].clone()).collect();
    assert!(
        counts == [json!(0), json!(3)] || counts == [json!(3), json!(0)],
        "{counts:?}"
    );
    // One that comes back has its old ReplicaSet again.
    scene.write(|deployment| deployment["spec"]["template"]["spec"]["containers"][0]["image"] = "v1".into());
    sleep(secs(120)).await;
    assert_eq!(sets().len(), 2);
    let name = first["metadata"]["name"].as_str().unwrap();
    let again = scene.api.store.get(&REPLICA_SETS, "shop", name).unwrap();
    assert_eq!(again["status"]["readyReplicas"], 3);
    scene.api.store.delete(&DEPLOYMENTS, "shop", "web", |_| Ok(())).unwrap();
    sleep(secs(2)).await;
    assert!(sets().is_empty() && scene.pods().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_pods_of_a_stateful_set_come_and_go_one_after_the_other() {
    let scene = beside(&STATEFUL_SETS, 3, "OrderedReady").await;
    let mut seen = Vec::new();
    for _ in 0..60 {
        sleep(secs(1)).await;
        let names = names(&scene);
        let mut pods = scene.pods();
        pods.retain(|pod| pod["metadata"]["labels"]["app"] == "db");
        let unready = pods
            .iter()
            .filter(|pod| pod["status"]["conditions"][3]["status"] != "True")
            .count();
        assert!(unready <= 1, "{names:?}");
        if seen.last() != Some(&names) {
            seen.push(names);
        }
    }
    let all = ["db-0", "db-1", "db-2"];
    assert_eq!(
        seen,
        (0..=3)
            .map(|n| all[..n].to_vec())
            .filter(|n| !n.is_empty())
            .collect::<Vec<_>>()
    );
    let status = scene.api.store.get(&STATEFUL_SETS, "shop", "db").unwrap()["status"].clone();
    assert_eq!(
        (&status["readyReplicas"], &status["currentReplicas"]),
        (&json!(3), &json!(3))
    );

    // A new template comes from the last pod on, under the same names.
    edit(&scene, &STATEFUL_SETS, |set| {
        set["spec"]["template"]["spec"]["containers"][0]["image"] = "v2".into();
    });
    sleep(secs(5)).await;
    let images = || -> Vec<Value> {
        let pods = scene
            .pods()
            .into_iter()
            .filter(|pod| pod["metadata"]["labels"]["app"] == "db");
        pods.map(|pod| pod["spec"]["containers"][0]["image"].clone()).collect()
    };
    assert_eq!(images(), ["v1", "v1", "v2"]);
    sleep(secs(60)).await;
    assert_eq!(
        (names(&scene), images()),
        (all.map(str::to_owned).to_vec(), vec![json!("v2"); 3])
    );

    edit(&scene, &STATEFUL_SETS, |set| set["spec"]["replicas"] = 1.into());
    sleep(secs(1)).await;
    assert_eq!(names(&scene), ["db-0", "db-1"]);
    sleep(secs(5)).await;
    assert_eq!(names(&scene), ["db-0"]);
}

#[tokio::test(start_paused = true)]
async fn a_parallel_stateful_set_waits_for_nobody() {
    let scene = beside(&STATEFUL_SETS, 3, "Parallel").await;
    sleep(secs(1)).await;
    assert_eq!(names(&scene).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn replica_sets_and_replication_controllers_of_nobody_have_pods_too() {
    for resource in [&REPLICA_SETS, &REPLICATION_CONTROLLERS] {
        let scene = beside(resource, 2, "").await;
        sleep(secs(30)).await;
        let set = scene.api.store.get(resource, "shop", "db").unwrap();
        assert_eq!((names(&scene).len(), &set["status"]["readyReplicas"]), (2, &json!(2)));
        edit(&scene, resource, |set| set["spec"]["replicas"] = 4.into());
        sleep(secs(30)).await;
        assert_eq!(names(&scene).len(), 4);
        edit(&scene, resource, |set| set["spec"]["replicas"] = 1.into());
        sleep(secs(5)).await;
        assert_eq!(names(&scene).len(), 1);
        let own = scene
            .pods()
            .into_iter()
            .find(|pod| pod["metadata"]["labels"]["app"] == "db");
        assert_eq!(own.unwrap()["metadata"]["ownerReferences"][0]["kind"], resource.kind);
        assert_eq!(scene.fleet.ready(&Key::new("shop", "db")), 1);
    }
}
