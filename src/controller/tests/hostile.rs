//! One autoscaler that asks for as much as Kubernetes lets it: it becomes slow, and nobody else does.

use serde_json::{Value, json};

use super::report::ErrorClass;
use super::world::{EXTERNAL_TAKES, Load};
use super::*;

const ORDINARY: usize = 40;

fn external(name: &str) -> Value {
    json!({"type": "External", "external": {"metric": {"name": name}, "target": {"type": "Value", "value": "10"}}})
}

fn of_container(name: &str) -> Value {
    json!({"type": "ContainerResource", "containerResource": {"name": "cpu", "container": name,
        "target": {"type": "AverageValue", "averageValue": "50m"}}})
}

/// The longest sync of the first autoscaler and of all others, in the passes so far.
fn longest(scene: &Scene) -> (Duration, Duration) {
    let reports = scene.reports.0.lock();
    let syncs = || reports.iter().flat_map(|(_, report)| &report.syncs);
    let most = |of_first: bool| {
        let syncs = syncs().filter(|sync| (&*sync.key.name == "web-0") == of_first);
        syncs.map(|sync| sync.duration).max().unwrap_or_default()
    };
    (most(true), most(false))
}

#[tokio::test(start_paused = true)]
async fn an_autoscaler_with_a_thousand_metrics_takes_its_turn_with_the_others() {
    let load = Load {
        metrics: (0..1000).map(|n| external(&format!("queue-{n}"))).collect(),
        of_others: vec![external("depth")],
        ..Load::default()
    };
    let scene = Scene::over(
        World::with_load(ORDINARY + 1, Value::Null, load),
        GuardSettings::default(),
        None,
    );
    scene.until(secs(100)).await;
    let (of_first, of_others) = longest(&scene);
    // A thousand questions, eight at a time.
    let all = EXTERNAL_TAKES * 1000 / 8;
    assert!(of_first >= all && of_first < all + secs(2), "{of_first:?}");
    // Everyone's one question, and sixteen of the first one's each time before it.
    assert!(of_others < secs(2), "{of_others:?}");
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn fifty_thousand_pods_with_a_thousand_metrics_are_decided_apart_and_within_bounds() {
    let load = Load {
        pods: 50_000,
        metrics: (0..1000).map(|n| of_container(["main", "other"][n % 2])).collect(),
        ..Load::default()
    };
    let world = World::with_load(ORDINARY + 1, Value::Null, load);
    let scene = Scene::over(world, GuardSettings::default(), None);
    scene.until(secs(20)).await;
    let reports = scene
        .reports
        .0
        .lock()
        .iter()
        .map(|(_, report)| report.clone())
        .collect::<Vec<_>>();
    assert!(
        reports.iter().all(|report| report.heavy == 1),
        "{} passes",
        reports.len()
    );
    let of = |name: &str| -> Vec<&SyncReport> {
        let syncs = reports.iter().flat_map(|report| &report.syncs);
        syncs.filter(|sync| &*sync.key.name == name).collect()
    };
    assert!(!of("web-1").is_empty(), "the others go on");
    let large = of("web-0");
    // Of the first eight, that are read, half ask for a container that there is.
    let known = |sync: &&SyncReport| {
        sync.metrics
            .iter()
            .filter(|metric| metric.error == ErrorClass::None)
            .count()
    };
    let known: Vec<usize> = large.iter().map(known).collect();
    assert!(!known.is_empty() && known.iter().all(|known| *known == 4), "{known:?}");
    assert!(
        scene
            .world
            .seen
            .lock()
            .scales
            .iter()
            .all(|written| written.autoscaler != 0),
        "its count stays"
    );
    scene.end().await;
}
