//! What a scale subresource answers with.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::workload::labels_text;
use crate::observe::Scale;
use crate::wire::shortened;

/// A scale, and the version of the workload that it is of.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) scale: Scale,
    pub(super) resource_version: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawScale {
    api_version: String,
    kind: String,
    #[serde(default)]
    metadata: RawMetadata,
    #[serde(default)]
    spec: RawReplicas,
    #[serde(default)]
    status: RawStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMetadata {
    #[serde(default)]
    resource_version: String,
}

#[derive(Default, Deserialize)]
struct RawReplicas {
    /// Left out where it is 0.
    #[serde(default)]
    replicas: i32,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawStatus {
    #[serde(default)]
    replicas: i32,
    /// Text in `autoscaling/v1`, labels in the others.
    #[serde(default)]
    selector: Value,
    /// The text, in the others.
    #[serde(default)]
    target_selector: String,
}

/// Reads a Scale of any of the four kinds that there are. What is said of others has a bound: the server of a custom resource
/// writes them.
///
/// Source: Kubernetes v1.36 `client-go/scale/scheme/*/conversion.go`.
pub(super) fn read(body: &[u8]) -> Result<Answer, String> {
    let raw: RawScale =
        serde_json::from_slice(body).map_err(|error| shortened(format!("the answer is no Scale: {error}")))?;
    let known = ["autoscaling/v1", "extensions/v1beta1", "apps/v1beta1", "apps/v1beta2"];
    if raw.kind != "Scale" || !known.contains(&raw.api_version.as_str()) {
        return Err(shortened(format!(
            "the answer is a {} of {}, not a Scale of {}",
            raw.kind,
            raw.api_version,
            known.join(", ")
        )));
    }
    let selector = match &raw.status.selector {
        Value::String(text) => text.clone(),
        _ if !raw.status.target_selector.is_empty() => raw.status.target_selector,
        labels => labels_text(labels).unwrap_or_default(),
    };
    Ok(Answer {
        scale: Scale {
            spec_replicas: raw.spec.replicas,
            status_replicas: raw.status.replicas,
            selector: Arc::from(selector),
        },
        resource_version: raw.metadata.resource_version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, expected: (i32, i32, &str)) {
        let scale = read(body.as_bytes()).unwrap().scale;
        assert_eq!((scale.spec_replicas, scale.status_replicas, &*scale.selector), expected);
    }

    #[test]
    fn every_shape_of_scale_is_understood() {
        check(
            r#"{"kind":"Scale","apiVersion":"autoscaling/v1","metadata":{"resourceVersion":"7"},
                "spec":{"replicas":6},"status":{"replicas":3,"selector":"app=web"}}"#,
            (6, 3, "app=web"),
        );
        check(
            r#"{"kind":"Scale","apiVersion":"autoscaling/v1","spec":{},"status":{"replicas":0}}"#,
            (0, 0, ""),
        );
        check(
            r#"{"kind":"Scale","apiVersion":"extensions/v1beta1","spec":{"replicas":1},
                "status":{"replicas":1,"selector":{"b":"2","a":"1"}}}"#,
            (1, 1, "a=1,b=2"),
        );
        check(
            r#"{"kind":"Scale","apiVersion":"apps/v1beta2","spec":{"replicas":1},
                "status":{"replicas":1,"selector":{"a":"1"},"targetSelector":"a in (1,2)"}}"#,
            (1, 1, "a in (1,2)"),
        );
    }

    #[test]
    fn what_is_no_scale_is_refused() {
        let error = read(br#"{"kind":"Scale","apiVersion":"example.com/v1"}"#).unwrap_err();
        assert!(
            error.starts_with("the answer is a Scale of example.com/v1, not a Scale of autoscaling/v1"),
            "{error}"
        );
        assert!(read(b"<html>").is_err());
    }

    #[test]
    fn of_what_is_no_scale_little_is_told() {
        let long = "x".repeat(100_000);
        for body in [
            format!(r#"{{"kind":"Scale","apiVersion":"{long}"}}"#),
            format!(r#"{{"kind":"Scale","apiVersion":"autoscaling/v1","spec":{{"replicas":"{long}"}}}}"#),
        ] {
            let error = read(body.as_bytes()).unwrap_err();
            assert!(error.contains("xxx") && error.len() < 1100, "{}", error.len());
        }
    }
}
