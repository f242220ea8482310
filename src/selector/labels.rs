//! What a selector is held against.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Something that has labels.
pub trait Labels {
    /// The value of the label `key`, where there is one.
    fn label(&self, key: &str) -> Option<&str>;
}

/// Sorted by key.
impl Labels for [(Arc<str>, Arc<str>)] {
    fn label(&self, key: &str) -> Option<&str> {
        self.binary_search_by(|(k, _)| (**k).cmp(key)).ok().map(|i| &*self[i].1)
    }
}

impl Labels for BTreeMap<Arc<str>, Arc<str>> {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key).map(|v| &**v)
    }
}

impl<T: Labels + ?Sized> Labels for Arc<T> {
    fn label(&self, key: &str) -> Option<&str> {
        (**self).label(key)
    }
}
