//! `meta.v1.Status`: how an API server says no to whoever asked for protobuf.

use kube::core::Status;
use kube::core::response::{StatusCause, StatusDetails};

use super::{Field, Fields, ProtobufError, object};

/// The most causes that are kept.
const CAUSES: usize = 100;

/// The `Status` in a body, which begins with `k8s\0`.
///
/// # Errors
/// Where `body` is no such thing.
pub fn status(body: &[u8]) -> Result<Status, ProtobufError> {
    let mut status = Status::default();
    for field in Fields::of(object(body)?) {
        let field = field?;
        match field.number {
            3 => field.text()?.clone_into(&mut status.message),
            4 => field.text()?.clone_into(&mut status.reason),
            5 => status.details = Some(details(field)?),
            6 => status.code = u16::try_from(field.integer()?).unwrap_or_default(),
            _ => {}
        }
    }
    Ok(status)
}

fn details(field: Field<'_>) -> Result<StatusDetails, ProtobufError> {
    let mut details = StatusDetails {
        name: String::new(),
        group: String::new(),
        kind: String::new(),
        uid: String::new(),
        causes: Vec::new(),
        retry_after_seconds: 0,
    };
    for field in field.message()? {
        let field = field?;
        match field.number {
            1 => field.text()?.clone_into(&mut details.name),
            2 => field.text()?.clone_into(&mut details.group),
            3 => field.text()?.clone_into(&mut details.kind),
            4 if details.causes.len() < CAUSES => details.causes.push(cause(field)?),
            5 => details.retry_after_seconds = field.integer()?.try_into().unwrap_or_default(),
            6 => field.text()?.clone_into(&mut details.uid),
            _ => {}
        }
    }
    Ok(details)
}

fn cause(field: Field<'_>) -> Result<StatusCause, ProtobufError> {
    let mut cause = StatusCause {
        reason: String::new(),
        message: String::new(),
        field: String::new(),
    };
    for field in field.message()? {
        let field = field?;
        match field.number {
            1 => field.text()?.clone_into(&mut cause.reason),
            2 => field.text()?.clone_into(&mut cause.message),
            3 => field.text()?.clone_into(&mut cause.field),
            _ => {}
        }
    }
    Ok(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_why() {
        let details = b"\x1a\x04pods\x22\x08\x0a\x01r\x12\x01m\x1a\0\x28\x03";
        let fields = [
            &b"\x0a\0\x12\x07Failure\x1a\x02no\x22\x04Gone\x2a\x12"[..],
            details,
            b"\x30\x9a\x03",
        ]
        .concat();
        let body = [
            &b"k8s\0\x0a\x0c\x0a\x02v1\x12\x06Status\x12"[..],
            &[fields.len() as u8],
            &fields,
        ]
        .concat();
        let status = status(&body).unwrap();
        assert_eq!((status.code, &*status.message, &*status.reason), (410, "no", "Gone"));
        let details = status.details.unwrap();
        assert_eq!((details.kind.as_str(), details.retry_after_seconds), ("pods", 3));
        assert_eq!(
            (details.causes[0].reason.as_str(), details.causes[0].message.as_str()),
            ("r", "m")
        );
    }
}
