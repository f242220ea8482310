//! Benchmarks in memory: time, allocations and instructions of what trimtab does most.
//!
//! `cargo bench --bench in_memory` measures times and allocations; `-- count` counts instructions too, with callgrind,
//! and fails where a count has grown by half over the one in `recorded.txt`. A text after it takes the cases that have
//! it in their name. `tests/run instructions` is `count` over all cases, in the profile `counted` with which the
//! recorded ones were counted.

mod callgrind;
mod cases;
mod measure;
mod recorded;

use std::process::ExitCode;

use recorded::Recorded;

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let is_first = |word: &str| arguments.first().is_some_and(|argument| argument == word);
    let (counts, is_counted) = (is_first("count"), is_first(callgrind::ARGUMENT));
    if counts || is_counted {
        arguments.remove(0);
    }
    let wanted = arguments.first().map_or("", String::as_str);
    let cases: Vec<_> = cases::all()
        .into_iter()
        .filter(|case| case.name.contains(wanted) && (case.is_counted || !counts && !is_counted))
        .collect();
    if is_counted {
        callgrind::run_counted(&cases);
        return ExitCode::SUCCESS;
    }
    match measure_all(&cases, counts, wanted) {
        Ok(complaints) if complaints.is_empty() => ExitCode::SUCCESS,
        Ok(complaints) => {
            complaints.iter().for_each(|complaint| eprintln!("{complaint}"));
            ExitCode::FAILURE
        }
        Err(problem) => {
            eprintln!("benchmarks: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Measures and prints; the complaints about what costs more than it did.
fn measure_all(cases: &[cases::Named], counts: bool, wanted: &str) -> Result<Vec<String>, String> {
    let mut measured: Vec<_> = cases.iter().map(measure::natively).collect();
    if counts {
        let instructions = callgrind::count(wanted, cases.len())?;
        let pairs = measured.iter_mut().zip(instructions);
        pairs.for_each(|(measured, count)| measured.instructions = Some(count));
    }
    let recorded = Recorded::read()?;
    println!(
        "{:<44} {:>14} {:>14} {:>12} {:>10} {:>12}",
        "", "instructions", "recorded", "allocations", "recorded", "time"
    );
    for (case, measured) in cases.iter().zip(&measured) {
        println!("{}", recorded.row(case.name, measured));
    }
    if !counts {
        return Ok(Vec::new());
    }
    let found: Vec<_> = cases.iter().map(|case| case.name).zip(&measured).collect();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        if !wanted.is_empty() {
            return Err("all cases are recorded together: leave the name away".to_owned());
        }
        recorded::write(&found)?;
        return Ok(Vec::new());
    }
    Ok(recorded.complaints(&found, wanted.is_empty()))
}
