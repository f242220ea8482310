//! Kubernetes quantities, exact.

use serde::Serialize;

/// An amount in thousandths: the unit of all metric arithmetic in Kubernetes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Milli(pub i64);

/// A quantity as Kubernetes writes one: exact to 10⁻⁹, with the suffix family it prints in. Compares by value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantity {}

/// A tolerance, 0 or more: a fraction of the metric target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Tolerance(pub f64);
