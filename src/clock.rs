//! The wall clock, behind a trait: the only file that reads it. Everything else is told what time it is.

use jiff::Timestamp;

/// Tells the time. The simulator has one of its own.
pub trait Clock: Send + Sync {
    /// The time now. May step backwards, as wall clocks do.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the one file that may")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
