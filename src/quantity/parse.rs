//! From text to a quantity, with what Go's parser accepts and refuses.

use std::str::FromStr;

use super::{LARGEST_NANOS, Milli, NANOS_PER_UNIT, Quantity, SuffixFamily};

/// Why a text is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not digits with at most one point, then a suffix.
    #[error("read {0:?} as a quantity: want a number and a suffix, such as 500m, 1.5 or 150Mi")]
    Format(String),
    /// A suffix that Kubernetes does not know.
    #[error(
        "read {text:?} as a quantity: the suffix {suffix:?} is none of n u m k M G T P E, Ki Mi Gi Ti Pi Ei or an exponent such as e3"
    )]
    Suffix {
        /// The whole text.
        text: String,
        /// Its suffix.
        suffix: String,
    },
}

/// The decimal suffixes from 10⁻⁹ to 10¹⁸.
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];

/// The binary suffixes from 2¹⁰ to 2⁶⁰.
const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// The suffix of 10^`exponent`, a multiple of 3 from -9 to 18.
pub(super) fn decimal_suffix(exponent: i32) -> &'static str {
    DECIMAL[(exponent / 3 + 3) as usize]
}

/// The suffix of 2^`exponent`, a multiple of 10 from 0 to 60.
pub(super) fn binary_suffix(exponent: i32) -> &'static str {
    if exponent == 0 {
        ""
    } else {
        BINARY[(exponent / 10 - 1) as usize]
    }
}

/// `a / b`, rounded away from zero; `b` is above zero.
pub(super) fn divide_away_from_zero(a: i128, b: i128) -> i128 {
    a / b + (a % b).signum()
}

/// What a suffix multiplies by.
#[derive(Clone, Copy)]
enum Scale {
    Ten { exponent: i64, family: SuffixFamily },
    Two { exponent: u32 },
}

impl FromStr for Quantity {
    type Err = QuantityError;

    /// Reads what Kubernetes reads. That includes oddities: `.5`, `1.`, `+` and `k` (both zero) are quantities, `E` is
    /// 10¹⁸ where `E3` is an exponent, and `K` is nothing.
    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let malformed = || QuantityError::Format(text.to_owned());
        if text.is_empty() {
            return Err(malformed());
        }
        let negative = text.starts_with('-');
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let (whole, rest) = split_digits(unsigned);
        let (fraction, suffix) = match rest.strip_prefix('.') {
            Some(rest) => split_digits(rest),
            None => ("", rest),
        };
        if !looks_like_a_suffix(suffix) {
            return Err(malformed());
        }
        let scale = read_suffix(suffix).ok_or_else(|| QuantityError::Suffix {
            text: text.to_owned(),
            suffix: suffix.to_owned(),
        })?;
        if whole.is_empty() && fraction.is_empty() && !scale.takes_no_digits() {
            return Err(malformed());
        }
        let (magnitude, family) = match scale {
            Scale::Ten { exponent, family } => (decimal_nanos(whole, fraction, exponent), family),
            Scale::Two { exponent } => binary_nanos(whole, fraction, exponent),
        };
        Ok(Self {
            nanos: if negative { -magnitude } else { magnitude },
            family,
            negative_decimal: negative && magnitude != 0 && scale.needs_decimal(whole, fraction),
        })
    }
}

impl Milli {
    /// What [`Quantity::milli`] gives of the quantity that stands in `text`; faster for such as metrics servers write.
    ///
    /// # Errors
    /// As reading the quantity.
    pub fn of_quantity(text: &str) -> Result<Self, QuantityError> {
        match few_digits(text) {
            Some(milli) => Ok(milli),
            None => text.parse::<Quantity>().map(Quantity::milli),
        }
    }
}

/// The quantity where it is up to 12 digits and one of the usual suffixes, so that nothing can overflow.
fn few_digits(text: &str) -> Option<Milli> {
    let (digits, suffix) = split_digits(text);
    if !(1..=12).contains(&digits.len()) {
        return None;
    }
    let amount = digits
        .bytes()
        .fold(0, |sum: i64, digit| sum * 10 + i64::from(digit - b'0'));
    let milli = match suffix.as_bytes() {
        b"n" => (amount + 999_999) / 1_000_000,
        b"u" => (amount + 999) / 1_000,
        b"m" => amount,
        b"" => amount * 1_000,
        b"Ki" => amount * 1_024_000,
        _ => return None,
    };
    Some(Milli(milli))
}

impl Scale {
    /// Whether Go keeps such a number as a big decimal: where its digits may not fit into 64 bits with the suffix.
    ///
    /// Source: apimachinery `quantity.go`, `ParseQuantity`.
    fn needs_decimal(self, whole: &str, fraction: &str) -> bool {
        let digits = whole.trim_start_matches('0').len().max(1) as i64;
        match self {
            Self::Ten { exponent, .. } => {
                digits + fraction.len() as i64 > 18 || exponent - (fraction.len() as i64) < -9
            }
            // 15 digits, less those of the power of two, rounded down.
            Self::Two { exponent } => !fraction.is_empty() || 15 - digits - i64::from(exponent) * 3 / 10 - 1 < 0,
        }
    }

    /// Whether Go reads a bare suffix as zero: where its fast path, which does not look for digits, is taken.
    fn takes_no_digits(self) -> bool {
        match self {
            Self::Ten { exponent, .. } => exponent >= -9,
            Self::Two { exponent } => exponent <= 40,
        }
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// Letters that occur in suffixes, a sign, digits.
fn looks_like_a_suffix(suffix: &str) -> bool {
    let rest = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let digits = rest.strip_prefix(['+', '-']).unwrap_or(rest);
    digits.bytes().all(|b| b.is_ascii_digit())
}

fn read_suffix(suffix: &str) -> Option<Scale> {
    if let Some(place) = DECIMAL.iter().position(|s| *s == suffix) {
        return Some(Scale::Ten {
            exponent: 3 * place as i64 - 9,
            family: SuffixFamily::DecimalSi,
        });
    }
    if let Some(place) = BINARY.iter().position(|s| *s == suffix) {
        return Some(Scale::Two {
            exponent: 10 * place as u32 + 10,
        });
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    Some(Scale::Ten {
        exponent,
        family: SuffixFamily::DecimalExponent,
    })
}

/// `whole.fraction × 10^exponent` in 10⁻⁹, rounded up, at most the bound.
fn decimal_nanos(whole: &str, fraction: &str, exponent: i64) -> i128 {
    // 38 digits fill an i128. Where digits are dropped after them and the exponent does not bring it below 10⁻⁹
    // again, the amount is past the bound anyway.
    let mut digits = 0i128;
    let mut dropped = 0i64;
    let mut inexact = false;
    for byte in whole.bytes().chain(fraction.bytes()) {
        if digits >= 10i128.pow(37) {
            dropped += 1;
            inexact |= byte != b'0';
        } else {
            digits = digits * 10 + i128::from(byte - b'0');
        }
    }
    if digits == 0 {
        return 0;
    }
    let shift = exponent.saturating_add(9 + dropped - fraction.len() as i64);
    let power = |n: i64| u32::try_from(n).ok().and_then(|n| 10i128.checked_pow(n));
    let nanos = if shift >= 0 {
        power(shift)
            .and_then(|p| digits.checked_mul(p))
            .map(|n| n + i128::from(inexact && shift == 0))
    } else {
        // A power past i128 leaves nothing but the rounding.
        let divisor = power(-shift).unwrap_or(i128::MAX);
        inexact |= digits % divisor != 0;
        Some(digits / divisor + i128::from(inexact))
    };
    nanos.map_or(LARGEST_NANOS, |n| n.min(LARGEST_NANOS))
}

/// `whole.fraction × 2^exponent` in 10⁻⁹, rounded up, at most 2⁶³−1 units; with the family that it then prints in.
fn binary_nanos(whole: &str, fraction: &str, exponent: u32) -> (i128, SuffixFamily) {
    let largest = i128::from(i64::MAX);
    let units = whole
        .bytes()
        .fold(0i128, |n, b| (n * 10 + i128::from(b - b'0')).min(largest))
        << exponent;
    // 0.abc × scale = (a × scale + (b × scale + (c × scale) / 10) / 10) / 10: no digit is lost, however many there are.
    let scale = NANOS_PER_UNIT << exponent;
    let mut inexact = false;
    let nanos = fraction.bytes().rev().fold(0i128, |n, b| {
        let n = n + i128::from(b - b'0') * scale;
        inexact |= n % 10 != 0;
        n / 10
    });
    let nanos = units.min(largest) * NANOS_PER_UNIT + nanos + i128::from(inexact);
    let below_one = 0 < nanos && nanos < NANOS_PER_UNIT;
    let family = if below_one {
        SuffixFamily::DecimalSi
    } else {
        SuffixFamily::BinarySi
    };
    (nanos.min(largest * NANOS_PER_UNIT), family)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn thousandths_are_the_same_the_short_way(text in "[+-]?[0-9]{0,14}(\\.[0-9]{0,2})?(n|u|m||k|M|Ki|Mi|e3)") {
            let long = text.parse::<Quantity>().map(Quantity::milli);
            proptest::prop_assert_eq!(Milli::of_quantity(&text), long);
        }
    }
}
