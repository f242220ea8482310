//! `trimtab snapshot NS/NAME`: everything that one decision sees, as one scenario file.

mod controller;
mod metrics;
mod objects;
mod pod_metrics;
pub(super) mod read;
mod scenario;

use std::sync::Arc;

use clap::{Arg, ArgMatches, Command};

use super::{Exit, Failure, assembly, configuration, flags, name, output};
use crate::clock::{Clock, SystemClock};
use crate::cluster::autoscalers::first_status;
use crate::cluster::client::Clients;
use crate::manifests::Place;
use crate::render::status::to_json;
use crate::settings::{Section, Settings};
use crate::spec::{Key, Spec};
use controller::Running;
use output::chain;

/// The largest file that a token is read from.
const LARGEST_TOKEN: u64 = 64 * 1024;

pub(super) fn definition() -> Command {
    let command = Command::new("snapshot")
        .about("Save everything that one decision sees as a scenario file")
        .long_about(
            "Save everything that one decision sees as a scenario file, on standard output.\n\n\
             The file holds the autoscaler with its status, its target's scale, its pods and their metrics, cut down to what a \
             decision reads: no environment variables, no annotations; and with --controller what the running controller \
             remembers. `trimtab explain --file` and `trimtab replay` read it. Needs rights to get and list; writes nothing.",
        )
        .arg(name::argument().required(true))
        .args(controller_arguments());
    flags::add(command, &[Section::Decisions, Section::Cluster, Section::Metrics])
}

/// The arguments that name the running controller.
pub(super) fn controller_arguments() -> [Arg; 2] {
    let controller = Arg::new("controller")
        .long("controller")
        .value_name("HOST:PORT")
        .help("Where the running controller serves /metrics: what it remembers is taken from there, and the status of an autoscaler without an object");
    let token_file = Arg::new("controller-token-file")
        .long("controller-token-file")
        .value_name("FILE")
        .requires("controller")
        .help("The token that the running controller wants to be shown (its `listen-token-file`)");
    [controller, token_file]
}

pub(super) async fn execute(matches: &ArgMatches, variables: &[(String, String)]) -> Result<Exit, Failure> {
    let key = name::key(matches).expect("it is required");
    let settings = configuration::settings(matches, variables)?.settings;
    let text = take(&key, matches, &settings).await?;
    if !matches.contains_id("controller") {
        output::warn("what the running controller remembers is not in the snapshot: --controller takes it in");
    }
    // JSON, to be kept in a file.
    output::print_exact(&text)?;
    Ok(Exit::Done)
}

/// The snapshot's text, with the memory of the controller that `matches` name.
///
/// # Errors
///
/// No cluster, no such autoscaler, no such controller, or pods that cannot be listed.
pub(super) async fn take(key: &Key, matches: &ArgMatches, settings: &Settings) -> Result<String, Failure> {
    let clients = assembly::connect(settings).await?;
    let filed = filed(key, settings, &clients);
    let time = settings.request_timeout;
    let (mut memory, mut status) = (None, None);
    if let Some(address) = matches.get_one::<String>("controller") {
        let running = Running {
            address,
            token: token(matches)?,
        };
        memory = Some(running.fetch("memory", key, time).await?);
        if filed.is_some() {
            status = Some(running.fetch("status", key, time).await?);
        }
    }
    let filed = filed.map(|(place, spec)| {
        let mut object = spec.to_v2();
        object["status"] = status.unwrap_or_else(|| to_json(&first_status(&spec)));
        (place, object)
    });
    let sources = assembly::metric_sources(settings, &clients)?;
    let seen = read::read(&clients, &sources, key, filed, settings, SystemClock.now()).await?;
    Ok(format!("{:#}\n", scenario::scenario(&seen, memory.as_ref(), settings)))
}

fn token(matches: &ArgMatches) -> Result<Option<String>, Failure> {
    let Some(file) = matches.get_one::<String>("controller-token-file") else {
        return Ok(None);
    };
    let text = configuration::read_text(file, LARGEST_TOKEN).map_err(Failure::unusable)?;
    match text.trim() {
        "" => Err(Failure::unusable(anyhow::anyhow!("{file} holds no token"))),
        token => Ok(Some(token.to_owned())),
    }
}

/// The autoscaler of the folder of manifests, where it has one of this name. What is wrong with others is told as warnings.
pub(super) fn filed(key: &Key, settings: &Settings, clients: &Clients) -> Option<(Place, Arc<Spec>)> {
    let folder = assembly::folder(settings, clients)?;
    folder
        .problems()
        .iter()
        .for_each(|problem| output::warn(&problem.to_string()));
    let manifest = folder.manifests().get(key)?;
    Some((manifest.place.clone(), manifest.spec.clone()))
}
