//! What is wrong with settings, all at once.

use std::fmt;

use super::declaration::Declaration;
use super::layers::{Item, Origin};
use crate::yaml::shortened;

/// One mistake, and where it was made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Mistake {
    /// Where.
    pub origin: Origin,
    /// The setting, where there is one; of a block, the keys that lead to it.
    pub setting: Option<String>,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.origin, &self.setting) {
            // A flag's and a variable's own name say which setting is meant.
            (origin @ Origin::File { .. }, Some(setting)) => write!(f, "{origin}: {setting}: {}", self.problem),
            (origin, _) => write!(f, "{origin}: {}", self.problem),
        }
    }
}

/// All mistakes of the settings; at least one where it is an error.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [mistake] => mistake.fmt(f),
            mistakes => {
                write!(f, "{} mistakes in the settings", mistakes.len())?;
                mistakes.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
            }
        }
    }
}

impl Mistakes {
    pub(super) fn add(&mut self, origin: Origin, setting: Option<&str>, problem: impl Into<String>) {
        self.0.push(Mistake {
            origin,
            setting: setting.map(str::to_owned),
            problem: problem.into(),
        });
    }

    pub(super) fn bad_value(&mut self, declaration: &Declaration, item: &Item, problem: &str) {
        let problem = format!(
            "{:?} {problem}; allowed: {}",
            shortened(&item.text),
            declaration.allowed
        );
        self.add(item.origin.clone(), Some(declaration.name), problem);
    }

    /// In the order in which they stand: file, environment, flags.
    pub(super) fn sorted(mut self) -> Self {
        self.0.sort_by(|a, b| a.origin.cmp(&b.origin));
        self
    }
}
