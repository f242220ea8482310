//! `trimtab run`: the controller.

mod beside;
mod dry;
mod files;
mod manifests;
mod pages;
mod shards;
mod terms;
mod work;

use std::sync::Arc;

use anyhow::Context;
use clap::{ArgMatches, Command};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::{Exit, Failure, assembly, configuration, flags, signals};
use crate::cluster::Cluster;
use crate::settings::Section;
use crate::telemetry::access::Access;
use crate::telemetry::{logs, server};
use beside::Beside;
use work::Work;

pub(super) fn definition() -> Command {
    let command = Command::new("run").about("Run the controller").long_about(
        "Run the controller: decide for every autoscaler once a sync period, write counts, statuses and Events.\n\n\
         With --dry-run nothing is written; decisions that changed go to standard output, and rights to get, list and watch \
         are enough. Ends on SIGTERM or SIGINT within 2 seconds, and at once on a second one.",
    );
    flags::add(command, &Section::ALL)
}

pub(super) async fn execute(matches: ArgMatches, variables: Vec<(String, String)>) -> Result<Exit, Failure> {
    // First of all: a process that is only just starting ends in order too.
    let stop = CancellationToken::new();
    signals::cancel(&stop)?;
    let (effective, files) = configuration::read(&matches, &variables)?;
    let settings = effective.settings;
    let no_color = variables
        .iter()
        .any(|(name, value)| name == "NO_COLOR" && !value.is_empty());
    logs::begin(settings.log_format, &settings.log_filter, no_color)?;
    let clients = assembly::connect(&settings).await?;
    let folder = assembly::sound_folder(&settings, &clients)?;
    let sources = assembly::metric_sources(&settings, &clients)?;
    let access = match &settings.listen_token_file {
        Some(file) => Access::with_token(file).context("read the token of `listen-token-file`")?,
        None => Access::open(),
    };
    let listener = match settings.listen.0 {
        Some(address) => Some(
            TcpListener::bind(address)
                .await
                .with_context(|| format!("listen on {address}"))?,
        ),
        None => None,
    };
    info!(
        version = env!("CARGO_PKG_VERSION"),
        server = clients.server,
        dry_run = settings.dry_run,
        "Starting"
    );

    let options = assembly::cluster_options(&settings);
    let cluster = Arc::new(match settings.sharding() {
        None => Cluster::start(clients, options, CancellationToken::new()),
        Some(sharding) => Cluster::start_sharded(clients, options, sharding, CancellationToken::new()),
    });
    let (printer, printing) = dry::printer(settings.output, stop.clone());
    let mut beside = Beside::default();
    let folder = folder.map(|folder| manifests::follow(folder, &cluster, &mut beside));
    let files = files::follow(files, sources.prometheus.clone(), &mut beside);
    let work = Arc::new(Work::new(
        &settings,
        &cluster,
        sources,
        (folder, files),
        printer,
        &mut beside,
    ));
    if let Some(listener) = listener {
        let pages = access.guard(pages::router(work.current.clone(), settings.sharding()));
        let router = server::router(work.telemetry.clone(), &access).merge(pages);
        beside.start("the server of /metrics", |end| server::serve(listener, router, end));
    }

    let lost = tokio::select! {
        () = decide(&work, &stop) => None,
        lost = cluster.lost() => Some(lost),
        lost = beside.lost() => Some(format!("{lost} has ended unasked")),
    };
    drop(work);
    beside.end().await;
    cluster.stop().await;
    printing.end().await;
    match lost {
        None => {
            info!("Stopped");
            Ok(Exit::Done)
        }
        Some(lost) => {
            error!(error = lost, "Stopped");
            Err(anyhow::Error::msg(lost).into())
        }
    }
}

/// Decides until `stop`: for all namespaces in turn with other processes, or for shards of them beside others.
async fn decide(work: &Arc<Work>, stop: &CancellationToken) {
    match work.shards {
        Some(_) => shards::run(work, stop).await,
        None => terms::run(work, stop).await,
    }
}
