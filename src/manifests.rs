//! Autoscalers that stand in files: manifests of any version, read with the place of everything that is wrong.
//!
//! [`read`] takes a file's text and is pure; [`folder`] keeps a folder's files, and [`follow`] looks at them again and again.

mod document;
pub mod folder;
pub mod follow;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::spec::{ManifestOptions, Spec};
use document::Node;

/// The largest file that is read. A manifest has a few KB; this holds those of a large cluster.
pub const FILE_BYTES: u64 = 16 << 20;

/// The kind that is read; all others are passed over.
const KIND: &str = "HorizontalPodAutoscaler";

/// How manifests are read.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// How strict to be, and the namespace of manifests that name none.
    pub manifest: ManifestOptions,
    /// The namespaces that autoscalers may be in; all where none is named.
    pub namespaces: Vec<String>,
}

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file's path.
    pub file: Arc<str>,
    /// Line and column, from 1; `None`: the file as a whole.
    pub position: Option<Position>,
}

/// A line and a column, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: u64,
    /// The column, in characters.
    pub column: u64,
}

impl Place {
    /// The file as a whole.
    pub fn file(file: impl Into<Arc<str>>) -> Self {
        Self {
            file: file.into(),
            position: None,
        }
    }
}

/// `file:line:column`, as compilers have it.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        match self.position {
            Some(Position { line, column }) => write!(f, ":{line}:{column}"),
            None => Ok(()),
        }
    }
}

/// An autoscaler that stands in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// What it wants.
    pub spec: Arc<Spec>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Where it begins.
    pub place: Place,
}

/// Something that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What, with the object that it is about.
    pub text: String,
}

/// `file:line:column: what`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Content {
    /// The autoscalers that are as they should be, in the file's order.
    pub manifests: Vec<Manifest>,
    /// What is wrong with the others, sorted by place.
    pub problems: Vec<Problem>,
}

impl Content {
    /// Whether the file has no autoscaler, good or bad.
    pub fn is_empty(&self) -> bool {
        self.manifests.is_empty() && self.problems.is_empty()
    }
}

/// The autoscalers of a file's text: YAML or JSON, one document or several, single objects or lists of them.
///
/// Reads HorizontalPodAutoscalers of any version, and passes over all other kinds. A problem stands at its field or, where
/// something is missing, at the field that it is missing from.
pub fn read(file: &str, text: &str, options: &ReadOptions) -> Content {
    let file: Arc<str> = file.into();
    let documents = match document::parse(text) {
        Ok(documents) => documents,
        Err((position, text)) => {
            let problem = Problem {
                place: Place { file, position },
                text,
            };
            return Content {
                problems: vec![problem],
                ..Content::default()
            };
        }
    };
    let mut content = Content::default();
    for node in documents.iter().flat_map(objects) {
        read_one(&file, node, options, &mut content);
    }
    content.problems.sort_by(|a, b| a.place.cmp(&b.place));
    content
}

/// The autoscalers of a document: itself, or those of a list.
fn objects(document: &Node) -> Vec<&Node> {
    if document.text("kind") == Some(KIND) {
        return vec![document];
    }
    document
        .items("items")
        .filter(|item| item.text("kind") == Some(KIND))
        .collect()
}

fn read_one(file: &Arc<str>, node: &Node, options: &ReadOptions, content: &mut Content) {
    let place = |position| Place {
        file: file.clone(),
        position: Some(position),
    };
    let value = node.value();
    let spec = match Spec::from_manifest(&value, &options.manifest) {
        Ok(spec) => spec,
        Err(error) => {
            content.problems.extend(error.problems.iter().map(|problem| Problem {
                place: place(node.position_of(&problem.path)),
                text: format!("{}: {problem}", error.object),
            }));
            return;
        }
    };
    let namespace = &*spec.key.namespace;
    if !options.namespaces.is_empty() && options.namespaces.iter().all(|served| served != namespace) {
        let served = options.namespaces.join(", ");
        content.problems.push(Problem {
            place: place(node.position_of("metadata.namespace")),
            text: format!(
                "{KIND} {}: metadata.namespace: found {namespace:?}, want a namespace that is served: {served} (setting namespace)",
                spec.key
            ),
        });
        return;
    }
    content.manifests.push(Manifest {
        annotations: annotations(&value),
        place: place(node.start()),
        spec: Arc::new(spec),
    });
}

fn annotations(object: &Value) -> BTreeMap<String, String> {
    let annotations = object["metadata"]["annotations"].as_object().into_iter().flatten();
    annotations
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hpa(name: &str, rest: &str) -> String {
        format!(
            "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  \
             scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: web}}\n{rest}"
        )
    }

    fn problems(text: &str) -> Vec<String> {
        let content = read("a.yaml", text, &ReadOptions::default());
        content.problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_problem_has_the_place_of_its_field() {
        let text = format!(
            "# two\n---\n{}---\n{}",
            hpa("good", "  maxReplicas: 3\n"),
            hpa(
                "bad",
                "  minReplicas: 0\n  maxReplica: 3\n  metrics:\n  - type: Resource\n    resource:\n      name: cpu\n      \
                 target: {type: Utilization, averageUtilization: -1}\n"
            )
        );
        let found = problems(&text);
        let places: Vec<&str> = found
            .iter()
            .map(|problem| problem.split(": ").next().unwrap())
            .collect();
        // minReplicas: 0, maxReplica, no maxReplicas (so at spec), no Object or External metric, the utilization.
        assert_eq!(
            places,
            [
                "a.yaml:13:1",
                "a.yaml:15:3",
                "a.yaml:16:3",
                "a.yaml:17:3",
                "a.yaml:21:35"
            ],
            "{found:#?}"
        );
        assert_eq!(
            found[0],
            "a.yaml:13:1: HorizontalPodAutoscaler shop/bad: spec.maxReplicas: missing, want at least 1"
        );
    }

    #[test]
    fn objects_of_lists_have_their_own_places() {
        let text = "apiVersion: v1\nkind: List\nitems:\n- kind: Service\n- apiVersion: autoscaling/v1\n  kind: HorizontalPodAutoscaler\n  \
                    metadata:\n    name: web\n  spec:\n    maxReplicas: 0\n    scaleTargetRef: {kind: Deployment, name: web}\n";
        let found = problems(text);
        assert_eq!(found.len(), 2, "{found:#?}");
        assert!(found[0].starts_with("a.yaml:10:5: HorizontalPodAutoscaler default/web: spec.maxReplicas"));
        assert!(
            found[1].starts_with("a.yaml:11:5: HorizontalPodAutoscaler default/web: spec.scaleTargetRef.apiVersion")
        );
    }

    #[test]
    fn all_versions_and_json_are_read_and_other_kinds_passed_over() {
        let metric =
            "metrics: [{type: Pods, pods: {metric: {name: qps}, target: {type: AverageValue, averageValue: 100}}}]";
        let old = hpa("old", &format!("  maxReplicas: 3\n  {metric}\n")).replace("/v2", "/v2beta2");
        let json = "{\"apiVersion\": \"autoscaling/v1\", \"kind\": \"HorizontalPodAutoscaler\",\n\t\"metadata\": {\"name\": \"json\", \
                    \"annotations\": {\"trimtab.dev/x\": \"1\"}},\n\t\"spec\": {\"maxReplicas\": 2, \"scaleTargetRef\": {\"apiVersion\": \
                    \"apps/v1\", \"kind\": \"Deployment\", \"name\": \"web\"}}}\n";
        let text = format!("kind: ConfigMap\ndata: {{1: a, b: !!str c}}\n---\n{old}---\n{json}");
        let content = read("a.yaml", &text, &ReadOptions::default());
        assert_eq!(content.problems, []);
        let keys: Vec<String> = content.manifests.iter().map(|m| m.spec.key.to_string()).collect();
        assert_eq!(keys, ["shop/old", "default/json"]);
        assert_eq!(content.manifests[0].place.to_string(), "a.yaml:4:1");
        assert_eq!(content.manifests[1].annotations["trimtab.dev/x"], "1");
        assert!(read("b.yaml", "kind: Service\n---\n# nothing\n", &ReadOptions::default()).is_empty());
    }

    #[test]
    fn what_is_no_yaml_says_where() {
        let content = read("a.yaml", "kind: x\nitems: [1\n", &ReadOptions::default());
        let text = content.problems[0].to_string();
        assert!(
            text.starts_with("a.yaml:2:8: ") || text.starts_with("a.yaml:3:1: "),
            "{text}"
        );
        let twice = problems("kind: x\nkind: y\n");
        assert!(twice[0].starts_with("a.yaml:2:1: duplicate"), "{twice:?}");
    }

    #[test]
    fn namespaces_that_are_not_served_are_refused() {
        let options = ReadOptions {
            namespaces: vec!["bank".into(), "mill".into()],
            ..ReadOptions::default()
        };
        let content = read("a.yaml", &hpa("web", "  maxReplicas: 3\n"), &options);
        assert_eq!(
            content.problems[0].to_string(),
            "a.yaml:3:23: HorizontalPodAutoscaler shop/web: metadata.namespace: found \"shop\", want a namespace that is served: \
             bank, mill (setting namespace)"
        );
        assert_eq!(content.manifests, []);
    }
}
