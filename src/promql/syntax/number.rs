//! Numbers and durations.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Plain,
    /// In milliseconds.
    Duration(i64),
}

/// The units, in the order in which a duration must name them, in milliseconds.
const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// The number or duration at the start of `rest`, and how many bytes belong to it; `None` where they are neither.
pub(super) fn number(rest: &str) -> (Option<Number>, usize) {
    let hexadecimal = rest.starts_with("0x") || rest.starts_with("0X");
    let bytes = rest.as_bytes();
    let mut length = 0;
    while let Some(byte) = bytes.get(length) {
        let exponent = length > 0 && !hexadecimal && matches!(bytes[length - 1], b'e' | b'E');
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'.' | b'_' => {}
            b'+' | b'-' if exponent => {}
            _ => break,
        }
        length += 1;
    }
    let text = &rest[..length];
    let plain = if hexadecimal {
        text.len() > 2 && text[2..].bytes().all(|b| b.is_ascii_hexdigit())
    } else {
        is_decimal(text)
    };
    let found = if plain {
        Some(Number::Plain)
    } else {
        duration(text).map(Number::Duration)
    };
    (found, length)
}

/// Digits with at most one point, and an exponent.
fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    !(whole.is_empty() && fraction.is_empty())
        && digits(whole)
        && digits(fraction)
        && exponent.is_none_or(|e| !e.is_empty() && digits(e))
}

/// `1h30m` in milliseconds: whole numbers, units from the largest down, each at most once, at least one.
fn duration(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut units = UNITS.as_slice();
    let mut total: i64 = 0;
    if text.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (amount, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
        let place = units.iter().position(|(name, _)| *name == unit)?;
        total = total.checked_add(amount.parse::<i64>().ok()?.checked_mul(units[place].1)?)?;
        units = &units[place + 1..];
        rest = after;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_durations_are_told_apart() {
        let plain = Some(Number::Plain);
        let ms = |ms| Some(Number::Duration(ms));
        for (text, expected) in [
            ("1", plain),
            ("1.", plain),
            (".5", plain),
            ("1.5e-3", plain),
            ("1e5", plain),
            ("0x1F", plain),
            ("0x", None),
            (".", None),
            ("1e", None),
            ("1.2.3", None),
            ("5m", ms(300_000)),
            ("1h30m", ms(5_400_000)),
            ("1y2w3d4h5m6s7ms", ms(33_019_506_007)),
            ("30m1h", None),
            ("1m1m", None),
            ("5i", None),
            ("1.5h", None),
            ("9999999999y", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(number(text), (expected, text.len()), "{text}");
        }
        assert_eq!(number("1-2").1, 1);
        assert_eq!(number("5m:1m").1, 2);
    }
}
