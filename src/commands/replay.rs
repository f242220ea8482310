//! `trimtab replay FILE…`: a scenario file decided again, compared with what it expects.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::sim::replay::replay;

/// A scenario file is a few hundred KB; 64 MiB hold days of a large workload.
const LARGEST_FILE: u64 = 64 << 20;

/// How a replay of some files ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Every expectation holds.
    #[default]
    Holds,
    /// Some expectation does not hold: exit code 1.
    Differs,
    /// Some file cannot be read: exit code 2.
    Unreadable,
}

/// Replays `files` one after the other: each difference goes to `out`, what cannot be read to `err`.
///
/// # Errors
/// Where `out` or `err` cannot be written.
pub fn run(files: &[PathBuf], out: &mut impl Write, err: &mut impl Write) -> std::io::Result<Outcome> {
    let mut worst = Outcome::Holds;
    for file in files {
        let outcome = match read(file) {
            Err(problem) => {
                writeln!(err, "error: {}: {problem}", file.display())?;
                Outcome::Unreadable
            }
            Ok(text) => match replay(&text, |_| {}) {
                Err(problem) => {
                    writeln!(err, "error: {}: {problem}", file.display())?;
                    Outcome::Unreadable
                }
                Ok(differences) if differences.is_empty() => Outcome::Holds,
                Ok(differences) => {
                    for difference in differences {
                        writeln!(out, "{}: {difference}", file.display())?;
                    }
                    Outcome::Differs
                }
            },
        };
        worst = worst.max(outcome);
    }
    Ok(worst)
}

fn read(file: &Path) -> Result<String, String> {
    let size = std::fs::metadata(file).map_err(|e| e.to_string())?.len();
    if size > LARGEST_FILE {
        return Err(format!("{size} bytes are more than the {LARGEST_FILE} that a scenario may have"));
    }
    std::fs::read_to_string(file).map_err(|e| e.to_string())
}
