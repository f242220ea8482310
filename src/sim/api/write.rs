//! Writes: what the API fills in, checks, and leaves as it was.

use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::refusal::Refusal;
use super::resources::{EVENTS, LEASES, NAMESPACES, PODS, Resource};
use super::selection::Selection;
use super::store::{Store, seconds};
use super::target::Part;
use super::{admit, patch, scale};
use crate::clock::Clock;

/// The time that a pod gets to end where nobody says another.
const GRACE_SECONDS: u64 = 30;

/// Makes an object of `body` in `namespace` (empty: in none).
///
/// # Errors
///
/// 400 for a body that is no such object, 422 for one that is not valid, 409 and 404 as [`Store::create`].
pub(super) fn create(
    store: &Store,
    resource: &'static Resource,
    namespace: &str,
    body: &[u8],
) -> Result<Arc<Value>, Refusal> {
    writable(resource)?;
    let mut object = read(resource, body)?;
    let metadata = fields(&mut object);
    if !metadata["resourceVersion"].as_str().unwrap_or_default().is_empty() {
        let message = "resourceVersion should not be set on objects to be created";
        return Err(Refusal::new(500, "", message));
    }
    in_namespace(metadata, namespace)?;
    name(resource, metadata, store)?;
    drop_server_fields(metadata);
    if resource.has_status && resource != &PODS {
        object["status"] = json!({});
    }
    admit::check(resource, None, &mut object)?;
    store.create(resource, object)
}

/// Replaces an object, or its status or scale, by `body`.
///
/// # Errors
///
/// 409 where it has changed since it was read, else as [`create`].
pub(super) fn replace(
    store: &Store,
    (resource, namespace, name, part): (&'static Resource, &str, &str, Part),
    body: &[u8],
) -> Result<Arc<Value>, Refusal> {
    writable(resource)?;
    let wish: Value = serde_json::from_slice(body).map_err(|error| Refusal::bad_request(error.to_string()))?;
    if part == Part::Scale {
        return store.update(resource, namespace, name, |before| {
            scale::written(resource, before, &wish)
        });
    }
    let mut wish = read(resource, body)?;
    let metadata = fields(&mut wish);
    in_namespace(metadata, namespace)?;
    if metadata["name"] != name {
        return Err(Refusal::bad_request(
            "the name of the object does not match the name on the URL",
        ));
    }
    if made_by_put(resource) && part == Part::Whole && store.get(resource, namespace, name).is_none() {
        drop_server_fields(fields(&mut wish));
        return store.create(resource, wish);
    }
    store.update(resource, namespace, name, |before| {
        let uid = &wish["metadata"]["uid"];
        if !uid.is_null() && *uid != before["metadata"]["uid"] {
            let why = format!(
                "Precondition failed: UID in precondition: {}, UID in object meta: {}",
                uid.as_str().unwrap_or_default(),
                before["metadata"]["uid"].as_str().unwrap_or_default()
            );
            return Err(Refusal::conflict(resource, name, &why));
        }
        if resource == &LEASES
            && wish["metadata"]["resourceVersion"]
                .as_str()
                .unwrap_or_default()
                .is_empty()
        {
            let problem = "Invalid value: 0x0: must be specified for an update";
            let cause = ("metadata.resourceVersion".to_owned(), problem.to_owned());
            return Err(Refusal::invalid(resource, name, vec![cause]).called_otherwise());
        }
        changed(resource, part, before, wish)
    })
}

/// Patches an object, or its status or scale, by a `body` of the media type `kind`.
///
/// # Errors
///
/// As the patch says, and as [`replace`].
pub(super) fn patched(
    store: &Store,
    (resource, namespace, name, part): (&'static Resource, &str, &str, Part),
    kind: &str,
    body: &[u8],
) -> Result<Arc<Value>, Refusal> {
    writable(resource)?;
    store.update(resource, namespace, name, |before| {
        if part == Part::Scale {
            let wish = patch::apply(kind, body, &scale::of(resource, before))?;
            return scale::written(resource, before, &wish);
        }
        let wish = patch::apply(kind, body, before)?;
        same_object(resource, before, &wish)?;
        changed(resource, part, before, wish)
    })
}

/// Refuses a wish that would make another object of it.
pub(super) fn same_object(resource: &'static Resource, before: &Value, wish: &Value) -> Result<(), Refusal> {
    let field = |field: &str| (&wish["metadata"][field], &before["metadata"][field]);
    for named in ["name", "namespace"] {
        let (wanted, there) = field(named);
        if wanted != there {
            let message =
                format!("the {named} of the object ({wanted}) does not match the {named} on the URL ({there})");
            return Err(Refusal::bad_request(message));
        }
    }
    let (wanted, there) = field("uid");
    if wanted != there {
        let cause = (
            "metadata.uid".to_owned(),
            format!("Invalid value: {wanted}: field is immutable"),
        );
        let name = before["metadata"]["name"].as_str().unwrap_or_default();
        return Err(Refusal::invalid(resource, name, vec![cause]));
    }
    Ok(())
}

/// Removes an object; pods get their time to end, and are removed by whoever runs them.
///
/// # Errors
///
/// 404, and 409 where it is not the one that `body` names.
pub(super) fn delete(
    store: &Store,
    clock: &dyn Clock,
    (resource, namespace, name): (&'static Resource, &str, &str),
    body: &[u8],
) -> Result<Value, Refusal> {
    writable(resource)?;
    let options: Value = match body {
        [] => Value::Null,
        body => serde_json::from_slice(body).map_err(|error| Refusal::bad_request(error.to_string()))?,
    };
    let check = |object: &Value| {
        for field in ["uid", "resourceVersion"] {
            let wanted = &options["preconditions"][field];
            if !wanted.is_null() && *wanted != object["metadata"][field] {
                let why = format!("Precondition failed: {field} in precondition: {wanted}");
                return Err(Refusal::conflict(resource, name, &why).called_otherwise());
            }
        }
        Ok(())
    };
    let grace = options["gracePeriodSeconds"].as_u64().unwrap_or(GRACE_SECONDS);
    if resource == &PODS && grace > 0 {
        let ends = clock
            .now()
            .saturating_add(SignedDuration::from_secs(grace.try_into().unwrap_or(i64::MAX)));
        let ended = store.update(resource, namespace, name, |before| {
            check(before)?;
            let mut after = before.clone();
            if after["metadata"]["deletionTimestamp"].is_null() {
                after["metadata"]["deletionTimestamp"] = ends.map_or(Value::Null, |ends| seconds(ends).into());
                after["metadata"]["deletionGracePeriodSeconds"] = grace.into();
            }
            Ok(after)
        })?;
        return Ok((*ended).clone());
    }
    let last = match resource == &NAMESPACES {
        true => {
            let last = store.get(resource, namespace, name);
            let last = last.ok_or_else(|| Refusal::not_found(resource, name))?;
            check(&last)?;
            store.remove_namespace(name);
            last
        }
        false => store.delete(resource, namespace, name, check)?,
    };
    let mut details = json!({ "name": name, "kind": resource.plural, "uid": last["metadata"]["uid"] });
    if !resource.group.is_empty() {
        details["group"] = resource.group.into();
    }
    Ok(json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details }))
}

/// Removes all that a selection picks, as [`delete`] does; gives them as they were.
///
/// # Errors
///
/// As [`delete`], but for what is gone by itself meanwhile.
pub(super) fn delete_all(
    store: &Store,
    clock: &dyn Clock,
    (resource, namespace, selection): (&'static Resource, &str, &Selection),
    body: &[u8],
) -> Result<Vec<Arc<Value>>, Refusal> {
    writable(resource)?;
    let (mut all, _) = store.list(resource, Some(namespace));
    all.retain(|object| selection.picks(object));
    for object in &all {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        match delete(store, clock, (resource, namespace, name), body) {
            Err(refusal) if refusal.code != 404 => return Err(refusal),
            _ => {}
        }
    }
    Ok(all)
}

/// What a PUT makes where it is missing.
///
/// Source: Kubernetes v1.36 `AllowCreateOnUpdate` of each resource's strategy.
fn made_by_put(resource: &'static Resource) -> bool {
    resource == &LEASES || resource == &EVENTS
}

fn writable(resource: &'static Resource) -> Result<(), Refusal> {
    if resource.can_be_written() {
        Ok(())
    } else {
        Err(Refusal::not_allowed())
    }
}

pub(super) fn read(resource: &Resource, body: &[u8]) -> Result<Value, Refusal> {
    let object: Value = serde_json::from_slice(body).map_err(|error| Refusal::bad_request(error.to_string()))?;
    for (field, expected) in [("kind", resource.kind), ("apiVersion", &resource.api_version())] {
        match &object[field] {
            Value::Null => {}
            given if given == expected => {}
            given => {
                let kind = resource.kind;
                let message = format!(
                    "{kind} in version {:?} cannot be handled: its {field} is {given}",
                    resource.version
                );
                return Err(Refusal::bad_request(message));
            }
        }
    }
    if object.is_object() {
        Ok(object)
    } else {
        Err(Refusal::bad_request("the body is no object"))
    }
}

/// The object's metadata, which is an object afterwards.
pub(super) fn fields(object: &mut Value) -> &mut Value {
    let metadata = &mut object["metadata"];
    if !metadata.is_object() {
        *metadata = json!({});
    }
    metadata
}

pub(super) fn in_namespace(metadata: &mut Value, namespace: &str) -> Result<(), Refusal> {
    match metadata["namespace"].as_str() {
        Some(given) if !given.is_empty() && given != namespace => Err(Refusal::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        )),
        _ if namespace.is_empty() => Ok(()),
        _ => {
            metadata["namespace"] = namespace.into();
            Ok(())
        }
    }
}

fn name(resource: &'static Resource, metadata: &mut Value, store: &Store) -> Result<(), Refusal> {
    if metadata["name"].as_str().unwrap_or_default().is_empty() {
        let Some(prefix) = metadata["generateName"].as_str().filter(|prefix| !prefix.is_empty()) else {
            let problem = "Required value: name or generateName is required".to_owned();
            return Err(Refusal::invalid(
                resource,
                "",
                vec![("metadata.name".to_owned(), problem)],
            ));
        };
        // Versions are given once, so that names differ.
        metadata["name"] = format!("{prefix}{:05x}", *store.versions().borrow()).into();
    }
    let given = metadata["name"].as_str().unwrap_or_default();
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    let at_edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let is_name =
        given.len() <= 253 && given.chars().all(fits) && at_edge(given.chars().next()) && at_edge(given.chars().last());
    if is_name {
        return Ok(());
    }
    let problem = format!(
        "Invalid value: {given:?}: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character"
    );
    Err(Refusal::invalid(
        resource,
        given,
        vec![("metadata.name".to_owned(), problem)],
    ))
}

fn drop_server_fields(metadata: &mut Value) {
    if let Some(metadata) = metadata.as_object_mut() {
        for field in [
            "uid",
            "creationTimestamp",
            "generation",
            "resourceVersion",
            "managedFields",
            "selfLink",
        ] {
            metadata.remove(field);
        }
    }
}

/// `before` as `wish` has it, as far as a write of this part goes.
pub(super) fn changed(
    resource: &'static Resource,
    part: Part,
    before: &Value,
    mut wish: Value,
) -> Result<Value, Refusal> {
    let name = before["metadata"]["name"].as_str().unwrap_or_default();
    let version = wish["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    if !version.is_empty() && wish["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"] {
        return Err(Refusal::stale(resource, name));
    }
    if part == Part::Status {
        let mut after = before.clone();
        after["status"] = wish["status"].take();
        return Ok(after);
    }
    for field in [
        "uid",
        "creationTimestamp",
        "generation",
        "resourceVersion",
        "deletionTimestamp",
    ] {
        let kept = &before["metadata"][field];
        match kept {
            Value::Null => drop(fields(&mut wish).as_object_mut().map(|metadata| metadata.remove(field))),
            kept => wish["metadata"][field] = kept.clone(),
        }
    }
    if let Some(metadata) = fields(&mut wish).as_object_mut() {
        metadata.remove("managedFields");
    }
    wish["apiVersion"] = before["apiVersion"].clone();
    wish["kind"] = before["kind"].clone();
    if resource.has_status {
        wish["status"] = before["status"].clone();
    }
    admit::check(resource, Some(before), &mut wish)?;
    Ok(wish)
}
