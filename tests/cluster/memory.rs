//! Memory over a SIGKILL: windows and policies go on as if nothing had happened.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Event};
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::harness::{
    Autoscaler, Cluster, Controller, Load, Namespace, Record, Workload, seconds, utilization, wait_until,
};
use crate::scaling::HOLD;

/// The scale-down window of `web`.
pub const WINDOW: Duration = seconds(100);
/// In so long `slow` may have one pod more.
pub const PERIOD: Duration = seconds(60);
/// The Lease's time by default, a look of the one that waits, and the tests' sync period.
const LEASE_AND_SYNC: Duration = Duration::from_millis(8_000 + 500 + 2_000);
/// On a busy machine a start and a pass take so much longer.
const BUSY: Duration = seconds(10);
/// The watch of the record is late at times.
pub const LATE: Duration = seconds(1);

/// Two Deployments and their autoscalers: `web` falls when its window has passed, `slow` grows by one pod a period.
pub struct Stage {
    pub web: Record,
    pub slow: Record,
    load: Load,
    _more: Load,
}

impl Stage {
    /// With 6 pods of `web`, and a `slow` that grows.
    pub async fn of(namespace: &Namespace) -> Stage {
        let web = Workload::deployment(namespace, "web", 2);
        let slow = Workload::deployment(namespace, "slow", 2);
        Autoscaler::of(
            &web,
            "web",
            json!({
                "minReplicas": 2, "maxReplicas": 10, "metrics": [utilization("cpu", 50)],
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": WINDOW.as_secs()}},
            }),
        );
        Autoscaler::of(
            &slow,
            "slow",
            json!({
                "minReplicas": 2, "maxReplicas": 12, "metrics": [utilization("cpu", 50)],
                "behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": PERIOD.as_secs()}]}},
            }),
        );
        let (load, more) = (Load::on(&web, 590, 100), Load::on(&slow, 1990, 100));
        Stage {
            web: Record::of(&web).await,
            slow: Record::of(&slow).await,
            load,
            _more: more,
        }
    }

    /// Takes the load from `web`; returns when some of its window has passed, and `slow` has grown not long ago.
    pub async fn window_has_begun(&self) -> Instant {
        let quiet = Instant::now();
        self.load.cpu(290);
        // The metrics show it after 20 s.
        sleep(seconds(45)).await;
        wait_until("slow has grown lately", PERIOD + seconds(20), async || {
            let last = self
                .slow
                .changes()
                .last()
                .expect("a record begins with a count")
                .at
                .elapsed();
            match (seconds(3)..seconds(20)).contains(&last) {
                true => Ok(()),
                false => Err(format!("{last:?} ago: {}", self.slow)),
            }
        })
        .await;
        assert!(self.web.first_fall(quiet).is_none(), "it has fallen: {}", self.web);
        quiet
    }

    /// When `web` fell.
    pub async fn fall(&self, quiet: Instant) -> Instant {
        self.web.settles(3, HOLD, WINDOW * 2 + seconds(60)).await;
        self.web.first_fall(quiet).expect("it fell to 3").at
    }

    /// The shortest time between two of the pods that `slow` was given.
    pub fn shortest_period(&self) -> Duration {
        let changes = self.slow.changes();
        let rises = changes[1..].windows(2).map(|pair| pair[1].at - pair[0].at);
        rises.min().expect("it grew more than once")
    }
}

/// What a log says of `web`, by the machine's clock.
struct Said {
    /// When how many pods were recommended.
    recommended: Vec<(Timestamp, i32)>,
    /// When it was scaled, and to what.
    rescaled: Vec<(Timestamp, i32)>,
}

impl Said {
    fn in_log(log: &str, namespace: &Namespace) -> Said {
        let hpa = format!("hpa={}/web", namespace.name);
        let of_web: Vec<&str> = log
            .lines()
            .filter(|line| line.split(' ').any(|word| word == hpa))
            .collect();
        let told = |message: &str, field: &str| {
            let lines = of_web.iter().filter(|line| line.contains(message));
            lines
                .filter_map(|line| {
                    let value = line
                        .split(' ')
                        .find_map(|word| word.strip_prefix(field)?.strip_prefix('='))?;
                    let at = line.split(' ').next().expect("a line begins with its time");
                    Some((at.parse().expect("a time"), value.parse().expect("a count")))
                })
                .collect()
        };
        Said {
            recommended: told(" Decided ", "recommended"),
            rescaled: told(" Rescaled ", "desired_replicas"),
        }
    }

    fn and_then(mut self, later: Said) -> Said {
        self.recommended.extend(later.recommended);
        self.rescaled.extend(later.rescaled);
        self
    }

    /// How long after 6 pods were last recommended it got fewer.
    fn fell_after(&self) -> Duration {
        let full = self.rescaled.iter().position(|(_, replicas)| *replicas >= 6);
        let later = &self.rescaled[full.expect("it had 6 pods")..];
        let fall = later.iter().find(|(_, replicas)| *replicas < 6).expect("it fell");
        let high = self
            .recommended
            .iter()
            .filter(|(at, replicas)| *replicas >= 6 && *at < fall.0);
        let last = high.map(|(at, _)| *at).max().expect("6 were recommended");
        fall.0.duration_since(last).unsigned_abs()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_a_window_and_in_a_period_it_keeps_both_as_if_it_had_lived_on() {
    let cluster = Cluster::main().await;
    let (broken, unbroken) = (
        cluster.namespace("killed-once").await,
        cluster.namespace("unbroken").await,
    );
    let lead = |namespace: &Namespace| {
        let place = format!("--leader-elect-resource-namespace={}", namespace.name);
        Controller::start(
            namespace,
            &cluster.kubeconfig(),
            &["--namespace", &namespace.name, &place],
        )
    };
    let (first, other) = (lead(&broken), lead(&unbroken));
    let (stage, whole) = tokio::join!(Stage::of(&broken), Stage::of(&unbroken));
    tokio::join!(
        stage.web.settles(6, HOLD, seconds(150)),
        whole.web.settles(6, HOLD, seconds(150))
    );
    // Both at the same time: they see the same rounds of metrics.
    whole.load.cpu(290);
    let quiet = stage.window_has_begun().await;
    let grown = stage.slow.now();
    let said_before = Said::in_log(&first.log(), &broken);
    first.kill();
    let second = lead(&broken);

    tokio::join!(stage.fall(quiet), whole.fall(quiet));
    // By what the processes themselves have logged: the metrics of two workloads may change a round apart, and watches be late.
    let broken_said = said_before.and_then(Said::in_log(&second.log(), &broken));
    let after = broken_said.fell_after();
    let unbroken_after = Said::in_log(&other.log(), &unbroken).fell_after();
    assert!(
        after >= WINDOW,
        "{after:?} after the last recommendation of 6: {}",
        stage.web
    );
    assert!(
        after <= WINDOW + LEASE_AND_SYNC + BUSY,
        "{after:?} after the last recommendation of 6: {}",
        stage.web
    );
    assert!(unbroken_after + LATE >= WINDOW, "{unbroken_after:?}: {}", whole.web);
    wait_until("slow grows on", PERIOD + seconds(20), async || {
        match stage.slow.now() > grown {
            true => Ok(()),
            false => Err(format!("{}", stage.slow)),
        }
    })
    .await;
    let shortest = stage.shortest_period();
    assert!(shortest >= PERIOD - LATE, "two pods in {shortest:?}: {}", stage.slow);
    println!(
        "web fell {after:?} after it was last to have 6 pods, unbroken {unbroken_after:?}; slow grew once in {shortest:?} at most"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_that_was_damaged_is_warned_of_and_begun_anew() {
    let namespace = Cluster::main().await.namespace("damaged").await;
    let web = Workload::deployment(&namespace, "web", 2);
    Autoscaler::by_kubectl(&web, &["--cpu-percent=50", "--min=2", "--max=10"]);
    let lead = || {
        let place = format!("--leader-elect-resource-namespace={}", namespace.name);
        let flags = ["--namespace", &namespace.name, &place];
        Controller::start(&namespace, &namespace.cluster.kubeconfig(), &flags)
    };
    let first = lead();
    let memories = namespace.api::<ConfigMap>();
    wait_until("memory is stored", seconds(20), async || {
        let found = memories.get_opt("trimtab-memory-0").await.expect("read the ConfigMap");
        found.map(drop).ok_or("nothing")
    })
    .await;
    first.kill();
    // "TTM9": of a version that is not known yet.
    let future = Patch::Merge(json!({"binaryData": {"memory": "VFRNOQ=="}}));
    let damaged = memories
        .patch("trimtab-memory-0", &PatchParams::default(), &future)
        .await;
    let damaged = damaged.expect("damage the memory").metadata.resource_version;

    let mut second = lead();
    let told = wait_until("an Event on the ConfigMap", seconds(30), async || {
        let fields = "involvedObject.kind=ConfigMap,involvedObject.name=trimtab-memory-0,reason=UnreadableMemory";
        let events = namespace
            .api::<Event>()
            .list(&ListParams::default().fields(fields))
            .await;
        let event = events.expect("list Events").items.pop();
        event.and_then(|event| event.message).ok_or("none")
    })
    .await;
    assert!(told.contains("version '9'"), "{told}");
    wait_until("it is stored anew", seconds(10), async || {
        let found = memories.get("trimtab-memory-0").await.expect("read the ConfigMap");
        match found.metadata.resource_version == damaged {
            true => Err("as it was damaged"),
            false => Ok(()),
        }
    })
    .await;
    let holder = namespace.api::<Lease>().get("trimtab").await.expect("read the Lease");
    assert!(
        holder
            .spec
            .and_then(|spec| spec.holder_identity)
            .is_some_and(|who| !who.is_empty())
    );
    assert!(second.runs(), "it ended:\n{}", second.log());
    assert!(second.log().contains("Stored memory is unreadable"), "{}", second.log());
}
