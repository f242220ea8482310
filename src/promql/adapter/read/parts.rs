//! The parts of a rule: `resources`, `name`, `seriesFilters`.

use super::super::go_template::{Field, Part, Use};
use super::super::labels::{Labels, Override};
use super::super::names::{Filter, Naming};
use super::super::regex::compile;
use super::{Reader, is_label};
use crate::yaml::{Mapping, Mistake, Node, Value};

impl Reader<'_> {
    /// What `resources` says, and whether it says `namespaced`.
    pub(super) fn labels(&mut self, fields: &Mapping<'_>) -> (Labels, Option<bool>) {
        let mut labels = Labels::default();
        let Some(node) = fields.get("resources") else {
            return (labels, None);
        };
        let path = fields.key_path("resources");
        let keys = ["template", "overrides", "namespaced"];
        let Some(resources) = Mapping::of(node, &path, &keys, &mut self.mistakes) else {
            return (labels, None);
        };
        if resources.get("template").is_some() {
            labels.template = self.template(&resources, "template", Use::Label);
            let names_resource = |parts: &Vec<Part>| parts.contains(&Part::Field(Field::Resource));
            if labels.template.as_ref().is_some_and(|parts| !names_resource(parts)) {
                resources.refuse("template", "does not hold <<.Resource>>", &mut self.mistakes);
            }
        }
        labels.overrides = self.overrides(&resources);
        let namespaced = resources.read("namespaced", &mut self.mistakes, |text| match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("is neither true nor false".to_owned()),
        });
        (labels, namespaced)
    }

    fn overrides(&mut self, resources: &Mapping<'_>) -> Vec<Override> {
        let path = resources.key_path("overrides");
        let Some(mapping) = resources
            .get("overrides")
            .and_then(|node| Mapping::open(node, &path, &mut self.mistakes))
        else {
            return Vec::new();
        };
        let mut overrides: Vec<Override> = Vec::new();
        for entry in mapping.entries() {
            let path = mapping.key_path(&entry.key);
            let Some(fields) = Mapping::of(&entry.value, &path, &["group", "resource"], &mut self.mistakes) else {
                continue;
            };
            if fields.get("resource").is_none() {
                fields.refuse("resource", "is missing, such as pod", &mut self.mistakes);
            }
            let (group, resource) = (
                fields.text("group", &mut self.mistakes).unwrap_or_default().to_owned(),
                fields
                    .text("resource", &mut self.mistakes)
                    .unwrap_or_default()
                    .to_owned(),
            );
            if !is_label(&entry.key) {
                self.mistakes.push(Mistake {
                    place: entry.place,
                    path,
                    problem: "is not the name of a label: letters, digits and '_'".to_owned(),
                });
                continue;
            }
            let same = |other: &&Override| other.group == group && other.resource == resource;
            if let Some(other) = overrides.iter().find(same) {
                let problem = format!(
                    "{} names {resource} as well, and counts here; the adapter takes either at random",
                    other.label
                );
                self.warnings.push(Mistake {
                    place: entry.place,
                    path,
                    problem,
                });
            }
            overrides.push(Override {
                label: entry.key.as_str().into(),
                group,
                resource,
            });
        }
        overrides
    }

    /// What `name` and `seriesFilters` say.
    pub(super) fn naming(&mut self, fields: &Mapping<'_>) -> Option<Naming> {
        let filters = self.filters(fields);
        let empty = Node {
            place: fields.place,
            offset: None,
            value: Value::Nothing,
        };
        let node = fields.get("name").unwrap_or(&empty);
        let path = fields.key_path("name");
        let name = Mapping::of(node, &path, &["matches", "as"], &mut self.mistakes)?;
        let matches = match name.text("matches", &mut self.mistakes).unwrap_or_default() {
            "" => compile(".*").ok()?,
            _ => name.read("matches", &mut self.mistakes, compile)?,
        };
        let template = name.text("as", &mut self.mistakes).unwrap_or_default();
        let naming = Naming::new(filters?, matches, template);
        if naming.is_none() {
            let problem = "is missing: name.matches has several groups, and none of them is the name by itself";
            name.refuse("as", problem, &mut self.mistakes);
        }
        naming
    }

    fn filters(&mut self, fields: &Mapping<'_>) -> Option<Vec<Filter>> {
        let nodes = self.list(fields, "seriesFilters");
        let path = fields.key_path("seriesFilters");
        let mut filters = Vec::new();
        for (index, node) in nodes.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let keys = ["is", "isNot"];
            let Some(filter) = Mapping::of(node, &path, &keys, &mut self.mistakes) else {
                continue;
            };
            let said = keys.map(|key| filter.text(key, &mut self.mistakes).unwrap_or_default());
            let key = match said {
                ["", ""] | [_, _] if said[0].is_empty() == said[1].is_empty() => {
                    self.mistakes.push(Mistake {
                        place: node.place,
                        path,
                        problem: "a filter says either is or isNot".to_owned(),
                    });
                    continue;
                }
                ["", _] => "isNot",
                _ => "is",
            };
            if let Some(expression) = filter.read(key, &mut self.mistakes, compile) {
                filters.push(Filter {
                    expression,
                    is: key == "is",
                });
            }
        }
        (filters.len() == nodes.len()).then_some(filters)
    }
}
