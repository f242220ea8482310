//! A wall clock that nobody sets while it is looked at.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::clock::Clock;

/// A smaller difference between the machine's clock and the time that has passed is no step: clocks are read one after the
/// other, and are slewed.
const STEP: SignedDuration = SignedDuration::from_millis(500);

/// Shows what the machine's clock showed when it was taken over last, and the time that has passed since, which nobody can
/// set. So an administrator, or a time server, who sets the machine's clock ends no stabilization window early, and no
/// policy's period late: Go's times, in which Kubernetes remembers, carry a monotonic reading for that.
pub(super) struct Steady {
    clock: Arc<dyn Clock>,
    taken_over: Mutex<(Timestamp, Instant)>,
}

impl Steady {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let taken_over = Mutex::new((clock.now(), Instant::now()));
        Self { clock, taken_over }
    }

    /// What it shows.
    pub(super) fn now(&self) -> Timestamp {
        shown(*self.taken_over.lock(), Instant::now())
    }

    /// Takes over what the machine's clock shows; gives by how much it was set since the last time. Whatever was remembered
    /// by this clock is to be moved by that.
    pub(super) fn take_over(&self) -> Option<SignedDuration> {
        let mut taken_over = self.taken_over.lock();
        let now = Instant::now();
        let (shows, expected) = (self.clock.now(), shown(*taken_over, now));
        *taken_over = (shows, now);
        let step = shows.duration_since(expected);
        (step.abs() >= STEP).then_some(step)
    }
}

impl Clock for Steady {
    fn now(&self) -> Timestamp {
        self.now()
    }
}

fn shown((then, since): (Timestamp, Instant), now: Instant) -> Timestamp {
    let passed = SignedDuration::try_from(now.saturating_duration_since(since)).unwrap_or(SignedDuration::MAX);
    then.saturating_add(passed).unwrap_or(then)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    struct Machine(Mutex<Timestamp>);

    impl Clock for Machine {
        fn now(&self) -> Timestamp {
            *self.0.lock()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_goes_on_while_the_machines_clock_is_set_until_that_is_taken_over() {
        let at = |second: i64| Timestamp::from_second(1_767_600_000 + second).unwrap();
        let machine = Arc::new(Machine(Mutex::new(at(0))));
        let steady = Steady::new(machine.clone());
        tokio::time::sleep(Duration::from_secs(10)).await;
        *machine.0.lock() = at(3610);
        assert_eq!(steady.now(), at(10));
        assert_eq!(steady.take_over(), Some(SignedDuration::from_secs(3600)));
        assert_eq!(steady.now(), at(3610));
        tokio::time::sleep(Duration::from_secs(5)).await;
        *machine.0.lock() = at(3615);
        assert_eq!(steady.take_over(), None);
    }
}
