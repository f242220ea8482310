//! Kubernetes label selectors.

use serde::Serialize;

/// A label selector, parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Selector {}
