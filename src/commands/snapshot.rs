//! `trimtab snapshot NS/NAME`: everything that one decision sees, as one scenario file.

mod objects;
mod read;
mod scenario;

use clap::{ArgMatches, Command};

use super::{Exit, Failure, assembly, configuration, flags, name, output};
use crate::clock::{Clock, SystemClock};
use crate::settings::{Section, Settings};
use crate::spec::Key;
use output::chain;

pub(super) fn definition() -> Command {
    let command = Command::new("snapshot")
        .about("Save everything that one decision sees as a scenario file")
        .long_about(
            "Save everything that one decision sees as a scenario file, on standard output.\n\n\
             The file holds the autoscaler with its status, its target's scale, its pods and their metrics, cut down to what a \
             decision reads: no environment variables, no annotations. `trimtab explain --file` and `trimtab replay` read it. \
             Needs rights to get and list; writes nothing.",
        )
        .arg(name::argument().required(true));
    flags::add(command, &[Section::Decisions, Section::Cluster])
}

pub(super) async fn execute(matches: &ArgMatches, variables: &[(String, String)]) -> Result<Exit, Failure> {
    let key = name::key(matches).expect("it is required");
    let settings = configuration::settings(matches, variables)?.settings;
    let text = take(&key, &settings).await?;
    output::print(&text)?;
    Ok(Exit::Done)
}

/// The snapshot's text.
///
/// # Errors
///
/// No cluster, no such autoscaler, or pods that cannot be listed.
pub(super) async fn take(key: &Key, settings: &Settings) -> Result<String, Failure> {
    let clients = assembly::connect(settings).await?;
    let seen = read::read(&clients, key, settings, SystemClock.now()).await?;
    Ok(format!("{:#}\n", scenario::scenario(&seen, settings)))
}
