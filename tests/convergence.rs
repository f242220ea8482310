//! Once faults stop, counts converge to what Kubernetes' own controller would say.
//!
//! Simulated hours in which much goes wrong end with twenty minutes of calm. The worlds that an autoscaler sees in the last ten
//! of them are given to Kubernetes' controller (`tests/conformance/oracle`), step by step: what it wants at the end is the count
//! that we have come to. `SEEDS` is how many hours, `FIRST` the first one.

#[path = "support/number.rs"]
mod number;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fs, thread};

use number::number;
use serde_json::Value;
use trimtab::sim::trial::{AtRest, Mutation, Plan, at_rest};

/// At least so many steps have to be there: a window of five minutes, and as much again.
const STEPS: usize = 36;

/// What autoscalers have come to in these hours, by seed.
fn hours(first: u64, count: u64, mutation: Option<Mutation>) -> Vec<(u64, AtRest)> {
    let (next, found) = (AtomicU64::new(first), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    let plan = Plan::new(seed);
                    let of_seed = at_rest(&plan, mutation);
                    assert_eq!(of_seed.len(), plan.workloads.len(), "seed {seed}: not all decided");
                    let mut found = found.lock().expect("nobody panics with it");
                    found.extend(of_seed.into_iter().map(|one| (seed, one)));
                }
            });
        }
    });
    let mut found = found.into_inner().expect("nobody panics with it");
    found.sort_by(|a, b| (a.0, &a.1.key).cmp(&(b.0, &b.1.key)));
    found
}

/// Has Kubernetes' controller decide all of them; gives the count that it wants at the end of each, and in the steps before.
fn wanted(all: &[(u64, AtRest)], purpose: &str) -> Vec<Vec<i64>> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("convergence").join(purpose);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("make a folder");
    let files: Vec<PathBuf> = all
        .iter()
        .map(|(_, one)| {
            let name = one.scenario["name"].as_str().expect("it has a name");
            let file = folder.join(format!("{name}.json"));
            fs::write(&file, one.scenario.to_string()).expect("write a scenario");
            file
        })
        .collect();
    let oracle = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/oracle/oracle");
    let filled = Command::new(oracle)
        .arg("fill")
        .args(&files)
        .output()
        .expect("run the oracle");
    assert!(
        filled.status.success(),
        "the oracle: {}",
        String::from_utf8_lossy(&filled.stderr)
    );
    let read = |(file, (_, one)): (&PathBuf, &(u64, AtRest))| {
        let text = fs::read_to_string(file).expect("read a scenario");
        let scenario: Value = serde_json::from_str(&text).expect("the oracle writes JSON");
        let key = one.key.to_string();
        let mut wanted = Vec::new();
        for step in scenario["steps"].as_array().expect("it has steps") {
            let desired = step["expect"][&key]["status"]["desiredReplicas"].as_i64();
            // What stays as it was is not said again.
            wanted.extend(desired.or(wanted.last().copied()));
        }
        wanted
    };
    files.iter().zip(all).map(read).collect()
}

#[test]
fn once_faults_stop_counts_converge_to_what_kubernetes_controller_says() {
    let (first, seeds) = (number("FIRST", 1), number("SEEDS", 40));
    let all = hours(first, seeds, None);
    let mut wrong = Vec::new();
    for ((seed, one), wanted) in all.iter().zip(wanted(&all, "right")) {
        let steps = one.scenario["steps"].as_array().map_or(0, Vec::len);
        assert!(steps >= STEPS, "seed {seed}: {} was decided {steps} times", one.key);
        if wanted.last() != Some(&one.count) {
            wrong.push(format!(
                "seed {seed}: {} ends with {} replicas, where Kubernetes' controller wants {wanted:?}",
                one.key, one.count
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), all.len());
    println!(
        "{} autoscalers of {seeds} simulated hours come to what Kubernetes' controller wants",
        all.len()
    );
}

/// One that sees twice the usage that there is comes to another count, and that is noticed.
#[test]
fn a_controller_that_is_wrong_is_noticed() {
    let all = hours(1, 4, Some(Mutation::OverstatesUsage));
    let wanted = wanted(&all, "wrong");
    let other = |((_, one), wanted): &(&(u64, AtRest), &Vec<i64>)| wanted.last() != Some(&one.count);
    let differ = all.iter().zip(&wanted).filter(other).count();
    assert!(differ > 0, "all {} come to the same", all.len());
}
