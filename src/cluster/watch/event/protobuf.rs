//! An event of a watch in protobuf: a bare `WatchEvent` around an object in its envelope.

use super::Event;
use crate::cluster::watch::{INITIAL_EVENTS_END, ReadProtobuf};
use crate::wire::protobuf::{Fields, ProtobufError, object, status};

/// Reads one frame.
pub(super) fn read_event<T>(frame: &[u8], read: ReadProtobuf<T>) -> Result<Event<T>, ProtobufError> {
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
    match kind {
        "ADDED" | "MODIFIED" => Ok(Event::Applied(read(object(body)?)?)),
        "DELETED" => Ok(Event::Deleted(read(object(body)?)?)),
        "BOOKMARK" => bookmark(object(body)?),
        "ERROR" => Ok(Event::Refused(Box::new(status(body)?))),
        _ => Err(ProtobufError::NoEvent),
    }
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
        let body = [b"k8s\0".to_vec(), field(2, object)].concat();
        let frame = [field(1, kind), field(2, field(1, body))].concat();
        read_event(&frame, |bytes| {
            let text = std::str::from_utf8(bytes).map_err(|_| ProtobufError::NotText)?;
            Ok(text.to_owned())
        })
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
}
