//! From the command line, the environment and the file to settings.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use clap::ArgMatches;

use super::{Failure, flags, output};
use crate::files;
use crate::promql::adapter::{self, AdapterRules, RuleMistake};
use crate::settings::{Effective, FILE_MAX_BYTES, Typed, resolve};

/// The settings that hold for a command; warnings about them go to standard error.
///
/// # Errors
///
/// A file that cannot be read, and every mistake in file, environment and flags; for commands that read metrics also those in
/// Prometheus Adapter's rules.
pub(super) fn settings(matches: &ArgMatches, variables: &[(String, String)]) -> Result<Effective, Failure> {
    read(matches, variables).map(|(effective, _)| effective)
}

/// The files that settings were read from.
pub(super) struct Files {
    /// All that was typed, the configuration file's text among it.
    pub(super) typed: Typed,
    /// Prometheus Adapter's rules, where they are read.
    pub(super) rules: Option<RuleFile>,
}

/// A file of Prometheus Adapter's rules.
pub(super) struct RuleFile {
    pub(super) path: String,
    pub(super) text: String,
    /// The Prometheus that its rules ask.
    pub(super) endpoint: Arc<str>,
}

/// The same as [`settings`], and what they were read from.
///
/// # Errors
///
/// As [`settings`].
pub(super) fn read(matches: &ArgMatches, variables: &[(String, String)]) -> Result<(Effective, Files), Failure> {
    let named = || {
        variables
            .iter()
            .find(|(name, path)| name == "TRIMTAB_CONFIG" && !path.is_empty())
    };
    let path = matches
        .get_one::<String>("config")
        .cloned()
        .or_else(|| named().map(|(_, path)| path.clone()));
    let file = match path {
        Some(path) => {
            let text = read_text(&path, FILE_MAX_BYTES).map_err(Failure::unusable)?;
            Some((path, text))
        }
        None => None,
    };
    let typed = Typed {
        file,
        variables: variables.to_vec(),
        flags: flags::typed(matches),
    };
    let mut effective = resolve(&typed).map_err(Failure::unusable)?;
    let mut rules = None;
    if flags::knows(matches, "adapter-rules") {
        rules = read_adapter_rules(&mut effective)?;
    }
    for warning in &effective.warnings {
        output::warn(warning);
    }
    Ok((effective, Files { typed, rules }))
}

/// Reads the file of Prometheus Adapter's rules, where one is set.
fn read_adapter_rules(effective: &mut Effective) -> Result<Option<RuleFile>, Failure> {
    let settings = &mut effective.settings;
    let (Some(file), Some(endpoint)) = (&settings.adapter_rules, settings.adapter_rules_endpoint()) else {
        return Ok(None);
    };
    let path = file.display().to_string();
    let text = read_text(&path, adapter::FILE_MAX_BYTES).map_err(Failure::unusable)?;
    let file = RuleFile { path, text, endpoint };
    let rules = file.parse(&file.text).map_err(Failure::unusable)?;
    effective
        .warnings
        .extend(rules.warnings().iter().map(ToString::to_string));
    settings.sources.adapter_rules = Some(Arc::new(rules));
    Ok(Some(file))
}

impl RuleFile {
    /// The rules of this text of the file.
    ///
    /// # Errors
    ///
    /// Every mistake in it.
    pub(super) fn parse(&self, text: &str) -> Result<AdapterRules, RuleMistakes> {
        AdapterRules::parse(&self.path, text, &self.endpoint).map_err(RuleMistakes)
    }
}

/// All mistakes of a rule file.
#[derive(Debug, thiserror::Error)]
pub(super) struct RuleMistakes(Vec<RuleMistake>);

impl fmt::Display for RuleMistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [mistake] => mistake.fmt(f),
            mistakes => {
                write!(f, "{} mistakes in the adapter's rules", mistakes.len())?;
                mistakes.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
            }
        }
    }
}

/// A file's text, of at most `max_bytes`.
///
/// # Errors
///
/// A file that cannot be opened or read, is larger, or is not UTF-8; the message names it.
pub(super) fn read_text(path: &str, max_bytes: u64) -> anyhow::Result<String> {
    files::read_text(Path::new(path), max_bytes).with_context(|| format!("read {path}"))
}
