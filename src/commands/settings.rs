//! `trimtab settings`: the settings that hold, and where each comes from.

use clap::{ArgMatches, Command};
use serde_json::json;

use super::{Exit, Failure, configuration, flags, output};
use crate::settings::{Effective, Format, Section, reference};

pub(super) fn definition() -> Command {
    let command = Command::new("settings")
        .about("Print the settings that hold, and where each comes from")
        .long_about(
            "Print the settings that hold, and where each comes from.\n\n\
             Takes all that `run` takes. The text is a configuration file that gives the same settings, but for the values \
             of headers, which are hidden. Prometheus Adapter's rules are read and checked, and not shown.",
        );
    flags::add(command, &Section::ALL)
}

pub(super) fn execute(matches: &ArgMatches, variables: &[(String, String)]) -> Result<Exit, Failure> {
    let effective = configuration::settings(matches, variables)?;
    output::print(&match effective.settings.output {
        Format::Text => as_file(&effective),
        Format::Json => format!("{:#}\n", as_json(&effective)),
    })?;
    Ok(Exit::Done)
}

fn as_file(effective: &Effective) -> String {
    let mut text = String::new();
    for (declaration, value) in effective.settings.shown() {
        let entry = reference::entry(declaration.name, &value);
        let (first, rest) = entry.split_once('\n').unwrap_or((&entry, ""));
        text.push_str(&format!("{first:<40} # {}\n{rest}", effective.origin(declaration.name)));
    }
    for (name, block) in blocks(effective) {
        text.push_str(&reference::block(name, &block));
    }
    text
}

fn blocks(effective: &Effective) -> [(&'static str, serde_json::Value); 2] {
    let settings = &effective.settings;
    settings.sources.shown(settings.prometheus_url.is_some())
}

fn as_json(effective: &Effective) -> serde_json::Value {
    let all = effective.settings.shown().into_iter().map(|(declaration, value)| {
        let origin = effective.origin(declaration.name).to_string();
        (declaration.name.to_owned(), json!({ "value": value, "from": origin }))
    });
    let blocks = blocks(effective).map(|(name, block)| (name.to_owned(), json!({ "value": block })));
    serde_json::Value::Object(all.chain(blocks).collect())
}
