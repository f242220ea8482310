//! Scales are written before statuses: a count is what someone waits for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

/// The longest that a status waits for scales: longer than a thousand of them take on an API server that is well.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How many scales are to be written, in all syncs together.
#[derive(Debug, Default)]
pub(super) struct Precedence {
    scales: AtomicUsize,
    none_left: Notify,
}

/// A scale that is to be written, until this is dropped.
#[derive(Debug)]
pub(super) struct Scaling<'a>(&'a Precedence);

impl Precedence {
    /// A decision has come to another count.
    pub(super) fn scaling(&self) -> Scaling<'_> {
        self.scales.fetch_add(1, Ordering::Relaxed);
        Scaling(self)
    }

    /// Waits until no scale is left to be written, but not for long.
    pub(super) async fn scales_written(&self) {
        let none_left = async {
            let mut told = std::pin::pin!(self.none_left.notified());
            // Before the look at the count, so that its end in between is not missed.
            told.as_mut().enable();
            if self.scales.load(Ordering::Relaxed) > 0 {
                told.await;
            }
        };
        let _ = timeout(LONGEST_WAIT, none_left).await;
    }
}

impl Drop for Scaling<'_> {
    fn drop(&mut self) {
        if self.0.scales.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none_left.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_status_waits_for_the_last_scale() {
        let precedence = Precedence::default();
        let start = Instant::now();
        let scale = |seconds| {
            let scaling = precedence.scaling();
            async move {
                sleep(Duration::from_secs(seconds)).await;
                drop(scaling);
            }
        };
        let waited = async {
            precedence.scales_written().await;
            start.elapsed()
        };
        let (waited, ..) = tokio::join!(waited, scale(1), scale(3));
        assert_eq!(waited.as_secs(), 3);
        precedence.scales_written().await;
        assert_eq!(start.elapsed().as_secs(), 3, "there are none to wait for");
    }

    #[tokio::test(start_paused = true)]
    async fn but_not_for_ever() {
        let precedence = Precedence::default();
        let start = Instant::now();
        let _scaling = precedence.scaling();
        precedence.scales_written().await;
        assert_eq!(start.elapsed(), LONGEST_WAIT);
    }
}
