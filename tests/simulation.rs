//! Seeds: an hour of virtual time each, with everything that goes wrong in it. `SEEDS` is how many, `FIRST` the first one.

#[path = "support/number.rs"]
mod number;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{env, fs, thread};

use number::number;
use trimtab::sim::trial::days::Days;
use trimtab::sim::trial::{Asking, Event, Mutation, Plan, Point, What, run, shrink};

/// Plans that found something once, as small as they could be made.
const KEPT: &str = "tests/simulation/kept";

/// The command that runs one seed.
fn again(seed: u64) -> String {
    format!("FIRST={seed} SEEDS=1 cargo test --profile counted --test simulation -- nothing --nocapture")
}

/// Runs all of them on all cores; gives the places of those that failed, and how.
fn failures(plans: usize, plan: impl Fn(usize) -> Plan + Sync) -> Vec<(usize, Vec<String>)> {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= plans {
                return;
            }
            let plan = plan(at);
            let verdict = run(&plan, None);
            if let Some(first) = verdict.violations.first() {
                eprintln!("seed {} fails: {first}\n  again: {}", plan.seed, again(plan.seed));
                let mut failed = failed.lock().expect("nobody panics with it");
                failed.push((at, verdict.violations));
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

fn kept() -> Vec<(PathBuf, Plan)> {
    let folder = fs::read_dir(KEPT).expect("the folder is part of the source");
    let mut files: Vec<PathBuf> = folder.map(|entry| entry.expect("it can be read").path()).collect();
    files.sort();
    let plan = |file: &Path| {
        let text = fs::read_to_string(file).expect("it can be read");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    };
    files.into_iter().map(|file| (file.clone(), plan(&file))).collect()
}

/// Makes the plan as small as it can be and still fail, and puts it where it can be kept from.
fn made_small(plan: &Plan) -> (Plan, PathBuf) {
    let smallest = shrink(plan, None);
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("seed-{}.json", plan.seed));
    let text = serde_json::to_string_pretty(&smallest).expect("a plan can be written");
    fs::write(&file, text + "\n").expect("the folder is there");
    (smallest, file)
}

/// With `RUST_LOG` one can see what the judge sees (`trimtab::sim=debug`), and what the controller logs.
fn log() {
    if env::var_os("RUST_LOG").is_some() {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        // Whichever test is first.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_test_writer()
            .try_init();
    }
}

#[test]
fn nothing_that_must_not_happen_does_whatever_goes_wrong() {
    log();
    let (first, seeds) = (number("FIRST", 1), number("SEEDS", 16));
    let seeds = usize::try_from(seeds).expect("not so many");
    let failed = failures(seeds, |at| Plan::new(first + at as u64));
    // The first is told in full: with no more events than it takes.
    if let Some((at, violations)) = failed.first() {
        let plan = Plan::new(first + *at as u64);
        let (smallest, file) = made_small(&plan);
        let all: Vec<u64> = failed.iter().map(|(at, _)| first + *at as u64).collect();
        panic!(
            "{} of {seeds} seeds fail: {all:?}; seed {} ({}): {violations:#?}\nwith these events alone: {:#?}\n\
             {} workloads, {} processes. To keep it: cp {} {KEPT}/what-was-wrong.json",
            failed.len(),
            plan.seed,
            again(plan.seed),
            smallest.events,
            smallest.workloads.len(),
            smallest.processes,
            file.display(),
        );
    }
    println!("{seeds} simulated hours hold, from seed {first} on");
}

#[test]
fn what_went_wrong_once_does_not_again() {
    log();
    let kept = kept();
    assert!(!kept.is_empty());
    let failed = failures(kept.len(), |at| kept[at].1.clone());
    let failed: Vec<_> = failed
        .iter()
        .map(|(at, violations)| (&kept[*at].0, violations))
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn a_plan_that_fails_is_made_small_and_still_fails_when_it_is_read_again() {
    let bug = Some(Mutation::WritesNothing);
    let is_large = |plan: &Plan| plan.workloads.len() > 1 && (3..8).contains(&plan.events.len());
    let plan = (1..).map(Plan::new).find(is_large).expect("there are such seeds");
    assert_ne!(run(&plan, bug).violations, [""; 0], "seed {}", plan.seed);
    let smallest = shrink(&plan, bug);
    assert_eq!(smallest.workloads.len(), 1, "seed {}", plan.seed);
    assert!(smallest.events.len() < plan.events.len(), "{:#?}", smallest.events);
    // As it would be kept.
    let text = serde_json::to_string_pretty(&smallest).expect("a plan can be written");
    let read: Plan = serde_json::from_str(&text).expect("it can be read");
    assert_eq!(read, smallest);
    let violations = run(&read, bug).violations;
    assert_ne!(violations, [""; 0], "seed {}", plan.seed);
    assert_eq!(violations, run(&smallest, bug).violations);
    // No event is left that it does not take.
    for at in 0..smallest.events.len() {
        let mut without = smallest.clone();
        without.events.remove(at);
        assert_eq!(run(&without, bug).violations, [""; 0], "{:#?}", smallest.events[at]);
    }
}

#[test]
fn a_seed_gives_the_same_hour_each_time() {
    // One with one process, one with two, and one whose cluster has a Prometheus.
    let first = |like: fn(&Plan) -> bool| (1..).map(Plan::new).find(like);
    let with_one = first(|plan| plan.processes == 1);
    let with_two = first(|plan| plan.processes == 2);
    let with_prometheus = first(|plan| plan.configuration.is_some());
    for plan in [with_one, with_two, with_prometheus].into_iter().flatten() {
        let verdict = run(&plan, None);
        assert_eq!(verdict, run(&plan, None), "seed {}", plan.seed);
        assert!(verdict.scales > 0, "seed {}", plan.seed);
    }
}

/// `tests/run --extended soak-simulation` does this for thousands of days, and looks at memory too.
#[test]
fn hours_in_the_life_of_one_process_leave_no_task_behind() {
    let mut days = Days::new(1);
    let (warm, then) = (days.hours(4), days.hours(8));
    assert!(then.tasks <= warm.tasks + 2, "{warm:?}, then {then:?}");
    // It was a life: decisions, changes of the leader, workloads that came.
    assert!(then.syncs > 500 && then.scales > 0 && then.newcomers >= 8, "{then:?}");
    assert!(then.terms >= 2 && then.panics == 0, "{then:?}");
}

/// Known bugs, what the judge has to say of each, and a seed whose workloads show it.
const BUGS: [(Mutation, &str, u64); 14] = [
    (Mutation::WritesUntested, "a change by somebody else was overwritten", 1),
    (Mutation::FailureIsZero, "and the last answer of", 1),
    (Mutation::NoWindow, "was recommended at", 1),
    (Mutation::NoPolicies, "its policies allow", 4),
    (Mutation::BeyondMax, "outside of", 16),
    (Mutation::WritesNothing, "ends with", 1),
    (Mutation::ForgetsEverything, "its policies allow", 3),
    (Mutation::ForgetsIntents, "its policies allow", 3),
    (Mutation::SaysAllIsSaved, "was recommended at", 1),
    (Mutation::MissingIsZero, "what was answered wants", 1),
    (Mutation::OverstatesUsage, "were wanted", 1),
    (Mutation::LeadsForEver, " leads", 1),
    (Mutation::MissesDeletions, "after it was gone", 1),
    (Mutation::Leaks, "tasks at the end", 1),
];

/// Where plans are drawn otherwise since, so many are tried until one shows the bug.
const TRIES: u64 = 40;

/// What it takes for a bug to show.
fn occasions(mutation: Mutation) -> Vec<Event> {
    let event = |at: u64, lasts: u64, what: What| Event {
        at: Duration::from_secs(at),
        lasts: Duration::from_secs(lasts),
        share: 1.0,
        process: None,
        what,
    };
    let forbidden = |path: &str| What::Forbidden(path.to_owned());
    match mutation {
        Mutation::WritesUntested => vec![event(60, 2_000, What::Raced)],
        Mutation::FailureIsZero => vec![
            event(600, 400, forbidden("/apis/metrics.k8s.io")),
            event(600, 400, forbidden("/apis/custom.metrics.k8s.io")),
            event(600, 400, forbidden("/api/v1/namespaces/monitoring")),
        ],
        Mutation::ForgetsEverything => (5..60)
            .map(|n| event(n * 40, 0, What::Killed(Duration::from_secs(1))))
            .collect(),
        // Killed when a count is written and the answer has not come.
        Mutation::ForgetsIntents => (5..60)
            .map(|n| {
                let written = Point {
                    request: Asking::Scale,
                    done: true,
                };
                event(n * 40, 0, What::KilledAt(written, Duration::from_secs(1)))
            })
            .collect(),
        // Killed after a time in which more was recommended than before and nothing could be saved, and back when what was stored
        // can be read.
        Mutation::SaysAllIsSaved => (1..14)
            .flat_map(|n| {
                let memory = "/api/v1/namespaces/kube-system/configmaps";
                [
                    event(n * 160, 55, forbidden(memory)),
                    event(n * 160 + 5, 40, What::MetricsMissing),
                    event(n * 160 + 50, 0, What::Killed(Duration::from_secs(5))),
                ]
            })
            .collect(),
        Mutation::MissingIsZero => vec![event(900, 1_400, What::MetricsMissing)],
        // One whose Lease is cut off leads on, while the other one takes it.
        Mutation::LeadsForEver => (1..5)
            .map(|n| {
                event(
                    n * 400,
                    1,
                    What::LeadTakenAt(Point {
                        request: Asking::Metrics,
                        done: true,
                    }),
                )
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// A seed whose plan shows that a bug is noticed for what it is, and that nothing is wrong without the bug.
fn noticed(mutation: Mutation, word: &str, known: u64, plan: impl Fn(u64) -> Plan) {
    let plan = |seed| Plan {
        events: occasions(mutation),
        processes: if mutation == Mutation::LeadsForEver { 2 } else { 1 },
        ..plan(seed)
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

#[test]
fn each_known_bug_is_noticed_for_what_it_is() {
    assert_eq!(BUGS.map(|(mutation, ..)| mutation), Mutation::ALL);
    for (mutation, word, known) in BUGS {
        noticed(mutation, word, known, Plan::new);
    }
}

/// Those that get metrics wrong, with what the judge has to say of them where each metric comes from Prometheus.
#[test]
fn bugs_in_reading_prometheus_are_noticed_too() {
    for (mutation, word) in [
        (Mutation::FailureIsZero, "and the last answer of Prometheus"),
        (Mutation::MissingIsZero, "what was answered wants"),
        (Mutation::OverstatesUsage, "were wanted"),
    ] {
        noticed(mutation, word, 1, |seed| Plan::new(seed).with_prometheus());
    }
}
