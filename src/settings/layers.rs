//! Where settings come from, and which of them counts: defaults, then the file, the environment, the flags.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::declaration::Declaration;
use super::declared::{DECLARATIONS, Settings};
use super::mistake::Mistakes;
use super::value::{Limit, Shape, Value};
use super::{file, rules, sources};
use crate::yaml::{Place, nearest};

/// Where a value was given; the weakest first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nowhere: it is the default.
    Default,
    /// In the configuration file.
    File {
        /// Its path, as it was given.
        path: Arc<str>,
        /// The line, from 1.
        line: u64,
        /// The column, from 1.
        column: u64,
    },
    /// In this environment variable.
    Variable(String),
    /// By this flag, its dashes left out.
    Flag(String),
}

impl Origin {
    /// In the file `path`, at `place`.
    pub(super) fn of_place(path: &Arc<str>, place: Place) -> Self {
        Self::File {
            path: path.clone(),
            line: place.line,
            column: place.column,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => write!(f, "default"),
            Self::File { path, line, column } => write!(f, "{path}:{line}:{column}"),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag --{name}"),
        }
    }
}

/// One value as it was written, before it is read as anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The text.
    pub text: String,
    /// Where it stands.
    pub origin: Origin,
}

/// What one layer gives for one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Where the setting is named.
    pub origin: Origin,
    /// Its values: none, one or several.
    pub items: Vec<Item>,
}

impl Given {
    /// `text` from `origin`: where `shape` takes several values, they stand between commas.
    fn of_text(shape: Shape, text: &str, origin: &Origin) -> Self {
        let item = |text: &str| Item {
            text: text.to_owned(),
            origin: origin.clone(),
        };
        let items = match shape {
            _ if text.is_empty() => Vec::new(),
            Shape::Many => text.split(',').map(item).collect(),
            Shape::One | Shape::Switch => vec![item(text)],
        };
        Self {
            origin: origin.clone(),
            items,
        }
    }

    fn value<T: Value>(&self, limit: &Limit<T>) -> Result<T, (Item, String)> {
        let texts: Vec<&str> = self.items.iter().map(|item| item.text.as_str()).collect();
        let at = |index: usize| {
            self.items.get(index).cloned().unwrap_or(Item {
                text: String::new(),
                origin: self.origin.clone(),
            })
        };
        let value = T::read(&texts).map_err(|(index, problem)| (at(index), problem))?;
        if (limit.holds)(&value) {
            Ok(value)
        } else {
            Err((at(0), "is not allowed".into()))
        }
    }
}

/// What was typed, and not looked at yet.
#[derive(Clone, Debug, Default)]
pub struct Typed {
    /// The configuration file's path and content.
    pub file: Option<(String, String)>,
    /// The environment, of which only `TRIMTAB_…` counts.
    pub variables: Vec<(String, String)>,
    /// Flags with their values, in the order in which they stand; a name may be an alias.
    pub flags: Vec<(String, String)>,
}

/// The settings that hold, and where each comes from.
#[derive(Clone, Debug)]
pub struct Effective {
    /// The settings.
    pub settings: Settings,
    /// Where each was given, by name.
    pub origins: BTreeMap<&'static str, Origin>,
    /// What is odd and not wrong, a sentence each.
    pub warnings: Vec<String>,
}

impl Effective {
    /// Where the setting `name` was given.
    pub fn origin(&self, name: &str) -> &Origin {
        self.origins.get(name).unwrap_or(&Origin::Default)
    }
}

/// Settles what was typed: reads every layer, takes each setting from the strongest, and checks that all go together.
///
/// # Errors
///
/// Every mistake that was found, each with its place; a file that is no YAML hides only its own other mistakes.
pub fn resolve(typed: &Typed) -> Result<Effective, Mistakes> {
    let mut mistakes = Mistakes::default();
    let mut layers = Layers::default();
    let mut blocks = sources::Blocks::default();
    if let Some((path, text)) = &typed.file {
        let layer = file::read(path, text, &mut mistakes);
        blocks = sources::Blocks::new(path, layer.prometheus, layer.metrics);
        layers.0.push(layer.settings);
    }
    let (variables, warnings) = variables(&typed.variables);
    layers.0.push(variables);
    layers.0.push(flags(&typed.flags, &mut mistakes));

    let settings = Settings::from_layers(&layers, &mut mistakes).ok_or_else(|| mistakes.clone().sorted())?;
    let mut effective = Effective {
        settings,
        origins: layers.origins(),
        warnings,
    };
    effective.settings.sources = blocks.read(&effective, &mut mistakes);
    rules::check(&effective, &mut mistakes);
    effective.warnings.extend(rules::warnings(&effective));
    if mistakes.0.is_empty() {
        Ok(effective)
    } else {
        Err(mistakes.sorted())
    }
}

/// The layers over the defaults, weakest first.
#[derive(Debug, Default)]
pub(super) struct Layers(Vec<BTreeMap<&'static str, Given>>);

impl Layers {
    /// The setting's value from the strongest layer. A mistake in a weaker one is a mistake all the same.
    pub(super) fn read<T: Value>(
        &self,
        declaration: &'static Declaration,
        limit: &Limit<T>,
        mistakes: &mut Mistakes,
    ) -> Option<T> {
        let default = Given::of_text(declaration.shape, declaration.default, &Origin::Default);
        let given = self.0.iter().filter_map(|layer| layer.get(declaration.name));
        let mut value = None;
        for given in std::iter::once(&default).chain(given) {
            value = match given.value(limit) {
                Ok(value) => Some(value),
                Err((item, problem)) => {
                    mistakes.bad_value(declaration, &item, &problem);
                    None
                }
            };
        }
        value
    }

    fn origins(&self) -> BTreeMap<&'static str, Origin> {
        let all = self.0.iter().flatten();
        all.map(|(name, given)| (*name, given.origin.clone())).collect()
    }
}

/// The environment's settings. An empty variable is one that is not set.
fn variables(variables: &[(String, String)]) -> (BTreeMap<&'static str, Given>, Vec<String>) {
    let (mut layer, mut warnings) = (BTreeMap::new(), Vec::new());
    for (name, text) in variables {
        if text.is_empty() || !name.starts_with("TRIMTAB_") || name == "TRIMTAB_CONFIG" {
            continue;
        }
        if let Some(declaration) = DECLARATIONS.iter().find(|declaration| declaration.environment == name) {
            let origin = Origin::Variable(name.clone());
            layer.insert(declaration.name, Given::of_text(declaration.shape, text, &origin));
        } else if let Some(near) = nearest(name, DECLARATIONS.iter().map(|declaration| declaration.environment)) {
            // Kubernetes itself sets TRIMTAB_SERVICE_HOST and the like for a Service named trimtab: no mistake, then.
            if !name.starts_with("TRIMTAB_SERVICE_") && !name.starts_with("TRIMTAB_PORT") {
                warnings.push(format!(
                    "environment variable {name} is not a setting; did you mean {near}?"
                ));
            }
        }
    }
    (layer, warnings)
}

/// The flags' settings: the last one counts, or all of them where the setting takes several values.
fn flags(flags: &[(String, String)], mistakes: &mut Mistakes) -> BTreeMap<&'static str, Given> {
    let mut layer: BTreeMap<&'static str, Given> = BTreeMap::new();
    for (name, text) in flags {
        let origin = Origin::Flag(name.clone());
        let Some(declaration) = Declaration::find(name) else {
            mistakes.add(origin, None, "is not a setting");
            continue;
        };
        let mut given = Given::of_text(declaration.shape, text, &origin);
        if declaration.shape == Shape::Many
            && let Some(before) = layer.remove(declaration.name)
        {
            given.items.splice(0..0, before.items);
        }
        layer.insert(declaration.name, given);
    }
    layer
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect()
    }

    fn typed(file: &str, variables: &[(&str, &str)], given_flags: &[(&str, &str)]) -> Typed {
        Typed {
            file: Some(("t.yaml".into(), file.into())),
            variables: pairs(variables),
            flags: pairs(given_flags),
        }
    }

    #[test]
    fn the_file_gives_way_to_the_environment_and_that_to_flags() {
        let file = "sync-period: 1s\ntolerance: 0.2\nlisten: none\n";
        let variables = [
            ("TRIMTAB_SYNC_PERIOD", "2s"),
            ("TRIMTAB_TOLERANCE", "0.3"),
            ("HOME", "/"),
        ];
        let effective = resolve(&typed(file, &variables, &[("sync-period", "3s")])).expect("all are allowed");
        assert_eq!(effective.settings.sync_period, Duration::from_secs(3));
        assert_eq!(effective.settings.tolerance, 0.3);
        assert_eq!(effective.origin("sync-period").to_string(), "flag --sync-period");
        assert_eq!(
            effective.origin("tolerance").to_string(),
            "environment variable TRIMTAB_TOLERANCE"
        );
        assert_eq!(effective.origin("listen").to_string(), "t.yaml:3:1");
        assert_eq!(*effective.origin("namespace"), Origin::Default);
    }

    #[test]
    fn flags_repeat_and_go_by_either_name() {
        let flags = [
            ("namespace", "shop,web"),
            ("namespace", "db"),
            ("sync-period", "1s"),
            ("horizontal-pod-autoscaler-sync-period", "2s"),
        ];
        let settings = resolve(&typed("", &[("TRIMTAB_CONTEXT", "")], &flags))
            .expect("all are allowed")
            .settings;
        assert_eq!(settings.namespace, ["shop", "web", "db"]);
        assert_eq!(settings.sync_period, Duration::from_secs(2));
        assert_eq!(settings.context, None);
    }

    #[test]
    fn a_mistake_counts_even_where_a_flag_would_win() {
        let mistakes = resolve(&typed("tolerance: -1\n", &[], &[("tolerance", "0.1")])).unwrap_err();
        assert_eq!(
            mistakes.to_string(),
            "t.yaml:1:12: tolerance: \"-1\" is not allowed; allowed: a number of at least 0"
        );
    }

    #[test]
    fn a_variable_of_a_service_is_no_mistyped_setting() {
        let variables = [("TRIMTAB_SERVICE_HOST", "10.0.0.1"), ("TRIMTAB_SYNC_PERID", "1s")];
        let effective = resolve(&typed("", &variables, &[])).expect("no variable is a mistake");
        assert_eq!(
            effective.warnings,
            ["environment variable TRIMTAB_SYNC_PERID is not a setting; did you mean TRIMTAB_SYNC_PERIOD?"]
        );
    }
}
