//! `trimtab once`: one pass over all autoscalers, printed, nothing written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgMatches, Command};
use comfy_table::{ContentArrangement, Table, presets};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Exit, Failure, assembly, configuration, flags, output};
use crate::clock::SystemClock;
use crate::cluster::Cluster;
use crate::cluster::autoscalers::Autoscaler;
use crate::controller::act::{Dry, DryRunWord, Hand};
use crate::controller::report::PassReport;
use crate::controller::{Controller, Listener};
use crate::metrics::sources::MetricSources;
use crate::render::summary::Summary;
use crate::settings::{Format, Section, Settings};
use crate::spec::Key;

/// The caches of a large cluster fill in some seconds; an API server that needs longer than this has another problem.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn definition() -> Command {
    let command = Command::new("once").about("Decide once for every autoscaler, and print it").long_about(
        "Decide once for every autoscaler, and print it as a table, or as one JSON object a line.\n\n\
         Decides as a controller does that was just started: without what a running one remembers. Needs rights to get, list and \
         watch; writes nothing.",
    );
    flags::add(
        command,
        &[Section::Decisions, Section::Cluster, Section::Metrics, Section::Output],
    )
}

pub(super) async fn execute(matches: &ArgMatches, variables: &[(String, String)]) -> Result<Exit, Failure> {
    let settings = configuration::settings(matches, variables)?.settings;
    let clients = assembly::connect(&settings).await?;
    let folder = assembly::sound_folder(&settings, &clients)?;
    let sources = assembly::metric_sources(&settings, &clients)?;
    let options = assembly::cluster_options(&settings);
    let cluster = Arc::new(Cluster::start(clients, options, CancellationToken::new()));
    if let Some(folder) = folder {
        cluster.autoscalers.serve_manifests(folder.manifests());
    }
    let rows = one_pass(&cluster, sources, &settings).await;
    cluster.stop().await;
    let rows = rows?;
    output::print(&match settings.output {
        Format::Text => as_table(&rows),
        Format::Json => rows.values().map(|row| format!("{}\n", json!(row))).collect(),
    })?;
    Ok(Exit::Done)
}

/// The summary of each autoscaler's decision.
async fn one_pass(
    cluster: &Arc<Cluster>,
    sources: MetricSources,
    settings: &Settings,
) -> anyhow::Result<BTreeMap<Key, Summary>> {
    if timeout(PATIENCE, cluster.ready()).await.is_err() {
        anyhow::bail!(
            "the cluster is not known yet after {} s: {}",
            PATIENCE.as_secs(),
            missing(cluster)
        );
    }
    let rows: Arc<Mutex<BTreeMap<Key, Summary>>> = Arc::default();
    let taken = rows.clone();
    let listener = move |word| {
        if let DryRunWord::Decided(_, summary) = word {
            taken
                .lock()
                .insert(Key::new(summary.namespace.as_str(), summary.name.as_str()), summary);
        }
    };
    let ended = Arc::new(Pass::default());
    let controller = Controller::new(
        cluster.clone(),
        sources,
        assembly::controller_settings(settings),
        Arc::new(SystemClock),
        Hand::Dry(Dry::new(Box::new(listener), None)),
        ended.clone(),
    );
    let stop = CancellationToken::new();
    if !cluster.autoscalers.is_empty() {
        tokio::select! {
            () = controller.run(stop.clone()) => {}
            () = ended.0.notified() => stop.cancel(),
        }
    }
    let mut rows = std::mem::take(&mut *rows.lock());
    for autoscaler in cluster.autoscalers.all() {
        rows.entry(autoscaler.key.clone())
            .or_insert_with(|| undecided(&autoscaler));
    }
    Ok(rows)
}

/// Wakes whoever waits for the end of the first pass.
#[derive(Default)]
struct Pass(Notify);

impl Listener for Pass {
    fn pass(&self, report: PassReport) {
        // One that tells of nothing but autoscalers that are gone is no pass.
        if report.gone.is_empty() || !report.syncs.is_empty() {
            self.0.notify_one();
        }
    }

    fn beat(&self) {}
}

/// An autoscaler without a decision: its spec cannot be used, or it saw nothing in time.
fn undecided(autoscaler: &Autoscaler) -> Summary {
    let (scale_target, why) = match &autoscaler.spec {
        Ok(spec) => (
            format!("{}/{}", spec.scale_target.kind, spec.scale_target.name),
            "nothing was seen in time".to_owned(),
        ),
        Err(problem) => (String::new(), problem.to_string()),
    };
    Summary {
        namespace: autoscaler.key.namespace.to_string(),
        name: autoscaler.key.name.to_string(),
        scale_target,
        spec_replicas: None,
        desired_replicas: None,
        metrics: Vec::new(),
        why,
    }
}

/// What is wrong with the watches that are not ready.
fn missing(cluster: &Cluster) -> String {
    let missing = cluster
        .health()
        .into_iter()
        .filter(|watch| !watch.is_ready())
        .map(|watch| {
            let trouble = watch
                .trouble
                .map_or_else(|| "no answer".to_owned(), |trouble| trouble.message);
            format!("{}: {trouble}", watch.resource)
        });
    missing.collect::<Vec<_>>().join("; ")
}

fn as_table(rows: &BTreeMap<Key, Summary>) -> String {
    if rows.is_empty() {
        return "No autoscalers\n".to_owned();
    }
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["AUTOSCALER", "TARGET", "REPLICAS", "DESIRED", "METRICS", "WHY"]);
    let count = |count: Option<i32>| count.map_or_else(|| "?".to_owned(), |count| count.to_string());
    for (key, row) in rows {
        table.add_row([
            key.to_string(),
            row.scale_target.clone(),
            count(row.spec_replicas),
            count(row.desired_replicas),
            row.metrics.join(", "),
            row.why.clone(),
        ]);
    }
    let lines = table.lines().map(|line| format!("{}\n", line.trim()));
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_line_for_each_autoscaler() {
        let summary = Summary {
            namespace: "shop".into(),
            name: "web".into(),
            scale_target: "Deployment/web".into(),
            spec_replicas: Some(3),
            desired_replicas: None,
            metrics: vec!["cpu 100%/50%".into(), "memory ?/1Gi".into()],
            why: "memory: no samples".into(),
        };
        let rows = BTreeMap::from([(Key::new("shop", "web"), summary)]);
        let table = as_table(&rows);
        let lines: Vec<Vec<&str>> = table
            .lines()
            .map(|line| line.split("  ").filter(|t| !t.is_empty()).map(str::trim).collect())
            .collect();
        assert_eq!(
            lines[0],
            ["AUTOSCALER", "TARGET", "REPLICAS", "DESIRED", "METRICS", "WHY"]
        );
        assert_eq!(
            lines[1],
            [
                "shop/web",
                "Deployment/web",
                "3",
                "?",
                "cpu 100%/50%, memory ?/1Gi",
                "memory: no samples"
            ]
        );
        assert_eq!(as_table(&BTreeMap::new()), "No autoscalers\n");
    }
}
