//! How long to wait before the next try.

use std::time::Duration;

/// The first wait, before any doubling.
const FIRST: Duration = Duration::from_millis(250);

/// The longest wait: an API server that was restarted is found again within it.
const LONGEST: Duration = Duration::from_secs(15);

/// The longest that a server may ask us to wait (`Retry-After`).
const LONGEST_ASKED: Duration = Duration::from_secs(60);

/// Waits that double, each shortened by a random part of up to half, so that a thousand clients do not return at once.
///
/// The random part comes from a seed and not from the system: a simulation repeats itself.
pub(super) struct Backoff {
    next: Duration,
    state: u64,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            next: FIRST,
            state: seed,
        }
    }

    /// The next wait; at least what the server asked for.
    pub(super) fn wait(&mut self, asked: Option<Duration>) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(LONGEST);
        let wait = whole - whole.mul_f64(self.random() / 2.0);
        wait.max(asked.unwrap_or_default().min(LONGEST_ASKED))
    }

    /// Starts from the shortest wait again, after a success.
    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }

    /// A number from 0 up to but not including 1, by SplitMix64.
    pub(super) fn random(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        // 53 bits are what a float holds exactly.
        (z >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_start_again_after_a_success() {
        let mut backoff = Backoff::new(1);
        let waits: Vec<_> = (0..20).map(|_| backoff.wait(None)).collect();
        for (n, wait) in waits.iter().enumerate() {
            let whole = FIRST.saturating_mul(1 << n.min(16)).min(LONGEST);
            assert!((whole / 2..=whole).contains(wait), "{n}: {wait:?}");
        }
        backoff.reset();
        assert!(backoff.wait(None) <= FIRST);
    }

    #[test]
    fn a_server_may_ask_for_more_but_not_for_ever() {
        let mut backoff = Backoff::new(1);
        assert_eq!(backoff.wait(Some(Duration::from_secs(7))), Duration::from_secs(7));
        assert_eq!(backoff.wait(Some(Duration::from_secs(7_000))), LONGEST_ASKED);
    }
}
