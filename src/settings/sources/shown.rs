//! The blocks as a file would say them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Credentials, DEFAULT, Endpoint, Sources};
use crate::promql::{Answers, Definition, Missing};
use crate::quantity::{Quantity, SuffixFamily};
use crate::settings::duration::print;

/// What stands for the value of a header.
const HIDDEN: &str = "(hidden)";

/// The block `prometheus`. The endpoint that `prometheus-url` gives is shown there.
pub(super) fn endpoints(sources: &Sources, shorthand: bool) -> Value {
    let shown = sources
        .prometheus
        .iter()
        .filter(|(name, _)| !shorthand || &***name != DEFAULT)
        .map(|(name, value)| (name.to_string(), endpoint(value)));
    Value::Object(shown.collect())
}

fn endpoint(endpoint: &Endpoint) -> Value {
    let mut map = Map::new();
    let mut add = |key: &str, value: Value| {
        map.insert(key.to_owned(), value);
    };
    add("url", json!(endpoint.url));
    if let Some(file) = &endpoint.ca_file {
        add("ca-file", json!(file.display().to_string()));
    }
    if let Some(files) = &endpoint.client_certificate {
        add(
            "client-certificate-file",
            json!(files.certificate_file.display().to_string()),
        );
        add("client-key-file", json!(files.key_file.display().to_string()));
    }
    match &endpoint.credentials {
        Credentials::None => {}
        Credentials::BearerToken { file } => add("bearer-token-file", json!(file.display().to_string())),
        Credentials::Basic {
            username,
            password_file,
        } => add(
            "basic-auth",
            json!({ "username": username, "password-file": password_file.display().to_string() }),
        ),
    }
    if !endpoint.headers.is_empty() {
        let headers: BTreeMap<&str, &str> = endpoint.headers.keys().map(|name| (name.as_str(), HIDDEN)).collect();
        add("headers", json!(headers));
    }
    if !endpoint.query_parameters.is_empty() {
        add("query-parameters", json!(endpoint.query_parameters));
    }
    add("timeout", json!(print(endpoint.timeout)));
    add("queries-per-pass", json!(endpoint.queries_per_pass));
    add("queries-in-flight", json!(endpoint.queries_in_flight));
    Value::Object(map)
}

/// The block `metrics`: a list for each name.
pub(super) fn metrics(sources: &Sources) -> Value {
    let mut shown: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for definition in &sources.metrics {
        shown.entry(&definition.name).or_default().push(metric(definition));
    }
    json!(shown)
}

fn metric(definition: &Definition) -> Value {
    let mut map = Map::new();
    let mut add = |key: &str, value: Value| {
        map.insert(key.to_owned(), value);
    };
    add("type", json!(definition.answers.type_name()));
    add("prometheus", json!(&*definition.endpoint));
    add("query", json!(definition.template.text()));
    match &definition.answers {
        Answers::Pods { pod_label } => add("pod-label", json!(&**pod_label)),
        Answers::Object { kind } => {
            if let Some(kind) = kind {
                add("kind", json!(&*kind.kind));
                if let Some(group) = &kind.group {
                    add("group", json!(&**group));
                }
            }
        }
        Answers::External => {}
        Answers::Resource {
            pod_label,
            container_label,
            namespace_label,
            window,
        } => {
            add("pod-label", json!(&**pod_label));
            add("container-label", json!(&**container_label));
            add("namespace-label", json!(&**namespace_label));
            if !window.is_zero() {
                add("window", json!(print(*window)));
            }
        }
    }
    add("step", json!(print(definition.step)));
    let limit = definition.freshness.map_or("off".to_owned(), print);
    add("freshness-limit", json!(limit));
    add(
        "missing",
        json!(match definition.missing {
            Missing::Fails => "fail".to_owned(),
            Missing::Is(value) => Quantity::from_milli(value, SuffixFamily::DecimalSi).to_string(),
        }),
    );
    Value::Object(map)
}
