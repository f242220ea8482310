//! Values that Kubernetes wraps in messages of their own.

use super::{Fields, ProtobufError};

/// The text of a `resource.Quantity`; `None` where it has none, which is zero.
///
/// # Errors
/// Where it is no such message.
pub fn quantity(message: &[u8]) -> Result<Option<&str>, ProtobufError> {
    let mut text = None;
    for field in Fields::of(message) {
        let field = field?;
        if field.number == 1 {
            text = Some(field.text()?);
        }
    }
    Ok(text)
}

/// The seconds since 1970 of a `meta.v1.Time`; `None` for Go's zero time, which has no bytes.
///
/// Kubernetes sends whole seconds, and ignores nanoseconds.
///
/// Source: apimachinery `meta/v1/time_proto.go`.
///
/// # Errors
/// Where it is no such message.
pub fn time(message: &[u8]) -> Result<Option<i64>, ProtobufError> {
    if message.is_empty() {
        return Ok(None);
    }
    integer(message).map(Some)
}

/// The nanoseconds of a `meta.v1.Duration`.
///
/// # Errors
/// Where it is no such message.
pub fn duration(message: &[u8]) -> Result<i64, ProtobufError> {
    integer(message)
}

/// The integer that is field 1; 0 where it is absent.
fn integer(message: &[u8]) -> Result<i64, ProtobufError> {
    let mut integer = 0;
    for field in Fields::of(message) {
        let field = field?;
        if field.number == 1 {
            integer = field.integer()?;
        }
    }
    Ok(integer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_is_zero_or_nothing() {
        assert_eq!((quantity(b""), quantity(b"\x0a\x024m")), (Ok(None), Ok(Some("4m"))));
        assert_eq!(
            (time(b""), time(b"\x10\x05"), time(b"\x08\x05\x10\x07")),
            (Ok(None), Ok(Some(0)), Ok(Some(5)))
        );
        assert_eq!((duration(b""), duration(b"\x08\x05")), (Ok(0), Ok(5)));
        assert_eq!(time(b"\x0a\x01x"), Err(ProtobufError::FieldType(1)));
    }
}
