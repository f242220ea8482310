//! Autoscalers decided in virtual time: scenario files, and their replay.

pub mod replay;
pub mod scenario;
mod compare;
mod world;
