//! A list of slots as Kubernetes keeps them, at 8 bytes a slot.

use jiff::Timestamp;

use super::{Entry, Replace};

/// One slot: a value with its time, or a row of slots that no window can reach any more.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Slot {
    /// The value, not negative; flagged (outdated) when negative, as its complement. In a spent row: how many slots.
    value: i32,
    /// Milliseconds since the list's base, or [`SPENT`].
    at: u32,
}

/// The time of a spent row.
const SPENT: u32 = u32::MAX;
/// The latest time that a slot can hold.
const LATEST: i64 = SPENT as i64 - 1;

/// Slots in Kubernetes' order, which is not that of time. At most `MOST` of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Slots<const MOST: usize> {
    /// The time that slots count from, in milliseconds since 1970.
    base: i64,
    slots: Vec<Slot>,
}

impl Slot {
    fn is_spent(self) -> bool {
        self.at == SPENT
    }

    fn is_flagged(self) -> bool {
        !self.is_spent() && self.value < 0
    }

    fn amount(self) -> i32 {
        if self.value < 0 { !self.value } else { self.value }
    }
}

impl<const MOST: usize> Slots<MOST> {
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.slots.len() * size_of::<Slot>()
    }

    /// The values whose time, in milliseconds since 1970, is wanted.
    pub(super) fn values(&self, wanted: impl Fn(i64) -> bool) -> impl Iterator<Item = i32> {
        self.slots
            .iter()
            .filter(move |s| !s.is_spent() && wanted(self.time(**s)))
            .map(|s| s.amount())
    }

    /// Counts what is older than `horizon` as spent.
    pub(super) fn retire(&mut self, horizon: i64) {
        let base = self.base;
        if !self
            .slots
            .iter()
            .any(|s| !s.is_spent() && base + i64::from(s.at) < horizon)
        {
            return;
        }
        for slot in &mut self.slots {
            if !slot.is_spent() && base + i64::from(slot.at) < horizon {
                *slot = Slot { value: 1, at: SPENT };
            }
        }
        self.slots.dedup_by(|next, kept| {
            let both = next.is_spent() && kept.is_spent();
            if both {
                kept.value = kept.value.saturating_add(next.value);
            }
            both
        });
    }

    /// Flags what is older than `horizon`. A spent slot counts as flagged: `horizon` is never before it.
    pub(super) fn flag_older_than(&mut self, horizon: i64) {
        let base = self.base;
        for slot in &mut self.slots {
            if !slot.is_spent() && slot.value >= 0 && base + i64::from(slot.at) < horizon {
                slot.value = !slot.value;
            }
        }
    }

    /// Puts a value into the slot that Kubernetes would overwrite, else behind the last. A list that is full makes room
    /// by `merge`-ing the values of two slots.
    pub(super) fn store(&mut self, value: i32, now: i64, replace: Replace, merge: fn(i32, i32) -> i32) {
        self.reach(now);
        let new = Slot {
            value,
            at: self.offset(now),
        };
        let replaced = self.slots.iter().rposition(|s| {
            s.is_spent()
                || match replace {
                    Replace::LastOlderThan(cutoff) => self.time(*s) < cutoff,
                    Replace::LastFlagged => s.is_flagged(),
                }
        });
        match replaced {
            Some(i) if self.slots[i].is_spent() && self.slots[i].value > 1 => {
                self.slots[i].value -= 1;
                self.slots.insert(i + 1, new);
            }
            Some(i) => self.slots[i] = new,
            None => {
                if self.slots.len() >= MOST {
                    self.merge_oldest(merge);
                }
                self.slots.reserve_exact(if self.slots.len() == self.slots.capacity() {
                    4
                } else {
                    0
                });
                self.slots.push(new);
            }
        }
    }

    /// The value that is last in time.
    pub(super) fn last(&self) -> Option<i32> {
        let live = self.slots.iter().filter(|s| !s.is_spent());
        live.max_by_key(|s| s.at).map(|s| s.amount())
    }

    /// Takes what is later than `now` for `now`.
    pub(super) fn not_later_than(&mut self, now: i64) {
        self.base = self.base.min(now);
        let latest = self.offset(now);
        for slot in self.slots.iter_mut().filter(|s| !s.is_spent()) {
            slot.at = slot.at.min(latest);
        }
    }

    /// Moves all times by so many milliseconds.
    pub(super) fn shift(&mut self, by: i64) {
        self.base = self.base.saturating_add(by);
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> {
        self.slots.iter().map(|slot| match slot.is_spent() {
            true => Entry::Spent {
                spent: slot.value.unsigned_abs(),
            },
            false => Entry::Live {
                at: Timestamp::from_millisecond(self.time(*slot)).unwrap_or_default(),
                replicas: slot.amount(),
                outdated: slot.is_flagged(),
            },
        })
    }

    pub(super) fn from_entries(entries: &[Entry]) -> Self {
        let times = entries.iter().filter_map(|e| match e {
            Entry::Live { at, .. } => Some(at.as_millisecond()),
            Entry::Spent { .. } => None,
        });
        let mut out = Self {
            base: times.min().unwrap_or(0),
            slots: Vec::new(),
        };
        out.slots = entries
            .iter()
            .take(MOST)
            .map(|entry| match *entry {
                Entry::Spent { spent } => Slot {
                    value: i32::try_from(spent).unwrap_or(i32::MAX),
                    at: SPENT,
                },
                Entry::Live { at, replicas, outdated } => {
                    let amount = replicas.max(0);
                    Slot {
                        value: if outdated { !amount } else { amount },
                        at: out.offset(at.as_millisecond()),
                    }
                }
            })
            .collect();
        out
    }

    fn time(&self, slot: Slot) -> i64 {
        self.base + i64::from(slot.at)
    }

    fn offset(&self, at: i64) -> u32 {
        at.saturating_sub(self.base).clamp(0, LATEST) as u32
    }

    /// Moves the base so that `now` can be held; what cannot be held beside it goes to the nearest end.
    fn reach(&mut self, now: i64) {
        if self.slots.is_empty() {
            self.base = now;
        }
        if (self.base..=self.base.saturating_add(LATEST)).contains(&now) {
            return;
        }
        // Half of what a slot can hold, 24 days, is left on each side.
        let base = now.saturating_sub(LATEST / 2);
        let moved = i128::from(self.base) - i128::from(base);
        for slot in self.slots.iter_mut().filter(|s| !s.is_spent()) {
            slot.at = (i128::from(slot.at) + moved).clamp(0, LATEST.into()) as u32;
        }
        self.base = base;
    }

    /// Makes one slot of the oldest and its neighbour, at the later time, so that the value holds longer.
    fn merge_oldest(&mut self, merge: fn(i32, i32) -> i32) {
        let Some(oldest) = (0..self.slots.len()).min_by_key(|i| self.slots[*i].at) else {
            return;
        };
        let neighbour = if oldest + 1 < self.slots.len() {
            oldest + 1
        } else {
            oldest.saturating_sub(1)
        };
        if oldest == neighbour {
            return;
        }
        let (gone, kept) = (self.slots[oldest], &mut self.slots[neighbour]);
        if !kept.is_spent() {
            kept.value = merge(kept.amount(), gone.amount());
        }
        self.slots.remove(oldest);
    }
}
