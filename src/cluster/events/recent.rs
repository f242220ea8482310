//! A map that forgets what was not used for longest.

use std::collections::BTreeMap;

/// At most `limit` entries; a new one beyond that takes the place of the one that was used least recently.
///
/// Trees and not hash tables: a table that is always full, and whose entries come and go, grows to four times what is in it.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    limit: usize,
    entries: BTreeMap<K, (u64, V)>,
    /// From the time of the last use, counted in uses, to the key.
    by_use: BTreeMap<u64, K>,
    uses: u64,
}

impl<K: Ord + Copy, V: Default> Recent<K, V> {
    pub(super) fn new(limit: usize) -> Self {
        assert!(limit > 0);
        Self {
            limit,
            entries: BTreeMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
        }
    }

    /// The entry, made where it is not there yet. Counts as a use.
    pub(super) fn entry(&mut self, key: K) -> &mut V {
        if self.entries.len() == self.limit
            && !self.entries.contains_key(&key)
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.entries.remove(&oldest);
        }
        self.uses += 1;
        let (used, value) = self.entries.entry(key).or_default();
        self.by_use.remove(used);
        *used = self.uses;
        self.by_use.insert(self.uses, key);
        value
    }

    /// Forgets entries that are as good as new ones, from the least recently used on, up to the first that is not.
    pub(super) fn forget_spent(&mut self, is_spent: impl Fn(&V) -> bool) {
        while let Some(oldest) = self.by_use.first_entry()
            && self.entries.get(oldest.get()).is_none_or(|(_, value)| is_spent(value))
        {
            self.entries.remove(&oldest.remove());
        }
    }

    /// How many entries there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut recent: Recent<&str, u32> = Recent::new(2);
        *recent.entry("a") = 1;
        *recent.entry("b") = 2;
        *recent.entry("a") += 10;
        *recent.entry("c") = 3;
        assert_eq!((recent.entries.len(), recent.by_use.len()), (2, 2));
        assert_eq!(*recent.entry("a"), 11);
        assert_eq!(*recent.entry("b"), 0);
        assert_eq!(*recent.entry("c"), 0);
    }

    #[test]
    fn what_is_spent_goes_up_to_the_first_that_is_not() {
        let mut recent: Recent<&str, u32> = Recent::new(9);
        for (key, value) in [("a", 1), ("b", 1), ("c", 2), ("d", 1)] {
            *recent.entry(key) = value;
        }
        // Used again, and so the last.
        recent.entry("a");
        recent.forget_spent(|value| *value == 1);
        assert_eq!((recent.entries.len(), recent.by_use.len()), (3, 3));
        assert_eq!(*recent.entry("b"), 0, "it is made anew");
        assert_eq!((*recent.entry("d"), *recent.entry("a")), (1, 1));
        recent.forget_spent(|_| true);
        assert_eq!((recent.entries.len(), recent.by_use.len()), (0, 0));
    }
}
