//! `trimtab replay FILE…`: scenario files decided again, and compared with what they expect.

use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::{Exit, Failure, output};
use crate::files;
use crate::sim::replay::replay;

/// A scenario is a few hundred KB; 64 MiB hold days of a large workload.
pub(super) const LARGEST_FILE: u64 = 64 << 20;

pub(super) fn definition() -> Command {
    let files = Arg::new("file")
        .value_name("FILE")
        .help("Scenario files")
        .required(true)
        .action(ArgAction::Append)
        .value_parser(value_parser!(PathBuf));
    Command::new("replay")
        .about("Decide scenario files again, and print where the decisions are others than expected")
        .long_about(
            "Decide scenario files again, and print where the decisions are others than expected.\n\n\
             Prints nothing where every expectation holds; otherwise each difference: step, field, expected, got. \
             tests/conformance/FORMAT.md describes the files; `trimtab snapshot` makes them.",
        )
        .arg(files)
}

pub(super) fn execute(matches: &ArgMatches) -> Result<Exit, Failure> {
    let (mut differs, mut unreadable) = (false, false);
    for file in matches.get_many::<PathBuf>("file").into_iter().flatten() {
        match replay_file(file) {
            Ok(differences) => {
                differs |= !differences.is_empty();
                output::print(&differences)?;
            }
            Err(problem) => {
                unreadable = true;
                output::report(&anyhow::anyhow!("{}: {problem}", file.display()));
            }
        }
    }
    Ok(match (unreadable, differs) {
        (true, _) => Exit::Unusable,
        (false, true) => Exit::Failed,
        (false, false) => Exit::Done,
    })
}

/// The differences of one file, a line each.
fn replay_file(file: &Path) -> Result<String, String> {
    let text = files::read_text(file, LARGEST_FILE).map_err(|e| e.to_string())?;
    let differences = replay(&text, |_| {}).map_err(|e| e.to_string())?;
    Ok(differences
        .iter()
        .map(|d| format!("{}: {d}\n", file.display()))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device has no size, and never ends.
    #[test]
    fn a_scenario_without_end_is_given_up() {
        let problem = replay_file(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(problem, format!("it is larger than {LARGEST_FILE} bytes"));
    }
}
