//! An API server that is slow or refuses, and a metrics server that is slow: a proxy makes them so for one controller.
//!
//! What holds in virtual time (`src/controller/tests.rs`) holds on a real kube-apiserver: no autoscaler is synced twice at once,
//! those that waited longest come first, decisions still come, lateness is told, and one pass is enough afterwards.

use std::cell::Cell;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::harness::{
    Asked, Autoscaler, Cluster, Controller, Exports, Load, Proxy, Troubles, Workload, seconds, utilization, wait_until,
};

/// So many that writing their scales one after the other through a slow proxy takes longer than a sync period.
const AUTOSCALERS: usize = 8;
const PERIOD: Duration = seconds(5);

/// Ten times what a request takes to a kube-apiserver on a busy machine, and a hundred times what it takes on a quiet one.
const SLOW: Duration = seconds(1);

/// Autoscalers between 1 and 10 at half of 128Mi a pod, and a controller that reaches the API server through a proxy only.
struct Scene {
    workloads: Vec<Workload>,
    autoscalers: Vec<Autoscaler>,
    proxy: Proxy,
    controller: Controller,
    exports: Exports,
}

impl Scene {
    async fn begin(purpose: &str, behavior: Value, flags: &[&str]) -> Scene {
        let namespace = Cluster::main().await.namespace(purpose).await;
        let mut workloads = Vec::new();
        let mut autoscalers = Vec::new();
        for number in 0..AUTOSCALERS {
            let workload = Workload::deployment(&namespace, &format!("w{number}"), 1);
            autoscalers.push(Autoscaler::of(
                &workload,
                &workload.name,
                json!({"minReplicas": 1, "maxReplicas": 10, "metrics": [utilization("memory", 50)], "behavior": behavior}),
            ));
            workloads.push(workload);
        }
        let proxy = Proxy::to(namespace.cluster.client.clone()).await;
        let period = format!("--horizontal-pod-autoscaler-sync-period={}s", PERIOD.as_secs());
        let flags = [&[period.as_str()], flags].concat();
        let (controller, exports) = Exports::of(&namespace, &proxy.kubeconfig(&namespace), &flags).await;
        for autoscaler in &autoscalers {
            autoscaler
                .says("ScalingActive", "True/ValidMetricFound", seconds(120))
                .await;
        }
        Scene {
            workloads,
            autoscalers,
            proxy,
            controller,
            exports,
        }
    }

    fn names(&self) -> Vec<String> {
        self.workloads.iter().map(|workload| workload.name.clone()).collect()
    }

    /// How often each autoscaler was synced, by the log.
    fn syncs(&self) -> Vec<usize> {
        let log = self.controller.log();
        let decided = |name: &str| format!("Decided hpa={}/{name} ", self.workloads[0].namespace.name);
        let count = |name: String| log.matches(&decided(&name)).count();
        self.names().into_iter().map(count).collect()
    }

    /// Gives each workload a count above its maximum, which the next pass over all corrects without asking for metrics.
    async fn too_many(&self) {
        for workload in &self.workloads {
            workload.patch_spec(json!({"replicas": 15})).await;
        }
    }

    /// The order in which scales were written since then, once each was.
    fn scaled(&self, since: Instant) -> Result<Vec<String>, String> {
        let scaled = self.proxy.scaled_since(since);
        if scaled.len() == AUTOSCALERS {
            Ok(scaled)
        } else {
            Err(format!("{scaled:?}"))
        }
    }

    async fn all_scaled(&self, since: Instant, limit: Duration) -> Vec<String> {
        wait_until("every scale is written", limit, async || self.scaled(since)).await
    }

    /// From the second pass on after a fault nobody is left out of a pass: the first may have begun while it lasted.
    async fn is_well_again(&self) {
        let first = self.exports.after(2, seconds(60)).await;
        let then = self.exports.after(3, seconds(60)).await;
        assert_eq!(then.missed, first.missed, "{first:?}, then {then:?}");
        // One that was left out would have waited for two periods.
        for passes in [first, then] {
            assert!(passes.interval < 2.0 * PERIOD.as_secs_f64(), "{first:?}, then {then:?}");
        }
        self.nobody_was_synced_twice_at_once();
    }

    /// Every sync here ends with a write, or would.
    fn nobody_was_synced_twice_at_once(&self) {
        let overlapping = self.proxy.overlapping_writes();
        assert!(overlapping.is_empty(), "{overlapping:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_api_server_is_written_to_in_order_without_overlap_and_a_pass_after_it_all_is_well() {
    // A count falls only where it is above the maximum.
    let behavior = json!({"scaleDown": {"selectPolicy": "Disabled"}});
    let scene = Scene::begin("slow-api", behavior, &["--concurrent-syncs=1"]).await;
    let before = scene.exports.after(1, seconds(60)).await;
    let quick = scene.proxy.usual_time();

    let mut seen = Vec::new();
    let slow = loop {
        let (fair, longest, order) = one_slow_round(&scene, seen.len()).await;
        seen.push(order);
        if fair {
            break longest;
        }
        // A pass that began in the middle of the preparations makes a round worthless. Were the order another one, as that of
        // the names, each round would show it.
        assert!(seen.len() < 5, "those that waited longest do not come first: {seen:?}");
    };
    let during = scene.exports.passes().await;
    println!("an answer took {quick:?} usually, and {SLOW:?} at least while it was slow");
    println!("orders {seen:?}; before {before:?}, while slow {during:?}, the longest interval {slow:.1} s");
    assert!(during.missed > before.missed, "{before:?}, then {during:?}");
    assert!(
        slow > PERIOD.as_secs_f64(),
        "the interval tells nothing of it: {slow} s"
    );
    let log = scene.controller.log();
    assert!(log.contains("A pass took longer than the sync period"), "no warning");
    scene.is_well_again().await;
}

/// Makes the first half of the autoscalers be synced later than the others, then all too large on a slow API server. Whether the
/// others came first, the longest interval that was told, and the order.
async fn one_slow_round(scene: &Scene, round: usize) -> (bool, f64, Vec<String>) {
    scene.exports.after(1, seconds(60)).await;
    let (names, half) = (scene.names(), AUTOSCALERS / 2);
    let synced = scene.syncs();
    for autoscaler in &scene.autoscalers[..half] {
        autoscaler.patch_spec(json!({"maxReplicas": 11 + round})).await;
    }
    wait_until("the edited ones are synced", seconds(30), async || {
        let now = scene.syncs();
        if (0..half).all(|edited| now[edited] > synced[edited]) {
            Ok(())
        } else {
            Err(format!("{synced:?}, then {now:?}"))
        }
    })
    .await;
    scene.proxy.set(Troubles {
        answers_take: SLOW,
        ..Troubles::default()
    });
    let since = Instant::now();
    scene.too_many().await;
    let (longest, all) = (Cell::new(0.0_f64), Cell::new(0));
    let look = async || {
        let passes = scene.exports.passes().await;
        longest.set(longest.get().max(passes.interval));
        all.set(passes.all);
    };
    let order = wait_until("every scale is written", seconds(120), async || {
        look().await;
        scene.scaled(since)
    })
    .await;
    let scaled = all.get();
    wait_until("those that ran over have followed", seconds(60), async || {
        look().await;
        if all.get() >= scaled + 2 {
            Ok(())
        } else {
            Err(all.get())
        }
    })
    .await;
    scene.proxy.set(Troubles::default());
    // Nobody waits before the first, who may be anyone.
    let waited = order[1..].iter().map(|name| names[half..].contains(name));
    let fair = waited.skip_while(|older| *older).all(|older| !older);
    (fair, longest.get(), order)
}

#[tokio::test(flavor = "multi_thread")]
async fn while_requests_are_refused_with_429_decisions_still_come_and_after_it_a_pass_is_enough() {
    let behavior = json!({"scaleDown": {"selectPolicy": "Disabled"}});
    let scene = Scene::begin("refused", behavior, &[]).await;
    let since = Instant::now();
    scene.proxy.set(Troubles {
        refuse_one_in: 2,
        ..Troubles::default()
    });
    let _loads: Vec<Load> = scene.workloads.iter().map(|w| Load::on(w, 10, 190)).collect();
    scene.all_scaled(since, seconds(180)).await;
    let refused = scene.proxy.refused_since(since).len();
    assert!(refused >= AUTOSCALERS / 2, "only {refused} requests were refused");

    let since = Instant::now();
    scene.proxy.set(Troubles {
        refuse_one_in: 1,
        ..Troubles::default()
    });
    scene.too_many().await;
    wait_until("each write was refused", seconds(60), async || {
        let refused = scene.proxy.refused_since(since);
        let missing = |name: &String| !refused.contains(&Asked::Scale(name.clone()));
        if scene.names().iter().any(missing) {
            Err(format!("{refused:?}"))
        } else {
            Ok(())
        }
    })
    .await;
    assert!(scene.proxy.scaled_since(since).is_empty());
    let before = scene.exports.passes().await;
    scene.proxy.set(Troubles::default());
    scene.all_scaled(since, seconds(60)).await;
    // The pass under way, and one after it.
    let after = scene.exports.passes().await;
    assert!(after.all <= before.all + 2, "{before:?}, then {after:?}");
    scene.is_well_again().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_metrics_server_that_takes_ten_seconds_is_not_asked_anew_by_each_pass_and_decisions_come_by_its_answers() {
    let behavior = json!({"scaleDown": {"stabilizationWindowSeconds": 0}});
    let scene = Scene::begin("slow-metrics", behavior, &["--resource-metrics-timeout=20s"]).await;
    let before = scene.exports.after(1, seconds(60)).await;
    let since = Instant::now();
    scene.proxy.set(Troubles {
        usages_take: seconds(10),
        ..Troubles::default()
    });
    let _loads: Vec<Load> = scene.workloads.iter().map(|w| Load::on(w, 10, 190)).collect();
    scene.all_scaled(since, seconds(180)).await;
    // It is told when a pass has ended that followed one that ran over.
    let during = wait_until("the interval between syncs is told", seconds(60), async || {
        let passes = scene.exports.passes().await;
        if passes.interval >= 10.0 {
            Ok(passes)
        } else {
            Err(format!("{passes:?}"))
        }
    })
    .await;
    println!("before {before:?}, while slow {during:?}");
    assert!(
        during.missed >= before.missed + AUTOSCALERS as u64,
        "{before:?}, then {during:?}"
    );
    assert!(
        scene
            .controller
            .log()
            .contains("A pass took longer than the sync period"),
        "no warning"
    );
    // Those that followed by themselves share the list of those before.
    assert_eq!(scene.proxy.lists_at_once(), 1);
    scene.proxy.set(Troubles::default());
    scene.is_well_again().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_without_time_says_how_late_its_pass_is_and_makes_up_for_none() {
    let scene = Scene::begin("standing-still", json!({}), &[]).await;
    let before = scene.exports.after(1, seconds(60)).await;
    scene.controller.stand_still();
    // Eight passes should have begun meanwhile.
    sleep(8 * PERIOD).await;
    scene.controller.go_on();
    let went_on = Instant::now();
    let after = scene.exports.after(1, seconds(60)).await;
    let late = after.late - before.late;
    println!("{before:?}, then {after:?}");
    assert!(late > PERIOD.as_secs_f64(), "{late} s late: {before:?}, then {after:?}");
    assert!(scene.controller.log().contains("A pass begins late"), "no warning");
    // Were they made up for, six would come at once. New values of the metrics may bring three forward.
    scene.exports.after(5, seconds(60)).await;
    assert!(went_on.elapsed() > PERIOD, "{:?}", went_on.elapsed());
    scene.is_well_again().await;
}
