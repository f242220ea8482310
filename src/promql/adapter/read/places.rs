//! Where mistakes stand, in a file or in a ConfigMap's text.

use std::sync::Arc;

use super::super::RuleMistake;
use crate::yaml::{Entry, Mistake, Node, Place, Value};

/// How places of an inner text become places of the file.
#[derive(Clone, Copy)]
pub(super) enum Shift {
    /// They are added: the inner text stands in the file as it is, but for its indentation.
    By { lines: u64, columns: u64 },
    /// They are named, beside the place where the inner text begins.
    Within(Place),
}

impl Shift {
    pub(super) const NONE: Self = Self::By { lines: 0, columns: 0 };
}

/// The rules' text in a ConfigMap, where the document is one.
pub(super) fn config_map<'a>(document: &'a Node, text: &str) -> Option<Result<(&'a str, Shift), Mistake>> {
    const KEY: &str = "config.yaml";
    let get = |node: &'a Node, key: &str| -> Option<&'a Entry> {
        match &node.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    };
    let kind = get(document, "kind")?;
    let mistake = |place: Place, path: &str, problem: &str| {
        Some(Err(Mistake {
            place,
            path: path.to_owned(),
            problem: problem.to_owned(),
        }))
    };
    if kind.value.value != Value::Scalar("ConfigMap".to_owned()) {
        return mistake(kind.place, "kind", "is neither a rule file nor a ConfigMap");
    }
    let Some(data) = get(document, "data") else {
        return mistake(document.place, "data", "is missing from the ConfigMap");
    };
    let Some(config) = get(&data.value, KEY) else {
        return mistake(
            data.place,
            "data",
            "has no config.yaml, which is what the adapter reads",
        );
    };
    let Value::Scalar(inner) = &config.value.value else {
        return mistake(config.place, "data.config.yaml", "is not a text");
    };
    // In a block of text (`|`) each line stands as it is.
    let place = config.value.place;
    let line_before = place
        .line
        .checked_sub(2)
        .and_then(|index| text.lines().nth(usize::try_from(index).ok()?));
    let is_block = line_before.is_some_and(|line| {
        let header = line.rsplit_once(':').map_or("", |(_, header)| header);
        header.trim_start().starts_with('|')
    });
    let shift = match is_block {
        true => Shift::By {
            lines: place.line - 1,
            columns: place.column - 1,
        },
        false => Shift::Within(place),
    };
    Some(Ok((inner, shift)))
}

/// Mistakes with the file's name and places, in its order.
pub(super) fn tell(path: &Arc<str>, mistakes: Vec<Mistake>, shift: &Shift) -> Vec<RuleMistake> {
    let mut told: Vec<RuleMistake> = mistakes
        .into_iter()
        .map(|mistake| {
            let Place { line, column } = mistake.place;
            let mut problem = match mistake.path.as_str() {
                "" => mistake.problem,
                keys => format!("{keys}: {}", mistake.problem),
            };
            let (line, column) = match shift {
                Shift::By { lines, columns } => (line + lines, column + columns),
                Shift::Within(outer) => {
                    problem = format!("in config.yaml, line {line}, column {column}: {problem}");
                    (outer.line, outer.column)
                }
            };
            RuleMistake {
                path: path.clone(),
                line,
                column,
                problem,
            }
        })
        .collect();
    told.sort_by_key(|mistake| (mistake.line, mistake.column));
    told
}
