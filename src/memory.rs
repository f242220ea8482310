//! What a decision must remember: recommendations and scale events.

use serde::Serialize;

/// One autoscaler's memory; empty at first. `Memory::default()` is what a new autoscaler has.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Memory {}
