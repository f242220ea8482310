//! `trimtab explain NS/NAME`: why this count, step by step, from the live cluster or from a saved snapshot.

use clap::{Arg, ArgMatches, Command};
use serde_json::json;

use super::replay::LARGEST_FILE;
use super::{Exit, Failure, configuration, flags, name, output, snapshot};
use crate::render::text;
use crate::settings::{Format, Section};
use crate::sim::replay::{Replayed, replay};
use crate::spec::Spec;

pub(super) fn definition() -> Command {
    let command = Command::new("explain")
        .about("Explain a replica count, step by step")
        .long_about(
            "Explain a replica count, step by step.\n\n\
             Decides once on what the live cluster shows, or on each step of a scenario file, and prints the derivation. Needs \
             rights to get and list; writes nothing.",
        )
        .arg(name::argument().required_unless_present("file"))
        .arg(
            Arg::new("file")
                .long("file")
                .value_name("FILE")
                .help("A snapshot or scenario file to explain instead of the live cluster; by its own settings"),
        )
        .args(snapshot::controller_arguments().map(|argument| argument.conflicts_with("file")));
    flags::add(
        command,
        &[Section::Decisions, Section::Cluster, Section::Metrics, Section::Output],
    )
}

pub(super) async fn execute(matches: &ArgMatches, variables: &[(String, String)]) -> Result<Exit, Failure> {
    let settings = configuration::settings(matches, variables)?.settings;
    let key = name::key(matches);
    let (origin, text) = match (matches.get_one::<String>("file"), &key) {
        (Some(file), _) => {
            let text = configuration::read_text(file, LARGEST_FILE).map_err(Failure::unusable)?;
            (file.as_str(), text)
        }
        (None, Some(key)) => ("the cluster", snapshot::take(key, matches, &settings).await?),
        (None, None) => unreachable!("clap asks for one of the two"),
    };
    let forgetful = !matches.contains_id("file") && !matches.contains_id("controller");
    let mut explained = Vec::new();
    replay(&text, |replayed| {
        if key.as_ref().is_none_or(|key| *key == replayed.spec.key) {
            explained.push(match settings.output {
                Format::Text => as_text(&replayed, forgetful),
                Format::Json => as_json(&replayed, forgetful),
            });
        }
    })
    .map_err(|error| Failure::unusable(anyhow::Error::new(error).context(format!("read {origin}"))))?;
    if explained.is_empty() {
        let named = key.map_or_else(|| "any autoscaler".to_owned(), |key| format!("autoscaler {key}"));
        return Err(anyhow::anyhow!("{origin} does not have {named}").into());
    }
    output::print(&explained.join("\n"))?;
    Ok(Exit::Done)
}

fn as_text(replayed: &Replayed<'_>, forgetful: bool) -> String {
    let mut explained = text::explain(replayed.spec, replayed.decision);
    explained.push_str(&text::conditions(&replayed.seen.status));
    if forgetful {
        explained.push_str(&not_known(replayed.spec));
    }
    explained
}

fn as_json(replayed: &Replayed<'_>, forgetful: bool) -> String {
    let Replayed {
        step,
        spec,
        seen,
        decision,
        ..
    } = replayed;
    let mut value = json!({ "autoscaler": spec.key.to_string(), "step": step, "seen": seen, "decision": decision });
    if forgetful {
        value["notKnown"] = not_known(spec).into();
    }
    format!("{value}\n")
}

/// What a live autoscaler's decision depends on and only the running controller knows.
fn not_known(spec: &Spec) -> String {
    let windows = match spec.behavior {
        Some(_) => "recommendations of its stabilization windows, scale events of its policies' periods",
        None => "recommendations of the downscale stabilization window",
    };
    format!(
        "not known        what the running controller remembers: {windows}.\n                 \
         With them it may hold the count higher, or change it more slowly; --controller takes them in.\n"
    )
}
