//! Autoscalers decided in virtual time: scenario files, and their replay.

pub mod api;
pub mod control;
pub mod fleet;
pub mod load;
pub mod random;
pub mod replay;
pub mod scenario;
pub mod time;

mod compare;
mod rhythm;
mod world;

pub use compare::FieldDifference;
