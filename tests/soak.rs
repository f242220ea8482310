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

/// The days are looked at in so many parts of the same length, each by its medians. The first part is the warm-up, and the last is
/// compared with the second. What takes longest to come to its size are the counts of repeated Events (4,096 at most), which fill
/// within weeks; and how large the heap becomes the worst hours say, of which a tenth of 2,000 days has had nearly all kinds.
const PARTS: usize = 10;

/// In fewer days the first part is too short for that, and memory is told and not judged.
const JUDGED_FROM: usize = 500;

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

/// A column of the result: its name, where it is found, and the most that the second of two medians may be.
type Column = (&'static str, fn(&Held) -> f64, fn(f64) -> f64);

const COLUMNS: [Column; 5] = [
    ("resident memory, KiB", |held| held.resident, with_growth),
    ("of that not the binary, KiB", |held| held.own, with_growth),
    // Told, and judged by what it does to the two before: it follows the pods of the moment.
    ("allocated and not freed, KiB", |held| held.live, |_| f64::INFINITY),
    ("tasks", |held| held.tasks, |before| before + SLACK),
    ("descriptors", |held| held.descriptors, |before| before + SLACK),
];

fn with_growth(before: f64) -> f64 {
    before * (1.0 + MOST_GROWTH_PERCENT / 100.0)
}

#[allow(clippy::disallowed_methods, reason = "it is told how long the days really take")]
fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let days = arguments
        .next()
        .map_or(DAYS, |days| days.parse().expect("a number of days"));
    let record = arguments.next();
    let (mut lived, mut live, mut sum) = (Days::new(1), 0, Span::default());
    let (mut samples, began) = (Vec::with_capacity(days), Instant::now());
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
    let parts: Vec<&[Held]> = samples.chunks(samples.len().div_ceil(PARTS).max(1)).collect();
    let mut text = format!(
        "{} virtual days in one process: {} syncs, {} counts written, {} terms of leadership, {} autoscalers that came.\n\n",
        samples.len(),
        sum.syncs,
        sum.scales,
        sum.terms,
        sum.newcomers
    );
    text += &row("days, medians", COLUMNS.iter().map(|(name, ..)| (*name).to_owned()));
    text += &format!("|---|{}\n", "---|".repeat(COLUMNS.len()));
    let mut first = 1;
    for (number, part) in parts.iter().enumerate() {
        let last = first + part.len() - 1;
        let name = format!("{first} to {last}{}", if number == 0 { ", warm-up" } else { "" });
        text += &row(
            &name,
            COLUMNS.iter().map(|(_, of, _)| format!("{:.0}", median(part, *of))),
        );
        first = last + 1;
    }
    let (Some(before), Some(after)) = (parts.get(1), parts.last()) else {
        return (text, Vec::new());
    };
    let both = |of| (median(before, of), median(after, of));
    let growth = COLUMNS.iter().map(|(_, of, _)| match both(*of) {
        (before, after) if before > 0.0 => format!("{:+.1} %", (after / before - 1.0) * 100.0),
        _ => String::new(),
    });
    text += &row("growth from the second part to the last", growth);
    let has_grown = |(_, of, most): &&Column| {
        let (before, after) = both(*of);
        after > most(before)
    };
    let grew = COLUMNS.iter().filter(has_grown).map(|(name, ..)| *name);
    let is_judged = |name: &&str| samples.len() >= JUDGED_FROM || !name.ends_with("KiB");
    (text, grew.filter(is_judged).collect())
}

fn row(name: &str, cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<String> = cells.collect();
    format!("| {name} | {} |\n", cells.join(" | "))
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
