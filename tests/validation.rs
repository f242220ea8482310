//! What kube-apiserver v1.36 says of manifests, and what trimtab says of them.
//!
//! `validation/cases.json` has the manifests, each as changes to a good one; `validation/answers.json` what the server
//! answered. `validation/record` asks a server again.

#[path = "validation/server.rs"]
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use trimtab::spec::{ManifestOptions, Spec};

/// A manifest that differs from [`good`].
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Case {
    about: String,
    #[serde(default = "newest")]
    api_version: String,
    #[serde(default)]
    metadata: Value,
    spec: Value,
}

/// What the server said of a manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Answer {
    /// Let in, as this.
    Accepted(Value),
    /// Not valid in these fields.
    Refused(BTreeSet<String>),
    /// Not readable; the server stops at the first such field and names it in a sentence.
    Undecodable(String),
}

fn newest() -> String {
    "autoscaling/v2".into()
}

fn good() -> Value {
    json!({
        "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web", "namespace": "default"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "maxReplicas": 10},
    })
}

impl Case {
    fn manifest(&self) -> Value {
        let mut manifest = good();
        manifest["apiVersion"] = self.api_version.as_str().into();
        merge(&mut manifest["metadata"], &self.metadata);
        merge(&mut manifest["spec"], &self.spec);
        manifest
    }
}

/// As a JSON merge patch: null takes away.
fn merge(into: &mut Value, changes: &Value) {
    for (name, change) in changes.as_object().into_iter().flatten() {
        let fields = into.as_object_mut().expect("the good manifest has an object there");
        match (fields.get_mut(name), change) {
            (_, Value::Null) => drop(fields.remove(name)),
            (Some(old @ Value::Object(_)), Value::Object(_)) => merge(old, change),
            _ => drop(fields.insert(name.clone(), change.clone())),
        }
    }
}

fn file(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/validation")
        .join(name)
}

fn cases() -> Vec<Case> {
    let text = std::fs::read_to_string(file("cases.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn what_kube_apiserver_refuses_is_refused_in_the_same_fields() {
    let cases = cases();
    if let Some(server) = server::Server::from_environment() {
        let answers: Map<String, Value> = cases
            .iter()
            .map(|case| {
                (
                    case.about.clone(),
                    serde_json::to_value(server.ask(&case.manifest())).unwrap(),
                )
            })
            .collect();
        let text = serde_json::to_string_pretty(&answers).unwrap();
        std::fs::write(file("answers.json"), text + "\n").unwrap();
    }
    let text = std::fs::read_to_string(file("answers.json")).unwrap();
    let answers: BTreeMap<String, Answer> = serde_json::from_str(&text).unwrap();
    assert_eq!(
        answers.len(),
        cases.len(),
        "each case has an answer, and a name of its own"
    );
    let differences: Vec<String> = cases
        .iter()
        .filter_map(|case| difference(case, &answers[&case.about]))
        .collect();
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}

fn difference(case: &Case, answer: &Answer) -> Option<String> {
    let manifest = case.manifest();
    let read = Spec::from_manifest(&manifest, &ManifestOptions::default());
    let about = &case.about;
    match (answer, read) {
        (Answer::Accepted(stored), Ok(spec)) => {
            // What the server stores has the defaults in it, and reads back as the same wish.
            let read_back = Spec::from_stored(stored);
            (read_back.as_ref() != Ok(&spec)).then(|| format!("{about}: {spec:?}\n    stored: {read_back:?}"))
        }
        (Answer::Refused(fields), Err(error)) => {
            let ours: BTreeSet<String> = error.problems.iter().map(|p| p.path.clone()).collect();
            (ours != *fields).then(|| format!("{about}: {error}\n    the server names {fields:?}"))
        }
        (Answer::Undecodable(sentence), Err(error)) => {
            let unknown = sentence
                .split("unknown field \"")
                .nth(1)
                .and_then(|rest| rest.split('"').next());
            let named = |field: &str| error.problems.iter().any(|p| p.path == field);
            (!unknown.is_none_or(named)).then(|| format!("{about}: {error}\n    the server: {sentence}"))
        }
        (answer, read) => Some(format!("{about}: {read:?}\n    the server says {answer:?}")),
    }
}
