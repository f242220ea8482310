//! What a term of leadership begins with: the memory of the one before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::parts::Parts;
use super::unsaved::lacks;
use super::{Circumstances, Keeper, State, event};
use crate::cluster::lease::{Former, LastWord, Leadership};
use crate::cluster::stamp::apart;
use crate::cluster::stored::{FoundPart, MemoryStore};
use crate::memory::stored::{Part, Record, recollect, shifted};
use crate::spec::Key;
use crate::wire::{WireError, WireFailure};

/// Tries to read the store, each of which has the store's own time, before the term begins without it.
const TRIES: u32 = 3;
/// Between two tries.
const BETWEEN_TRIES: Duration = Duration::from_millis(500);

/// A keeper, and what it has found.
pub struct Beginning {
    /// Keeps memory from now on.
    pub(in crate::controller) keeper: Keeper,
    /// What was remembered, by autoscaler.
    pub(in crate::controller) records: BTreeMap<Key, Record>,
    /// When the former leader is known to have led for the last time.
    pub(in crate::controller) last_alive: Timestamp,
}

/// Reads the store, at the beginning of a term of leadership. What cannot be read counts as forgotten, as Kubernetes forgets it
/// in every restart; a warning and an Event say so.
pub async fn begin(store: Arc<MemoryStore>, circumstances: Circumstances) -> Beginning {
    let now = circumstances.clock.now();
    let (former, word) = match &*circumstances.leadership.borrow() {
        Leadership::Leading { former, word, .. } => (former.clone(), word.clone()),
        Leadership::Following { .. } => (None, LastWord::default()),
    };
    let term = word.term();
    // Where nobody knows when the former leader ended, it may have been just now.
    let last_alive = former.as_ref().map_or(now, |former| {
        let by_our_clock = former.renewed.saturating_add(former.ahead);
        by_our_clock.unwrap_or(now).min(now)
    });
    let found = read(&store).await;
    let was_read = found.is_ok();
    let found = match found {
        Ok(found) => {
            if found.is_empty() && former.is_some() {
                let message = "the former leader left no memory: windows and policies begin anew";
                warn!("{message}");
                event(&store, &circumstances, "NoStoredMemory", 0, message);
            }
            found
        }
        Err(error) => {
            warn!(
                error = &error as &dyn std::error::Error,
                "Memory not read: windows and policies begin anew"
            );
            let message = format!("memory could not be read: {}", error.message());
            event(&store, &circumstances, "FailedReadMemory", 0, &message);
            Vec::new()
        }
    };
    let (mut versions, mut parts) = (Vec::new(), Vec::new());
    for FoundPart {
        number,
        version,
        stamp,
        content,
    } in found
    {
        if versions.len() <= number {
            versions.resize(number + 1, None);
        }
        versions[number] = Some(version);
        match content {
            Ok(mut part) => {
                // What is stored has the times of its writer's clock.
                let ahead = ahead_of(&part, stamp, former.as_ref());
                let milliseconds = i64::try_from(ahead.as_millis()).unwrap_or_default();
                if milliseconds != 0 {
                    warn!(
                        milliseconds,
                        former = part.writer,
                        "This machine's clock is ahead of the former leader's: what that one remembered is moved with it"
                    );
                    part.saved_at = shifted(part.saved_at, milliseconds);
                    part.records.iter_mut().for_each(|record| record.shift(milliseconds));
                }
                parts.push(Part { number, ..part });
            }
            Err(problem) => {
                let object = store.object(number);
                warn!(
                    config_map = object,
                    error = &problem as &dyn std::error::Error,
                    "Stored memory is unreadable: windows and policies begin anew"
                );
                let message = format!("stored memory is unreadable: {problem}");
                event(&store, &circumstances, "UnreadableMemory", number, &message);
            }
        }
    }
    let said = former.as_ref().and_then(|former| former.word.as_deref());
    let lacking = |number: usize, key: &Key| {
        let version = versions.get(number).and_then(Option::as_deref);
        lacks(said, number, version, key)
    };
    let records = recollect(parts, lacking, last_alive, now);
    info!(autoscalers = records.len(), "Memory is read");
    // A power of two, as it was made by doubling.
    versions.resize(versions.len().next_power_of_two(), None);
    let keeper = Keeper {
        store,
        circumstances,
        was_read,
        word,
        term,
        state: Arc::new(Mutex::new(State {
            parts: Parts::new(versions, was_read, Instant::now()),
            waiting: Vec::new(),
            trouble: None,
        })),
        wake: Notify::new(),
    };
    Beginning {
        keeper,
        records,
        last_alive,
    }
}

/// By how much our clock is ahead of the one by which a part was stored; nothing where they agree, and where nobody knows.
///
/// Where the API server says when it took the part, that tells: whoever stored it, however long ago, and also where its clock was
/// set after it had renewed the Lease for the last time.
fn ahead_of(part: &Part, stamp: Option<Timestamp>, former: Option<&Former>) -> SignedDuration {
    match (former, stamp) {
        (
            Some(Former {
                ahead_of_server: Some(ours),
                ..
            }),
            Some(stamp),
        ) => apart(*ours, part.saved_at.duration_since(stamp)),
        (Some(former), _) if part.writer == *former.identity => former.ahead,
        _ => SignedDuration::ZERO,
    }
}

async fn read(store: &MemoryStore) -> Result<Vec<FoundPart>, WireError> {
    let mut tries = 1;
    loop {
        match store.list().await {
            Err(error) if tries < TRIES && error.failure() != WireFailure::Forbidden => {}
            outcome => return outcome,
        }
        tries += 1;
        sleep(BETWEEN_TRIES).await;
    }
}
