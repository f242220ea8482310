//! Killed, stopped, and taken over from.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::harness::{
    Autoscaler, Cluster, Controller, Load, Namespace, Record, Workload, seconds, utilization, wait_until,
};
use crate::scaling::HOLD;

#[tokio::test(flavor = "multi_thread")]
async fn killed_fifty_times_it_never_scales_down_before_its_window() {
    let namespace = Cluster::main().await.namespace("killed").await;
    let web = Workload::deployment(&namespace, "web", 2);
    let window = seconds(40);
    Autoscaler::of(
        &web,
        "web",
        json!({
            "minReplicas": 2, "maxReplicas": 10, "metrics": [utilization("cpu", 50)],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": window.as_secs()}},
        }),
    );
    let load = Load::on(&web, 590, 100);
    let record = Record::of(&web).await;
    let mut lives = Lives::new();

    for _ in 0..25 {
        let controller = Controller::on(&namespace, &[]);
        sleep(lives.next()).await;
        controller.kill();
    }
    let survivor = Controller::on(&namespace, &[]);
    record.settles(6, HOLD, seconds(120)).await;
    assert!(
        record.first_fall(record.changes()[0].at).is_none(),
        "seed {}: fell on the way up: {record}",
        lives.seed
    );
    survivor.kill();

    let quiet = Instant::now();
    load.cpu(290);
    for _ in 0..25 {
        let controller = Controller::on(&namespace, &[]);
        sleep(lives.next()).await;
        controller.kill();
    }
    let survived = Instant::now();
    let _survivor = Controller::on(&namespace, &[]);
    record.settles(3, HOLD, window + seconds(90)).await;
    let fall = record.first_fall(quiet).expect("it fell to 3");
    // Its last recommendation of 6 may be a sync of 2 s older than the end of the load.
    assert!(
        fall.at - quiet >= window - seconds(2),
        "seed {}: fell before its window: {record}",
        lives.seed
    );
    // Without a Lease nothing is stored: the last one's window begins with the count that it finds. Kubernetes' own lives on.
    let is_kubernetes = std::env::var("TEST_CONTROLLER").is_ok_and(|name| name == "kubernetes");
    assert!(
        is_kubernetes || fall.at - survived >= window,
        "seed {}: {:?} after the last one began: {record}",
        lives.seed,
        fall.at - survived
    );
    assert_eq!(record.highest(), 6, "seed {}: {record}", lives.seed);
}

/// How long each life lasts: from before the caches are full to several syncs. By seed, so that it can be repeated.
struct Lives {
    seed: u64,
    state: u64,
}

impl Lives {
    fn new() -> Lives {
        let seed = match std::env::var("TEST_SEED") {
            Ok(text) => text.parse().expect("TEST_SEED is a number"),
            Err(_) => u64::from(std::process::id()) * 7919,
        };
        Lives { seed, state: seed }
    }

    /// 50 ms to 1.6 s, by SplitMix64.
    fn next(&mut self) -> Duration {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Duration::from_millis(50 + (mixed ^ (mixed >> 31)) % 1550)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_replica_leads_within_15_seconds_of_a_kill_and_at_once_after_a_clean_stop() {
    let namespace = Cluster::main().await.namespace("leader").await;
    let web = Workload::deployment(&namespace, "web", 2);
    let hpa = Autoscaler::by_kubectl(&web, &["--cpu-percent=50", "--min=2", "--max=10"]);
    let record = Record::of(&web).await;
    let replica = || {
        let place = format!("--leader-elect-resource-namespace={}", namespace.name);
        Controller::start(
            &namespace,
            &namespace.cluster.kubeconfig(),
            &["--namespace", &namespace.name, &place],
        )
    };

    let first = replica();
    let leader = holder(&namespace, "", seconds(15)).await;
    let second = replica();
    // The standby's caches fill, and it sees a Lease in use.
    sleep(seconds(4)).await;
    assert_eq!(
        holder(&namespace, "", seconds(1)).await,
        leader,
        "the Lease was taken from a living leader"
    );

    let killed = Instant::now();
    first.kill();
    let leader = holder(&namespace, &leader, seconds(15)).await;
    hpa.patch_spec(json!({"minReplicas": 3})).await;
    record
        .settles(
            3,
            Duration::ZERO,
            seconds(15).saturating_sub(killed.elapsed()) + seconds(8),
        )
        .await;

    let third = replica();
    sleep(seconds(4)).await;
    let stopped = Instant::now();
    let (status, took) = second.terminate();
    assert!(status.success() && took < seconds(5), "{status} after {took:?}");
    // That of one that was killed runs out 8 s after its last renewal: `benches/cluster/handover` measures which of the two it was.
    holder(&namespace, &leader, seconds(8)).await;
    hpa.patch_spec(json!({"minReplicas": 4})).await;
    record.settles(4, Duration::ZERO, seconds(12)).await;
    assert!(
        stopped.elapsed() < seconds(20),
        "the hand-over took {:?}",
        stopped.elapsed()
    );
    let (status, took) = third.terminate();
    assert!(status.success() && took < seconds(5), "{status} after {took:?}");
}

/// Waits until the Lease is held by somebody else than `former`; gives who.
async fn holder(namespace: &Namespace, former: &str, limit: Duration) -> String {
    wait_until("the Lease has a new holder", limit, async || {
        let lease = namespace
            .api::<Lease>()
            .get_opt("trimtab")
            .await
            .expect("read the Lease");
        let holder = lease.and_then(|lease| lease.spec?.holder_identity).unwrap_or_default();
        if holder.is_empty() || holder == former {
            Err(format!("'{holder}'"))
        } else {
            Ok(holder)
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_takes_less_than_two_seconds_at_any_moment() {
    let namespace = Cluster::main().await.namespace("stop").await;
    for index in 0..10 {
        let workload = Workload::deployment(&namespace, &format!("web-{index}"), 1);
        Autoscaler::by_kubectl(&workload, &["--cpu-percent=50", "--min=2", "--max=10"]);
    }
    for life in [100, 300, 600, 1000, 3000] {
        let controller = Controller::on(&namespace, &[]);
        sleep(Duration::from_millis(life)).await;
        let (status, took) = controller.terminate();
        // On a busy machine that may not be enough to come to the first lines of `main`.
        let unborn = life <= 600 && status.signal() == Some(15);
        assert!(
            (status.success() || unborn) && took < seconds(2),
            "{status} after {took:?}, having run for {life} ms"
        );
    }
}
