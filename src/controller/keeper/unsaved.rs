//! What was recommended and is not saved, for the word in the Lease: by it the next leader knows what is missing in the store.
//!
//! The word has an entry for each part that lacks something, `NUMBER@VERSION=MARK,MARK`: these autoscalers are not up to date in
//! that version of the part. A later version has all of them. `*` for a version: nobody can say which one will. No marks: all
//! autoscalers of the part. `*` for a number: all parts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::memory::stored::uid_mark;
use crate::spec::Key;

/// Autoscalers that are told of by their marks; of more than these it is said that all of the part are not up to date. They
/// take 2 KB of the Lease.
const MOST_MARKS: usize = 200;

/// A number that two names hardly have in common.
fn mark(key: &Key) -> u32 {
    uid_mark(&key.to_string())
}

/// What is not saved of one part.
#[derive(Clone, Debug, Default)]
pub(super) struct Unsaved {
    /// Not in any save that has begun.
    fresh: Marks,
    /// In the save that is under way.
    flying: Marks,
    /// Decided and being written, so that no save has it yet; by mark, how many.
    open: BTreeMap<u32, usize>,
    /// The last save failed, as far as is known: it may have made a version that nobody knows here, and that lacks what came later.
    is_unsure: bool,
}

#[derive(Clone, Debug, Default)]
struct Marks {
    some: BTreeSet<u32>,
    all: bool,
}

impl Marks {
    fn add(&mut self, mark: u32) {
        self.some.insert(mark);
        self.bound();
    }

    fn take(&mut self, other: &mut Marks) {
        self.some.append(&mut other.some);
        self.all |= std::mem::take(&mut other.all);
        self.bound();
    }

    fn bound(&mut self) {
        self.all |= self.some.len() > MOST_MARKS;
        if self.all {
            self.some.clear();
        }
    }

    fn is_empty(&self) -> bool {
        self.some.is_empty() && !self.all
    }
}

impl Unsaved {
    /// Nothing of the part is known to be saved.
    pub(super) fn of_all() -> Self {
        let mut unsaved = Self::default();
        unsaved.add_all();
        unsaved
    }

    /// Something else was recommended for an autoscaler than what is saved.
    pub(super) fn add(&mut self, key: &Key) {
        self.fresh.add(mark(key));
    }

    /// Something was decided for an autoscaler that is remembered once its write has ended.
    pub(super) fn open(&mut self, key: &Key) {
        *self.open.entry(mark(key)).or_default() += 1;
    }

    /// The write has ended, and what was decided is remembered or came to nothing.
    pub(super) fn close(&mut self, key: &Key) {
        let mark = mark(key);
        if let Some(count) = self.open.get_mut(&mark) {
            *count -= 1;
            if *count == 0 {
                self.open.remove(&mark);
            }
        }
    }

    /// A save of what is remembered now begins.
    pub(super) fn save_begins(&mut self) {
        self.flying.take(&mut self.fresh);
    }

    pub(super) fn save_ended(&mut self, is_saved: bool) {
        self.is_unsure = !is_saved;
        match is_saved {
            true => self.flying = Marks::default(),
            false => self.fresh.take(&mut self.flying),
        }
    }

    /// As [`Self::of_all`], from now on.
    pub(super) fn add_all(&mut self) {
        self.fresh.all = true;
        self.fresh.bound();
    }

    /// The entry of a part that has this version; `None` where everything is saved.
    pub(super) fn entry(&self, number: usize, version: Option<&str>) -> Option<String> {
        let mut all = self.fresh.clone();
        self.open.keys().for_each(|mark| all.add(*mark));
        let is_left_out = !all.is_empty();
        all.take(&mut self.flying.clone());
        if all.is_empty() {
            return None;
        }
        let version = match self.is_unsure || is_left_out && !self.flying.is_empty() {
            true => "*",
            false => version.unwrap_or_default(),
        };
        let mut entry = format!("{number}@{version}");
        let mut before = '=';
        for mark in &all.some {
            write!(entry, "{before}{mark:x}").expect("a String takes everything");
            before = ',';
        }
        Some(entry)
    }
}

/// Whether a former leader's word says that the store lacks something of an autoscaler, in the part of this number and version. A
/// word that is missing, or cannot be read, says nothing good.
pub(super) fn lacks(word: Option<&str>, number: usize, version: Option<&str>, key: &Key) -> bool {
    let Some(word) = word else { return true };
    word.split_ascii_whitespace().any(|entry| {
        let (part, marks) = match entry.split_once('=') {
            Some((part, marks)) => (part, Some(marks)),
            None => (entry, None),
        };
        let Some((of, known)) = part.split_once('@') else {
            return true;
        };
        let is_here = of.parse::<usize>().map_or(true, |of| of == number);
        let is_older = known == "*" || version.is_none_or(|version| version == known);
        let is_marked = marks.is_none_or(|marks| marks.split(',').any(|found| is_mark(found, key)));
        is_here && is_older && is_marked
    })
}

fn is_mark(text: &str, key: &Key) -> bool {
    u32::from_str_radix(text, 16).map_or(true, |found| found == mark(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new("shop", name)
    }

    fn lacking(unsaved: &Unsaved, told_at: Option<&str>, found: &str, name: &str) -> bool {
        let word = unsaved.entry(3, told_at).unwrap_or_default();
        lacks(Some(&word), 3, Some(found), &key(name))
    }

    #[test]
    fn what_is_not_saved_is_lacking_until_a_later_save_has_ended() {
        let mut unsaved = Unsaved::default();
        assert_eq!(unsaved.entry(3, Some("7")), None);
        unsaved.add(&key("web"));
        assert!(lacking(&unsaved, Some("7"), "7", "web"));
        assert!(!lacking(&unsaved, Some("7"), "7", "other"));
        unsaved.save_begins();
        // It may end before the process does: then there is another version.
        assert!(lacking(&unsaved, Some("7"), "7", "web"));
        assert!(!lacking(&unsaved, Some("7"), "8", "web"));
        unsaved.save_ended(false);
        assert!(lacking(&unsaved, Some("7"), "7", "web"));
        unsaved.save_begins();
        unsaved.save_ended(true);
        assert_eq!(unsaved.entry(3, Some("8")), None);
    }

    #[test]
    fn what_comes_while_a_save_is_under_way_is_not_in_it() {
        let mut unsaved = Unsaved::default();
        unsaved.add(&key("web"));
        unsaved.save_begins();
        unsaved.add(&key("late"));
        assert!(lacking(&unsaved, Some("7"), "8", "late"));
        unsaved.save_ended(true);
        assert!(lacking(&unsaved, Some("8"), "8", "late"));
        assert!(!lacking(&unsaved, Some("8"), "8", "web"));
    }

    #[test]
    fn what_comes_after_a_save_without_an_answer_is_not_in_it() {
        let mut unsaved = Unsaved::default();
        unsaved.add(&key("web"));
        unsaved.save_begins();
        unsaved.save_ended(false);
        unsaved.add(&key("late"));
        // It took place all the same.
        assert!(lacking(&unsaved, Some("7"), "8", "late"));
        unsaved.save_begins();
        unsaved.save_ended(true);
        unsaved.add(&key("later"));
        assert!(!lacking(&unsaved, Some("9"), "10", "later"));
    }

    #[test]
    fn what_is_being_written_is_in_no_save() {
        let mut unsaved = Unsaved::default();
        unsaved.open(&key("web"));
        unsaved.save_begins();
        unsaved.save_ended(true);
        assert!(lacking(&unsaved, Some("8"), "8", "web"));
        unsaved.close(&key("web"));
        assert_eq!(unsaved.entry(3, Some("9")), None);
    }

    #[test]
    fn of_many_it_is_said_that_all_may_be_lacking() {
        let mut unsaved = Unsaved::default();
        (0..=MOST_MARKS).for_each(|number| unsaved.add(&key(&format!("web-{number}"))));
        assert_eq!(unsaved.entry(3, Some("7")).as_deref(), Some("3@7"));
        assert!(lacking(&unsaved, Some("7"), "7", "other"));
    }

    #[test]
    fn a_word_that_is_missing_or_unreadable_says_nothing_good() {
        for word in [
            None,
            Some("nonsense"),
            Some("x@7"),
            Some("3@7=zz"),
            Some("3@*"),
            Some("3@7"),
        ] {
            assert!(lacks(word, 3, Some("7"), &key("web")), "{word:?}");
        }
        for word in [Some(""), Some("2@7"), Some("3@6"), Some("3@7=1")] {
            assert!(!lacks(word, 3, Some("7"), &key("web")), "{word:?}");
        }
    }
}
