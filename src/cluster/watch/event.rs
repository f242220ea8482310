//! What a list and a watch answer with.

mod protobuf;

use std::collections::BTreeMap;

use kube::core::Status;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use thiserror::Error;

use super::messages::Message;
use super::{INITIAL_EVENTS_END, Watched};

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
    /// The server ends the watch, and says why.
    Refused(Box<Status>),
}

/// A line or an object that cannot be read. Holds no part of the object: it may be long, or secret.
#[derive(Debug, Error)]
#[error("{0}")]
pub(super) struct Unreadable(String);

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

/// Reads one event.
pub(super) fn read_message<T: Watched>(message: &Message) -> Result<Event<T>, Unreadable> {
    match (message, T::READ_PROTOBUF) {
        (Message::Json(line), _) => read_event(line),
        (Message::Protobuf(frame), Some(read)) => {
            protobuf::read_event(frame, read).map_err(|error| Unreadable(error.to_string()))
        }
        (Message::Protobuf(_), None) => Err(Unreadable("it is protobuf, which was not asked for".to_owned())),
    }
}

/// Reads one line.
fn read_event<T: DeserializeOwned>(line: &str) -> Result<Event<T>, Unreadable> {
    let read = || -> Result<Event<T>, serde_json::Error> {
        let RawEvent { kind, object } = serde_json::from_str(line)?;
        let object = object.get();
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
    read().map_err(|error| Unreadable(error.to_string()))
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

/// Reads a page. An object that cannot be read costs that object, not the page.
pub(super) fn read_page<T: DeserializeOwned>(body: &[u8]) -> Result<Page<T>, Unreadable> {
    let text = std::str::from_utf8(body).map_err(|error| Unreadable(error.to_string()))?;
    let raw: RawPage<'_> = serde_json::from_str(text).map_err(|error| Unreadable(error.to_string()))?;
    let read = |item: &RawValue| serde_json::from_str(item.get()).map_err(|error| Unreadable(error.to_string()));
    Ok(Page {
        resource_version: raw.metadata.resource_version,
        rest: raw.metadata.rest,
        items: raw.items.unwrap_or_default().into_iter().map(read).collect(),
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
        let event = |line| read_event::<Named>(line).unwrap();
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
        assert!(read_event::<Named>(r#"{"type":"ADDED","object":{}}"#).is_err());
    }

    #[test]
    fn one_bad_object_does_not_spoil_the_page() {
        let page: Page<Named> =
            read_page(br#"{"metadata":{"resourceVersion":"5","continue":"x"},"items":[{"name":"a"},{},{"name":"b"}]}"#)
                .unwrap();
        assert_eq!((page.resource_version.as_str(), page.rest.as_str()), ("5", "x"));
        let names: Vec<_> = page
            .items
            .iter()
            .map(|item| item.as_ref().ok().map(|o| o.name.as_str()))
            .collect();
        assert_eq!(names, [Some("a"), None, Some("b")]);
        assert!(
            read_page::<Named>(br#"{"metadata":{},"items":null}"#)
                .unwrap()
                .items
                .is_empty()
        );
        assert!(read_page::<Named>(b"<html>").is_err());
    }
}
