//! Thousandths, the unit of all metric arithmetic.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Quantity, SuffixFamily};

/// An amount in thousandths: the unit of all metric arithmetic in Kubernetes.
///
/// Serializes as the plain number of thousandths; prints as a quantity (`1500m`, `2`, `5k`). Sums and products
/// saturate where Kubernetes' wrap around.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Milli(pub i64);

impl Milli {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount, about 9.2 × 10¹⁵ units.
    pub const MAX: Self = Self(i64::MAX);

    /// `units` whole units, saturating.
    pub const fn from_units(units: i64) -> Self {
        Self(units.saturating_mul(1000))
    }

    /// The sum, kept at the ends of the range.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, kept at the ends of the range.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// `factor` times as much, kept at the ends of the range.
    #[must_use]
    pub const fn saturating_mul(self, factor: i64) -> Self {
        Self(self.0.saturating_mul(factor))
    }

    /// The sum of all `amounts`, the running sum kept at the ends of the range.
    pub fn saturating_sum(amounts: impl IntoIterator<Item = Self>) -> Self {
        amounts.into_iter().fold(Self::ZERO, Self::saturating_add)
    }
}

impl fmt::Display for Milli {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Quantity::from_milli(*self, SuffixFamily::DecimalSi).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_a_quantity() {
        for (milli, text) in [
            (1500, "1500m"),
            (1000, "1"),
            (5_000_000, "5k"),
            (0, "0"),
            (-500, "-500m"),
        ] {
            assert_eq!(Milli(milli).to_string(), text);
        }
    }

    #[test]
    fn sums_saturate() {
        assert_eq!(Milli::saturating_sum([Milli::MAX, Milli(1)]), Milli::MAX);
        assert_eq!(Milli::from_units(i64::MIN), Milli(i64::MIN));
    }

    #[test]
    fn serializes_as_a_number() {
        assert_eq!(serde_json::to_string(&Milli(7)).unwrap(), "7");
    }
}
