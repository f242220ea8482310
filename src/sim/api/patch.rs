//! Patches: JSON patch (RFC 6902), merge patch (RFC 7396), and Kubernetes' strategic merge patch.

mod pointer;
pub(super) mod strategic;

use serde_json::{Map, Value};

use super::refusal::Refusal;
use pointer::Pointer;

/// Operations of one JSON patch, as in Kubernetes.
///
/// Source: Kubernetes v1.36 `apiserver/pkg/endpoints/handlers/patch.go`, `maxJSONPatchOperations`.
const MOST_OPERATIONS: usize = 10_000;

/// The kinds of patch, by their media types.
const KNOWN: &str = "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json";

/// `object` with the patch `body` carried out, which is of the media type `kind`.
///
/// # Errors
///
/// 415 for another kind, 400 for a body that is no patch, 422 for one that does not fit the object.
pub(super) fn apply(kind: &str, body: &[u8], object: &Value) -> Result<Value, Refusal> {
    let read = || serde_json::from_slice::<Value>(body).map_err(|error| Refusal::bad_request(error.to_string()));
    let mut patched = object.clone();
    match kind {
        "application/json-patch+json" => json_patch(&read()?, &mut patched)?,
        "application/merge-patch+json" => merge(&read()?, &mut patched),
        "application/strategic-merge-patch+json" => strategic::merge(&read()?, &mut patched)?,
        other => return Err(Refusal::unsupported_media_type(other, KNOWN)),
    }
    Ok(patched)
}

/// RFC 7396: null removes, objects are merged, everything else replaces.
fn merge(patch: &Value, target: &mut Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    for (name, wish) in fields {
        if wish.is_null() {
            target.as_object_mut().map(|target| target.remove(name));
        } else {
            merge(wish, &mut target[name.as_str()]);
        }
    }
}

fn json_patch(patch: &Value, object: &mut Value) -> Result<(), Refusal> {
    let no_patch = || Refusal::bad_request("error decoding patch: it is no list of operations");
    let operations = patch.as_array().ok_or_else(no_patch)?;
    if operations.len() > MOST_OPERATIONS {
        let message = format!(
            "The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {}",
            operations.len()
        );
        return Err(Refusal::new(413, "RequestEntityTooLarge", message));
    }
    for operation in operations {
        carry_out(operation, object).ok_or_else(Refusal::unfit_patch)?;
    }
    Ok(())
}

/// One operation; `None` where it does not fit.
fn carry_out(operation: &Value, object: &mut Value) -> Option<()> {
    let path = Pointer::parse(operation["path"].as_str()?)?;
    // A value that is left out is null.
    let value = || operation["value"].clone();
    let from = || Pointer::parse(operation["from"].as_str()?);
    match operation["op"].as_str()? {
        "add" => path.add(object, value()),
        "remove" => path.remove(object).map(drop),
        // The library that Kubernetes uses lets a field be replaced that is not there.
        "replace" => match path.find_mut(object) {
            Some(found) => {
                *found = value();
                Some(())
            }
            None => path.add_field(object, value()),
        },
        "move" => {
            let moved = from()?.remove(object)?;
            path.add(object, moved)
        }
        "copy" => {
            let copied = from()?.find(object)?.clone();
            path.add(object, copied)
        }
        // What is missing equals null, as in the library that Kubernetes uses.
        "test" => (path.find(object).unwrap_or(&Value::Null) == &operation["value"]).then_some(()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(kind: &str, patch: Value, object: Value) -> Result<Value, u16> {
        let kind = format!("application/{kind}+json");
        apply(&kind, patch.to_string().as_bytes(), &object).map_err(|refusal| refusal.code)
    }

    #[test]
    fn a_merge_patch_removes_what_is_null_and_leaves_what_it_does_not_name() {
        let object = json!({ "a": { "b": 1, "c": 2 }, "list": [1, 2] });
        let patch = json!({ "a": { "b": null, "d": 3 }, "list": [3] });
        assert_eq!(
            patched("merge-patch", patch, object),
            Ok(json!({ "a": { "c": 2, "d": 3 }, "list": [3] }))
        );
    }

    #[test]
    fn a_json_patch_tests_before_it_changes() {
        let scale = || json!({ "spec": { "replicas": 3 } });
        let from = |seen: Value| {
            json!([{ "op": "test", "path": "/spec/replicas", "value": seen },
                { "op": "add", "path": "/spec/replicas", "value": 6 }])
        };
        assert_eq!(
            patched("json-patch", from(json!(3)), scale()),
            Ok(json!({ "spec": { "replicas": 6 } }))
        );
        assert_eq!(patched("json-patch", from(json!(4)), scale()), Err(422));
        assert_eq!(
            patched("json-patch", from(json!(null)), json!({ "spec": {} })).unwrap()["spec"]["replicas"],
            6
        );
    }

    #[test]
    fn every_operation_of_a_json_patch_works_on_lists_and_objects() {
        let object = json!({ "list": ["a", "b"], "x": { "~/": 1 } });
        let patch = json!([
            { "op": "add", "path": "/list/-", "value": "d" },
            { "op": "add", "path": "/list/2", "value": "c" },
            { "op": "remove", "path": "/list/0" },
            { "op": "replace", "path": "/x/~0~1", "value": 2 },
            { "op": "copy", "from": "/x", "path": "/y" },
            { "op": "move", "from": "/x/~0~1", "path": "/z" },
        ]);
        assert_eq!(
            patched("json-patch", patch, object.clone()),
            Ok(json!({ "list": ["b", "c", "d"], "x": {}, "y": { "~/": 2 }, "z": 2 }))
        );
        for (op, path) in [
            ("replace", "/list/9"),
            ("remove", "/list/7"),
            ("jump", "/x"),
            ("add", "list"),
        ] {
            let patch = json!([{ "op": op, "path": path, "value": 1 }]);
            assert_eq!(patched("json-patch", patch, object.clone()), Err(422), "{op} {path}");
        }
    }

    #[test]
    fn other_kinds_and_other_bodies_are_refused() {
        assert_eq!(patched("apply-patch", json!({}), json!({})), Err(415));
        assert_eq!(patched("json-patch", json!({}), json!({})), Err(400));
        let text = apply("application/merge-patch+json", b"{", &json!({}));
        assert_eq!(text.map_err(|refusal| refusal.code), Err(400));
    }
}
