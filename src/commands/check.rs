//! `trimtab check FILE…`: manifests of autoscalers, offline.

use std::fmt::Write as _;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::Value;

use super::{Exit, Failure, configuration, flags, output};
use crate::spec::{ManifestOptions, Spec};

/// A manifest has a few KB; 16 MiB hold those of a large cluster.
const LARGEST_FILE: u64 = 16 << 20;

pub(super) fn definition() -> Command {
    let files = Arg::new("file")
        .value_name("FILE")
        .help("Manifests: YAML, of one document or several, or JSON")
        .required(true)
        .action(ArgAction::Append);
    let command = Command::new("check")
        .about("Check manifests of autoscalers without a cluster")
        .long_about(
            "Check manifests of autoscalers without a cluster, as the API server would check them.\n\n\
             Reads HorizontalPodAutoscalers of autoscaling/v2, v1, v2beta2 and v2beta1, in lists as well, and passes over all \
             other kinds. Prints nothing where all is well; otherwise each field that is wrong, and what would be right.",
        )
        .arg(files);
    flags::add_one(command, "feature-gates")
}

pub(super) fn execute(matches: &ArgMatches, variables: &[(String, String)]) -> Result<Exit, Failure> {
    let gates = configuration::settings(matches, variables)?.settings.feature_gates;
    let options = ManifestOptions {
        scale_to_zero: gates.scale_to_zero,
        ..ManifestOptions::default()
    };
    let mut worst = Exit::Done;
    for path in matches.get_many::<String>("file").into_iter().flatten() {
        match check_file(path, &options) {
            Ok(problems) if problems.is_empty() => {}
            Ok(problems) => {
                output::print(&problems)?;
                worst = worst.max(Exit::Failed);
            }
            Err(error) => {
                output::report(&error);
                worst = Exit::Unusable;
            }
        }
    }
    Ok(worst)
}

/// What is wrong with the autoscalers of a file, a line each.
fn check_file(path: &str, options: &ManifestOptions) -> anyhow::Result<String> {
    let text = configuration::read_text(path, LARGEST_FILE)?;
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text)
        .map_err(|error| anyhow::anyhow!("read {path}: {}", error.without_snippet()))?;
    let mut problems = String::new();
    let mut count = 0;
    for object in documents.iter().flat_map(objects) {
        count += 1;
        if let Err(error) = Spec::from_manifest(object, options) {
            for problem in error.problems {
                let _ = writeln!(problems, "{path}: {}: {problem}", error.object);
            }
        }
    }
    if count == 0 {
        output::warn(&format!("{path} has no HorizontalPodAutoscaler"));
    }
    Ok(problems)
}

/// The autoscalers of a document: itself, or those of a list.
fn objects(document: &Value) -> Vec<&Value> {
    let items = document["items"].as_array().into_iter().flatten();
    let candidates = std::iter::once(document).chain(items);
    candidates
        .filter(|object| object["kind"] == "HorizontalPodAutoscaler")
        .collect()
}
