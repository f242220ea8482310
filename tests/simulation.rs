//! Seeds: an hour of virtual time each, with everything that goes wrong in it. `SEEDS` is how many, `FIRST` the first one.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use trimtab::sim::trial::{Event, Mutation, Plan, What, run, shrink};

/// Seeds that found something once.
const KEPT: &str = include_str!("simulation/kept.txt");

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{variable} is a number, not {text:?}")),
        Err(_) => default,
    }
}

/// The command that runs one seed.
fn again(seed: u64) -> String {
    format!("FIRST={seed} SEEDS=1 cargo test --profile counted --test simulation -- nothing --nocapture")
}

/// Runs all of them on all cores; gives those that failed.
fn failures(seeds: &[u64]) -> Vec<(u64, Vec<String>)> {
    let (next, failed) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(seed) = usize::try_from(next.fetch_add(1, Ordering::Relaxed))
            .ok()
            .and_then(|at| seeds.get(at))
        {
            let verdict = run(&Plan::new(*seed), None);
            if let Some(first) = verdict.violations.first() {
                eprintln!("seed {seed} fails: {first}\n  again: {}", again(*seed));
                failed
                    .lock()
                    .expect("nobody panics with it")
                    .push((*seed, verdict.violations));
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let mut failed = failed.into_inner().expect("nobody panics with it");
    failed.sort();
    failed
}

fn kept() -> Vec<u64> {
    let lines = KEPT.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let seed = |line: &str| line.split_whitespace().next().and_then(|seed| seed.parse().ok());
    lines
        .map(|line| seed(line).unwrap_or_else(|| panic!("no seed: {line}")))
        .collect()
}

#[test]
fn nothing_that_must_not_happen_does_whatever_goes_wrong() {
    let first = number("FIRST", 1);
    let mut seeds = kept();
    seeds.extend(first..first + number("SEEDS", 16));
    let failed = failures(&seeds);
    // The first is told in full: with no more events than it takes.
    if let Some((seed, violations)) = failed.first() {
        let smallest = shrink(&Plan::new(*seed), None);
        let all: Vec<u64> = failed.iter().map(|(seed, _)| *seed).collect();
        panic!(
            "{} of {} seeds fail: {all:?}; seed {seed} ({}): {violations:#?}\nwith these events alone: {:#?}\nworkloads: {:#?}",
            failed.len(),
            seeds.len(),
            again(*seed),
            smallest.events,
            smallest.workloads
        );
    }
    println!(
        "{} simulated hours hold, {} of them by seeds kept",
        seeds.len(),
        kept().len()
    );
}

#[test]
fn a_seed_gives_the_same_hour_each_time() {
    for seed in 1..=2 {
        assert_eq!(run(&Plan::new(seed), None), run(&Plan::new(seed), None), "seed {seed}");
    }
}

/// Known bugs, what the judge has to say of each, and a seed whose workloads show it.
const BUGS: [(Mutation, &str, u64); 7] = [
    (Mutation::WritesUntested, "a change by somebody else was overwritten", 1),
    (Mutation::FailureIsZero, "and the last answer of", 1),
    (Mutation::NoWindow, "was recommended at", 1),
    (Mutation::NoPolicies, "its policies allow", 4),
    (Mutation::BeyondMax, "outside of", 8),
    (Mutation::WritesNothing, "ends with", 1),
    (Mutation::ForgetsEverything, "its policies allow", 7),
];

/// Where plans are drawn otherwise since, so many are tried until one shows the bug.
const TRIES: u64 = 20;

/// What it takes for a bug to show.
fn occasions(mutation: Mutation) -> Vec<Event> {
    let event = |at: u64, lasts: u64, what: What| Event {
        at: Duration::from_secs(at),
        lasts: Duration::from_secs(lasts),
        share: 1.0,
        what,
    };
    match mutation {
        Mutation::WritesUntested => vec![event(60, 2_000, What::Raced)],
        Mutation::FailureIsZero => vec![
            event(600, 400, What::Forbidden("/apis/metrics.k8s.io")),
            event(600, 400, What::Forbidden("/apis/custom.metrics.k8s.io")),
        ],
        Mutation::ForgetsEverything => (5..60)
            .map(|n| event(n * 40, 0, What::Killed(Duration::from_secs(1))))
            .collect(),
        _ => Vec::new(),
    }
}

#[test]
fn each_known_bug_is_noticed_for_what_it_is() {
    assert_eq!(BUGS.map(|(mutation, ..)| mutation), Mutation::ALL);
    for (mutation, word, known) in BUGS {
        let plan = |seed| Plan {
            events: occasions(mutation),
            ..Plan::new(seed)
        };
        let shows = |seed: &u64| {
            let violations = run(&plan(*seed), Some(mutation)).violations;
            violations.iter().any(|violation| violation.contains(word))
        };
        let mut seeds = [known].into_iter().chain(1..=TRIES);
        let seed = seeds
            .find(shows)
            .unwrap_or_else(|| panic!("{mutation:?} is not noticed"));
        println!("{mutation:?}: seed {seed}");
        assert_eq!(
            run(&plan(seed), None).violations,
            [""; 0],
            "seed {seed} without {mutation:?}"
        );
    }
}
