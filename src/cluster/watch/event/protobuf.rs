//! An event of a watch in protobuf: a bare `WatchEvent` around an object in its envelope.

use super::Event;
use crate::cluster::watch::{INITIAL_EVENTS_END, Part, ReadProtobuf};
use crate::wire::protobuf::{Fields, ProtobufError, object, status};

/// Reads one frame; where there is a `part`, only of objects that belong to it.
pub(super) fn read_event<T>(
    frame: &[u8],
    read: ReadProtobuf<T>,
    part: Option<&Part>,
) -> Result<Event<T>, ProtobufError> {
    let (mut kind, mut body) = ("", &[][..]);
    for field in Fields::of(frame) {
        let field = field?;
        match field.number {
            1 => kind = field.text()?,
            // RawExtension
            2 => {
                for field in field.message()? {
                    let field = field?;
                    if field.number == 1 {
                        body = field.bytes()?;
                    }
                }
            }
            _ => {}
        }
    }
    if let (Some(part), "ADDED" | "MODIFIED" | "DELETED") = (part, kind)
        && let Some(resource_version) = not_ours(object(body)?, part)?
    {
        return Ok(Event::Dropped { resource_version });
    }
    match kind {
        "ADDED" | "MODIFIED" => Ok(Event::Applied(read(object(body)?)?)),
        "DELETED" => Ok(Event::Deleted(read(object(body)?)?)),
        "BOOKMARK" => bookmark(object(body)?),
        "ERROR" => Ok(Event::Refused(Box::new(status(body)?))),
        _ => Err(ProtobufError::NoEvent),
    }
}

/// The resource version of an object that is of none of `part`'s namespaces. Servers write its metadata first, so that nothing
/// else of it is looked at.
fn not_ours(object: &[u8], part: &Part) -> Result<Option<String>, ProtobufError> {
    let (mut namespace, mut resource_version) = ("", "");
    for field in Fields::of(object) {
        let field = field?;
        if field.number != 1 {
            continue;
        }
        for field in field.message()? {
            let field = field?;
            match field.number {
                3 => namespace = field.text()?,
                6 => resource_version = field.text()?,
                _ => {}
            }
        }
        break;
    }
    Ok((!part.keeps(namespace)).then(|| resource_version.to_owned()))
}

/// An object of which only the metadata counts: resource version and annotations.
fn bookmark<T>(object: &[u8]) -> Result<Event<T>, ProtobufError> {
    let (mut resource_version, mut ends_the_list) = (String::new(), false);
    for field in Fields::of(object) {
        let field = field?;
        if field.number != 1 {
            continue;
        }
        for field in field.message()? {
            let field = field?;
            match field.number {
                6 => field.text()?.clone_into(&mut resource_version),
                12 => ends_the_list |= field.entry()? == (INITIAL_EVENTS_END, b"true"),
                _ => {}
            }
        }
    }
    Ok(Event::Bookmark {
        resource_version,
        ends_the_list,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::protobuf::put_bytes;

    fn field(number: u32, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        let mut field = Vec::new();
        put_bytes(&mut field, number, bytes.as_ref());
        field
    }

    fn event(kind: &str, object: &[u8]) -> Result<Event<String>, ProtobufError> {
        event_of(kind, object, None)
    }

    fn event_of(kind: &str, object: &[u8], part: Option<&Part>) -> Result<Event<String>, ProtobufError> {
        let body = [b"k8s\0".to_vec(), field(2, object)].concat();
        let frame = [field(1, kind), field(2, field(1, body))].concat();
        let read = |bytes: &[u8]| {
            let text = std::str::from_utf8(bytes).map_err(|_| ProtobufError::NotText)?;
            Ok(text.to_owned())
        };
        read_event(&frame, read, part)
    }

    #[test]
    fn each_type_of_event_is_known() {
        assert!(matches!(event("ADDED", b"a"), Ok(Event::Applied(object)) if object == "a"));
        assert!(matches!(event("MODIFIED", b"b"), Ok(Event::Applied(object)) if object == "b"));
        assert!(matches!(event("DELETED", b"c"), Ok(Event::Deleted(object)) if object == "c"));
        assert!(matches!(event("ERROR", b"\x30\x9a\x03"), Ok(Event::Refused(status)) if status.code == 410));
        assert!(matches!(event("ODD", b""), Err(ProtobufError::NoEvent)));
        assert!(matches!(event("ADDED", b"\xff"), Err(ProtobufError::NotText)));
    }

    #[test]
    fn a_bookmark_may_end_the_list() {
        let end = field(12, [field(1, INITIAL_EVENTS_END), field(2, "true")].concat());
        for (annotations, ends) in [(Vec::new(), false), (end, true)] {
            let object = field(1, [field(6, "9"), annotations].concat());
            let Ok(Event::Bookmark {
                resource_version,
                ends_the_list,
            }) = event("BOOKMARK", &object)
            else {
                panic!("no bookmark");
            };
            assert_eq!((resource_version.as_str(), ends_the_list), ("9", ends));
        }
    }

    #[test]
    fn what_belongs_to_others_is_dropped_before_it_is_decoded() {
        let sharding = crate::shards::Sharding::new(2).unwrap();
        let part = Part::new(sharding, [sharding.shard_of("shop")].into());
        let other = ["a", "default", "bank"]
            .into_iter()
            .find(|namespace| !part.keeps(namespace));
        let other = other.expect("three names are not all of one shard");
        // The second field cannot be read as text, which is all that the reader here wants.
        let object = |namespace: &str| {
            let metadata = [field(1, "web"), field(3, namespace), field(6, "7")].concat();
            [field(1, metadata), field(2, b"\xff")].concat()
        };
        let dropped = event_of("MODIFIED", &object(other), Some(&part)).unwrap();
        assert!(matches!(dropped, Event::Dropped { resource_version } if resource_version == "7"));
        let ours = event_of("MODIFIED", &object("shop"), Some(&part));
        assert!(matches!(ours, Err(ProtobufError::NotText)), "ours is decoded");
    }
}
