//! What a list and a watch answer with.

mod protobuf;

use std::borrow::Cow;
use std::collections::BTreeMap;

use kube::core::Status;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use thiserror::Error;

use super::messages::Message;
use super::{INITIAL_EVENTS_END, Part, Watched};
use crate::wire::shortened;

/// One line of a watch.
#[derive(Debug)]
pub(super) enum Event<T> {
    /// The object is new, or has changed.
    Applied(T),
    /// The object is gone.
    Deleted(T),
    /// All is seen up to this resource version.
    Bookmark {
        resource_version: String,
        /// With this, all objects that there were at the beginning of the watch have been sent.
        ends_the_list: bool,
    },
    /// Something has happened to an object that is not ours: it was not decoded.
    Dropped { resource_version: String },
    /// The server ends the watch, and says why.
    Refused(Box<Status>),
}

/// A line or an object that cannot be read. What could not be read may be quoted, and is long in an object that is.
#[derive(Debug, Error)]
#[error("{0}")]
pub(super) struct Unreadable(String);

impl Unreadable {
    fn because(error: impl ToString) -> Self {
        Self(shortened(error.to_string()))
    }
}

/// The object is read apart from its type, so that it may keep parts of its text, whichever of the two stands first.
#[derive(Deserialize)]
struct RawEvent<'a> {
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Kind {
    Added,
    Modified,
    Deleted,
    Bookmark,
    Error,
}

#[derive(Deserialize)]
struct RawBookmark {
    metadata: RawMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMetadata {
    #[serde(default)]
    resource_version: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// As much of an object as shows whose it is.
#[derive(Deserialize)]
struct Glimpse<'a> {
    #[serde(borrow)]
    metadata: GlimpsedMetadata<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GlimpsedMetadata<'a> {
    #[serde(default, borrow)]
    namespace: Cow<'a, str>,
    #[serde(default, borrow)]
    resource_version: Cow<'a, str>,
}

/// The resource version of an object that is of none of `part`'s namespaces; `None`: it is ours.
fn not_ours(object: &str, part: Option<&Part>) -> Result<Option<String>, serde_json::Error> {
    let Some(part) = part else { return Ok(None) };
    let Glimpse { metadata } = serde_json::from_str(object)?;
    Ok((!part.keeps(&metadata.namespace)).then(|| metadata.resource_version.into_owned()))
}

/// Reads one event; where there is a `part`, only of objects that belong to it.
pub(super) fn read_message<T: Watched>(message: &Message, part: Option<&Part>) -> Result<Event<T>, Unreadable> {
    match (message, T::READ_PROTOBUF) {
        (Message::Json(line), _) => read_event(line, part),
        (Message::Protobuf(frame), Some(read)) => protobuf::read_event(frame, read, part).map_err(Unreadable::because),
        (Message::Protobuf(_), None) => Err(Unreadable("it is protobuf, which was not asked for".to_owned())),
    }
}

/// Reads one line.
fn read_event<T: DeserializeOwned>(line: &str, part: Option<&Part>) -> Result<Event<T>, Unreadable> {
    let read = || -> Result<Event<T>, serde_json::Error> {
        let RawEvent { kind, object } = serde_json::from_str(line)?;
        let object = object.get();
        if matches!(kind, Kind::Added | Kind::Modified | Kind::Deleted)
            && let Some(resource_version) = not_ours(object, part)?
        {
            return Ok(Event::Dropped { resource_version });
        }
        Ok(match kind {
            Kind::Added | Kind::Modified => Event::Applied(serde_json::from_str(object)?),
            Kind::Deleted => Event::Deleted(serde_json::from_str(object)?),
            Kind::Bookmark => {
                let RawBookmark { metadata } = serde_json::from_str(object)?;
                let mark = metadata.annotations.get(INITIAL_EVENTS_END);
                Event::Bookmark {
                    ends_the_list: mark.is_some_and(|value| value == "true"),
                    resource_version: metadata.resource_version,
                }
            }
            Kind::Error => Event::Refused(Box::new(serde_json::from_str(object)?)),
        })
    };
    read().map_err(Unreadable::because)
}

/// A page of a list.
pub(super) struct Page<T> {
    /// The version that the whole list is of.
    pub(super) resource_version: String,
    /// What to ask the next page with; empty at the end.
    pub(super) rest: String,
    pub(super) items: Vec<Result<T, Unreadable>>,
}

#[derive(Deserialize)]
struct RawPage<'a> {
    metadata: RawListMetadata,
    #[serde(borrow)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawListMetadata {
    #[serde(default)]
    resource_version: String,
    #[serde(default, rename = "continue")]
    rest: String,
}

/// Reads a page; where there is a `part`, only the objects that belong to it. An object that cannot be read costs that object,
/// not the page.
pub(super) fn read_page<T: DeserializeOwned>(body: &[u8], part: Option<&Part>) -> Result<Page<T>, Unreadable> {
    let text = std::str::from_utf8(body).map_err(Unreadable::because)?;
    let raw: RawPage<'_> = serde_json::from_str(text).map_err(Unreadable::because)?;
    let read = |item: &RawValue| match not_ours(item.get(), part) {
        Ok(Some(_)) => None,
        Ok(None) => Some(serde_json::from_str(item.get()).map_err(Unreadable::because)),
        Err(error) => Some(Err(Unreadable::because(error))),
    };
    Ok(Page {
        resource_version: raw.metadata.resource_version,
        rest: raw.metadata.rest,
        items: raw.items.unwrap_or_default().into_iter().filter_map(read).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Named {
        name: String,
    }

    #[test]
    fn each_type_of_event_is_known() {
        let event = |line| read_event::<Named>(line, None).unwrap();
        assert!(matches!(event(r#"{"type":"ADDED","object":{"name":"a"}}"#), Event::Applied(o) if o.name == "a"));
        assert!(matches!(event(r#"{"object":{"name":"b"},"type":"MODIFIED"}"#), Event::Applied(o) if o.name == "b"));
        assert!(matches!(event(r#"{"type":"DELETED","object":{"name":"c"}}"#), Event::Deleted(o) if o.name == "c"));
        let line = r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9",
            "annotations":{"k8s.io/initial-events-end":"true"}}}}"#;
        assert!(
            matches!(event(line), Event::Bookmark { resource_version, ends_the_list: true } if resource_version == "9")
        );
        let line = r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}}"#;
        assert!(matches!(
            event(line),
            Event::Bookmark {
                ends_the_list: false,
                ..
            }
        ));
        let line = r#"{"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old","reason":"Expired"}}"#;
        assert!(matches!(event(line), Event::Refused(status) if status.code == 410));
        assert!(read_event::<Named>(r#"{"type":"ADDED","object":{}}"#, None).is_err());
    }

    #[test]
    fn one_bad_object_does_not_spoil_the_page() {
        let page: Page<Named> = read_page(
            br#"{"metadata":{"resourceVersion":"5","continue":"x"},"items":[{"name":"a"},{},{"name":"b"}]}"#,
            None,
        )
        .unwrap();
        assert_eq!((page.resource_version.as_str(), page.rest.as_str()), ("5", "x"));
        let names: Vec<_> = page
            .items
            .iter()
            .map(|item| item.as_ref().ok().map(|o| o.name.as_str()))
            .collect();
        assert_eq!(names, [Some("a"), None, Some("b")]);
        assert!(
            read_page::<Named>(br#"{"metadata":{},"items":null}"#, None)
                .unwrap()
                .items
                .is_empty()
        );
        assert!(read_page::<Named>(b"<html>", None).is_err());
    }

    #[test]
    fn of_a_long_value_that_cannot_be_read_the_beginning_is_told() {
        let line = format!(r#"{{"type":"ADDED","object":"{}"}}"#, "x".repeat(100_000));
        let told = read_event::<Named>(&line, None).unwrap_err().to_string();
        assert!(
            told.starts_with("invalid type: string \"xxx") && told.len() < 1100,
            "{}",
            told.len()
        );
    }

    #[test]
    fn what_belongs_to_others_is_dropped_before_it_is_decoded() {
        let sharding = crate::shards::Sharding::new(2).unwrap();
        let part = Part::new(sharding, [sharding.shard_of("shop")].into());
        let other = ["a", "default", "bank"]
            .into_iter()
            .find(|namespace| !part.keeps(namespace));
        let other = other.expect("three names are not all of one shard");
        // It has no name: decoding it would fail.
        let object =
            |namespace| format!(r#"{{"spec":{{}},"metadata":{{"resourceVersion":"7","namespace":"{namespace}"}}}}"#);
        let event = |kind, namespace| {
            let line = format!(r#"{{"type":"{kind}","object":{}}}"#, object(namespace));
            read_event::<Named>(&line, Some(&part))
        };
        for kind in ["ADDED", "MODIFIED", "DELETED"] {
            let dropped = event(kind, other).unwrap();
            assert!(matches!(dropped, Event::Dropped { resource_version } if resource_version == "7"));
            assert!(event(kind, "shop").is_err(), "ours is decoded");
        }
        let page = format!(
            r#"{{"metadata":{{"resourceVersion":"9"}},"items":[{},{}]}}"#,
            object(other),
            object("shop")
        );
        let items = read_page::<Named>(page.as_bytes(), Some(&part)).unwrap().items;
        assert_eq!(items.len(), 1);
        part.keep_only(&[].into());
        assert!(matches!(event("ADDED", "shop"), Ok(Event::Dropped { .. })));
    }
}
