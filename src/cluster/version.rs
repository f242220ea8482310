//! Resource versions, compared.

/// A resource version as a number, to be compared with others of the same resource.
///
/// Kubernetes lets them be compared since v1.35, and etcd's have always been numbers that grow. One that is no number is
/// older than all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(u128);

impl Version {
    /// Reads `metadata.resourceVersion`.
    pub(super) fn of(resource_version: &str) -> Self {
        Self(resource_version.parse().unwrap_or(0))
    }
}
