//! Numbers and texts in bytes: LEB128, zigzag where there is a sign.

/// The bytes end too early, or a number is larger than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Reads from the front of some bytes.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(Malformed);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    pub(super) fn signed(&mut self) -> Result<i64, Malformed> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// A number of at most `most`.
    pub(super) fn up_to(&mut self, most: usize) -> Result<usize, Malformed> {
        let number = usize::try_from(self.number()?).map_err(|_| Malformed)?;
        if number <= most { Ok(number) } else { Err(Malformed) }
    }

    /// A count of pods.
    pub(super) fn replicas(&mut self) -> Result<i32, Malformed> {
        i32::try_from(self.number()?).map_err(|_| Malformed)
    }

    pub(super) fn text(&mut self, most: usize) -> Result<&'a str, Malformed> {
        let length = self.up_to(most)?;
        std::str::from_utf8(self.take(length)?).map_err(|_| Malformed)
    }
}

pub(super) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(super) fn put_signed(out: &mut Vec<u8>, number: i64) {
    put_number(out, ((number << 1) ^ (number >> 63)) as u64);
}

/// A length or a count.
pub(super) fn put_size(out: &mut Vec<u8>, size: usize) {
    put_number(out, u64::try_from(size).unwrap_or(u64::MAX));
}

pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_size(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back(number: u64, signed: i64) {
            let mut out = Vec::new();
            put_number(&mut out, number);
            put_signed(&mut out, signed);
            let mut reader = Reader(&out);
            prop_assert_eq!(reader.number(), Ok(number));
            prop_assert_eq!(reader.signed(), Ok(signed));
            prop_assert!(reader.0.is_empty());
        }
    }

    #[test]
    fn a_number_of_too_many_bits_is_malformed() {
        assert_eq!(Reader(&[0xff; 11]).number(), Err(Malformed));
        assert_eq!(
            Reader(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]).number(),
            Err(Malformed)
        );
        assert_eq!(Reader(&[0x80]).number(), Err(Malformed));
    }
}
