//! Workloads and their pods, in virtual time.

mod kinds;

use tokio::time::sleep;

use super::*;
use crate::sim::load::Load;

struct Scene {
    api: Arc<Api>,
    clock: Arc<VirtualClock>,
    fleet: Arc<Fleet>,
    key: Key,
}

impl Scene {
    async fn begin(behaviour: Behaviour, replicas: usize) -> Self {
        let clock = Arc::new(VirtualClock::new("2026-01-05T08:00:00Z".parse().unwrap()));
        let api = Api::new(clock.clone());
        api.store.ensure_namespace("shop");
        let fleet = Arc::new(Fleet::new(api.clone(), clock.clone(), 1));
        let key = Key::new("shop", "web");
        fleet.behave(key.clone(), behaviour);
        let deployment = json!({ "metadata": { "name": "web", "namespace": "shop" },
            "spec": { "replicas": replicas, "selector": { "matchLabels": { "app": "web" } },
                "template": { "metadata": { "labels": { "app": "web" } },
                    "spec": { "containers": [{ "name": "main", "image": "v1",
                        "resources": { "requests": { "cpu": "100m" } } }] } } } });
        api.store.create(&DEPLOYMENTS, deployment).unwrap();
        let runs = fleet.clone();
        tokio::spawn(async move { runs.run().await });
        Self { api, clock, fleet, key }
    }

    fn pods(&self) -> Vec<Arc<Value>> {
        self.api.store.list(&PODS, Some("shop")).0
    }

    fn status(&self) -> Value {
        self.api.store.get(&DEPLOYMENTS, "shop", "web").unwrap()["status"].clone()
    }

    fn write(&self, change: impl Fn(&mut Value)) {
        let changed = |before: &Value| {
            let mut after = before.clone();
            change(&mut after);
            Ok(after)
        };
        self.api.store.update(&DEPLOYMENTS, "shop", "web", changed).unwrap();
    }

    /// Milli-CPUs of each pod that the metrics server tells of.
    fn usages(&self) -> Vec<f64> {
        let meters = self.api.meters.lock();
        let pods = self.pods();
        let usages = pods
            .iter()
            .filter_map(|pod| meters.pod("shop", pod["metadata"]["name"].as_str().unwrap()));
        let usage = usages.map(|usage| usage["containers"][0]["usage"]["cpu"].as_str().unwrap().to_owned());
        usage
            .map(|text| text.trim_end_matches('n').parse::<f64>().unwrap() / 1e6)
            .collect()
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn quick(cpu: f64) -> Behaviour {
    Behaviour {
        cpu: Load::Steady(cpu),
        starts_after: secs(3)..secs(4),
        ready_after: secs(5)..secs(6),
        ..Behaviour::default()
    }
}

#[tokio::test(start_paused = true)]
async fn pods_come_run_become_ready_and_are_measured_once_they_ran_for_a_window() {
    let scene = Scene::begin(quick(120.0), 2).await;
    sleep(secs(2)).await;
    assert_eq!(
        (scene.pods().len(), &scene.pods()[0]["status"]["phase"]),
        (2, &json!("Pending"))
    );
    sleep(secs(4)).await;
    assert_eq!(scene.pods()[0]["status"]["phase"], "Running");
    assert_eq!(scene.fleet.ready(&scene.key), 0);
    sleep(secs(8)).await;
    assert_eq!(
        (scene.fleet.ready(&scene.key), &scene.status()["readyReplicas"]),
        (2, &json!(2))
    );
    assert_eq!(scene.usages().len(), 0, "at {}", scene.clock.now());
    sleep(secs(25)).await;
    let usages = scene.usages();
    assert_eq!(usages.len(), 2);
    assert!(usages.iter().all(|usage| (57.0..=63.0).contains(usage)), "{usages:?}");
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_recreates_has_no_pod_of_the_new_template_before_the_last_old_one_is_gone() {
    let scene = Scene::begin(quick(120.0), 3).await;
    scene.write(|deployment| deployment["spec"]["strategy"] = json!({ "type": "Recreate" }));
    sleep(secs(60)).await;
    scene.write(|deployment| deployment["spec"]["template"]["spec"]["containers"][0]["image"] = "v2".into());
    let images = || -> Vec<String> {
        let image = |pod: &Arc<Value>| pod["spec"]["containers"][0]["image"].as_str().unwrap().to_owned();
        scene.pods().iter().map(image).collect()
    };
    // A rolling update has pods of both for a while.
    while images() != ["v2", "v2", "v2"] {
        let now = images();
        assert!(now.iter().all(|image| *image == now[0]), "{now:?}");
        sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_scale_down_ends_the_youngest_pods_and_load_moves_to_the_others() {
    let scene = Scene::begin(quick(120.0), 2).await;
    sleep(secs(60)).await;
    let first: Vec<String> = scene
        .pods()
        .iter()
        .map(|pod| pod["metadata"]["name"].to_string())
        .collect();
    scene.write(|deployment| deployment["spec"]["replicas"] = 4.into());
    sleep(secs(60)).await;
    assert_eq!(scene.pods().len(), 4);
    scene.write(|deployment| deployment["spec"]["replicas"] = 2.into());
    sleep(secs(2)).await;
    let ending = scene
        .pods()
        .iter()
        .filter(|pod| !pod["metadata"]["deletionTimestamp"].is_null())
        .count();
    assert_eq!(ending, 2);
    sleep(secs(60)).await;
    let last: Vec<String> = scene
        .pods()
        .iter()
        .map(|pod| pod["metadata"]["name"].to_string())
        .collect();
    assert_eq!(first, last);
}

#[tokio::test(start_paused = true)]
async fn a_new_template_replaces_all_pods_a_quarter_at_a_time() {
    let scene = Scene::begin(quick(100.0), 8).await;
    sleep(secs(60)).await;
    scene.write(|deployment| deployment["spec"]["template"]["spec"]["containers"][0]["image"] = "v2".into());
    for _ in 0..120 {
        sleep(secs(1)).await;
        let living = scene
            .pods()
            .iter()
            .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
            .count();
        assert!((6..=10).contains(&living), "{living} pods");
        assert!(
            scene.fleet.ready(&scene.key) >= 6,
            "{} are ready",
            scene.fleet.ready(&scene.key)
        );
    }
    let images: Vec<Value> = scene
        .pods()
        .iter()
        .map(|pod| pod["spec"]["containers"][0]["image"].clone())
        .collect();
    assert_eq!(images, vec![json!("v2"); 8]);
    assert_eq!(
        (&scene.status()["updatedReplicas"], &scene.status()["replicas"]),
        (&json!(8), &json!(8))
    );
}

#[tokio::test(start_paused = true)]
async fn pods_can_get_stuck_or_fail_and_deleted_ones_are_replaced() {
    let stuck = Scene::begin(
        Behaviour {
            stuck: 1.0,
            ..quick(0.0)
        },
        3,
    )
    .await;
    sleep(secs(300)).await;
    assert!(stuck.pods().iter().all(|pod| pod["status"]["phase"] == "Pending"));

    let failing = Scene::begin(
        Behaviour {
            fails_every: Some(secs(60)),
            ..quick(0.0)
        },
        3,
    )
    .await;
    sleep(secs(600)).await;
    let restarts = failing
        .pods()
        .into_iter()
        .map(|pod| pod["status"]["containerStatuses"][0]["restartCount"].as_i64().unwrap());
    assert!(restarts.sum::<i64>() > 5);

    let scene = Scene::begin(quick(0.0), 1).await;
    sleep(secs(30)).await;
    let name = scene.pods()[0]["metadata"]["name"].as_str().unwrap().to_owned();
    scene.api.store.delete(&PODS, "shop", &name, |_| Ok(())).unwrap();
    sleep(secs(30)).await;
    assert_eq!((scene.pods().len(), scene.fleet.ready(&scene.key)), (1, 1));
    scene.api.store.delete(&DEPLOYMENTS, "shop", "web", |_| Ok(())).unwrap();
    sleep(secs(2)).await;
    assert!(scene.pods().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_adapter_tells_of_requests_and_queues() {
    let metrics = vec![
        WorkloadMetric::Pods {
            name: "qps".into(),
            load: Load::Steady(90.0),
        },
        WorkloadMetric::Service {
            name: "hits".into(),
            load: Load::Steady(7.0),
        },
        WorkloadMetric::Queue {
            name: "depth".into(),
            arrivals: Load::Steady(5.0),
            served_by_pod: 1.0,
        },
    ];
    let scene = Scene::begin(Behaviour { metrics, ..quick(0.0) }, 3).await;
    sleep(secs(110)).await;
    let meters = scene.api.meters.lock();
    let values = meters_text(&meters);
    assert!(
        values.contains("\"30000m\"") && values.contains("\"7000m\""),
        "{values}"
    );
    // Five came in each second, and three were worked off once the pods were ready: some 240 by now.
    let depth: f64 = values
        .split("depth\",\"timestamp\"")
        .nth(1)
        .and_then(|rest| {
            rest.split("\"value\":\"")
                .nth(1)?
                .split('m')
                .next()?
                .parse::<f64>()
                .ok()
        })
        .unwrap();
    assert!((200_000.0..280_000.0).contains(&depth), "{depth}");
}

fn meters_text(meters: &crate::sim::api::Meters) -> String {
    let pods = meters.custom("qps", ("shop", "pods", "*"), |_| true).unwrap();
    let service = meters.custom("hits", ("shop", "services", "web"), |_| true).unwrap();
    let queue = meters
        .external("shop", "depth", &crate::selector::Selector::everything())
        .unwrap();
    format!("{pods}{service}{queue}")
}
