//! The Kubernetes API: what is read of it, kept up to date by watches, and what is written to it.

pub mod client;
pub mod discovery;
pub mod events;
pub mod lease;
pub mod pods;
pub mod resource;
pub mod scale;
#[cfg(test)]
mod script;
pub mod status;
pub mod targets;
mod version;
pub mod watch;
pub mod watches;
