//! From the command line, the environment and the file to settings.

use std::fs::File;
use std::io::Read;

use anyhow::Context;
use clap::ArgMatches;

use super::{Failure, flags, output};
use crate::settings::{Effective, FILE_MAX_BYTES, Typed, resolve};

/// The settings that hold for a command; warnings about them go to standard error.
///
/// # Errors
///
/// A file that cannot be read, and every mistake in file, environment and flags.
pub(super) fn settings(matches: &ArgMatches, variables: &[(String, String)]) -> Result<Effective, Failure> {
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
    let effective = resolve(&typed).map_err(Failure::unusable)?;
    for warning in &effective.warnings {
        output::warn(warning);
    }
    Ok(effective)
}

/// A file's text, of at most `max_bytes`.
///
/// # Errors
///
/// A file that cannot be opened or read, is larger, or is not UTF-8; the message names it.
pub(super) fn read_text(path: &str, max_bytes: u64) -> anyhow::Result<String> {
    let file = File::open(path).with_context(|| format!("open {path}"))?;
    let mut text = String::new();
    file.take(max_bytes + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("read {path}"))?;
    anyhow::ensure!(
        text.len() as u64 <= max_bytes,
        "read {path}: it is larger than {max_bytes} bytes"
    );
    Ok(text)
}
