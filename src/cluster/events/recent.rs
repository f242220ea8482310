//! A map that forgets what was not used for longest.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// At most `limit` entries; a new one beyond that takes the place of the one that was used least recently.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    limit: usize,
    entries: HashMap<K, (u64, V)>,
    /// From the time of the last use, counted in uses, to the key.
    by_use: BTreeMap<u64, K>,
    uses: u64,
}

impl<K: Hash + Eq + Clone, V: Default> Recent<K, V> {
    pub(super) fn new(limit: usize) -> Self {
        assert!(limit > 0);
        Self {
            limit,
            entries: HashMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
        }
    }

    /// The entry, made where it is not there yet. Counts as a use.
    pub(super) fn entry(&mut self, key: &K) -> &mut V {
        if !self.entries.contains_key(key)
            && self.entries.len() == self.limit
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.entries.remove(&oldest);
        }
        self.uses += 1;
        let (used, value) = self.entries.entry(key.clone()).or_default();
        self.by_use.remove(used);
        *used = self.uses;
        self.by_use.insert(self.uses, key.clone());
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut recent: Recent<&str, u32> = Recent::new(2);
        *recent.entry(&"a") = 1;
        *recent.entry(&"b") = 2;
        *recent.entry(&"a") += 10;
        *recent.entry(&"c") = 3;
        assert_eq!((recent.entries.len(), recent.by_use.len()), (2, 2));
        assert_eq!(*recent.entry(&"a"), 11);
        assert_eq!(*recent.entry(&"b"), 0);
        assert_eq!(*recent.entry(&"c"), 0);
    }
}
