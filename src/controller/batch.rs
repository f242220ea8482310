//! Syncs that wait for the same answer, in one task.
//!
//! A task for each sync would be woken, and would keep all that the sync has seen so far, while the answer is on its way.
//! Here nothing is begun before the answer is there; then one sync runs after the other, each in the place of the one
//! before, and only those that have to wait once more (for a write) go on as tasks of their own.

use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::Poll;

use futures_util::FutureExt;
use futures_util::future::poll_fn;
use rustc_hash::FxHashMap;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::ReusableBoxFuture;
use tracing::error;

use super::Context;
use super::report::SyncReport;
use super::sync::{Begun, sync, time_for_metrics};
use crate::decide::asks_metrics;
use crate::metrics::sources::{MetricPass, SharedAnswer};
use crate::spec::Key;

/// Syncs in one batch: a millisecond or two of work, so that it is shared out over the cores, and nobody waits long for a thread.
const MOST: usize = 32;

/// Syncs that begin together.
#[derive(Debug)]
pub(super) struct Batch {
    /// Whose, those that waited longest first.
    pub(super) keys: Arc<[Key]>,
    /// The turn of each.
    turns: Vec<u64>,
    /// What they wait for; `None`: that is theirs to find out.
    answer: Option<SharedAnswer>,
}

/// A sync whose turn in its batch has come.
pub(super) enum Turn {
    /// It has ended; `None` where the autoscaler is gone, or the sync broke off.
    Ended(Option<SyncReport>),
    /// It waits for something else.
    GoesOn(Going),
}

/// A sync under way.
pub(super) type Going = ReusableBoxFuture<'static, Option<SyncReport>>;

/// Puts those that wait for the same answer together. The first has the turn `first`, each other one the next.
pub(super) fn batches(cx: &Context, answers: &MetricPass, due: Vec<Key>, first: u64) -> Vec<Batch> {
    let due = due.into_iter().zip(first..);
    let due = due.map(|(key, turn)| (awaited(cx, answers, &key), (key, turn)));
    let batch = |(answer, members): (_, Vec<(Key, u64)>)| {
        let (keys, turns): (Vec<Key>, Vec<u64>) = members.into_iter().unzip();
        Batch {
            keys: keys.into(),
            turns,
            answer,
        }
    };
    together(due).into_iter().map(batch).collect()
}

/// Those with the same answer, [`MOST`] at most, in the order in which the first of them comes; those without are alone.
fn together<A: Clone + Eq + Hash, M>(due: impl IntoIterator<Item = (Option<A>, M)>) -> Vec<(Option<A>, Vec<M>)> {
    let mut groups: Vec<(Option<A>, Vec<M>)> = Vec::new();
    let mut open: FxHashMap<A, usize> = FxHashMap::default();
    for (answer, member) in due {
        if let Some(answer) = &answer {
            if let Some((_, members)) = open.get(answer).map(|place| &mut groups[*place])
                && members.len() < MOST
            {
                members.push(member);
                continue;
            }
            open.insert(answer.clone(), groups.len());
        }
        groups.push((answer, vec![member]));
    }
    groups
}

/// The one answer that is all this autoscaler's sync will wait for, as far as can be told; it looks again when its turn comes.
fn awaited(cx: &Context, answers: &MetricPass, key: &Key) -> Option<SharedAnswer> {
    let autoscaler = cx.cluster.autoscalers.get(key)?;
    let spec = autoscaler.spec.as_ref().ok()?;
    let answer = answers.shared_answer(spec)?;
    let scale = cx.cluster.targets.known_scale(&key.namespace, &spec.scale_target)?;
    asks_metrics(spec, &autoscaler.status, &scale, &cx.settings.decide).then_some(answer)
}

impl Batch {
    /// Runs them: a turn for each key.
    pub(super) async fn run(self, cx: Arc<Context>, answers: Arc<MetricPass>) -> Vec<Turn> {
        let began = Instant::now();
        let syncs = self.keys.iter().zip(self.turns).map(|(key, turn)| {
            let begun = Begun { at: began, turn };
            caught(cx.clone(), answers.clone(), key.clone(), begun)
        });
        let Some(answer) = &self.answer else {
            let mut turns = Vec::with_capacity(self.keys.len());
            for sync in syncs {
                turns.push(Turn::Ended(sync.await));
            }
            return turns;
        };
        // What has no answer by then fails in each sync by itself.
        let _ = timeout_at(began + time_for_metrics(&cx.settings), answers.wait(answer)).await;
        // One after the other takes more from tokio's budget for a task than one sync may.
        unconstrained(one_by_one(syncs)).await
    }
}

async fn one_by_one(
    syncs: impl ExactSizeIterator<Item = impl Future<Output = Option<SyncReport>> + Send + 'static>,
) -> Vec<Turn> {
    let mut turns = Vec::with_capacity(syncs.len());
    let mut room: Option<Going> = None;
    for sync in syncs {
        let mut going = match room.take() {
            Some(mut room) => {
                room.set(sync);
                room
            }
            None => ReusableBoxFuture::new(sync),
        };
        let turn = match poll_fn(|waker| Poll::Ready(going.poll(waker))).await {
            Poll::Ready(report) => {
                room = Some(going);
                Turn::Ended(report)
            }
            // Whoever runs it on polls it at once, so that nothing is lost that wakes this task.
            Poll::Pending => Turn::GoesOn(going),
        };
        turns.push(turn);
    }
    turns
}

/// A sync that takes nobody with it where it panics.
async fn caught(cx: Arc<Context>, answers: Arc<MetricPass>, key: Key, begun: Begun) -> Option<SyncReport> {
    let outcome = AssertUnwindSafe(sync(&cx, &answers, &key, begun)).catch_unwind().await;
    outcome.unwrap_or_else(|_| {
        error!(hpa = %key, "A sync broke off");
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_wait_for_the_same_are_together_in_the_order_in_which_they_are_due() {
        let due = (0..MOST + 6).map(|n| {
            let answer = match n {
                1 | 4 => None,
                n if n % 2 == 0 => Some("even"),
                _ => Some("odd"),
            };
            (answer, Key::new("shop", n.to_string()))
        });
        let groups = together(due);
        let names = |keys: &[Key]| {
            keys.iter()
                .map(|key| key.name.parse::<usize>().unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!((groups[0].0, &names(&groups[0].1)[..3]), (Some("even"), &[0, 2, 6][..]));
        assert_eq!((groups[1].0, names(&groups[1].1)), (None, vec![1]));
        assert_eq!((groups[2].0, &names(&groups[2].1)[..3]), (Some("odd"), &[3, 5, 7][..]));
        assert_eq!((groups[3].0, names(&groups[3].1)), (None, vec![4]));
        assert_eq!(groups.len(), 4);
    }

    #[test]
    fn a_batch_is_not_longer_than_its_bound() {
        let due = (0..2 * MOST + 1).map(|n| (Some(()), Key::new("shop", n.to_string())));
        let lengths: Vec<usize> = together(due).iter().map(|(_, keys)| keys.len()).collect();
        assert_eq!(lengths, [MOST, MOST, 1]);
    }
}
