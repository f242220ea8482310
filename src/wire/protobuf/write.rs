//! Protobuf, written: a few fields at a time.

/// Appends a field of bytes: text, a message, an entry of a map. Numbers of fields are below 2^29.
#[inline]
pub fn put_bytes(to: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_varint(to, u64::from(number) << 3 | 2);
    put_varint(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

/// Appends a field with a number in it: what tests send has some.
#[cfg(test)]
pub(crate) fn put_number(to: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(to, u64::from(number) << 3);
    put_varint(to, value);
}

/// Seven bits a byte, the lowest first; the eighth says that more follow.
#[inline]
fn put_varint(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Fields, Value};
    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_again(number in 1..1_u32 << 29, value: u64, length in 0..70_000_usize) {
            let mut written = Vec::new();
            put_bytes(&mut written, number, &vec![7; length]);
            put_number(&mut written, number, value);
            let fields: Vec<_> = Fields::of(&written).collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(fields.len(), 2);
            prop_assert!(fields.iter().all(|field| field.number == number));
            prop_assert_eq!(fields[0].bytes().unwrap(), &vec![7; length][..]);
            prop_assert!(matches!(fields[1].value, Value::Number(found) if found == value));
        }
    }
}
