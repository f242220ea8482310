//! What the passes of one endpoint remember of one another. Pure.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rustc_hash::FxHashMap;

use super::reading::Values;
use crate::metrics::failure::SourceError;
use crate::promql::Definition;

/// What is asked, as a text that is the same in each pass: the metric, the namespace, the object, the selector.
pub(super) type AskKey = Arc<str>;

/// Passes until a query that failed is divided again to find with whom it lies: five minutes at the usual 15 s. Meanwhile
/// those with whom it lay are asked together, apart from all others.
const DIVIDED_AGAIN_AFTER: u64 = 20;

/// Values and the time for which they were evaluated.
#[derive(Clone, Debug)]
pub(super) struct Valued {
    pub values: Arc<Values>,
    pub at: Timestamp,
}

/// What is remembered.
#[derive(Default)]
pub(super) struct Memory {
    pass: u64,
    former: FxHashMap<AskKey, Former>,
    suspects: FxHashMap<AskKey, Suspect>,
    /// The turn at which it was asked last, where passes cannot ask everything.
    asked: FxHashMap<AskKey, u64>,
    turns: u64,
}

struct Former {
    valued: Valued,
    /// It is of no use after this.
    until: Timestamp,
}

/// Somebody whose part in a merged query made that fail.
struct Suspect {
    /// With what. Prometheus may name other series each time, and a condition must not differ.
    error: SourceError,
    divided: u64,
}

impl Memory {
    /// Begins a pass, and forgets what is of no use any more.
    pub(super) fn begin(&mut self, now: Timestamp) -> u64 {
        self.pass += 1;
        let pass = self.pass;
        self.former.retain(|_, former| former.until >= now);
        self.suspects
            .retain(|_, suspect| pass <= suspect.divided + 2 * DIVIDED_AGAIN_AFTER);
        pass
    }

    /// Values that were evaluated for exactly this time.
    pub(super) fn evaluated(&self, key: &AskKey, at: Timestamp) -> Option<Valued> {
        let former = self.former.get(key).filter(|former| former.valued.at == at);
        former.map(|former| former.valued.clone())
    }

    /// Values that are within the definition's freshness limit, which must have one.
    pub(super) fn fresh(&self, key: &AskKey, definition: &Definition, now: Timestamp) -> Option<Valued> {
        let limit = SignedDuration::try_from(definition.freshness?).ok()?;
        let former = self.former.get(key)?;
        (now.duration_since(former.valued.at) <= limit).then(|| former.valued.clone())
    }

    /// Keeps values for passes that come, as long as they may be of use. `scarce`: passes cannot ask everything.
    pub(super) fn keep(&mut self, key: &AskKey, definition: &Definition, valued: &Valued, scarce: bool) {
        let stands_in = definition.freshness.filter(|_| scarce).unwrap_or_default();
        let use_for = stands_in.max(definition.step);
        if use_for.is_zero() {
            return;
        }
        let use_for = SignedDuration::try_from(use_for).unwrap_or(SignedDuration::MAX);
        let former = Former {
            valued: valued.clone(),
            until: valued.at.saturating_add(use_for).unwrap_or(Timestamp::MAX),
        };
        self.former.insert(key.clone(), former);
    }

    /// Whether a merged query failed for its sake lately.
    pub(super) fn suspects(&self, key: &AskKey) -> bool {
        self.suspects.contains_key(key)
    }

    /// With what a merged query failed for its sake, while it is not worth another division.
    pub(super) fn known_failure(&self, key: &AskKey) -> Option<SourceError> {
        let suspect = self.suspects.get(key)?;
        (self.pass < suspect.divided + DIVIDED_AGAIN_AFTER).then(|| suspect.error.clone())
    }

    /// A merged query failed for its sake. The error that it has from now on: the one that it had before, if any.
    pub(super) fn suspect(&mut self, key: &AskKey, error: &SourceError) -> SourceError {
        let divided = self.pass;
        let suspect = self.suspects.entry(key.clone()).or_insert_with(|| Suspect {
            error: error.clone(),
            divided,
        });
        suspect.divided = divided;
        suspect.error.clone()
    }

    /// It had an answer.
    pub(super) fn cleared(&mut self, key: &AskKey) {
        self.suspects.remove(key);
    }

    /// The turn at which it was asked last; 0 for never. The lowest comes first where not all can be asked.
    pub(super) fn last_asked(&self, key: &AskKey) -> u64 {
        self.asked.get(key).copied().unwrap_or(0)
    }

    /// Notes who is asked, in this order, in a pass that cannot ask everything. Those that nobody wants any more are forgotten.
    pub(super) fn note_asked(&mut self, all: &[AskKey], granted: impl Iterator<Item = AskKey>) {
        let before = std::mem::take(&mut self.asked);
        let known = all.iter().filter_map(|key| Some((key.clone(), *before.get(key)?)));
        self.asked = known.collect();
        for key in granted {
            self.turns += 1;
            self.asked.insert(key, self.turns);
        }
    }

    /// Notes a pass that asks everything.
    pub(super) fn note_all_asked(&mut self) {
        self.asked = FxHashMap::default();
    }
}
