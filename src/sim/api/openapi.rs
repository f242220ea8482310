//! As much of the API's OpenAPI description as kubectl looks at before it writes: which resources can be patched, and that
//! the server itself checks what it is sent.

use serde_json::{Value, json};

use super::refusal::Refusal;
use super::resources::{RESOURCES, Resource};

/// The description at `path`, below `/openapi/v3`.
///
/// # Errors
///
/// 404 where there is none.
pub(super) fn document(path: &str) -> Result<Value, Refusal> {
    let root = |resource: &Resource| match resource.group {
        "" => format!("api/{}", resource.version),
        group => format!("apis/{group}/{}", resource.version),
    };
    let of = path.trim_start_matches('/');
    if of.is_empty() {
        let mut paths = json!({});
        for resource in RESOURCES {
            let root = root(resource);
            paths[&root] = json!({ "serverRelativeURL": format!("/openapi/v3/{root}") });
        }
        return Ok(json!({ "paths": paths }));
    }
    let mut paths = json!({});
    for resource in RESOURCES.iter().filter(|resource| root(resource) == of) {
        let namespaced = if resource.namespaced {
            "/namespaces/{namespace}"
        } else {
            ""
        };
        let path = format!("/{of}{namespaced}/{}/{{name}}", resource.plural);
        let parameter = json!({ "name": "fieldValidation", "in": "query", "schema": { "type": "string" } });
        let kind = json!({ "group": resource.group, "version": resource.version, "kind": resource.kind });
        paths[path] = json!({ "patch": { "parameters": [parameter], "responses": {},
            "x-kubernetes-action": "patch", "x-kubernetes-group-version-kind": kind } });
    }
    match paths == json!({}) {
        true => Err(Refusal::no_such_path()),
        false => {
            Ok(json!({ "openapi": "3.0.0", "info": { "title": "Kubernetes", "version": "v1.36.0" }, "paths": paths }))
        }
    }
}
