//! A decision as others read it: text for people, JSON for tools, the status that Kubernetes stores.

pub mod status;
pub mod summary;
pub mod text;
