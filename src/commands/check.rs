//! `trimtab check FILE…`: manifests of autoscalers, offline.

use std::path::Path;

use anyhow::Context;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{Exit, Failure, configuration, flags, output};
use crate::manifests::folder::{self, Folder};
use crate::manifests::{Problem, ReadOptions, read};
use crate::spec::ManifestOptions;

pub(super) fn definition() -> Command {
    let files = Arg::new("file")
        .value_name("FILE")
        .help("Manifests: YAML, of one document or several, or JSON; or a folder of them")
        .required(true)
        .action(ArgAction::Append);
    let command = Command::new("check")
        .about("Check manifests of autoscalers without a cluster")
        .long_about(
            "Check manifests of autoscalers without a cluster, as the API server would check them.\n\n\
             Reads HorizontalPodAutoscalers of autoscaling/v2, v1, v2beta2 and v2beta1, in lists as well, and passes over all \
             other kinds. Prints nothing where all is well; otherwise each field that is wrong with its file, line and column, and \
             what would be right. A folder is checked as `autoscalers` would read it: no autoscaler may stand there twice.",
        )
        .arg(files);
    flags::add_one(command, "feature-gates")
}

pub(super) fn execute(matches: &ArgMatches, variables: &[(String, String)]) -> Result<Exit, Failure> {
    let gates = configuration::settings(matches, variables)?.settings.feature_gates;
    let options = ReadOptions {
        manifest: ManifestOptions {
            scale_to_zero: gates.scale_to_zero,
            ..ManifestOptions::default()
        },
        ..ReadOptions::default()
    };
    let mut worst = Exit::Done;
    for path in matches.get_many::<String>("file").into_iter().flatten() {
        match check(path, &options) {
            Ok(problems) if problems.is_empty() => {}
            Ok(problems) => {
                output::print(
                    &problems
                        .iter()
                        .map(|problem| format!("{problem}\n"))
                        .collect::<String>(),
                )?;
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

/// What is wrong with the autoscalers of a file or a folder.
fn check(path: &str, options: &ReadOptions) -> anyhow::Result<Vec<Problem>> {
    if Path::new(path).is_dir() {
        let mut folder = Folder::new(path, options.clone());
        folder.look();
        folder.empty_files().for_each(|file| warn_of_empty(file));
        return Ok(folder.problems().to_vec());
    }
    let text = folder::read_text(Path::new(path)).with_context(|| format!("read {path}"))?;
    let content = read(path, &text, options);
    if content.is_empty() {
        warn_of_empty(path);
    }
    Ok(content.problems)
}

fn warn_of_empty(path: &str) {
    output::warn(&format!("{path} has no HorizontalPodAutoscaler"));
}
