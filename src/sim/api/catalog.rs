//! Discovery: which groups, versions and resources there are.

use serde_json::{Value, json};

use super::meters::Meters;
use super::refusal::Refusal;
use super::resources::RESOURCES;
use super::target::{CUSTOM, EXTERNAL};

/// Groups that have no stored objects, with their versions.
const METRIC_GROUPS: &[(&str, &str)] = &[(CUSTOM, "v1beta2"), (EXTERNAL, "v1beta1")];

/// The document at `path`.
///
/// # Errors
///
/// 404 where there is none.
pub(super) fn document(path: &str, meters: &Meters) -> Result<Value, Refusal> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        ["version"] => Ok(
            json!({ "major": "1", "minor": "36", "gitVersion": "v1.36.0+trimtab-demo", "gitCommit": "",
            "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": "" }),
        ),
        ["api"] => Ok(json!({ "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [] })),
        ["apis"] => {
            let groups: Vec<Value> = groups(meters)
                .into_iter()
                .map(|(name, version)| group(name, version))
                .collect();
            Ok(json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups }))
        }
        ["apis", name] => {
            let found = groups(meters).into_iter().find(|(group, _)| group == name);
            let (name, version) = found.ok_or_else(Refusal::no_such_path)?;
            let mut document = group(name, version);
            document["kind"] = "APIGroup".into();
            document["apiVersion"] = "v1".into();
            Ok(document)
        }
        ["api", "v1"] => Ok(resources("", "v1", meters)),
        ["apis", group, version] if groups(meters).contains(&(*group, *version)) => {
            Ok(resources(group, version, meters))
        }
        _ => Err(Refusal::no_such_path()),
    }
}

/// Each group with its version, without the core group.
fn groups(meters: &Meters) -> Vec<(&'static str, &'static str)> {
    let mut groups: Vec<(&str, &str)> = Vec::new();
    let stored = RESOURCES.iter().map(|resource| (resource.group, resource.version));
    let metric = METRIC_GROUPS.iter().copied();
    for (group, version) in stored.chain(metric) {
        let served = match group {
            CUSTOM => meters.serves_custom(),
            EXTERNAL => meters.serves_external(),
            _ => true,
        };
        if !group.is_empty() && served && !groups.contains(&(group, version)) {
            groups.push((group, version));
        }
    }
    groups
}

fn group(name: &str, version: &str) -> Value {
    let version = json!({ "groupVersion": format!("{name}/{version}"), "version": version });
    json!({ "name": name, "versions": [version], "preferredVersion": version })
}

fn resources(group: &str, version: &str, meters: &Meters) -> Value {
    let mut listed = Vec::new();
    for resource in RESOURCES
        .iter()
        .filter(|resource| (resource.group, resource.version) == (group, version))
    {
        let verbs = match resource.can_be_written() {
            true if resource.namespaced => {
                json!([
                    "create",
                    "delete",
                    "deletecollection",
                    "get",
                    "list",
                    "patch",
                    "update",
                    "watch"
                ])
            }
            true => json!(["create", "delete", "get", "list", "patch", "update", "watch"]),
            false => json!(["get", "list"]),
        };
        // metrics-server gives it none.
        let singular = if resource.can_be_written() {
            resource.kind.to_lowercase()
        } else {
            String::new()
        };
        let mut entry = json!({ "name": resource.plural, "singularName": singular,
            "namespaced": resource.namespaced, "kind": resource.kind, "verbs": verbs });
        if !resource.short_names.is_empty() {
            entry["shortNames"] = json!(resource.short_names);
        }
        if resource.in_all {
            entry["categories"] = json!(["all"]);
        }
        listed.push(entry);
        let part = |name: &str, kind: &str| {
            json!({ "name": format!("{}/{name}", resource.plural), "singularName": "",
                "namespaced": resource.namespaced, "kind": kind, "verbs": ["get", "patch", "update"] })
        };
        if resource.has_scale {
            let mut scale = part("scale", "Scale");
            scale["group"] = "autoscaling".into();
            scale["version"] = "v1".into();
            listed.push(scale);
        }
        if resource.has_status {
            listed.push(part("status", resource.kind));
        }
    }
    for name in meters.names(group) {
        listed.push(json!({ "name": name, "singularName": "", "namespaced": true,
            "kind": if group == CUSTOM { "MetricValueList" } else { "ExternalMetricValueList" }, "verbs": ["get"] }));
    }
    let group_version = match group {
        "" => version.to_owned(),
        group => format!("{group}/{version}"),
    };
    json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": listed })
}
