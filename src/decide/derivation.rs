//! Why a decision came out as it did, as data.

use serde::Serialize;

/// The steps of one decision, in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Derivation {}
