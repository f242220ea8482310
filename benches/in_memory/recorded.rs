//! `recorded.txt`: what each case cost when it was last looked at.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use crate::measure::Measured;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/in_memory/recorded.txt");

const HEAD: &str = "\
# Instructions and allocations of one run of each case of benches/in_memory that is counted.
# `tests/run instructions` fails where one has grown by half; `UPDATE_EXPECT=1 tests/run instructions` writes this anew.
";

/// What was recorded of a case.
#[derive(Clone, Copy)]
struct Counts {
    instructions: u64,
    allocations: u64,
}

/// What was recorded of every case that is counted.
pub struct Recorded(BTreeMap<String, Counts>);

impl Recorded {
    pub fn read() -> Result<Self, String> {
        let text = std::fs::read_to_string(FILE).map_err(|e| format!("reading {FILE}: {e}"))?;
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        lines
            .map(|line| parse(line).ok_or_else(|| format!("{FILE}: not understood: {line}")))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// One line of the table that people read.
    pub fn row(&self, name: &str, measured: &Measured) -> String {
        let recorded = self.0.get(name);
        let text = |count: Option<u64>| count.map_or("-".to_owned(), grouped);
        format!(
            "{name:<44} {:>14} {:>14} {:>12} {:>10} {:>12}",
            text(measured.instructions),
            text(recorded.map(|r| r.instructions)),
            grouped(measured.allocations),
            text(recorded.map(|r| r.allocations)),
            duration(measured.time)
        )
    }

    /// What is not as it was recorded. `all`: these are all cases.
    pub fn complaints(&self, found: &[(&str, &Measured)], all: bool) -> Vec<String> {
        let mut complaints = Vec::new();
        for (name, measured) in found {
            let Some(recorded) = self.0.get(*name) else {
                complaints.push(format!(
                    "{name}: not recorded; UPDATE_EXPECT=1 tests/run instructions does"
                ));
                continue;
            };
            let mut compare = |of: &str, now: u64, then: u64| {
                // A handful more or less says nothing.
                if now > then + then / 2 + 3 {
                    complaints.push(format!(
                        "{name}: {} {of}, recorded were {}",
                        grouped(now),
                        grouped(then)
                    ));
                }
            };
            compare("allocations", measured.allocations, recorded.allocations);
            if let Some(instructions) = measured.instructions {
                compare("instructions", instructions, recorded.instructions);
            }
        }
        let is_gone = |name: &&String| all && !found.iter().any(|(found, _)| found == name);
        complaints.extend(
            self.0
                .keys()
                .filter(is_gone)
                .map(|name| format!("{name}: recorded, and there is no such case")),
        );
        complaints
    }
}

/// Records these in place of what was there.
pub fn write(found: &[(&str, &Measured)]) -> Result<(), String> {
    let mut text = HEAD.to_owned();
    for (name, measured) in found {
        let instructions = measured.instructions.ok_or_else(|| format!("{name} was not counted"))?;
        writeln!(text, "{instructions:>12} {:>9}  {name}", measured.allocations).expect("a String takes everything");
    }
    std::fs::write(FILE, text).map_err(|e| format!("writing {FILE}: {e}"))
}

fn parse(line: &str) -> Option<(String, Counts)> {
    let (instructions, rest) = line.trim_start().split_once(' ')?;
    let (allocations, name) = rest.trim_start().split_once("  ")?;
    Some((
        name.to_owned(),
        Counts {
            instructions: instructions.parse().ok()?,
            allocations: allocations.parse().ok()?,
        },
    ))
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn duration(time: Duration) -> String {
    let micros = time.as_nanos() as f64 / 1e3;
    match micros {
        ..1e3 => format!("{micros:.2} µs"),
        ..1e6 => format!("{:.2} ms", micros / 1e3),
        _ => format!("{:.2} s", micros / 1e6),
    }
}
