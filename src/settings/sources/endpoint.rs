//! The block `prometheus:`.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::{ClientCertificate, Credentials, Endpoint, Url};
use crate::settings::duration;
use crate::settings::value::is_label;
use crate::yaml::{Mapping, Mistake, Node, Value};

/// The most endpoints: each has connections, a breaker and exported metrics of its own.
const MOST_ENDPOINTS: usize = 32;

/// The most headers, and the most query parameters, of an endpoint.
const MOST_PAIRS: usize = 32;

/// The longest value of a header or a query parameter; servers refuse more than 8 KiB of headers.
const LONGEST_VALUE: usize = 4096;

const KEYS: [&str; 11] = [
    "url",
    "ca-file",
    "client-certificate-file",
    "client-key-file",
    "bearer-token-file",
    "basic-auth",
    "headers",
    "query-parameters",
    "timeout",
    "queries-per-pass",
    "queries-in-flight",
];

/// Headers that belong to the connection or to the body.
const OWN_HEADERS: [&str; 7] = [
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "host",
    "te",
    "transfer-encoding",
];

/// Query parameters that trimtab sets.
const OWN_PARAMETERS: [&str; 6] = ["query", "time", "timeout", "start", "end", "match[]"];

/// Reads the block.
pub(super) fn read(block: &Node, mistakes: &mut Vec<Mistake>) -> BTreeMap<Arc<str>, Endpoint> {
    let Some(block) = Mapping::open(block, "prometheus", mistakes) else {
        return BTreeMap::new();
    };
    if block.entries().len() > MOST_ENDPOINTS {
        mistakes.push(Mistake {
            place: block.place,
            path: block.path.clone(),
            problem: format!(
                "names {} endpoints; at most {MOST_ENDPOINTS} are allowed",
                block.entries().len()
            ),
        });
    }
    let mut endpoints = BTreeMap::new();
    for entry in block.entries() {
        if !is_label(&entry.key) {
            mistakes.push(Mistake {
                place: entry.place,
                path: block.path.clone(),
                problem: format!(
                    "{:?} is not a name; allowed: lower-case letters, digits and '-', at most 63",
                    entry.key
                ),
            });
        }
        let path = block.key_path(&entry.key);
        if let Some(fields) = Mapping::of(&entry.value, &path, &KEYS, mistakes)
            && let Some(endpoint) = endpoint(&fields, mistakes)
        {
            endpoints.insert(Arc::from(entry.key.as_str()), endpoint);
        }
    }
    endpoints
}

fn endpoint(fields: &Mapping<'_>, mistakes: &mut Vec<Mistake>) -> Option<Endpoint> {
    // An endpoint with a mistake still counts as one, so that the metrics that name it are not wrong for that as well.
    let url = match fields.get("url") {
        Some(_) => fields.read("url", mistakes, Url::parse),
        None => {
            fields.refuse("url", "is missing, such as https://prometheus.example:9090", mistakes);
            None
        }
    };
    let is_http = url.as_ref().is_some_and(|url| url.as_str().starts_with("http:"));
    let mut endpoint = Endpoint::new(&url.or_else(|| Url::parse("http://unknown.invalid").ok())?);
    endpoint.ca_file = file(fields, "ca-file", mistakes);
    endpoint.client_certificate = client_certificate(fields, mistakes);
    for key in ["ca-file", "client-certificate-file"] {
        if is_http && fields.get(key).is_some() {
            fields.refuse(key, "does nothing with a url that begins with http:", mistakes);
        }
    }
    endpoint.credentials = credentials(fields, mistakes);
    endpoint.headers = pairs(fields, "headers", header_problem, mistakes);
    endpoint.query_parameters = pairs(fields, "query-parameters", parameter_problem, mistakes);
    if let Some(timeout) = fields.read("timeout", mistakes, positive_duration) {
        endpoint.timeout = timeout;
    }
    if let Some(count) = fields.read("queries-per-pass", mistakes, count) {
        endpoint.queries_per_pass = count;
    }
    if let Some(count) = fields.read("queries-in-flight", mistakes, count) {
        endpoint.queries_in_flight = count;
    }
    Some(endpoint)
}

fn client_certificate(fields: &Mapping<'_>, mistakes: &mut Vec<Mistake>) -> Option<ClientCertificate> {
    let (certificate, key) = ("client-certificate-file", "client-key-file");
    for (one, other) in [(certificate, key), (key, certificate)] {
        if fields.get(one).is_some() && fields.get(other).is_none() {
            fields.refuse(one, format!("needs {other} beside it"), mistakes);
        }
    }
    Some(ClientCertificate {
        certificate_file: file(fields, certificate, mistakes)?,
        key_file: file(fields, key, mistakes)?,
    })
}

fn credentials(fields: &Mapping<'_>, mistakes: &mut Vec<Mistake>) -> Credentials {
    let token = file(fields, "bearer-token-file", mistakes);
    let Some(node) = fields.get("basic-auth") else {
        return token.map_or(Credentials::None, |file| Credentials::BearerToken { file });
    };
    if token.is_some() {
        fields.refuse(
            "basic-auth",
            "stands beside bearer-token-file; one of them is allowed",
            mistakes,
        );
    }
    let path = fields.key_path("basic-auth");
    let keys = ["username", "password-file"];
    let Some(basic) = Mapping::of(node, &path, &keys, mistakes) else {
        return Credentials::None;
    };
    for key in keys {
        if basic.get(key).is_none() {
            basic.refuse(key, "is missing", mistakes);
        }
    }
    let username = basic.read("username", mistakes, |name| {
        // RFC 7617: the first colon ends the user's name.
        match name.contains(|c: char| c == ':' || c.is_control()) {
            true => Err("holds a colon or a control character".to_owned()),
            false => Ok(name.to_owned()),
        }
    });
    match (username, file(&basic, "password-file", mistakes)) {
        (Some(username), Some(password_file)) => Credentials::Basic {
            username,
            password_file,
        },
        _ => Credentials::None,
    }
}

/// A mapping of texts. Values are not repeated in mistakes: whoever puts a secret there should not find it in a log.
fn pairs(
    fields: &Mapping<'_>,
    key: &str,
    problem_of: fn(&str, &str) -> Option<String>,
    mistakes: &mut Vec<Mistake>,
) -> BTreeMap<String, String> {
    let path = fields.key_path(key);
    let Some(mapping) = fields.get(key).and_then(|node| Mapping::open(node, &path, mistakes)) else {
        return BTreeMap::new();
    };
    if mapping.entries().len() > MOST_PAIRS {
        fields.refuse(key, format!("has more than {MOST_PAIRS} entries"), mistakes);
    }
    let mut pairs = BTreeMap::new();
    for entry in mapping.entries() {
        let problem = match &entry.value.value {
            Value::Scalar(text) if text.len() > LONGEST_VALUE => Some(format!("is longer than {LONGEST_VALUE} bytes")),
            Value::Scalar(text) => problem_of(&entry.key, text),
            other => Some(format!("is {}, and one value is wanted", other.noun())),
        };
        match (problem, &entry.value.value) {
            (Some(problem), _) => mistakes.push(Mistake {
                place: entry.place,
                path: mapping.key_path(&entry.key),
                problem,
            }),
            (None, Value::Scalar(text)) => {
                pairs.insert(entry.key.clone(), text.clone());
            }
            (None, _) => {}
        }
    }
    pairs
}

fn header_problem(name: &str, value: &str) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    if HeaderName::try_from(name).is_err() {
        Some("is not the name of a header".to_owned())
    } else if lower == "authorization" || lower == "proxy-authorization" {
        Some("would be a secret in the configuration; use bearer-token-file or basic-auth".to_owned())
    } else if OWN_HEADERS.contains(&lower.as_str()) {
        Some("is set by trimtab itself".to_owned())
    } else if HeaderValue::try_from(value).is_err() {
        Some("has a value with a control character".to_owned())
    } else {
        None
    }
}

fn parameter_problem(name: &str, value: &str) -> Option<String> {
    if name.is_empty() || name.chars().chain(value.chars()).any(char::is_control) {
        Some("is empty, or holds a control character".to_owned())
    } else if OWN_PARAMETERS.contains(&name) {
        Some("is set by trimtab itself".to_owned())
    } else {
        None
    }
}

fn file(fields: &Mapping<'_>, key: &str, mistakes: &mut Vec<Mistake>) -> Option<PathBuf> {
    fields.read(key, mistakes, |text| match text {
        "" => Err("is empty; allowed: the path of a file".to_owned()),
        text => Ok(PathBuf::from(text)),
    })
}

fn count(text: &str) -> Result<NonZeroU32, String> {
    text.parse()
        .map_err(|_| "is not a count; allowed: a whole number of at least 1".to_owned())
}

/// A duration longer than zero.
pub(super) fn positive_duration(text: &str) -> Result<Duration, String> {
    let duration = duration::parse(text).map_err(|problem| format!("{problem}; allowed: a duration longer than 0s"))?;
    match duration.is_zero() {
        true => Err("is not allowed; allowed: a duration longer than 0s".to_owned()),
        false => Ok(duration),
    }
}
