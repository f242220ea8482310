//! When passes begin: once a sync period, and just after a metric source's values change where that has a phase. Pure.

use std::time::Duration;

use super::phase::{Phase, Read};

/// How much later than a sync period after the one before a pass may begin, to wait for values that are about to come.
/// With the time that the loop may take to come round this stays below half a second.
const LONGEST_WAIT: Duration = Duration::from_millis(400);
/// The same as a part of the sync period, for short ones.
const PARTS_OF_PERIOD: u32 = 36;

/// Passes that come much too early because values came: so many at once, and one each two periods in the long run. This
/// bounds what a source without a steady rhythm can cost.
const EARLY_PASSES: f64 = 3.0;
const PERIODS_PER_EARLY_PASS: f64 = 2.0;

/// When passes begin. No two are further apart than the sync period and [`LONGEST_WAIT`].
#[derive(Debug)]
pub struct Rhythm {
    period: Duration,
    /// When the next pass begins, at the latest.
    next: Duration,
    last: Option<Duration>,
    /// New values have brought the next pass forward to now.
    forward: bool,
    phase: Phase,
    early: f64,
    early_filled: Duration,
}

impl Rhythm {
    /// The first pass is due at once. A period of zero counts as a millisecond.
    pub fn new(period: Duration) -> Self {
        Self {
            period: period.max(Duration::from_millis(1)),
            next: Duration::ZERO,
            last: None,
            forward: false,
            phase: Phase::default(),
            early: EARLY_PASSES,
            early_filled: Duration::ZERO,
        }
    }

    /// When the next pass begins, as far as is known; new values may bring it forward.
    pub fn next_pass(&self) -> Duration {
        self.next
    }

    /// The same where a pass that was brought forward is in the way of the one before.
    pub fn next_pass_unhurried(&self) -> Duration {
        match self.last {
            Some(last) if self.forward => last + self.period + self.wait(),
            _ => self.next,
        }
    }

    /// When the source is to be probed; see [`Self::read`].
    pub fn next_probe(&self) -> Option<Duration> {
        self.phase.next_probe()
    }

    /// A pass begins. Gives how late it is.
    pub fn pass_began(&mut self, now: Duration) -> Duration {
        let late = now.saturating_sub(self.next);
        // What a long delay skipped is not made up for, and the grid stays where it was.
        let skipped = u32::try_from(late.as_nanos() / self.period.as_nanos()).unwrap_or(u32::MAX);
        let grid = match now >= self.next {
            true => self.next + self.period.saturating_mul(skipped.saturating_add(1)),
            false => now + self.period,
        };
        self.last = Some(now);
        self.plan(now, now, grid);
        late
    }

    /// Takes in what a probe, or a pass, has read of the source. `busy`: syncs are still running.
    pub fn read(&mut self, read: Read, probe: bool, busy: bool) {
        let now = read.answered;
        let grid = self.next;
        if self.phase.read(read, probe) && self.may_begin(now, busy) {
            self.next = self.next.min(now);
            self.forward = true;
        } else if self.next > now {
            self.plan(self.last.unwrap_or(now), now, grid);
        }
    }

    /// A probe got no answer.
    pub fn probe_failed(&mut self, asked: Duration) {
        self.phase.probe_failed(asked);
    }

    /// Other pods are probed from now on.
    pub fn forget_shown(&mut self) {
        self.phase.forget_shown();
    }

    /// Whether a pass may begin now because values came: it is about time, or there is room for an early one, which is in
    /// nobody's way. While the phase is learnt one is needed, as no pass may come later than its time.
    fn may_begin(&mut self, now: Duration, busy: bool) -> bool {
        let since = self.last.map_or(Duration::MAX, |last| now.saturating_sub(last));
        if since >= self.least() {
            return true;
        }
        if busy {
            return false;
        }
        let filled = now.saturating_sub(self.early_filled).as_secs_f64();
        let per_second = 1.0 / (PERIODS_PER_EARLY_PASS * self.period.as_secs_f64());
        self.early = (self.early + filled * per_second).min(EARLY_PASSES);
        self.early_filled = now;
        let room = self.early >= 1.0;
        if room {
            self.early -= 1.0;
        }
        room
    }

    /// Sets when the pass after the one at `last` begins; `grid`: when it would without a phase.
    fn plan(&mut self, last: Duration, now: Duration, grid: Duration) {
        let latest = last + self.period + self.wait();
        self.forward = false;
        self.next = if self.phase.is_near(now) {
            latest
        } else {
            match self.aim(last, now) {
                Aim::None => grid.min(latest),
                Aim::At(change) => {
                    self.phase.watch(change);
                    let gap = change.saturating_sub(last);
                    if gap <= self.period + self.regular() {
                        latest
                    } else {
                        last + gap / self.passes_in(gap)
                    }
                }
                Aim::Later => latest,
                Aim::Unfit(next) => {
                    if self.phase.is_sure() {
                        self.phase.give_up(now);
                    } else {
                        self.phase.watch(next);
                    }
                    grid.min(latest)
                }
            }
        };
    }

    /// The change that a pass is to follow.
    fn aim(&self, last: Duration, now: Duration) -> Aim {
        let Some((every, next)) = self.phase.expects(now) else {
            return Aim::None;
        };
        let last_of_period = last + self.period + self.regular();
        if next <= last_of_period {
            // The last one that does not come too late.
            let more = (last_of_period - next).as_nanos() / every.as_nanos().max(1);
            let change = next + every.saturating_mul(u32::try_from(more).unwrap_or(u32::MAX));
            if change.saturating_sub(last) >= self.least() {
                return Aim::At(change);
            }
        }
        let beyond = if next <= last_of_period { next + every } else { next };
        let gap = beyond.saturating_sub(last);
        if gap / self.passes_in(gap) >= self.least() {
            return Aim::At(beyond);
        }
        if every <= self.period + self.regular() && every >= self.least() {
            // A pass just before each change: it moves behind it step by step.
            return Aim::Later;
        }
        Aim::Unfit(next)
    }

    /// How many passes it takes not to be late within this time.
    fn passes_in(&self, gap: Duration) -> u32 {
        let most = (self.period + self.regular()).as_nanos();
        u32::try_from(gap.as_nanos().div_ceil(most)).unwrap_or(u32::MAX).max(1)
    }

    fn wait(&self) -> Duration {
        LONGEST_WAIT.min(self.period / PARTS_OF_PERIOD)
    }

    /// How much slower than the sync period a source may be to be followed; the rest is for what is irregular in it.
    fn regular(&self) -> Duration {
        self.wait() * 3 / 4
    }

    /// Passes closer together than this would be more than two thirds more.
    fn least(&self) -> Duration {
        self.period * 3 / 5
    }
}

enum Aim {
    /// No phase is known.
    None,
    At(Duration),
    Later,
    /// No rhythm near the sync period fits; the next change is expected at this time.
    Unfit(Duration),
}

#[cfg(test)]
mod tests;
