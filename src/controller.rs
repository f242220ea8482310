//! The loop: when to sync, what to ask, decide, act.

pub mod report;
