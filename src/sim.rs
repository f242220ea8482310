//! Autoscalers decided in virtual time: scenario files and their replay, and a simulated cluster with the real controller
//! on it.

pub mod api;
pub mod control;
pub mod fleet;
pub mod line;
pub mod load;
pub mod pace;
pub mod random;
pub mod replay;
pub mod scenario;
pub mod simulated;
pub mod time;
pub mod trial;

mod compare;
mod rhythm;
mod world;

pub use compare::FieldDifference;
