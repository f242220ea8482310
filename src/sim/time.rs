//! The wall clock of a simulated cluster: it follows tokio's clock, which a test or the demo stops and turns.

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::clock::Clock;

/// A wall clock that begins at a given time and goes as tokio's clock goes.
#[derive(Debug)]
pub struct VirtualClock {
    epoch: Timestamp,
    began: Instant,
    /// How far it was set forward or back since.
    set_by: Mutex<SignedDuration>,
}

impl VirtualClock {
    /// A clock that shows `epoch` now.
    pub fn new(epoch: Timestamp) -> Self {
        Self {
            epoch,
            began: Instant::now(),
            set_by: Mutex::default(),
        }
    }

    /// The clock of another machine, which shows what this one was made to show, wherever either was set since.
    pub fn of_another_machine(&self) -> Self {
        Self {
            epoch: self.epoch,
            began: self.began,
            set_by: Mutex::default(),
        }
    }

    /// Sets it forward, or back, as somebody does who corrects a machine's clock.
    pub fn set_by(&self, by: SignedDuration) {
        let mut set_by = self.set_by.lock();
        *set_by = set_by.saturating_add(by);
    }

    /// The time since it began, which nobody can set.
    pub fn elapsed(&self) -> std::time::Duration {
        self.began.elapsed()
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.began.elapsed()).unwrap_or(SignedDuration::MAX);
        let shown = elapsed.saturating_add(*self.set_by.lock());
        self.epoch.saturating_add(shown).unwrap_or(self.epoch)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_goes_with_virtual_time_and_can_be_set() {
        let clock = VirtualClock::new("2026-01-05T08:00:00Z".parse().unwrap());
        tokio::time::sleep(Duration::from_secs(90)).await;
        assert_eq!(clock.now().to_string(), "2026-01-05T08:01:30Z");
        clock.set_by(SignedDuration::from_secs(-30));
        assert_eq!(clock.now().to_string(), "2026-01-05T08:01:00Z");
        assert_eq!(clock.elapsed(), Duration::from_secs(90));
    }
}
