//! Virtual days of trouble in one process: nothing may be left behind by them. `tests/run --extended soak-simulation` runs it.
//!
//! The arguments: how many days, and a file for what was measured, as Markdown.

use std::process::ExitCode;
use std::time::Instant;
use std::{env, fs};

use allocation_counter::measure;
use trimtab::sim::trial::days::{Days, Span};

/// As many as issue 7 asks for.
const DAYS: usize = 2_000;

/// Days that are not judged, as a part of all, and at least: within the first days the caches of the processes, the cluster's own
/// history, the label sets of the metrics, and above all the allocator's free lists come to the size that the worst hours need.
const WARM_UP_PART: usize = 10;
const WARM_UP_LEAST: usize = 3;

/// The spans that are compared: the first and the last quarter of the days after the warm-up, by their medians.
const SPANS: usize = 4;

/// The most that resident memory may grow by, in percent.
const MOST_GROWTH_PERCENT: f64 = 2.0;

/// So many more tasks or descriptors in the median are none: requests are under way at each moment.
const SLACK: f64 = 2.0;

/// Lines that are printed in a run, about.
const LINES: usize = 50;

/// What is held at the end of a day.
#[derive(Clone, Copy)]
struct Held {
    /// Resident, in KiB; and of that what is not the binary.
    resident: f64,
    own: f64,
    /// What is allocated and not freed, in KiB: that of the controllers and of the cluster that they run on.
    live: f64,
    tasks: f64,
    descriptors: f64,
}

/// A row of the result: its name, where it is found, and the most that the second of two medians may be.
type Row = (&'static str, fn(&Held) -> f64, fn(f64) -> f64);

const ROWS: [Row; 5] = [
    ("resident memory, KiB", |held| held.resident, with_growth),
    ("of that not the binary, KiB", |held| held.own, with_growth),
    // Told, and judged by what it does to the two above: it follows the pods of the moment.
    ("allocated and not freed, KiB", |held| held.live, |_| f64::INFINITY),
    ("tasks", |held| held.tasks, |before| before + SLACK),
    ("descriptors", |held| held.descriptors, |before| before + SLACK),
];

fn with_growth(before: f64) -> f64 {
    before * (1.0 + MOST_GROWTH_PERCENT / 100.0)
}

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let days = arguments
        .next()
        .map_or(DAYS, |days| days.parse().expect("a number of days"));
    let record = arguments.next();
    let (mut lived, mut live, mut sum) = (Days::new(1), 0, Span::default());
    let (mut samples, began) = (Vec::new(), Instant::now());
    for day in 1..=days {
        let mut span = Span::default();
        // All of it runs on this thread, and so its allocations are counted.
        live += measure(|| span = lived.hours(24)).bytes_current;
        let held = held(live, &span);
        samples.push(held);
        sum = sum.and(&span);
        if day % (days / LINES).max(1) == 0 {
            println!(
                "day {day}: {} KiB resident, {} of its own, {} allocated, {} tasks, {} descriptors; {span:?}; {:.0} s",
                held.resident,
                held.own,
                held.live,
                held.tasks,
                held.descriptors,
                began.elapsed().as_secs_f64()
            );
        }
    }
    let (text, grew) = judged(&samples, &sum);
    println!("{text}");
    if let Some(file) = record {
        fs::write(file, &text).expect("the record can be written");
    }
    if sum.panics > 0 || sum.syncs == 0 || sum.scales == 0 || sum.terms < 2 {
        eprintln!("soak: that was no life: {sum:?}");
        return ExitCode::FAILURE;
    }
    if !grew.is_empty() {
        eprintln!("soak: grew: {}", grew.join(", "));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// The figures as Markdown, and what has grown.
fn judged(samples: &[Held], sum: &Span) -> (String, Vec<&'static str>) {
    let warm_up = (samples.len() / WARM_UP_PART).max(WARM_UP_LEAST).min(samples.len());
    let warm = &samples[warm_up..];
    let span = (warm.len() / SPANS).max(1).min(warm.len());
    let (first, last) = (&warm[..span], &warm[warm.len() - span..]);
    let mut text = format!(
        "{} virtual days, of which {warm_up} warm up. {} syncs, {} counts written, {} terms of leadership, {} autoscalers that came.\n\n\
         | | first {span} days, median | last {span} days, median | growth |\n|---|---|---|---|\n",
        samples.len(),
        sum.syncs,
        sum.scales,
        sum.terms,
        sum.newcomers
    );
    let mut grew = Vec::new();
    for (name, of, most) in ROWS {
        let (before, after) = (median(first, of), median(last, of));
        let growth = if before > 0.0 {
            (after / before - 1.0) * 100.0
        } else {
            0.0
        };
        text += &format!("| {name} | {before:.0} | {after:.0} | {growth:+.1} % |\n");
        if after > most(before) {
            grew.push(name);
        }
    }
    (text, grew)
}

fn median(of: &[Held], value: fn(&Held) -> f64) -> f64 {
    let mut values: Vec<f64> = of.iter().map(value).collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

fn held(live: i64, span: &Span) -> Held {
    let status = fs::read_to_string("/proc/self/status").expect("Linux says it");
    let kib = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.expect("it is a number of kB")
    };
    Held {
        resident: kib("VmRSS:"),
        own: kib("RssAnon:"),
        live: (live / 1024) as f64,
        tasks: span.tasks as f64,
        descriptors: fs::read_dir("/proc/self/fd").expect("Linux says it").count() as f64,
    }
}
