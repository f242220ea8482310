//! Virtual time beside real time: so many times as fast.

use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

/// The real time of one step: short enough to look like a flow, and to answer at once.
const STEP: Duration = Duration::from_millis(50);

/// Holds tokio's paused clock back, so that it goes `speed` times as fast as real time.
///
/// A paused clock jumps to the next timer whenever nobody has anything to do. In each step so much virtual time passes, in
/// such jumps, as should; for what is left of the step's real time it stands still, while sockets and signals are
/// answered. So each timer still fires at its very time, however fast it all goes.
pub struct Pace {
    speed: f64,
    /// The real time at which the next step ends.
    ends: std::time::Instant,
}

impl Pace {
    /// From now on so many times as fast as real time; above 0.
    pub fn new(speed: f64) -> Self {
        Self {
            speed,
            ends: real_now() + STEP,
        }
    }

    /// Waits for one step; gives the real time that it took at least.
    pub async fn step(&mut self) -> Duration {
        let virtual_end = Instant::now() + STEP.mul_f64(self.speed);
        sleep(virtual_end.saturating_duration_since(Instant::now())).await;
        let left = self.ends.saturating_duration_since(real_now());
        if left.is_zero() {
            // Too fast for this machine: late steps are not made up for.
            self.ends = real_now();
        } else {
            stand_still(left).await;
        }
        self.ends += STEP;
        STEP
    }
}

/// While a blocking task runs, tokio's paused clock does not jump.
#[allow(clippy::disallowed_methods, reason = "it is real time that is to pass here")]
async fn stand_still(time: Duration) {
    // It cannot fail but at the runtime's end, when nobody waits for it.
    let _ = spawn_blocking(move || std::thread::sleep(time)).await;
}

#[allow(clippy::disallowed_methods, reason = "tokio's clock is the virtual one here")]
fn real_now() -> std::time::Instant {
    std::time::Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn virtual_time_passes_so_many_times_as_fast_and_in_its_own_steps() {
        let (began, really) = (Instant::now(), real_now());
        let ticks = tokio::spawn(async {
            let mut ticks = Vec::new();
            for _ in 0..20 {
                sleep(Duration::from_secs(1)).await;
                ticks.push(Instant::now());
            }
            ticks
        });
        let mut pace = Pace::new(100.0);
        for _ in 0..4 {
            pace.step().await;
        }
        assert_eq!(began.elapsed(), STEP.mul_f64(400.0));
        assert!(real_now() - really >= STEP * 3, "it did not wait");
        let ticks = ticks.await.unwrap();
        assert!(ticks.windows(2).all(|pair| pair[1] - pair[0] == Duration::from_secs(1)));
    }
}
