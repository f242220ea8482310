//! Rest for a source that fails again and again. Pure: takes `now`.

use std::time::Duration;

use tokio::time::Instant;

/// When a source is left alone, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// So many failures in a row open the breaker; at least 1.
    pub failures: u32,
    /// The first rest; each further one in a row is twice as long.
    pub first_rest: Duration,
    /// The longest rest. Its length is the longest time by which a source that is well again may be noticed late.
    pub longest_rest: Duration,
}

impl BreakerSettings {
    /// For a source that is asked in passes, one each `period`: after 5 failures, rests from 1 s up to three quarters of a period.
    ///
    /// So each pass asks at least once, and a source that is well again is noticed by the next pass, as in Kubernetes;
    /// what is spared are the other questions of a pass, each of which would wait for its time-out.
    pub fn for_passes(period: Duration) -> Self {
        let longest_rest = period.mul_f64(0.75);
        Self {
            failures: 5,
            first_rest: longest_rest.min(Duration::from_secs(1)),
            longest_rest,
        }
    }
}

impl Default for BreakerSettings {
    /// For the usual 15 s between passes.
    fn default() -> Self {
        Self::for_passes(Duration::from_secs(15))
    }
}

/// Whether a question may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Ask.
    Ask,
    /// Ask: it is the one trial after a rest, on which the others wait.
    Trial,
    /// The trial is under way: wait for its end and come again.
    Wait,
    /// Do not ask.
    Rest,
}

/// A circuit breaker: closed while the source answers, open after failures in a row, then one trial.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    seed: u64,
    state: State,
    /// Rests since the last success.
    rests: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    Trying,
}

impl Breaker {
    /// A closed breaker. `seed` varies the rests by up to a quarter, so that many processes do not come back at once.
    pub fn new(settings: BreakerSettings, seed: u64) -> Self {
        Self {
            settings,
            seed,
            state: State::Closed { failures: 0 },
            rests: 0,
        }
    }

    /// Whether to ask now. After [`Admission::Trial`] the caller owes an outcome or [`Breaker::abandoned`].
    pub fn admit(&mut self, now: Instant) -> Admission {
        match self.state {
            State::Closed { .. } => Admission::Ask,
            State::Trying => Admission::Wait,
            State::Open { until } if now < until => Admission::Rest,
            State::Open { .. } => {
                self.state = State::Trying;
                Admission::Trial
            }
        }
    }

    /// The source answered.
    pub fn answered(&mut self) {
        // An old question that is answered late is as good a sign as the trial.
        self.state = State::Closed { failures: 0 };
        self.rests = 0;
    }

    /// The source failed at `now` a question that was asked at `asked`.
    ///
    /// A long rest counts from the question: one that hung for most of a period is to be asked again in the next pass.
    pub fn failed(&mut self, asked: Instant, now: Instant) {
        match self.state {
            State::Closed { failures } if failures + 1 < self.settings.failures => {
                self.state = State::Closed { failures: failures + 1 };
            }
            State::Closed { .. } | State::Trying => {
                let short = now + self.settings.first_rest.mul_f64(0.75);
                let until = (now + self.rest()).min(asked + self.settings.longest_rest);
                self.state = State::Open {
                    until: until.max(short),
                };
                self.rests = self.rests.saturating_add(1);
            }
            State::Open { .. } => {}
        }
    }

    /// The trial was given up without an outcome: another one may try at once.
    pub fn abandoned(&mut self, now: Instant) {
        if self.state == State::Trying {
            self.state = State::Open { until: now };
        }
    }

    /// Whether questions are refused or tried at the moment.
    pub fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed { .. })
    }

    fn rest(&self) -> Duration {
        let doubled = self
            .settings
            .first_rest
            .saturating_mul(1_u32.checked_shl(self.rests).unwrap_or(u32::MAX));
        let rest = doubled.min(self.settings.longest_rest);
        // From three quarters of it to the whole.
        let share = splitmix(self.seed.wrapping_add(u64::from(self.rests))) >> 40;
        rest.mul_f64(0.75 + 0.25 * (share as f64 / (1_u64 << 24) as f64))
    }
}

/// SplitMix64's output function: stable for ever, good enough to spread.
fn splitmix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// A breaker that just opened for the first time, and when.
    fn opened() -> (Breaker, Instant) {
        let mut breaker = Breaker::new(BreakerSettings::default(), 7);
        let now = Instant::now();
        for _ in 0..5 {
            assert_eq!(breaker.admit(now), Admission::Ask);
            breaker.failed(now, now);
        }
        (breaker, now)
    }

    #[test]
    fn failures_in_a_row_open_it() {
        let (mut breaker, now) = opened();
        assert_eq!(breaker.admit(now), Admission::Rest);
        assert_eq!(breaker.admit(now + Duration::from_millis(700)), Admission::Rest);
    }

    #[test]
    fn an_answer_in_between_starts_the_count_again() {
        let mut breaker = Breaker::new(BreakerSettings::default(), 7);
        let now = Instant::now();
        for _ in 0..10 {
            (0..4).for_each(|_| breaker.failed(now, now));
            breaker.answered();
        }
        assert_eq!(breaker.admit(now), Admission::Ask);
    }

    #[test]
    fn after_the_rest_one_tries_and_the_others_wait() {
        let (mut breaker, now) = opened();
        assert_eq!(breaker.admit(now + seconds(1)), Admission::Trial);
        assert_eq!(breaker.admit(now + seconds(1)), Admission::Wait);
        breaker.answered();
        assert_eq!(breaker.admit(now + seconds(1)), Admission::Ask);
    }

    #[test]
    fn rests_double_up_to_the_longest_with_some_jitter() {
        let (mut breaker, mut now) = opened();
        let mut rests = Vec::new();
        for _ in 0..40 {
            let State::Open { until } = breaker.state else { panic!() };
            rests.push((until - now).as_secs_f64());
            now = until;
            assert_eq!(breaker.admit(now), Admission::Trial);
            breaker.failed(now, now);
        }
        for (rest, whole) in rests
            .iter()
            .zip([1.0, 2.0, 4.0, 8.0].into_iter().chain(std::iter::repeat(11.25)))
        {
            assert!((whole * 0.75..=whole).contains(rest), "{rest} of {whole}");
        }
        assert!(rests[10..].windows(2).any(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn a_question_that_hung_is_tried_again_a_period_after_it_was_asked() {
        let (mut breaker, mut asked) = opened();
        for _ in 0..20 {
            asked += seconds(15);
            assert_eq!(breaker.admit(asked), Admission::Trial);
            breaker.failed(asked, asked + seconds(10));
            assert_eq!(breaker.admit(asked + seconds(10)), Admission::Rest);
        }
    }

    #[test]
    fn a_trial_that_is_given_up_leaves_room_for_another() {
        let (mut breaker, now) = opened();
        assert_eq!(breaker.admit(now + seconds(1)), Admission::Trial);
        breaker.abandoned(now + seconds(1));
        assert_eq!(breaker.admit(now + seconds(1)), Admission::Trial);
    }
}
