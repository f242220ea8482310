//! What Kubernetes' own autoscaler makes of a SIGKILL: the other side of `crate::memory`.

use tokio::time::Instant;

use crate::harness::{Alone, seconds, wait_until};
use crate::memory::{LATE, PERIOD, Stage, WINDOW};
use crate::scaling::HOLD;

#[tokio::test(flavor = "multi_thread")]
async fn killed_kube_controller_manager_begins_its_window_anew_and_exceeds_its_policy() {
    let cluster = Alone::with_hpa("memory").await;
    let namespace = cluster.namespace("memory").await;
    let stage = Stage::of(&namespace).await;
    stage.web.settles(6, HOLD, seconds(150)).await;
    let quiet = stage.window_has_begun().await;
    let grown = stage.slow.now();
    cluster.component("controllers", "kill");
    let restarted = Instant::now();
    cluster.component("controllers", "start");

    wait_until("slow grows on", PERIOD + seconds(60), async || {
        match stage.slow.now() > grown {
            true => Ok(()),
            false => Err(format!("{}", stage.slow)),
        }
    })
    .await;
    let shortest = stage.shortest_period();
    assert!(
        shortest < PERIOD - LATE * 5,
        "no two pods within a period: {}",
        stage.slow
    );
    let fell = stage.fall(quiet).await;
    assert!(fell - restarted >= WINDOW, "the window went on: {}", stage.web);
    println!(
        "web fell {:?} after its load did, with a window of {WINDOW:?}; slow grew twice in {shortest:?}, with a period of {PERIOD:?}",
        fell - quiet
    );
}
