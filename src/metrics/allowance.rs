//! What the answers of one pass may be together: many answers can be too much where each is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// So much may still come in this pass.
#[derive(Clone, Debug)]
pub(super) struct Allowance(Arc<AtomicUsize>);

impl Allowance {
    pub(super) fn new(amount: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(amount)))
    }

    pub(super) fn left(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes `amount`, or all that is left; whether it was that much.
    pub(super) fn spend(&self, amount: usize) -> bool {
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            Some(left.saturating_sub(amount))
        });
        before.is_ok_and(|left| left >= amount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_is_gone() {
        let allowance = Allowance::new(10);
        assert!(allowance.spend(4) && allowance.clone().spend(6));
        assert_eq!(allowance.left(), 0);
        let short = Allowance::new(3);
        assert!(!short.spend(4));
        assert_eq!(short.left(), 0);
    }
}
