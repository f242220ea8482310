//! The block `metrics:`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Endpoint;
use super::endpoint::positive_duration;
use crate::promql::definition::{DEFAULT_FRESHNESS, DEFAULT_WINDOW, ObjectKind, default_query, longest_range};
use crate::promql::{Answers, Definition, Missing, Template};
use crate::quantity::Quantity;
use crate::settings::duration;
use crate::settings::rules::known_endpoints;
use crate::yaml::{Entry, Mapping, Mistake, Node, Value, nearest};

/// The most definitions: each is one query a pass at the least.
const MOST_METRICS: usize = 1_000;

/// The longest query; Prometheus takes 10 MB, but no person wrote more than this.
const LONGEST_QUERY: usize = 16 << 10;

/// The longest name; Kubernetes' own metrics have some 50 bytes.
const LONGEST_NAME: usize = 253;

const TYPES: [&str; 4] = ["Pods", "Object", "External", "Resource"];

/// Keys that each type has.
const COMMON: [&str; 6] = ["type", "prometheus", "query", "step", "freshness-limit", "missing"];

/// Keys that only some types have.
const SPECIAL: [(&str, &[&str]); 6] = [
    ("pod-label", &["Pods", "Resource"]),
    ("kind", &["Object"]),
    ("group", &["Object"]),
    ("container-label", &["Resource"]),
    ("namespace-label", &["Resource"]),
    ("window", &["Resource"]),
];

/// Reads the block. The definitions are in its order, and no two answer for the same.
pub(super) fn read(
    block: &Node,
    endpoints: &BTreeMap<Arc<str>, Endpoint>,
    mistakes: &mut Vec<Mistake>,
) -> Vec<Arc<Definition>> {
    let Some(block) = Mapping::open(block, "metrics", mistakes) else {
        return Vec::new();
    };
    let mut definitions: Vec<Arc<Definition>> = Vec::new();
    for entry in block.entries() {
        let path = block.key_path(&entry.key);
        if let Some(problem) = name_problem(&entry.key) {
            mistakes.push(Mistake {
                place: entry.place,
                path,
                problem,
            });
            continue;
        }
        for (node, path) in several(entry, path) {
            let Some(definition) = definition(&entry.key, node, &path, endpoints, mistakes) else {
                continue;
            };
            if definitions.iter().any(|before| before.overlaps(&definition)) {
                let kind = definition.answers.type_name();
                mistakes.push(Mistake {
                    place: node.place,
                    path,
                    problem: format!("a definition before this one answers for the same {kind} metric"),
                });
            } else {
                definitions.push(Arc::new(definition));
            }
        }
    }
    if definitions.len() > MOST_METRICS {
        mistakes.push(Mistake {
            place: block.place,
            path: block.path,
            problem: format!(
                "has {} definitions; at most {MOST_METRICS} are allowed",
                definitions.len()
            ),
        });
    }
    definitions
}

/// A name's definitions: one, or a list with one a type.
fn several(entry: &Entry, path: String) -> Vec<(&Node, String)> {
    match &entry.value.value {
        Value::List(nodes) => nodes
            .iter()
            .enumerate()
            .map(|(index, node)| (node, format!("{path}[{index}]")))
            .collect(),
        _ => vec![(&entry.value, path)],
    }
}

/// Kubernetes: `spec.metrics[].*.metric.name` is a segment of a path.
fn name_problem(name: &str) -> Option<String> {
    let problem = if name.is_empty() || name.len() > LONGEST_NAME {
        format!("a name has 1 to {LONGEST_NAME} bytes")
    } else if name == "." || name == ".." || name.contains(['/', '%']) || name.chars().any(char::is_control) {
        "is no name of a metric: '/' and '%' are not allowed, nor are '.' and '..'".to_owned()
    } else {
        return None;
    };
    Some(problem)
}

fn definition(
    name: &str,
    node: &Node,
    path: &str,
    endpoints: &BTreeMap<Arc<str>, Endpoint>,
    mistakes: &mut Vec<Mistake>,
) -> Option<Definition> {
    let known: Vec<&str> = COMMON.into_iter().chain(SPECIAL.map(|(key, _)| key)).collect();
    let fields = Mapping::of(node, path, &known, mistakes)?;
    if fields.get("type").is_none() {
        fields.refuse("type", format!("is missing; allowed: {}", TYPES.join(", ")), mistakes);
        return None;
    }
    let kind = fields.read("type", mistakes, metric_type)?;
    for (key, types) in SPECIAL {
        if fields.get(key).is_some() && !types.contains(&kind) {
            let problem = format!("does nothing with type {kind}; it is for {}", types.join(" and "));
            fields.refuse(key, problem, mistakes);
        }
    }
    let before = mistakes.len();
    let window = fields.read("window", mistakes, positive_duration);
    let query = query(name, kind, &fields, window, mistakes);
    let endpoint = endpoint(&fields, endpoints, mistakes);
    let step = fields.read("step", mistakes, |text| {
        duration::parse(text).map_err(|problem| format!("{problem}; allowed: a duration of at least 0s"))
    });
    let freshness = fields.read("freshness-limit", mistakes, freshness);
    let missing = fields.read("missing", mistakes, missing);
    let answers = answers(kind, &fields, window, query.as_deref(), mistakes);
    if mistakes.len() > before {
        return None;
    }
    let definition = Definition {
        name: name.into(),
        answers,
        endpoint: endpoint?,
        template: template(&fields, &query?, mistakes)?,
        step: step.unwrap_or_default(),
        freshness: freshness.unwrap_or(Some(DEFAULT_FRESHNESS)),
        missing: missing.unwrap_or_default(),
    };
    for problem in definition.problems() {
        fields.refuse("query", problem, mistakes);
    }
    (mistakes.len() == before).then_some(definition)
}

fn metric_type(text: &str) -> Result<&'static str, String> {
    TYPES.into_iter().find(|known| *known == text).ok_or_else(|| {
        let allowed = TYPES.join(", ");
        match nearest(text, TYPES) {
            Some(near) => format!("is no type of metric; did you mean {near}?"),
            None if text == "ContainerResource" => "is answered for by type Resource".to_owned(),
            None => format!("is no type of metric; allowed: {allowed}"),
        }
    })
}

fn endpoint(
    fields: &Mapping<'_>,
    endpoints: &BTreeMap<Arc<str>, Endpoint>,
    mistakes: &mut Vec<Mistake>,
) -> Option<Arc<str>> {
    let names: Vec<&str> = endpoints.keys().map(|name| &**name).collect();
    if fields.get("prometheus").is_none() {
        let problem = match names.as_slice() {
            [_] => return endpoints.keys().next().cloned(),
            [] => format!("is missing, and {}", known_endpoints(&names)),
            _ => format!("is missing, and there are several: {}", names.join(", ")),
        };
        fields.refuse("prometheus", problem, mistakes);
        return None;
    }
    let name = fields.text("prometheus", mistakes)?;
    match endpoints.get_key_value(name) {
        Some((name, _)) => Some(name.clone()),
        None => {
            let hint = match nearest(name, names.iter().copied()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => known_endpoints(&names),
            };
            fields.refuse("prometheus", format!("{name:?} is not an endpoint; {hint}"), mistakes);
            None
        }
    }
}

fn query(
    name: &str,
    kind: &str,
    fields: &Mapping<'_>,
    window: Option<Duration>,
    mistakes: &mut Vec<Mistake>,
) -> Option<String> {
    if fields.get("query").is_some() {
        return fields.read("query", mistakes, |text| match text.trim() {
            "" => Err("is empty".to_owned()),
            _ if text.len() > LONGEST_QUERY => Err(format!("is longer than {LONGEST_QUERY} bytes")),
            text => Ok(text.to_owned()),
        });
    }
    let default = match kind {
        "Resource" => default_query(name, window.unwrap_or(DEFAULT_WINDOW)),
        _ => None,
    };
    if default.is_none() {
        let problem = match kind {
            "Resource" => "is missing; only cpu and memory have one by themselves",
            _ => "is missing",
        };
        fields.refuse("query", problem, mistakes);
    }
    default
}

fn template(fields: &Mapping<'_>, query: &str, mistakes: &mut Vec<Mistake>) -> Option<Template> {
    match Template::parse(query) {
        Ok(template) => Some(template),
        Err(error) => {
            fields.refuse("query", error.to_string(), mistakes);
            None
        }
    }
}

fn answers(
    kind: &str,
    fields: &Mapping<'_>,
    window: Option<Duration>,
    query: Option<&str>,
    mistakes: &mut Vec<Mistake>,
) -> Answers {
    let mut label = |key: &str, default: &str| -> Arc<str> {
        fields.read(key, mistakes, label_name).unwrap_or_else(|| default.into())
    };
    match kind {
        "Pods" => Answers::Pods {
            pod_label: label("pod-label", "pod"),
        },
        "Resource" => Answers::Resource {
            pod_label: label("pod-label", "pod"),
            container_label: label("container-label", "container"),
            namespace_label: label("namespace-label", "namespace"),
            window: window.or_else(|| longest_range(query?)).unwrap_or_default(),
        },
        "Object" => {
            let text = |text: &str| match text {
                "" => Err("is empty".to_owned()),
                text => Ok(Arc::from(text)),
            };
            let group = fields.read("group", mistakes, |group| Ok(Arc::from(group)));
            let kind = fields.read("kind", mistakes, text);
            if group.is_some() && kind.is_none() {
                fields.refuse("group", "needs kind beside it", mistakes);
            }
            Answers::Object {
                kind: kind.map(|kind| ObjectKind { group, kind }),
            }
        }
        _ => Answers::External,
    }
}

/// A label's name, as Prometheus had it before it allowed any text: what `by (…)` takes without quotes.
fn label_name(text: &str) -> Result<Arc<str>, String> {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    let is_name = text.starts_with(letter) && text.chars().all(|c| letter(c) || c.is_ascii_digit());
    match is_name {
        true => Ok(text.into()),
        false => Err("is not the name of a label: letters, digits and '_'".to_owned()),
    }
}

fn freshness(text: &str) -> Result<Option<Duration>, String> {
    match text {
        "off" | "false" => Ok(None),
        text => duration::parse(text)
            .ok()
            .filter(|limit| !limit.is_zero())
            .map(Some)
            .ok_or_else(|| "is not allowed; allowed: a duration longer than 0s, or off".to_owned()),
    }
}

fn missing(text: &str) -> Result<Missing, String> {
    match text {
        "fail" => Ok(Missing::Fails),
        text => match text.parse::<Quantity>() {
            Ok(quantity) => Ok(Missing::Is(quantity.milli())),
            Err(_) => Err("is not allowed; allowed: fail, or a quantity such as 0 or 100m".to_owned()),
        },
    }
}
