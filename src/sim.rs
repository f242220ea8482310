//! Autoscalers decided in virtual time: scenario files, and their replay.

pub mod api;
pub mod replay;
pub mod scenario;
pub mod time;

mod compare;
mod rhythm;
mod world;

pub use compare::FieldDifference;
