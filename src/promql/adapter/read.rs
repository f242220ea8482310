//! The rule file: from YAML to rules.

mod parts;
mod places;
mod resources;

use std::sync::Arc;

use places::{Shift, config_map, tell};

use super::go_template::{self, Part, Use};
use super::labels::Resource;
use super::query::Objects;
use super::series::single_name;
use super::{AdapterRules, Rule, RuleMistake, Series};
use crate::selector::Selector;
use crate::yaml::{self, Mapping, Mistake, Node, Place, Value};

/// The most rules: each may be listed for once a minute.
const MOST_RULES: usize = 1_000;

/// What a file is read into.
struct Reader<'a> {
    path: Arc<str>,
    /// The YAML that the rules stand in.
    text: &'a str,
    mistakes: Vec<Mistake>,
    warnings: Vec<Mistake>,
    series_queries: Vec<Arc<str>>,
}

/// Reads a rule file, or a ConfigMap with one in it.
pub(super) fn read(path: &str, text: &str, endpoint: &Arc<str>) -> Result<AdapterRules, Vec<RuleMistake>> {
    let path: Arc<str> = path.into();
    let told = |mistakes: Vec<Mistake>, shift: &Shift| tell(&path, mistakes, shift);
    let document = yaml::parse(text).map_err(|error| told(vec![of_yaml(error)], &Shift::NONE))?;
    match config_map(&document, text) {
        None => read_rules(&path, text, &document, &Shift::NONE, endpoint),
        Some(Err(mistake)) => Err(told(vec![mistake], &Shift::NONE)),
        Some(Ok((inner, shift))) => {
            let document = yaml::parse(inner).map_err(|error| told(vec![of_yaml(error)], &shift))?;
            read_rules(&path, inner, &document, &shift, endpoint)
        }
    }
}

fn of_yaml(error: yaml::YamlError) -> Mistake {
    Mistake {
        place: error.place,
        path: String::new(),
        problem: error.problem,
    }
}

fn read_rules(
    path: &Arc<str>,
    text: &str,
    document: &Node,
    shift: &Shift,
    endpoint: &Arc<str>,
) -> Result<AdapterRules, Vec<RuleMistake>> {
    let mut reader = Reader {
        path: path.clone(),
        text,
        mistakes: Vec::new(),
        warnings: Vec::new(),
        series_queries: Vec::new(),
    };
    let keys = ["rules", "externalRules", "resourceRules"];
    let (mut custom, mut external, mut resources) = (Vec::new(), Vec::new(), Vec::new());
    if let Some(file) = Mapping::of(document, "", &keys, &mut reader.mistakes) {
        custom = reader.rules(&file, "rules", shift);
        external = reader.rules(&file, "externalRules", shift);
        if let Some(node) = file.get("resourceRules") {
            resources = reader.resource_rules(node, endpoint);
        }
        if custom.is_empty() && external.is_empty() && resources.is_empty() && reader.mistakes.is_empty() {
            file.refuse("rules", "there are no rules in the file", &mut reader.mistakes);
        }
    }
    if !reader.mistakes.is_empty() {
        return Err(tell(path, reader.mistakes, shift));
    }
    Ok(AdapterRules {
        text: text.into(),
        endpoint: endpoint.clone(),
        custom: custom.into(),
        external: external.into(),
        resources,
        series_queries: reader.series_queries,
        warnings: tell(path, reader.warnings, shift),
    })
}

impl Reader<'_> {
    fn rules(&mut self, file: &Mapping<'_>, key: &str, shift: &Shift) -> Vec<Rule> {
        let nodes = self.list(file, key);
        if nodes.len() > MOST_RULES {
            file.refuse(key, format!("has more than {MOST_RULES} rules"), &mut self.mistakes);
        }
        let is_external = key == "externalRules";
        let rules = nodes.iter().enumerate().map(|(index, node)| {
            let mut rule = self.rule(node, &format!("{key}[{index}]"), is_external)?;
            if let Shift::By { lines, .. } = shift {
                rule.place.line += lines;
            }
            Some(rule)
        });
        rules.collect::<Vec<_>>().into_iter().flatten().collect()
    }

    fn list<'n>(&mut self, fields: &Mapping<'n>, key: &str) -> &'n [Node] {
        match fields.get(key).map(|node| &node.value) {
            Some(Value::List(nodes)) => nodes,
            Some(other) => {
                let problem = format!("is {}, and a list is wanted", other.noun());
                fields.refuse(key, problem, &mut self.mistakes);
                &[]
            }
            None => &[],
        }
    }

    fn rule(&mut self, node: &Node, path: &str, is_external: bool) -> Option<Rule> {
        let keys = ["seriesQuery", "seriesFilters", "resources", "name", "metricsQuery"];
        let fields = Mapping::of(node, path, &keys, &mut self.mistakes)?;
        let series = self.series(&fields);
        let (labels, namespaced) = self.labels(&fields);
        if labels.is_empty() && !is_external {
            self.warn(
                &fields,
                "resources",
                "no label names an object, so that the rule gives no metric",
            );
        }
        if namespaced.is_some() && !is_external {
            self.warn(
                &fields,
                "resources",
                "namespaced does something for external rules only",
            );
        }
        let naming = self.naming(&fields);
        let query = self.template(&fields, "metricsQuery", Use::Query);
        let rule = Rule {
            path: self.path.clone(),
            place: node.place,
            series: series?,
            naming: naming?,
            labels,
            namespaced: namespaced.unwrap_or(true),
            query: query?,
        };
        self.try_query(&fields, &rule, is_external);
        Some(rule)
    }

    /// Fills the query in, so that what is wrong with it is said before it is asked.
    fn try_query(&mut self, fields: &Mapping<'_>, rule: &Rule, is_external: bool) {
        let everything = Selector::everything();
        let series = match &rule.series {
            Series::Named(name) => name,
            Series::Listed(_) => "series",
        };
        if is_external {
            if rule.namespaced && rule.labels.label(&Resource::namespace()).is_none() {
                let problem = "no label names the namespace, so that the metric cannot be asked for: set \
                               resources.overrides, or namespaced: false";
                self.warn(fields, "resources", problem);
            } else if let Err(problem) = rule.external_query(series, &everything) {
                fields.refuse("metricsQuery", problem, &mut self.mistakes);
            }
        } else if rule.has_label(&Objects::Pods)
            && rule.labels.label(&Resource::namespace()).is_some()
            && let Err(problem) = rule.custom_query(series, &Objects::Pods, &everything)
        {
            fields.refuse("metricsQuery", problem, &mut self.mistakes);
        }
    }

    fn warn(&mut self, fields: &Mapping<'_>, key: &str, problem: &str) {
        fields.refuse(key, problem, &mut self.warnings);
    }

    fn series(&mut self, fields: &Mapping<'_>) -> Option<Series> {
        if fields.get("seriesQuery").is_none() {
            fields.refuse("seriesQuery", "is missing", &mut self.mistakes);
            return None;
        }
        let (text, name) = fields.read("seriesQuery", &mut self.mistakes, |text| {
            Ok((text.trim().to_owned(), single_name(text)?))
        })?;
        Some(match name {
            Some(name) => Series::Named(name.into()),
            None => {
                let known = self.series_queries.iter().position(|known| **known == *text);
                Series::Listed(known.unwrap_or_else(|| {
                    self.series_queries.push(text.into());
                    self.series_queries.len() - 1
                }))
            }
        })
    }

    /// The Go template that `key` is; a mistake stands where its action stands.
    fn template(&mut self, fields: &Mapping<'_>, key: &str, used: Use) -> Option<Vec<Part>> {
        let text = fields.text(key, &mut self.mistakes);
        if text.is_none_or(|text| text.trim().is_empty()) {
            if fields
                .get(key)
                .is_none_or(|node| matches!(node.value, Value::Scalar(_)))
            {
                fields.refuse(key, "is missing", &mut self.mistakes);
            }
            return None;
        }
        match go_template::parse(text?, used) {
            Ok(parts) => Some(parts),
            Err(problem) => {
                let node = fields.get(key)?;
                self.mistakes.push(Mistake {
                    place: self.action_place(node, problem.action).unwrap_or(node.place),
                    path: fields.key_path(key),
                    problem: problem.problem,
                });
                None
            }
        }
    }

    /// Where the `action`-th `<<` of a text stands. However the text is quoted, its angle brackets are written as such.
    fn action_place(&self, node: &Node, action: usize) -> Option<Place> {
        let begin = node.offset?;
        let (at, _) = self.text.get(begin..)?.match_indices("<<").nth(action)?;
        let before = &self.text[..begin + at];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Some(Place {
            line: before.matches('\n').count() as u64 + 1,
            column: before[line_start..].chars().count() as u64 + 1,
        })
    }
}

fn is_label(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    text.starts_with(letter) && text.chars().all(|c| letter(c) || c.is_ascii_digit())
}
