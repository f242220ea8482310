//! How much work a workload has, over time.

pub mod trace;

use std::f64::consts::TAU;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::random::Random;
use trace::Trace;

/// A load over time: so many units at each moment, of whatever is meant: milli-CPUs, requests a second. Never below 0.
///
/// Times count from the beginning of the simulation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Load {
    /// Always the same.
    Steady(f64),
    /// Each value from its time on; 0 before the first. After `every`, from the first again.
    Steps {
        /// Times, in their order, and values.
        steps: Vec<(Duration, f64)>,
        /// The length of one round; `None`: the last value stays.
        every: Option<Duration>,
    },
    /// A straight line from one value to another; before and after it, these.
    Ramp {
        /// When it begins.
        begins: Duration,
        /// How long it takes.
        takes: Duration,
        /// The value before.
        from: f64,
        /// The value after.
        to: f64,
    },
    /// Up and down as a day goes.
    Wave {
        /// The least.
        low: f64,
        /// The most.
        high: f64,
        /// From one crest to the next.
        period: Duration,
        /// When the first crest is.
        crest: Duration,
    },
    /// A base, and on it steep peaks that fade.
    Spikes {
        /// Between peaks.
        base: f64,
        /// What a peak adds at its top.
        peak: f64,
        /// When the first one is.
        first: Duration,
        /// From one to the next.
        every: Duration,
        /// After this, half of a peak is left.
        half_life: Duration,
    },
    /// Wanders between bounds as a random walk does: slow large moves, and quick small ones on them.
    Walk {
        /// Another one for each seed.
        seed: u64,
        /// The least.
        low: f64,
        /// The most.
        high: f64,
        /// The time of its largest moves.
        pace: Duration,
    },
    /// What was recorded somewhere.
    Trace(Trace),
    /// Another load up to a time; from then on it stays as it was at that time.
    Until(Duration, Box<Load>),
    /// All of these together.
    Sum(Vec<Load>),
}

/// Moves of a walk: each half as large, and twice as quick, as those before.
const OCTAVES: u32 = 4;

impl Load {
    /// The load at a time.
    pub fn at(&self, time: Duration) -> f64 {
        self.unbounded(time).max(0.0)
    }

    /// Parts of a sum may take away.
    fn unbounded(&self, time: Duration) -> f64 {
        match self {
            Self::Steady(load) => *load,
            Self::Steps { steps, every } => {
                let time = every.map_or(time, |every| into_round(time, every));
                let last = steps.iter().rev().find(|(from, _)| *from <= time);
                last.map_or(0.0, |(_, load)| *load)
            }
            Self::Ramp {
                begins,
                takes,
                from,
                to,
            } => {
                let done = ratio(time.saturating_sub(*begins), *takes).min(1.0);
                from + (to - from) * done
            }
            Self::Wave {
                low,
                high,
                period,
                crest,
            } => {
                let turn = ratio(time, *period) - ratio(*crest, *period);
                let height = (1.0 + (TAU * turn).cos()) / 2.0;
                low + (high - low) * height
            }
            Self::Spikes {
                base,
                peak,
                first,
                every,
                half_life,
            } => match time.checked_sub(*first) {
                None => *base,
                Some(since) => {
                    let since = into_round(since, *every);
                    base + peak * 0.5f64.powf(ratio(since, *half_life))
                }
            },
            Self::Walk { seed, low, high, pace } => low + (high - low) * walk(*seed, ratio(time, *pace)),
            Self::Trace(trace) => trace.at(time),
            Self::Until(end, load) => load.unbounded(time.min(*end)),
            Self::Sum(loads) => loads.iter().map(|load| load.unbounded(time)).sum(),
        }
    }
}

/// 0 where there is nothing to divide by.
fn ratio(time: Duration, by: Duration) -> f64 {
    if by.is_zero() {
        0.0
    } else {
        time.as_secs_f64() / by.as_secs_f64()
    }
}

fn into_round(time: Duration, round: Duration) -> Duration {
    if round.is_zero() {
        return time;
    }
    Duration::from_secs_f64(time.as_secs_f64() % round.as_secs_f64())
}

/// From 0 to 1.
fn walk(seed: u64, at: f64) -> f64 {
    let (mut sum, mut weights) = (0.0, 0.0);
    for octave in 0..OCTAVES {
        let (weight, at) = (0.5f64.powi(octave as i32), at * 2.0f64.powi(octave as i32));
        let point = |n: f64| Random::new(seed ^ (u64::from(octave) << 56) ^ (n as u64)).unit();
        let (before, part) = (at.floor(), at.fract());
        // A cosine for a straight line: without corners.
        let part = (1.0 - (part * TAU / 2.0).cos()) / 2.0;
        sum += weight * (point(before) + (point(before + 1.0) - point(before)) * part);
        weights += weight;
    }
    sum / weights
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(minutes * 60)
    }

    #[test]
    fn each_model_goes_as_it_says() {
        let steps = |every| Load::Steps {
            steps: vec![(minutes(1), 10.0), (minutes(3), 30.0)],
            every,
        };
        let ramp = Load::Ramp {
            begins: minutes(1),
            takes: minutes(2),
            from: 1.0,
            to: 5.0,
        };
        let wave = Load::Wave {
            low: 10.0,
            high: 30.0,
            period: minutes(60),
            crest: minutes(15),
        };
        let spikes = Load::Spikes {
            base: 5.0,
            peak: 80.0,
            first: minutes(10),
            every: minutes(60),
            half_life: minutes(2),
        };
        let trace = Load::Trace(Trace::even(minutes(1), &[0.0, 10.0]));
        for (load, times) in [
            (Load::Steady(3.0), [(0, 3.0), (99, 3.0)]),
            (steps(None), [(0, 0.0), (9, 30.0)]),
            (steps(Some(minutes(5))), [(5, 0.0), (6, 10.0)]),
            (ramp, [(2, 3.0), (60, 5.0)]),
            (wave.clone(), [(15, 30.0), (45, 10.0)]),
            (spikes, [(9, 5.0), (74, 25.0)]),
            (trace, [(1, 10.0), (2, 0.0)]),
            (
                Load::Until(minutes(15), Box::new(wave.clone())),
                [(15, 30.0), (45, 30.0)],
            ),
            (Load::Sum(vec![wave, Load::Steady(-100.0)]), [(15, 0.0), (45, 0.0)]),
        ] {
            for (at, expected) in times {
                let found = load.at(minutes(at));
                assert!((found - expected).abs() < 1e-6, "{load:?} at {at} min: {found}");
            }
        }
    }

    #[test]
    fn a_walk_wanders_without_jumps_and_stays_within_its_bounds() {
        let walk = Load::Walk {
            seed: 3,
            low: 10.0,
            high: 20.0,
            pace: minutes(10),
        };
        let values: Vec<f64> = (0..3600).map(|at| walk.at(Duration::from_secs(at))).collect();
        assert!(values.iter().all(|value| (10.0..=20.0).contains(value)));
        assert!(values.windows(2).all(|pair| (pair[0] - pair[1]).abs() < 0.2));
        let (least, most) = values
            .iter()
            .fold((f64::MAX, f64::MIN), |(l, m), v| (l.min(*v), m.max(*v)));
        assert!(most - least > 2.0, "{least} to {most}");
    }
}
