//! Three processes with three shards: one is killed, one is paused past its leases and goes on. Who decided when, and in which
//! term of the shard's Lease, is read from their logs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::time::sleep;
use trimtab::clock::{Clock, SystemClock};
use trimtab::shards::Sharding;

use crate::harness::{Alone, Autoscaler, Controller, Load, Namespace, Workload, seconds, utilization, wait_until};

const SHARDS: u16 = 3;

/// As by default: the bounds below are made of them.
const LEASE_TIME: Duration = seconds(8);
const SYNC_PERIOD: Duration = seconds(15);

/// A decision, as a process told of it.
#[derive(Clone, Debug)]
struct Decision {
    at: Timestamp,
    process: &'static str,
    key: String,
    /// Which term of the shard's Lease it was decided in: the Lease counts how often it went to another holder.
    term: u32,
}

struct Process {
    name: &'static str,
    controller: Controller,
}

#[tokio::test(flavor = "multi_thread")]
async fn no_autoscaler_is_decided_by_two_and_none_is_left_out_when_processes_die_and_stand_still() {
    let cluster = Alone::without_hpa("shards").await;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/sharded");
    cluster.kubectl(&["apply", "--kustomize", folder]);
    let (namespaces, _loads) = autoscalers(&cluster).await;
    let kubeconfig = namespaces[0].folder().join("trimtab.kubeconfig");
    let kubeconfig = cluster.account_kubeconfig("trimtab", "trimtab", &kubeconfig);
    let start = |name| Process {
        name,
        controller: Controller::start(
            &namespaces[0],
            &kubeconfig,
            &[
                "--shards=3",
                "--leader-elect-resource-namespace=trimtab",
                "--horizontal-pod-autoscaler-sync-period=15s",
            ],
        ),
    };
    let keys: BTreeSet<String> = namespaces
        .iter()
        .map(|namespace| format!("{}/web", namespace.name))
        .collect();

    let (first, second, third) = (start("first"), start("second"), start("third"));
    shared_out(&[&first, &second, &third], &keys).await;

    // One is killed.
    let died = SystemClock.now();
    let of_dead = decisions(&second);
    second.controller.kill();
    let mut so_far = [decisions(&first), decisions(&third)].concat();
    so_far.extend(of_dead.clone());
    let lost = those_of("second", &so_far, &keys);
    assert!(!lost.is_empty(), "the killed process decided for nobody");
    shared_out_since(&[&first, &third], &keys, died).await;

    // One comes, so that each has a shard again.
    let fourth = start("fourth");
    let came = SystemClock.now();
    shared_out_since(&[&first, &third, &fourth], &keys, came).await;

    // One stands still for longer than its leases last, until others have all that it had.
    let stopped = SystemClock.now();
    third.controller.stand_still();
    let so_far = [&first, &third, &fourth].map(decisions).concat();
    let paused = those_of("third", &so_far, &keys);
    assert!(!paused.is_empty(), "the paused process decided for nobody");
    shared_out_since(&[&first, &fourth], &keys, stopped).await;
    third.controller.go_on();
    let went_on = SystemClock.now();
    shared_out_since(&[&first, &third, &fourth], &keys, went_on).await;

    let mut all = of_dead;
    for process in [&first, &third, &fourth] {
        all.extend(decisions(process));
    }
    all.sort_by_key(|decision| decision.at);
    for (fault, process, keys) in [(died, "second", &lost), (stopped, "third", &paused)] {
        for key in keys {
            let again = all
                .iter()
                .find(|one| one.key == *key && one.at > fault && one.process != process);
            let again = again.unwrap_or_else(|| panic!("nobody decided for {key} any more"));
            let took = again.at.duration_since(fault).unsigned_abs();
            eprintln!("{key}: {} decided {took:?} after {process} was gone", again.process);
            let allowed = LEASE_TIME + SYNC_PERIOD + slowness(&all, fault, again.at);
            assert!(
                took <= allowed,
                "{key} was left out for {took:?}, {allowed:?} are allowed"
            );
        }
    }
    // Nor is one left out where a shard goes from one living process to another: from when its next decision is due.
    for key in &keys {
        for pair in of_key(&all, key).windows(2) {
            let took = pair[1].at.duration_since(pair[0].at).unsigned_abs();
            let allowed = SYNC_PERIOD + LEASE_TIME + SYNC_PERIOD + slowness(&all, pair[0].at, pair[1].at);
            assert!(took <= allowed, "nobody decided for {took:?}: {pair:?}");
        }
    }
    none_by_two(&all, &keys);
    let refused: Vec<_> = cluster
        .requests_of("trimtab", "trimtab")
        .into_iter()
        .filter(|asked| !asked.allowed)
        .collect();
    assert!(refused.is_empty(), "rights are missing: {refused:?}");
    for process in [first, third, fourth] {
        let (status, took) = process.controller.terminate();
        assert!(status.success(), "{} ended with {status} after {took:?}", process.name);
    }
}

/// Namespaces with an autoscaler each, until each shard has two.
async fn autoscalers(cluster: &Alone) -> (Vec<Namespace>, Vec<Load>) {
    let sharding = Sharding::new(SHARDS).expect("three shards");
    let (mut namespaces, mut loads) = (Vec::new(), Vec::new());
    let mut counts = vec![0; usize::from(SHARDS)];
    while counts.iter().any(|count| *count < 2) {
        let namespace = cluster.namespace("shards").await;
        let shard = usize::from(sharding.shard_of(&namespace.name));
        // A third one tells nothing more.
        if counts[shard] == 2 {
            continue;
        }
        counts[shard] += 1;
        let web = Workload::deployment(&namespace, "web", 1);
        let spec = json!({"minReplicas": 1, "maxReplicas": 3, "metrics": [utilization("cpu", 50)]});
        Autoscaler::of(&web, "web", spec);
        loads.push(Load::on(&web, 50, 100));
        namespaces.push(namespace);
    }
    (namespaces, loads)
}

/// Waits until each autoscaler is decided for, and each process has some.
async fn shared_out(processes: &[&Process], keys: &BTreeSet<String>) {
    shared_out_since(processes, keys, Timestamp::MIN).await;
}

/// The same, by decisions after that: a pass of each process over all that is its own.
async fn shared_out_since(processes: &[&Process], keys: &BTreeSet<String>, since: Timestamp) {
    // A test of what happens, not of how fast: that is measured from the logs.
    wait_until("each process decides for its shards", seconds(240), async || {
        let mut last: BTreeMap<String, Decision> = BTreeMap::new();
        for process in processes {
            for decision in decisions(process).into_iter().filter(|decision| decision.at > since) {
                let known = last.entry(decision.key.clone()).or_insert_with(|| decision.clone());
                if decision.at >= known.at {
                    *known = decision;
                }
            }
        }
        let who: BTreeSet<&str> = last.values().map(|decision| decision.process).collect();
        match last.len() == keys.len() && who.len() == processes.len() {
            true => Ok(()),
            false => Err(format!("{} of {} autoscalers, by {who:?}", last.len(), keys.len())),
        }
    })
    .await;
    sleep(seconds(1)).await;
}

/// What a process has decided so far. Its lines are `TIME DEBUG Decided hpa=NAMESPACE/NAME …`, and before them
/// `TIME INFO Leads lease="trimtab-shard-N" … transitions=TERM`.
fn decisions(process: &Process) -> Vec<Decision> {
    let sharding = Sharding::new(SHARDS).expect("three shards");
    let mut terms: BTreeMap<u16, u32> = BTreeMap::new();
    let mut decisions = Vec::new();
    for line in process.controller.log().lines() {
        let value = |key: &str| line.split_whitespace().find_map(|word| word.strip_prefix(key));
        if line.contains(" INFO Leads ") {
            let lease = value("lease=").map(|name| name.trim_matches('"'));
            if let Some(shard) = lease.and_then(|name| name.strip_prefix("trimtab-shard-")) {
                let term = value("transitions=").and_then(|term| term.parse().ok());
                let term = term.unwrap_or_else(|| panic!("no term: {line}"));
                terms.insert(shard.parse().expect("a shard's number"), term);
            }
        } else if line.contains(" DEBUG Decided ") {
            let at = line.split_whitespace().next().and_then(|at| at.parse().ok());
            let key = value("hpa=").unwrap_or_else(|| panic!("no decision: {line}"));
            let shard = sharding.shard_of(key.split('/').next().unwrap_or_default());
            decisions.push(Decision {
                at: at.unwrap_or_else(|| panic!("no time: {line}")),
                process: process.name,
                key: key.to_owned(),
                term: *terms
                    .get(&shard)
                    .unwrap_or_else(|| panic!("{} never led shard {shard}: {line}", process.name)),
            });
        }
    }
    decisions
}

/// For whom this process decided last.
fn those_of(process: &str, decisions: &[Decision], keys: &BTreeSet<String>) -> BTreeSet<String> {
    let is_last = |key: &&String| {
        let of_key = decisions.iter().filter(|decision| decision.key == **key);
        of_key
            .max_by_key(|decision| decision.at)
            .is_some_and(|last| last.process == process)
    };
    keys.iter().filter(is_last).cloned().collect()
}

fn of_key<'a>(all: &'a [Decision], key: &str) -> Vec<&'a Decision> {
    all.iter().filter(|one| one.key == key).collect()
}

/// How much later than a sync period decisions came meanwhile for autoscalers that stayed with a process, in one term of its Lease: this
/// is what the machine can do.
fn slowness(all: &[Decision], from: Timestamp, to: Timestamp) -> Duration {
    let keys: BTreeSet<&str> = all.iter().map(|one| one.key.as_str()).collect();
    let late = keys.into_iter().flat_map(|key| {
        let stayed = |pair: &&[&Decision]| (pair[0].process, pair[0].term) == (pair[1].process, pair[1].term);
        let meanwhile = |pair: &&[&Decision]| pair[1].at > from && pair[0].at < to;
        let of_key = of_key(all, key);
        let pairs = of_key.windows(2).filter(|pair| stayed(pair) && meanwhile(pair));
        let gaps = pairs.map(|pair| pair[1].at.duration_since(pair[0].at).unsigned_abs());
        gaps.max()
    });
    late.max().unwrap_or_default().saturating_sub(SYNC_PERIOD)
}

/// Nobody decides after a later term of the Lease has begun to decide, and each term is one process's. So shards may go back and
/// forth as fast as they like, which a slow machine makes them do.
fn none_by_two(all: &[Decision], keys: &BTreeSet<String>) {
    for key in keys {
        for pair in of_key(all, key).windows(2) {
            let (before, after) = (pair[0], pair[1]);
            let is_new = after.term > before.term;
            let goes_on = after.term == before.term && after.process == before.process;
            assert!(is_new || goes_on, "decided by two: {before:?}, then {after:?}");
        }
    }
}
