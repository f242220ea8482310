//! The loop: when to sync; gather, decide, act.

pub mod compare;
pub mod report;
pub mod schedule;
