//! Server-side apply, without its bookkeeping: an object is made where it is missing, and else has the fields that were
//! applied. Nobody's ownership of fields is kept in `managedFields`, so that there are no conflicts between managers, and
//! a field that is applied no more stays as it is.

use std::sync::Arc;

use serde_json::Value;

use super::patch::strategic;
use super::refusal::Refusal;
use super::resources::Resource;
use super::scale;
use super::store::Store;
use super::target::Part;
use super::write::{changed, create, fields, in_namespace, read, same_object};

/// The media type of such a patch, which may be YAML or JSON.
pub(super) const MEDIA_TYPE: &str = "application/apply-patch+yaml";

/// Applies `body` for `manager`; gives the object, and whether it is new.
///
/// # Errors
///
/// 400 for a body that is no such object, 422 without a manager or for an object that is not valid, 404 for a part of what
/// is missing.
pub(super) fn applied(
    store: &Store,
    (resource, namespace, name, part): (&'static Resource, &str, &str, Part),
    manager: &str,
    body: &[u8],
) -> Result<(Arc<Value>, bool), Refusal> {
    if manager.is_empty() {
        let cause = (
            "fieldManager".to_owned(),
            "Required value: is required for apply patch".to_owned(),
        );
        return Err(Refusal::new(422, "Invalid", "PatchOptions.meta.k8s.io \"\" is invalid").because(vec![cause]));
    }
    let unreadable = || Refusal::bad_request("error decoding YAML: it is no object");
    let text = std::str::from_utf8(body).map_err(|_| unreadable())?;
    let mut wish: Value = serde_saphyr::from_str(text).map_err(|_| unreadable())?;
    if !wish.is_object() {
        return Err(unreadable());
    }
    for field in ["apiVersion", "kind"] {
        if !wish[field].is_string() {
            return Err(Refusal::bad_request(format!(
                "invalid object type: {field} must be set"
            )));
        }
    }
    let metadata = fields(&mut wish);
    if !metadata["managedFields"].is_null() {
        return Err(Refusal::bad_request("metadata.managedFields must be nil"));
    }
    in_namespace(metadata, namespace)?;
    if metadata["name"].is_null() {
        metadata["name"] = name.into();
    }
    if metadata["name"] != name {
        let message = "the name of the object does not match the name on the URL";
        return Err(Refusal::bad_request(message));
    }
    if part == Part::Scale {
        let updated = store.update(resource, namespace, name, |before| {
            let mut scaled = scale::of(resource, before);
            strategic::merge(&wish, &mut scaled)?;
            scale::written(resource, before, &scaled)
        });
        return updated.map(|object| (object, false));
    }
    // It must be of the resource that the path names.
    let wish = read(resource, wish.to_string().as_bytes())?;
    if part == Part::Whole && store.get(resource, namespace, name).is_none() {
        let made = create(store, resource, namespace, wish.to_string().as_bytes())?;
        return Ok((made, true));
    }
    let updated = store.update(resource, namespace, name, |before| {
        let mut after = before.clone();
        strategic::merge(&wish, &mut after)?;
        same_object(resource, before, &after)?;
        changed(resource, part, before, after)
    });
    updated.map(|object| (object, false))
}
