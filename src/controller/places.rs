//! Places for scale writes: few at a time, and those whose sync began first come first.
//!
//! Syncs of a pass begin in the order of who waited longest, but run beside one another, and what they wait for ends for all of
//! them at once: a plain semaphore would serve them as they happen to come.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// So many places, handed out by turn.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    free: usize,
    /// Who waits, by turn; no more than there are autoscalers.
    waiting: BTreeMap<u64, oneshot::Sender<Place>>,
}

/// A place, until this is dropped.
#[derive(Debug)]
pub(super) struct Place(Option<Places>);

impl Places {
    /// At least one.
    pub(super) fn new(count: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            free: count.max(1),
            waiting: BTreeMap::new(),
        })))
    }

    /// Waits for a place. A lower `turn` comes first; no two that wait have the same.
    pub(super) async fn take(&self, turn: u64) -> Place {
        let given = {
            let mut state = self.0.lock();
            // Where one is free, nobody waits.
            if state.free > 0 {
                state.free -= 1;
                return Place(Some(self.clone()));
            }
            let (sender, given) = oneshot::channel();
            state.waiting.insert(turn, sender);
            given
        };
        // Its sender is dropped only where another one took the same turn: then we go without a place.
        given.await.unwrap_or(Place(None))
    }

    fn give_back(&self) {
        loop {
            let next = {
                let mut state = self.0.lock();
                let next = state.waiting.pop_first();
                state.free += usize::from(next.is_none());
                next
            };
            let Some((_, waiting)) = next else { return };
            match waiting.send(Place(Some(self.clone()))) {
                Ok(()) => return,
                // Nobody waits there any more: the place goes to the next one.
                Err(mut place) => place.0 = None,
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(places) = self.0.take() {
            places.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn the_lowest_turn_comes_first_whoever_asked_first() {
        let places = Places::new(1);
        let first = places.take(9).await;
        let (mut late, mut early) = (Box::pin(places.take(8)), Box::pin(places.take(3)));
        assert!(late.as_mut().now_or_never().is_none());
        assert!(early.as_mut().now_or_never().is_none());
        drop(first);
        assert!(late.as_mut().now_or_never().is_none());
        let second = early.now_or_never().expect("its turn");
        drop(second);
        assert!(late.now_or_never().is_some());
    }

    #[tokio::test]
    async fn so_many_places_and_no_more() {
        let places = Places::new(2);
        let (first, _second) = (places.take(1).await, places.take(2).await);
        assert!(places.take(3).now_or_never().is_none());
        drop(first);
        let _third = places.take(4).now_or_never().expect("a free place");
        assert!(places.take(5).now_or_never().is_none());
    }

    #[tokio::test]
    async fn one_that_gave_up_takes_no_place_along() {
        let places = Places::new(1);
        let first = places.take(1).await;
        let mut gave_up = Box::pin(places.take(2));
        assert!(gave_up.as_mut().now_or_never().is_none());
        let mut given = Box::pin(places.take(3));
        assert!(given.as_mut().now_or_never().is_none());
        drop(gave_up);
        drop(first);
        // It was given its place, and is gone before it has seen it.
        drop(given);
        assert!(places.take(4).now_or_never().is_some());
    }
}
