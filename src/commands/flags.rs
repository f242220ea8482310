//! The declared settings as flags.

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::settings::{DECLARATIONS, Declaration, Section, Shape};

/// Adds `--config` and the flags of `sections` to a command.
pub(super) fn add(command: Command, sections: &[Section]) -> Command {
    let declarations = DECLARATIONS
        .iter()
        .filter(|declaration| sections.contains(&declaration.section));
    command.arg(config()).args(declarations.flat_map(of))
}

/// Adds `--config` and the flag of the one setting that the command reads.
pub(super) fn add_one(command: Command, name: &str) -> Command {
    command
        .arg(config())
        .args(Declaration::find(name).into_iter().flat_map(of))
}

fn config() -> Arg {
    Arg::new("config")
        .long("config")
        .value_name("FILE")
        .help("The configuration file, YAML [env: TRIMTAB_CONFIG]")
        .help_heading("Settings")
}

/// A setting's flag, and a hidden one for each of its other names, so that a mistake names the one that was typed.
fn of(declaration: &'static Declaration) -> impl Iterator<Item = Arg> {
    declaration.names().map(move |name| {
        let arg = Arg::new(name)
            .long(name)
            .value_name(declaration.placeholder)
            .action(ArgAction::Append)
            .help_heading(declaration.section.title())
            .hide(name != declaration.name)
            .help(short_help(declaration))
            .long_help(long_help(declaration));
        match declaration.shape {
            Shape::Switch => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
            Shape::One | Shape::Many => arg.allow_negative_numbers(true),
        }
    })
}

fn short_help(declaration: &Declaration) -> String {
    let summary = declaration.summary();
    let sentence = summary.trim_end_matches('.');
    match declaration.default {
        "" | "false" => sentence.to_owned(),
        default => format!("{sentence} [default: {default}]"),
    }
}

fn long_help(declaration: &Declaration) -> String {
    let mut notes = format!("[env: {}]", declaration.environment);
    if !declaration.default.is_empty() {
        notes = format!("[default: {}] {notes}", declaration.default);
    }
    for alias in declaration.aliases {
        notes.push_str(&format!(" [also: --{alias}]"));
    }
    format!(
        "{}\n\nAllowed: {}.\n{notes}",
        declaration.paragraphs().join("\n\n"),
        declaration.allowed
    )
}

/// Whether a command has the flag `name`.
pub(super) fn knows(matches: &ArgMatches, name: &str) -> bool {
    matches.try_contains_id(name).is_ok()
}

/// The settings' flags that were typed, with their values, in the order of the command line.
pub(super) fn typed(matches: &ArgMatches) -> Vec<(String, String)> {
    let mut typed: Vec<(usize, &str, &String)> = Vec::new();
    for name in DECLARATIONS.iter().flat_map(Declaration::names) {
        // A command without the section does not know the flag.
        let Ok(Some(values)) = matches.try_get_many::<String>(name) else {
            continue;
        };
        let places = matches.indices_of(name).into_iter().flatten();
        typed.extend(places.zip(values).map(|(place, value)| (place, name, value)));
    }
    typed.sort_unstable();
    typed
        .into_iter()
        .map(|(_, name, value)| (name.to_owned(), value.clone()))
        .collect()
}
