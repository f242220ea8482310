//! The metric sources: one bulk question, one bulk answer, one typed failure.
//!
//! Each kind of source has a pure half, which decodes an answer and joins it with an autoscaler's pods
//! ([`resource`], [`custom`], [`external`]), so that a scenario file is read by the same code as a cluster. How a
//! source may be asked (time, number of questions at once, rest after failures) is [`guard`]'s subject.

mod allowance;
mod api;
pub mod custom;
pub mod decode;
pub mod external;
pub mod failure;
pub mod guard;
pub mod prometheus;
pub mod resource;
#[cfg(test)]
mod script;
pub mod sources;
mod words;
