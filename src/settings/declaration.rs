//! What is declared about a setting, whatever its type.

use super::declared::DECLARATIONS;
use super::value::Shape;

/// A part of the settings; a command takes the flags of the sections that it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Section {
    /// What decisions are made by.
    Decisions,
    /// How the Kubernetes API is reached.
    Cluster,
    /// Where metrics come from.
    Metrics,
    /// How the controller goes about its passes and writes.
    Controller,
    /// Which of several replicas decides.
    LeaderElection,
    /// What is printed and served.
    Output,
    /// What is logged.
    Logs,
}

impl Section {
    /// All sections, in the order of the help.
    pub const ALL: [Self; 7] = [
        Self::Decisions,
        Self::Cluster,
        Self::Metrics,
        Self::Controller,
        Self::LeaderElection,
        Self::Output,
        Self::Logs,
    ];

    /// The heading over the section's settings.
    pub fn title(self) -> &'static str {
        match self {
            Self::Decisions => "Decisions",
            Self::Cluster => "Cluster",
            Self::Metrics => "Metrics",
            Self::Controller => "Controller",
            Self::LeaderElection => "Leader election",
            Self::Output => "Output",
            Self::Logs => "Logs",
        }
    }
}

/// One setting, as it is declared.
#[derive(Debug)]
pub struct Declaration {
    /// Its name: the key in the file, and the flag after `--`.
    pub name: &'static str,
    /// Its environment variable.
    pub environment: &'static str,
    /// Other names that mean the same, as flag or key: kube-controller-manager's, where it is not ours.
    pub aliases: &'static [&'static str],
    /// Where it belongs.
    pub section: Section,
    /// How many values it takes.
    pub shape: Shape,
    /// The default, as it would be typed; empty where there is none.
    pub default: &'static str,
    /// What stands for the value in help texts.
    pub placeholder: &'static str,
    /// What is allowed, as a noun.
    pub allowed: &'static str,
    /// What it is, a line of text an entry; an empty entry begins a paragraph.
    pub(super) help: &'static [&'static str],
}

impl Declaration {
    /// What the setting is, in a sentence or two.
    pub fn summary(&self) -> String {
        self.paragraphs().remove(0)
    }

    /// The whole help text, in paragraphs; at least one.
    pub fn paragraphs(&self) -> Vec<String> {
        let lines: Vec<&str> = self.help.iter().map(|line| line.trim()).collect();
        lines
            .split(|line| line.is_empty())
            .map(|lines| lines.join(" "))
            .collect()
    }

    /// The declaration of the setting that `name` names, be it by an alias.
    pub fn find(name: &str) -> Option<&'static Self> {
        DECLARATIONS
            .iter()
            .find(|declaration| declaration.names().any(|known| known == name))
    }

    /// Its name, then its aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

/// A field's name with `-` for `_`.
pub(super) const fn flag_name<const N: usize>(field: &str) -> [u8; N] {
    let (from, mut to, mut at) = (field.as_bytes(), [0; N], 0);
    while at < N {
        to[at] = if from[at] == b'_' { b'-' } else { from[at] };
        at += 1;
    }
    to
}

/// A field's name in capitals, after `TRIMTAB_`.
pub(super) const fn variable_name<const N: usize>(field: &str) -> [u8; N] {
    let (prefix, from, mut to, mut at) = (b"TRIMTAB_", field.as_bytes(), [0; N], 0);
    while at < N {
        to[at] = if at < prefix.len() {
            prefix[at]
        } else {
            from[at - prefix.len()].to_ascii_uppercase()
        };
        at += 1;
    }
    to
}

pub(super) const fn ascii(bytes: &'static [u8]) -> &'static str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => panic!("a field's name is ASCII"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelled_from_fields() {
        let declaration = Declaration::find("horizontal-pod-autoscaler-sync-period").expect("it is an alias");
        assert_eq!(
            (declaration.name, declaration.environment),
            ("sync-period", "TRIMTAB_SYNC_PERIOD")
        );
        assert_eq!(
            declaration.paragraphs(),
            [
                "Time between two syncs of an autoscaler.",
                "One that is new or edited is decided at once."
            ]
        );
    }
}
