//! When each part of the stored memory is saved. Pure: takes `now`.

use std::time::Duration;

use tokio::time::Instant;

use super::unsaved::Unsaved;
use crate::memory::stored::{MOST_PARTS, place};
use crate::spec::Key;

/// Between two saves of a part that no intent waits for, at least,
const LEAST_GAP: Duration = Duration::from_secs(2);
/// and for each part that there is: with all 16, which hold some hundred thousand autoscalers, each can be saved in every pass.
const GAP_FOR_EACH: Duration = Duration::from_millis(900);
/// In a pass that takes long, a recommendation that is to be saved waits no longer.
const LONGEST_WAIT: Duration = Duration::from_secs(3);
/// How often that is looked at which nobody hurries to save.
const SLOW_PERIOD: Duration = Duration::from_secs(60);

/// Stands in the word for all autoscalers of all parts, whatever their versions.
const ALL: &str = "*@*";

/// All parts.
pub(super) struct Parts {
    each: Vec<Part>,
    /// What the store has is known. Where it could not be read, there may be more parts in it, and other versions of these.
    was_read: bool,
}

#[derive(Clone)]
struct Part {
    /// The version that the next save replaces.
    version: Option<String>,
    /// When it was saved, or tried to be saved, or looked at in vain.
    tried: Instant,
    /// As it was saved last, something was held back in it.
    is_held: bool,
    /// As it was saved last, there was nothing in it.
    is_empty: bool,
    /// Since when there is something that is to be saved within its pass.
    marked: Option<Instant>,
    /// The pass has ended.
    is_due: bool,
    /// A save has begun and not ended.
    is_saving: bool,
    unsaved: Unsaved,
}

impl Parts {
    /// These versions are in the store, by number, if it `was_read`; there is one part at least.
    pub(super) fn new(versions: Vec<Option<String>>, was_read: bool, now: Instant) -> Self {
        let part = |version| Part {
            version,
            tried: now,
            is_held: false,
            is_empty: true,
            marked: None,
            is_due: false,
            is_saving: false,
            unsaved: Unsaved::of_all(),
        };
        let mut each: Vec<Part> = versions.into_iter().take(MOST_PARTS).map(part).collect();
        if each.is_empty() {
            each.push(part(None));
        }
        Self { each, was_read }
    }

    pub(super) fn len(&self) -> usize {
        self.each.len()
    }

    pub(super) fn version(&self, number: usize) -> Option<String> {
        self.each.get(number)?.version.clone()
    }

    /// Twice as many, as far as that is allowed.
    pub(super) fn double(&mut self) {
        let more = (self.each.len() * 2).min(MOST_PARTS) - self.each.len();
        // Each gives half of its records to the one that begins as its copy.
        let new: Vec<Part> = self.each[..more]
            .iter()
            .map(|part| Part {
                version: None,
                ..part.clone()
            })
            .collect();
        self.each.extend(new);
        self.each.iter_mut().for_each(|part| part.unsaved.add_all());
    }

    /// The time between two saves of a part, intents aside.
    pub(super) fn patience(&self) -> Duration {
        let all = GAP_FOR_EACH * u32::try_from(self.each.len()).unwrap_or(u32::MAX);
        all.max(LEAST_GAP)
    }

    /// An autoscaler is to be saved within its pass. `is_new`: it would be decided otherwise by what is saved.
    pub(super) fn mark(&mut self, key: &Key, is_new: bool, now: Instant) {
        let part = self.of(key);
        part.marked.get_or_insert(now);
        if is_new {
            part.unsaved.add(key);
        }
    }

    /// A write that was decided is under way.
    pub(super) fn open(&mut self, key: &Key) {
        self.of(key).unsaved.open(key);
    }

    pub(super) fn close(&mut self, key: &Key) {
        // The parts may have become more meanwhile: each new one began as a copy.
        self.each.iter_mut().for_each(|part| part.unsaved.close(key));
    }

    /// What is not saved, for the next leader.
    pub(super) fn word(&self) -> String {
        // It will find what a former leader has saved, which says nothing of this term.
        if !self.was_read && self.each.iter().any(|part| part.version.is_none()) {
            return ALL.to_owned();
        }
        let entries = self.each.iter().enumerate();
        let entries = entries.filter_map(|(number, part)| part.unsaved.entry(number, part.version.as_deref()));
        entries.collect::<Vec<_>>().join(" ")
    }

    fn of(&mut self, key: &Key) -> &mut Part {
        let number = place(key, self.each.len());
        &mut self.each[number]
    }

    /// Whether anything is due now.
    pub(super) fn pass_ended(&mut self) -> bool {
        for part in &mut self.each {
            // What was held and is no more has to be saved once again, or it would count as held still.
            part.is_due |= part.is_held || part.marked.is_some();
        }
        self.each.iter().any(|part| part.is_due)
    }

    /// When there will be something to save, if nothing happens until then.
    pub(super) fn next_due(&self, now: Instant) -> Instant {
        let patience = self.patience();
        let next = |part: &Part| {
            let slow = part.tried + SLOW_PERIOD.max(patience);
            let urgent = match (part.is_due, part.marked) {
                (true, _) => now,
                (false, Some(marked)) => marked + LONGEST_WAIT,
                (false, None) => slow,
            };
            urgent.min(slow).max(part.tried + patience)
        };
        self.each.iter().map(next).min().unwrap_or(now + SLOW_PERIOD)
    }

    /// The parts to save now. Of those that nobody hurries to save, those that are `worth` it, or were when they were last
    /// saved.
    pub(super) fn take_due(&mut self, now: Instant, worth: impl Fn(usize) -> bool) -> Vec<usize> {
        let patience = self.patience();
        let mut due = Vec::new();
        for (number, part) in self.each.iter_mut().enumerate() {
            let since = now.saturating_duration_since(part.tried);
            if since < patience {
                continue;
            }
            let urgent = part.is_due || part.marked.is_some_and(|marked| marked + LONGEST_WAIT <= now);
            let slow = since >= SLOW_PERIOD.max(patience);
            if urgent || slow && (!part.is_empty || worth(number)) {
                due.push(number);
            } else if slow {
                part.tried = now;
            }
        }
        due
    }

    /// These parts, and those that are in no save yet: an old one that is saved without them has given its records to nobody.
    pub(super) fn with_new(&self, mut numbers: Vec<usize>) -> Vec<usize> {
        let each = self.each.iter().enumerate();
        numbers.extend(
            each.filter(|(_, part)| part.version.is_none())
                .map(|(number, _)| number),
        );
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// Its content is being looked at: what comes from now on is not in it.
    pub(super) fn begin(&mut self, number: usize) {
        if let Some(part) = self.each.get_mut(number) {
            (part.marked, part.is_due, part.is_saving) = (None, false, true);
            part.unsaved.save_begins();
        }
    }

    pub(super) fn saved(&mut self, number: usize, version: String, now: Instant, is_held: bool, is_empty: bool) {
        if let Some(part) = self.each.get_mut(number) {
            (part.version, part.is_saving) = (Some(version), false);
            (part.tried, part.is_held, part.is_empty) = (now, is_held, is_empty);
            part.unsaved.save_ended(true);
        }
    }

    pub(super) fn failed(&mut self, number: usize, now: Instant) {
        if let Some(part) = self.each.get_mut(number) {
            (part.tried, part.is_saving) = (now, false);
            part.marked.get_or_insert(now);
            part.unsaved.save_ended(false);
        }
    }

    /// The parts of a last save: those that are `worth` it, or may say something else in the store.
    pub(super) fn unsaved(&self, worth: impl Fn(usize) -> bool) -> Vec<usize> {
        let each = self.each.iter().enumerate();
        each.filter(|(number, part)| !part.is_empty || part.is_saving || part.marked.is_some() || worth(*number))
            .map(|(number, _)| number)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::unsaved::lacks;
    use super::*;

    fn parts(count: usize) -> (Parts, Instant) {
        let now = Instant::now();
        (Parts::new(vec![None; count], true, now), now)
    }

    /// A name whose record is in this part.
    fn key(number: usize, parts: usize) -> Key {
        let mut keys = (0..).map(|i| Key::new("shop", format!("web-{i}")));
        keys.find(|key| place(key, parts) == number).unwrap()
    }

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_marked_is_saved_when_its_pass_ends_and_before_that_if_it_takes_long() {
        let (mut parts, start) = parts(2);
        let nothing = |_| false;
        parts.mark(&key(1, 2), true, start + secs(10));
        assert_eq!(parts.take_due(start + secs(11), nothing), [0; 0]);
        assert_eq!(parts.next_due(start + secs(11)), start + secs(13));
        assert_eq!(parts.take_due(start + secs(13), nothing), [1]);
        assert!(parts.pass_ended());
        assert_eq!(parts.take_due(start + secs(11), nothing), [1]);
    }

    #[test]
    fn what_was_held_is_saved_after_each_pass_until_it_is_not_held_any_more() {
        let (mut parts, start) = parts(1);
        parts.saved(0, "1".into(), start + secs(10), true, false);
        assert!(parts.pass_ended());
        assert_eq!(parts.take_due(start + secs(25), |_| true), [0]);
        parts.begin(0);
        parts.saved(0, "2".into(), start + secs(25), false, false);
        assert!(!parts.pass_ended());
        assert_eq!(parts.take_due(start + secs(40), |_| true), [0; 0]);
        assert_eq!(parts.take_due(start + secs(85), |_| true), [0]);
    }

    #[test]
    fn what_is_empty_and_was_so_costs_nothing() {
        let (mut parts, start) = parts(3);
        assert_eq!(parts.take_due(start + secs(70), |number| number == 2), [2]);
        parts.saved(2, "1".into(), start + secs(70), false, true);
        assert_eq!(parts.take_due(start + secs(200), |_| false), [0; 0]);
        assert_eq!(parts.unsaved(|_| false), [0; 0]);
        assert_eq!(parts.unsaved(|number| number == 1), [1]);
    }

    #[test]
    fn sixteen_parts_in_trouble_at_every_pass_are_each_saved_in_it() {
        let (mut parts, start) = parts(16);
        let mut saves = 0;
        for pass in 1..=40 {
            let now = start + secs(15 * pass);
            (0..16).for_each(|number| parts.mark(&key(number, 16), true, now));
            parts.pass_ended();
            for second in 0..15 {
                let now = now + secs(second);
                for number in parts.take_due(now, |_| true) {
                    parts.begin(number);
                    parts.saved(number, String::new(), now, true, false);
                    saves += 1;
                }
            }
        }
        assert_eq!(saves, 16 * 40);
    }

    #[test]
    fn what_is_not_saved_is_told_until_it_is() {
        let (mut parts, start) = parts(2);
        assert_eq!(parts.word(), "0@ 1@", "nothing was saved in this term");
        for number in [0, 1] {
            parts.begin(number);
            parts.saved(number, "5".into(), start, false, true);
        }
        assert_eq!(parts.word(), "");
        parts.mark(&key(1, 2), false, start);
        assert_eq!(parts.word(), "", "a repetition is taken for granted");
        parts.mark(&key(1, 2), true, start);
        assert!(parts.word().starts_with("1@5="), "{}", parts.word());
        parts.begin(1);
        parts.failed(1, start);
        assert!(parts.word().starts_with("1@*="), "{}", parts.word());
        parts.double();
        assert_eq!(parts.word(), "0@5 1@* 2@ 3@*");
    }

    #[test]
    fn where_the_store_could_not_be_read_all_is_lacking_until_each_part_is_saved() {
        let now = Instant::now();
        let mut parts = Parts::new(Vec::new(), false, now);
        let lacking = |parts: &Parts, number: usize| lacks(Some(&parts.word()), number, Some("7"), &key(0, 1));
        assert!(lacking(&parts, 0) && lacking(&parts, 3));
        parts.begin(0);
        parts.failed(0, now);
        assert!(lacking(&parts, 0) && lacking(&parts, 3), "{}", parts.word());
        parts.begin(0);
        parts.saved(0, "8".into(), now, false, true);
        assert_eq!(parts.word(), "");
        parts.double();
        parts.begin(0);
        parts.saved(0, "9".into(), now, false, true);
        assert!(lacking(&parts, 1), "{}", parts.word());
    }

    #[test]
    fn no_part_is_saved_before_those_that_have_half_of_its_records() {
        let (mut parts, start) = parts(1);
        parts.saved(0, "5".into(), start, false, false);
        assert_eq!(parts.with_new(vec![0]), [0]);
        parts.double();
        assert_eq!(parts.with_new(vec![0]), [0, 1]);
        parts.saved(1, "6".into(), start, false, false);
        assert_eq!(parts.with_new(vec![0]), [0]);
    }

    #[test]
    fn a_save_that_failed_is_tried_again() {
        let (mut parts, start) = parts(1);
        parts.begin(0);
        parts.failed(0, start + secs(20));
        assert_eq!(parts.take_due(start + secs(21), |_| true), [0; 0]);
        assert_eq!(parts.take_due(start + secs(23), |_| true), [0]);
    }
}
