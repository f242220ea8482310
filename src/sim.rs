//! Autoscalers decided in virtual time: scenario files, and their replay.

pub mod replay;
pub mod scenario;

mod compare;
mod rhythm;
mod world;

pub use compare::FieldDifference;
