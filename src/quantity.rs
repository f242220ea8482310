//! Kubernetes quantities, exact: parse, compare, print.
//!
//! Quantities are what people write (`1500m`, `150Mi`, `2e3`). Decisions are made in [`Milli`], as in Kubernetes.

mod milli;
mod parse;

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use milli::Milli;
pub use parse::QuantityError;

/// 10⁻⁹ units, in which quantities are kept, to a unit.
const NANOS_PER_UNIT: i128 = 1_000_000_000;

/// 10⁻⁹ units to a thousandth.
const NANOS_PER_MILLI: i128 = 1_000_000;

/// The largest magnitude, 10²⁹ units in 10⁻⁹: what is larger is kept as this. An `i128` ends at 1.7 × 10³⁸.
const LARGEST_NANOS: i128 = 10i128.pow(38);

/// A quantity as Kubernetes writes one: exact to 10⁻⁹, with the suffix family that it prints in.
///
/// Compares by value: `1` equals `1000m`. Finer fractions are rounded away from zero. Prints in the canonical form of
/// Kubernetes: a whole number with the largest suffix that loses nothing (`1500m`, `5k`, `150Mi`). Magnitudes end at
/// 10²⁹, those written with a binary suffix at 2⁶³−1, as in Kubernetes; what is larger becomes the bound.
///
/// Source: Kubernetes v1.36, apimachinery `pkg/api/resource/quantity.go`. One difference: from 1000E on, Kubernetes
/// has no suffix left and prints a wrong number (`1` for `1000E`); here it stays `1000E`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantity {
    nanos: i128,
    family: SuffixFamily,
    /// Kubernetes keeps it as a big decimal, and it is negative: see [`milli`](Self::milli).
    negative_decimal: bool,
}

/// The family of suffixes that a quantity is written with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SuffixFamily {
    /// `n u m k M G T P E`, or none: powers of 1000.
    #[default]
    DecimalSi,
    /// `Ki Mi Gi Ti Pi Ei`: powers of 1024.
    BinarySi,
    /// `e3`, `E-6`: powers of ten.
    DecimalExponent,
}

impl Quantity {
    /// The quantity that is `milli` thousandths, to print in `family`.
    pub const fn from_milli(milli: Milli, family: SuffixFamily) -> Self {
        Self {
            nanos: milli.0 as i128 * NANOS_PER_MILLI,
            family,
            negative_decimal: false,
        }
    }

    /// In thousandths, rounded away from zero: `1500u` is 2, `-1500u` is -2.
    ///
    /// Kept at the ends of an `i64` where it does not fit. There Kubernetes' own conversion (`MilliValue`) wraps
    /// around or gives 0, which trimtab does not copy. What is copied is what Kubernetes makes of a negative amount that
    /// it keeps as a big decimal (one of many digits, such as `-104352941883392`, or `-101907169808Ki`): it is cut to 64
    /// bits of 10⁻⁹ and rounded up. No real usage is negative; recorded decisions are.
    pub fn milli(self) -> Milli {
        if self.negative_decimal {
            // apimachinery `scale_int.go`, `scaledValue`: its test for the fast path lets every negative number through.
            let nanos = self.nanos as i64;
            let (whole, rest) = (nanos / 1_000_000, nanos % 1_000_000);
            return Milli(whole + i64::from(rest != 0));
        }
        let rounded = parse::divide_away_from_zero(self.nanos, NANOS_PER_MILLI);
        Milli(rounded.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
    }

    /// The family of suffixes that it is printed in.
    pub const fn family(self) -> SuffixFamily {
        self.family
    }

    /// Below, at or above zero.
    pub fn sign(self) -> Ordering {
        self.nanos.cmp(&0)
    }

    /// Whether it is above zero.
    pub const fn is_positive(self) -> bool {
        self.nanos > 0
    }

    /// Whether it is below zero.
    pub const fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// The nearest float in Kubernetes' way: digits × 10^exponent in floating point, on the canonical form, which is
    /// the one that the API server stores. `50m` is 0.05, but `999u` is 0.0009989999999999999.
    ///
    /// Source: `quantity.go`, `AsApproximateFloat64`.
    pub fn approximate_f64(self) -> f64 {
        let canonical = Canonical::of(self);
        let (digits, exponent) = match canonical.base {
            _ if canonical.parses_slowly() => (self.nanos, -9),
            Base::Ten => (canonical.digits, canonical.exponent),
            Base::Two => (canonical.digits << canonical.exponent, 0),
        };
        digits as f64 * power_of_ten(exponent)
    }
}

/// A quantity's digits and exponent as they are printed.
struct Canonical {
    digits: i128,
    base: Base,
    exponent: i32,
}

#[derive(PartialEq)]
enum Base {
    Ten,
    Two,
}

impl Canonical {
    fn of(quantity: Quantity) -> Self {
        let Quantity { nanos, family, .. } = quantity;
        // Small and fractional amounts are printed in decimals, rather than rounded to whole bytes.
        let whole_and_large = nanos % NANOS_PER_UNIT == 0 && nanos.abs() >= 1024 * NANOS_PER_UNIT;
        if family == SuffixFamily::BinarySi && whole_and_large {
            let (digits, exponent) = divide_out(nanos / NANOS_PER_UNIT, 1024, 10, 0, 60);
            return Self {
                digits,
                base: Base::Two,
                exponent,
            };
        }
        let largest_exponent = if family == SuffixFamily::DecimalExponent {
            i32::MAX
        } else {
            18
        };
        let (digits, exponent) = divide_out(nanos, 1000, 3, -9, largest_exponent);
        Self {
            digits,
            base: Base::Ten,
            exponent,
        }
    }

    /// Whether Kubernetes' parser leaves its fast path on this text, and so keeps it in 10⁻⁹ units.
    fn parses_slowly(&self) -> bool {
        let length = self
            .digits
            .unsigned_abs()
            .checked_ilog10()
            .map_or(1, |log| log as i32 + 1);
        match self.base {
            Base::Ten => length > 18,
            Base::Two => length + self.exponent * 3 / 10 + 1 > 15,
        }
    }
}

/// `number` without its factors of `factor`, each counted as `step` in an exponent from `start` up to `end`.
fn divide_out(mut number: i128, factor: i128, step: i32, start: i32, end: i32) -> (i128, i32) {
    if number == 0 {
        return (0, 0);
    }
    let mut exponent = start;
    while number % factor == 0 && exponent < end {
        number /= factor;
        exponent += step;
    }
    (number, exponent)
}

/// 10^`exponent` as the nearest float, which `powi` does not promise.
fn power_of_ten(exponent: i32) -> f64 {
    format!("1e{exponent}").parse().expect("an exponent makes a float")
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl Hash for Quantity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.nanos.hash(state);
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Canonical { digits, base, exponent } = Canonical::of(*self);
        write!(f, "{digits}")?;
        match (base, self.family) {
            (Base::Ten, SuffixFamily::DecimalExponent) if exponent == 0 => Ok(()),
            (Base::Ten, SuffixFamily::DecimalExponent) => write!(f, "e{exponent}"),
            (Base::Ten, _) => f.write_str(parse::decimal_suffix(exponent)),
            (Base::Two, _) => f.write_str(parse::binary_suffix(exponent)),
        }
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    /// Reads a string, a number or null (zero), as Kubernetes does.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(QuantityVisitor)
    }
}

struct QuantityVisitor;

impl de::Visitor<'_> for QuantityVisitor {
    type Value = Quantity;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a quantity such as \"500m\", \"1\" or \"150Mi\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
        text.trim().parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Quantity, E> {
        Ok(Quantity {
            nanos: i128::from(number) * NANOS_PER_UNIT,
            ..Quantity::default()
        })
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Quantity, E> {
        Ok(Quantity {
            nanos: i128::from(number) * NANOS_PER_UNIT,
            ..Quantity::default()
        })
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Quantity, E> {
        number.to_string().parse().map_err(E::custom)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Quantity, E> {
        Ok(Quantity::default())
    }
}

/// A tolerance, 0 or more: a fraction of the metric target. Serializes as the quantity that was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Tolerance(Quantity);

impl Tolerance {
    /// The tolerance that is written as `quantity`, which validation has found not to be negative.
    pub const fn new(quantity: Quantity) -> Self {
        Self(quantity)
    }

    /// The fraction that decisions compute with: 0.05 for `50m`.
    pub fn fraction(self) -> f64 {
        self.0.approximate_f64()
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Each line: written, canonical text, milli-value or `-` where Kubernetes' wraps, float; or `err`.
    const VECTORS: &str = include_str!("quantity/vectors.txt");

    /// Read off the real controller: seeds 100623 and 500002679 of the oracle.
    #[test]
    fn a_negative_big_decimal_is_cut_to_64_bits_as_in_kubernetes() {
        let milli = |text: &str| parse(text).milli().0;
        assert_eq!(
            milli("-90691709116Ki"),
            -92_868_310_134_784_000,
            "eleven digits: no big decimal"
        );
        assert_eq!(
            milli("-101907169808Ki"),
            i128::from(-101_907_169_808i64 * 1024).wrapping_mul(1_000_000_000) as i64 / 1_000_000 + 1
        );
        assert_eq!(milli("101907169808Ki"), 104_352_941_883_392_000);
    }

    fn parse(text: &str) -> Quantity {
        text.parse().unwrap()
    }

    #[test]
    fn reads_prints_and_converts_as_apimachinery_does() {
        for line in VECTORS.lines() {
            let columns: Vec<&str> = line.split('\t').collect();
            let read = columns[0].parse::<Quantity>();
            if columns[1] == "err" {
                assert!(read.is_err(), "{line}");
                continue;
            }
            let quantity = read.unwrap_or_else(|e| panic!("{line}: {e}"));
            assert_eq!(quantity.to_string(), columns[1], "{line}");
            if columns[2] != "-" {
                assert_eq!(quantity.milli().0.to_string(), columns[2], "{line}");
            }
            assert_eq!(quantity.approximate_f64(), columns[3].parse::<f64>().unwrap(), "{line}");
        }
    }

    #[test]
    fn compares_by_value() {
        assert_eq!(parse("1"), parse("1000m"));
        assert_eq!(parse("1Ki"), parse("1024"));
        assert_eq!(parse("2e3"), parse("2k"));
        assert!(parse("-1") < parse("1n"));
    }

    #[test]
    fn milli_rounds_away_from_zero_and_saturates() {
        for (text, milli) in [
            ("0.1", 100),
            ("1500u", 2),
            ("1n", 1),
            ("-1500u", -2),
            ("123456789n", 124),
        ] {
            assert_eq!(parse(text).milli(), Milli(milli), "{text}");
        }
        assert_eq!(parse("1e16").milli(), Milli(i64::MAX));
        assert_eq!(parse("-10P").milli(), Milli(i64::MIN));
    }

    #[test]
    fn whole_bytes_print_in_binary_and_others_in_decimals() {
        let memory = |milli| Quantity::from_milli(Milli(milli), SuffixFamily::BinarySi).to_string();
        assert_eq!(memory(157_286_400_000), "150Mi");
        assert_eq!(memory(1_536_000), "1536");
        assert_eq!(memory(104_857_601_333), "104857601333m");
        assert_eq!(memory(512_000), "512");
        assert_eq!(memory(0), "0");
        assert_eq!(memory(i64::MIN), "-9223372036854775808m");
    }

    #[test]
    fn what_is_too_large_stays_at_the_bound() {
        assert_eq!(parse("1e30").to_string(), "100e27");
        assert_eq!(parse("-1e999999999999"), parse("-1e30"));
        assert_eq!(parse("9Ei").to_string(), "9223372036854775807");
        assert_eq!(parse("1000E").to_string(), "1000E");
    }

    #[test]
    fn reads_json_strings_numbers_and_null() {
        let read = |json: &str| serde_json::from_str::<Quantity>(json);
        for (json, text) in [
            ("\" 5k \"", "5k"),
            ("100", "100"),
            ("0.5", "500m"),
            ("-3", "-3"),
            ("null", "0"),
        ] {
            assert_eq!(read(json).unwrap().to_string(), text, "{json}");
        }
        assert!(read("true").is_err());
        assert!(read("\"5kk\"").is_err());
        assert_eq!(serde_json::to_string(&parse("1.5")).unwrap(), "\"1500m\"");
    }

    #[test]
    fn a_tolerance_keeps_its_text_and_kubernetes_float() {
        let tolerance = Tolerance::new(parse("0.000999"));
        assert_eq!(tolerance.fraction(), 0.0009989999999999999);
        assert_eq!(tolerance.to_string(), "999u");
    }

    fn family() -> impl Strategy<Value = SuffixFamily> {
        prop_oneof![
            Just(SuffixFamily::DecimalSi),
            Just(SuffixFamily::BinarySi),
            Just(SuffixFamily::DecimalExponent)
        ]
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in ".*") {
            let _ = text.parse::<Quantity>();
        }

        #[test]
        fn reading_quantity_like_text_never_panics(text in "[+-]?[0-9]{0,45}\\.?[0-9]{0,45}[numkMGTPEeKi]{0,2}[+-]?[0-9]{0,22}") {
            let _ = text.parse::<Quantity>();
        }

        #[test]
        fn printing_and_reading_gives_the_same(milli in any::<i64>(), family in family()) {
            let quantity = Quantity::from_milli(Milli(milli), family);
            prop_assert_eq!(parse(&quantity.to_string()), quantity);
            prop_assert_eq!(quantity.milli(), Milli(milli));
        }

        #[test]
        fn order_is_that_of_the_values(a in any::<i64>(), b in any::<i64>(), family in family()) {
            let quantity = |milli| Quantity::from_milli(Milli(milli), family);
            prop_assert_eq!(quantity(a).cmp(&quantity(b)), a.cmp(&b));
        }
    }
}
