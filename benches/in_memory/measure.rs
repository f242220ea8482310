//! Times and allocations.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::cases::{Case, Named};

/// How long a case is run for its time.
const TIME: Duration = Duration::from_millis(200);
/// The fewest runs.
const RUNS: usize = 5;
/// The most runs: a median needs no more.
const MOST_RUNS: usize = 20_000;

/// What one run of a case takes.
pub struct Measured {
    /// The median.
    pub time: Duration,
    /// By the thread that runs the case.
    pub allocations: u64,
    /// Where they were counted.
    pub instructions: Option<u64>,
}

/// Measures a case without valgrind.
pub fn natively(named: &Named) -> Measured {
    let mut case = (named.make)();
    prepared(&mut *case);
    case.prepare();
    let allocations = allocation_counter::measure(|| once(&mut *case)).count_total;
    let (mut times, mut spent) = (Vec::new(), Duration::ZERO);
    while times.len() < RUNS || spent < TIME && times.len() < MOST_RUNS {
        case.prepare();
        let time = timed(&mut *case);
        spent += time;
        times.push(time);
    }
    times.sort();
    Measured {
        time: times[times.len() / 2],
        allocations,
        instructions: None,
    }
}

/// Runs a case once, so that what is made once is made.
pub fn prepared(case: &mut dyn Case) {
    case.prepare();
    once(case);
}

#[expect(
    clippy::disallowed_methods,
    reason = "no virtual time here: what is measured is real"
)]
fn timed(case: &mut dyn Case) -> Duration {
    let began = Instant::now();
    once(case);
    began.elapsed()
}

fn once(case: &mut dyn Case) {
    case.run();
    // Nothing may be called last: callgrind would not see the end of a function that jumps on.
    black_box(());
}
