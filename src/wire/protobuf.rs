//! Protobuf as the Kubernetes API sends it, read in place: no message is built, nothing is copied.
//!
//! A body is `k8s\0` and a `runtime.Unknown`, whose `raw` is the object. A list can be tens of megabytes: [`ListReader`]
//! takes it piece by piece and never holds more than one item. The numbers of the fields are in the `generated.proto` of
//! k8s.io/apimachinery, k8s.io/api and k8s.io/metrics. Unknown fields are skipped; of a string or number that is there
//! twice the last one counts.

mod list;
mod status;
mod values;
mod write;

use thiserror::Error;

pub use list::{ListHead, ListReader, Part};
pub use status::status;
pub use values::{duration, quantity, time};
pub use write::put_bytes;
#[cfg(test)]
pub(crate) use write::put_number;

/// The media type.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// What each body begins with.
const MAGIC: &[u8] = b"k8s\0";

/// The largest item of a list. etcd holds objects of 1.5 MiB at most, and what is computed, as usages, is smaller by far.
pub const ITEM_BYTES: usize = 4 * 1024 * 1024;

/// Bytes that are no protobuf as Kubernetes sends it. Holds nothing of them: they may be long, or secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProtobufError {
    /// The magic number is missing.
    #[error("it does not begin with k8s\\0")]
    NoMagic,
    /// A number has more than 64 bits.
    #[error("a number is longer than 64 bits")]
    LongNumber,
    /// A field that is of no kind that Kubernetes uses.
    #[error("a field of wire type {0}")]
    WireType(u8),
    /// A field's number is 0 or above 2²⁹.
    #[error("a field's number is none")]
    FieldNumber,
    /// The bytes end within a field.
    #[error("it ends in the middle of a field")]
    CutOff,
    /// An item or another part is larger than [`ITEM_BYTES`].
    #[error("a part of it is larger than {ITEM_BYTES} bytes")]
    TooLarge,
    /// A string is not UTF-8.
    #[error("a string in it is not UTF-8")]
    NotText,
    /// An event of a watch is of no known type.
    #[error("it is no event of a watch")]
    NoEvent,
    /// A field has another type than its number says.
    #[error("field {0} has another type than expected")]
    FieldType(u32),
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A number, a truth value, or an enum's.
    Number(u64),
    /// A string, bytes, or a message.
    Bytes(&'a [u8]),
    /// A number of fixed size, of which nothing here has use.
    Fixed,
}

/// A field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its number.
    pub number: u32,
    /// What it holds.
    pub value: Value<'a>,
}

impl<'a> Field<'a> {
    /// The field's bytes.
    ///
    /// # Errors
    /// Where it holds a number.
    pub fn bytes(&self) -> Result<&'a [u8], ProtobufError> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(ProtobufError::FieldType(self.number)),
        }
    }

    /// The field's text.
    ///
    /// # Errors
    /// Where it holds a number, or no UTF-8.
    pub fn text(&self) -> Result<&'a str, ProtobufError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| ProtobufError::NotText)
    }

    /// The field's number, as a signed one of 64 bits: protobuf's `int64`.
    ///
    /// # Errors
    /// Where it holds bytes.
    pub fn integer(&self) -> Result<i64, ProtobufError> {
        match self.value {
            Value::Number(number) => Ok(number.cast_signed()),
            _ => Err(ProtobufError::FieldType(self.number)),
        }
    }

    /// The fields of the message that the field holds.
    ///
    /// # Errors
    /// Where it holds a number.
    pub fn message(&self) -> Result<Fields<'a>, ProtobufError> {
        Ok(Fields::of(self.bytes()?))
    }

    /// Key and value of an entry of a map with strings as keys; each is empty where it is absent.
    ///
    /// # Errors
    /// Where it is no such entry.
    pub fn entry(&self) -> Result<(&'a str, &'a [u8]), ProtobufError> {
        let (mut key, mut value) = ("", &[][..]);
        for field in self.message()? {
            let field = field?;
            match field.number {
                1 => key = field.text()?,
                2 => value = field.bytes()?,
                _ => {}
            }
        }
        Ok((key, value))
    }
}

/// The fields of a message that is there as a whole, in order. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The fields of `message`.
    pub fn of(message: &'a [u8]) -> Self {
        Self(message)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, ProtobufError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let read = field(&mut self.0, usize::MAX);
        if read.is_err() {
            self.0 = &[];
        }
        Some(read)
    }
}

/// The body of an object: `k8s\0` and the envelope around `raw`, which is given back.
///
/// # Errors
/// Where `body` is no such thing.
pub fn object(body: &[u8]) -> Result<&[u8], ProtobufError> {
    let envelope = body.strip_prefix(MAGIC).ok_or(ProtobufError::NoMagic)?;
    let mut raw = &[][..];
    for field in Fields::of(envelope) {
        let field = field?;
        if field.number == 2 {
            raw = field.bytes()?;
        }
    }
    Ok(raw)
}

#[inline]
fn field<'a>(bytes: &mut &'a [u8], most: usize) -> Result<Field<'a>, ProtobufError> {
    // Nearly all that stands in a list's items: some bytes, in a field of a low number.
    if let [tag @ 0x08..0x80, length @ 0..0x80, rest @ ..] = *bytes
        && tag & 7 == 2
        && usize::from(*length) <= most
        && let Some((value, rest)) = rest.split_at_checked(usize::from(*length))
    {
        *bytes = rest;
        return Ok(Field {
            number: u32::from(tag >> 3),
            value: Value::Bytes(value),
        });
    }
    any_field(bytes, most)
}

fn any_field<'a>(bytes: &mut &'a [u8], most: usize) -> Result<Field<'a>, ProtobufError> {
    let (number, wire_type) = tag(bytes)?;
    let value = match wire_type {
        0 => Value::Number(varint(bytes)?),
        2 => {
            let length = length(bytes)?;
            if length > most {
                return Err(ProtobufError::TooLarge);
            }
            Value::Bytes(take(bytes, length)?)
        }
        1 => take(bytes, 8).map(|_| Value::Fixed)?,
        5 => take(bytes, 4).map(|_| Value::Fixed)?,
        other => return Err(ProtobufError::WireType(other)),
    };
    Ok(Field { number, value })
}

#[inline]
fn tag(bytes: &mut &[u8]) -> Result<(u32, u8), ProtobufError> {
    let tag = varint(bytes)?;
    let number = u32::try_from(tag >> 3)
        .ok()
        .filter(|number| (1..1 << 29).contains(number));
    Ok((number.ok_or(ProtobufError::FieldNumber)?, (tag & 7) as u8))
}

#[inline]
fn length(bytes: &mut &[u8]) -> Result<usize, ProtobufError> {
    usize::try_from(varint(bytes)?).map_err(|_| ProtobufError::TooLarge)
}

#[inline]
fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8], ProtobufError> {
    let (taken, rest) = bytes.split_at_checked(count).ok_or(ProtobufError::CutOff)?;
    *bytes = rest;
    Ok(taken)
}

#[inline]
fn varint(bytes: &mut &[u8]) -> Result<u64, ProtobufError> {
    // Nearly all are this short.
    if let [byte @ 0..0x80, rest @ ..] = *bytes {
        *bytes = rest;
        return Ok(u64::from(*byte));
    }
    long_varint(bytes)
}

fn long_varint(bytes: &mut &[u8]) -> Result<u64, ProtobufError> {
    let mut number = 0;
    for (place, byte) in bytes.iter().take(10).enumerate() {
        let part = u64::from(byte & 0x7f);
        if place == 9 && part > 1 {
            break;
        }
        number |= part << (7 * place);
        if byte & 0x80 == 0 {
            *bytes = &bytes[place + 1..];
            return Ok(number);
        }
    }
    Err(if bytes.len() < 10 {
        ProtobufError::CutOff
    } else {
        ProtobufError::LongNumber
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_in_order_and_unknown_kinds_of_numbers_are_passed_over() {
        let message = [
            0x08, 0x96, 0x01, 0x12, 2, b'h', b'i', 0x1d, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8,
        ];
        let fields: Vec<_> = Fields::of(&message).map(Result::unwrap).collect();
        let values: Vec<_> = fields.iter().map(|field| (field.number, field.value)).collect();
        let expected = [
            (1, Value::Number(150)),
            (2, Value::Bytes(b"hi")),
            (3, Value::Fixed),
            (4, Value::Fixed),
        ];
        assert_eq!(values, expected);
        assert_eq!((fields[0].integer(), fields[1].text()), (Ok(150), Ok("hi")));
        assert_eq!(fields[0].bytes(), Err(ProtobufError::FieldType(1)));
        assert_eq!(fields[1].integer(), Err(ProtobufError::FieldType(2)));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let cases: [(&[u8], ProtobufError); 10] = [
            (&[0x08], ProtobufError::CutOff),
            (&[0x08, 0x80], ProtobufError::CutOff),
            (&[0x12, 3, b'h', b'i'], ProtobufError::CutOff),
            (&[0x1d, 1, 2, 3], ProtobufError::CutOff),
            (
                &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
                ProtobufError::LongNumber,
            ),
            (
                &[0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0],
                ProtobufError::LongNumber,
            ),
            (&[0x0b], ProtobufError::WireType(3)),
            (&[0x00], ProtobufError::FieldNumber),
            (&[0x80, 0x80, 0x80, 0x80, 0x10, 0], ProtobufError::FieldNumber),
            (
                &[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
                ProtobufError::CutOff,
            ),
        ];
        for (message, expected) in cases {
            let read: Result<Vec<_>, _> = Fields::of(message).collect();
            assert_eq!(read, Err(expected), "{message:x?}");
        }
    }

    #[test]
    fn a_negative_number_takes_ten_bytes() {
        let message = [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(Fields::of(&message).next().unwrap().unwrap().integer(), Ok(-1));
    }

    #[test]
    fn an_object_is_taken_out_of_its_envelope() {
        assert_eq!(object(b"k8s\0\x0a\x04\x0a\x02v1\x12\x02hi\x1a\0"), Ok(&b"hi"[..]));
        assert_eq!(object(b"k8s\0"), Ok(&b""[..]));
        assert_eq!(object(b"{}"), Err(ProtobufError::NoMagic));
        assert_eq!(object(b"k8s\0\x12\x03hi"), Err(ProtobufError::CutOff));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
            for field in Fields::of(&bytes).flatten() {
                let _ = (field.entry(), field.text(), field.integer());
            }
            let _ = object(&bytes);
        }
    }
}
