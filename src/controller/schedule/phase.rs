//! When a metric source's values change, as reads of it show. Pure: time comes as an argument, as the time since the
//! controller's start.
//!
//! The timestamps of samples say when something was measured, not from when on it could be read: a metrics server takes
//! seconds to collect. So they serve only to tell a newer answer from an older one. Of a change it is known between
//! which two reads it happened; small reads ("probes") around the expected instant keep the two close together.

use std::time::Duration;

use jiff::Timestamp;

/// Probes while nothing is known: the first ones half a second apart, for two changes of a resolution up to 15 s; then
/// slower, for two of up to a minute. A search that sees nothing ends after two minutes.
const SEARCH_STEP: Duration = Duration::from_millis(500);
const SEARCH_STEPS: u32 = 64;
const SLOW_SEARCH_STEP: Duration = Duration::from_secs(2);
const SEARCH_PROBES: u32 = SEARCH_STEPS + 46;

/// The least time between two probes around an expected change: what the phase is known to, at best.
const STEP: Duration = Duration::from_millis(100);
/// A window of probes begins so long before the expected change, at least: one probe that still sees the old values.
const LEAST_LEAD: Duration = Duration::from_millis(60);
/// And at most: a source that is less regular has no phase worth following.
const MOST_LEAD: Duration = Duration::from_secs(2);
/// Probes in a window, and those after it, half a second apart, for a change that is late.
const WINDOW_PROBES: u32 = 12;
const LATE_PROBES: u32 = 10;

/// Two reads further apart do not say when it happened.
const TIGHT: Duration = Duration::from_millis(2500);
/// A source that changes more often needs no phase.
const LEAST_PERIOD: Duration = Duration::from_secs(2);
/// So many expected changes in a row that do not come: it has another rhythm now.
const MISSES: u32 = 2;
/// After so many that did come their period is known well; and so many more, and the phase is no mere appearance.
const SURE: u32 = 3;
const PROOF: u32 = 8;
/// So many answers older than the one before: several servers answer in turn, each with a phase of its own.
const UNSTEADY: u32 = 3;

/// Rests between searches that came to nothing: doubled each time, from and up to these.
const REST: Duration = Duration::from_secs(60);
const LONGEST_REST: Duration = Duration::from_secs(3600);

/// What a read showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// When it was asked: what it shows was there then, or came later.
    pub asked: Duration,
    /// When it was answered.
    pub answered: Duration,
    /// The newest sample's time; `None` where there is none, or samples have no time.
    pub newest: Option<Timestamp>,
}

/// When a source's values change.
#[derive(Debug, Default)]
pub struct Phase {
    shown: Option<Shown>,
    state: State,
    /// The source does not answer probes: none until a pass has read it again.
    paused: bool,
    /// It has failed, or had no sample. When it is back it may be another one, with another phase.
    lost: bool,
    unsteady: u32,
    rest: Duration,
}

/// The newest sample known, and when it was last asked for and still the newest.
#[derive(Clone, Copy, Debug)]
struct Shown {
    newest: Timestamp,
    asked: Duration,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// No phase is looked for, until a change is seen after this.
    Plain {
        until: Duration,
    },
    Searching(Search),
    Locked(Lock),
}

impl Default for State {
    fn default() -> Self {
        Self::Plain { until: Duration::ZERO }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Search {
    /// When the next probe is due.
    next: Duration,
    probes: u32,
    /// The last change that was seen.
    change: Option<Duration>,
    /// The time between two changes, where it was known before.
    period: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Lock {
    /// The time between two changes.
    period: Duration,
    /// The last change that was seen.
    change: Duration,
    /// How far changes have lately been from where they were expected.
    error: Duration,
    watch: Option<Watch>,
    misses: u32,
    /// How many changes have come when they were expected.
    kept: u32,
}

/// Probes around an expected change.
#[derive(Clone, Copy, Debug)]
struct Watch {
    expected: Duration,
    next: Duration,
    probes: u32,
}

impl Lock {
    fn lead(&self) -> Duration {
        (self.error * 2).clamp(LEAST_LEAD, MOST_LEAD)
    }

    /// How many periods there are from the last change to `at`, to the nearest one.
    fn periods_to(&self, at: Duration) -> u32 {
        let periods = at.saturating_sub(self.change).as_secs_f64() / self.period.as_secs_f64();
        (periods.round() as u32).max(1)
    }
}

impl Phase {
    /// Takes in what a read showed; whether a probe has just seen new values, which a pass should read now.
    ///
    /// `probe`: it was asked for nothing else; what a pass reads shows a change too, but nothing is left to be done.
    pub fn read(&mut self, read: Read, probe: bool) -> bool {
        if probe {
            self.probed(read.asked);
        } else {
            self.paused = false;
        }
        let Some(newest) = read.newest else {
            self.shown = None;
            self.paused |= probe;
            self.lost = true;
            return false;
        };
        if let (true, State::Locked(lock)) = (std::mem::take(&mut self.lost), self.state) {
            // A server that has restarted measures as often as before, but not at the same time.
            self.search(read.answered, (lock.kept > 0).then_some(lock.period));
        }
        let shown = Shown {
            newest,
            asked: read.asked,
        };
        let changed = match self.shown {
            // A long read that a probe has overtaken says nothing new.
            Some(last) if read.asked < last.asked => false,
            Some(last) if newest > last.newest => {
                self.shown = Some(shown);
                !(probe && self.begins_anew()) && self.changed(last.asked, read.answered, probe)
            }
            Some(last) if newest < last.newest => {
                self.shown = Some(shown);
                self.unsteady += 1;
                if self.unsteady >= UNSTEADY {
                    self.give_up(read.answered);
                }
                false
            }
            _ => {
                self.shown = Some(shown);
                if matches!(self.state, State::Plain { until } if until.is_zero()) {
                    self.search(read.answered, None);
                }
                false
            }
        };
        if probe && !changed {
            self.look_at_the_budget(read.answered);
        }
        changed
    }

    /// A probe got no answer, or none in time: no further ones until a pass has read the source.
    pub fn probe_failed(&mut self, asked: Duration) {
        self.probed(asked);
        self.paused = true;
        self.lost = true;
    }

    /// Other pods are looked at from now on: what was shown of the former ones cannot be compared.
    pub fn forget_shown(&mut self) {
        self.shown = None;
    }

    /// When the next probe is due; `None` while none is.
    pub fn next_probe(&self) -> Option<Duration> {
        match self.state {
            _ if self.paused => None,
            State::Plain { .. } => None,
            State::Searching(search) => Some(search.next),
            State::Locked(lock) => lock.watch.map(|watch| watch.next),
        }
    }

    /// The time between two changes, and the first one expected after `after`; `None` while no phase is known.
    pub fn expects(&self, after: Duration) -> Option<(Duration, Duration)> {
        let State::Locked(lock) = self.state else {
            return None;
        };
        if self.paused {
            return None;
        }
        let gone = after.saturating_sub(lock.change).as_nanos() / lock.period.as_nanos().max(1);
        let gone = u32::try_from(gone).unwrap_or(u32::MAX - 1);
        Some((lock.period, lock.change + lock.period.saturating_mul(gone + 1)))
    }

    /// Whether the time between two changes is known well.
    pub fn is_sure(&self) -> bool {
        matches!(self.state, State::Locked(lock) if lock.kept >= SURE)
    }

    /// Watches for the change expected at this time, and for no other.
    pub fn watch(&mut self, expected: Duration) {
        if let State::Locked(lock) = &mut self.state
            && lock.watch.is_none_or(|watch| watch.expected != expected)
        {
            lock.watch = Some(Watch {
                expected,
                next: expected.saturating_sub(lock.lead()),
                probes: 0,
            });
        }
    }

    /// Whether a change that is watched for could come at any moment.
    pub fn is_near(&self, now: Duration) -> bool {
        match self.state {
            State::Locked(Lock { watch: Some(watch), .. }) if !self.paused => watch.probes > 0 || watch.next <= now,
            _ => false,
        }
    }

    /// The rhythm of passes cannot follow this phase: it is left alone for a while.
    pub fn give_up(&mut self, now: Duration) {
        self.rest = (self.rest * 2).clamp(REST, LONGEST_REST);
        self.state = State::Plain { until: now + self.rest };
        self.unsteady = 0;
    }

    /// The first probe of a window, where other changes lie between the last one watched and this one: what it shows is
    /// what later ones are compared with.
    fn begins_anew(&self) -> bool {
        match self.state {
            State::Locked(lock) => lock
                .watch
                .is_some_and(|watch| watch.probes == 1 && lock.periods_to(watch.expected) > 1),
            _ => false,
        }
    }

    fn search(&mut self, now: Duration, period: Option<Duration>) {
        self.state = State::Searching(Search {
            next: now + SEARCH_STEP,
            period,
            ..Search::default()
        });
    }

    /// A probe was sent.
    fn probed(&mut self, asked: Duration) {
        match &mut self.state {
            State::Plain { .. } => {}
            State::Searching(search) => {
                search.probes += 1;
                let quick = search.probes < SEARCH_STEPS;
                search.next = asked + if quick { SEARCH_STEP } else { SLOW_SEARCH_STEP };
            }
            State::Locked(lock) => {
                let step = STEP.max(lock.lead() / 5);
                if let Some(watch) = &mut lock.watch {
                    watch.probes += 1;
                    let in_window = watch.probes < WINDOW_PROBES;
                    watch.next = asked + if in_window { step } else { step.max(SEARCH_STEP) };
                }
            }
        }
    }

    /// A probe has shown nothing new: are there enough of them?
    fn look_at_the_budget(&mut self, now: Duration) {
        match &mut self.state {
            State::Searching(search) if search.probes >= SEARCH_PROBES => self.give_up(now),
            State::Locked(lock) => {
                let Some(watch) = lock.watch.filter(|w| w.probes >= WINDOW_PROBES + LATE_PROBES) else {
                    return;
                };
                lock.misses += 1;
                lock.error = (lock.error * 2).max(LEAST_LEAD);
                lock.watch = None;
                // Counted on from where it should have been.
                lock.change = watch.expected;
                if lock.misses >= MISSES {
                    let known = (lock.kept > 0).then_some(lock.period);
                    self.search(now, known);
                }
            }
            _ => {}
        }
    }

    /// The values changed after `before` and not after `by`; whether a pass should read them now.
    fn changed(&mut self, before: Duration, by: Duration, probe: bool) -> bool {
        let between = by.saturating_sub(before);
        let at = (between <= TIGHT).then(|| before + between / 2);
        match self.state {
            State::Plain { until } => {
                if by >= until {
                    self.search(by, None);
                }
                return false;
            }
            State::Searching(mut search) => {
                if let Some(at) = at {
                    let period = search.period.or_else(|| Some(at.saturating_sub(search.change?)));
                    search.change = Some(at);
                    // What was once known is believed once.
                    self.state = match period {
                        Some(period) if period >= LEAST_PERIOD => State::Locked(Lock {
                            period,
                            change: at,
                            error: between / 2,
                            watch: None,
                            misses: 0,
                            kept: 0,
                        }),
                        Some(_) => {
                            self.give_up(by);
                            return probe;
                        }
                        None => State::Searching(search),
                    };
                }
            }
            State::Locked(lock) => self.changed_in_step(lock, at, by, probe),
        }
        probe
    }

    fn changed_in_step(&mut self, mut lock: Lock, at: Option<Duration>, by: Duration, probe: bool) {
        let lead = lock.lead();
        let at = match (at, lock.watch) {
            (Some(at), _) => at,
            // It came before the first probe: we look earlier the next time.
            (None, Some(watch)) if probe => by.min(watch.expected).saturating_sub(lead),
            (None, _) => {
                if by + lead < lock.change + lock.period {
                    // Between two changes there was another one.
                    self.search(by, None);
                }
                return;
            }
        };
        let periods = lock.periods_to(at);
        let expected = lock.change + lock.period.saturating_mul(periods);
        let error = at.abs_diff(expected);
        if error > lock.period / 4 {
            return self.search(by, None);
        }
        if error > MOST_LEAD {
            return self.give_up(by);
        }
        let drift = error / periods / if lock.kept < SURE { 2 } else { 4 };
        lock.period = if at > expected {
            lock.period + drift
        } else {
            lock.period.saturating_sub(drift).max(LEAST_PERIOD)
        };
        lock.change = at;
        lock.error = error.max(lock.error * 3 / 4);
        lock.misses = 0;
        lock.kept = lock.kept.saturating_add(1);
        lock.watch = None;
        if lock.kept >= PROOF {
            self.rest = Duration::ZERO;
        }
        self.unsteady = self.unsteady.saturating_sub(1);
        self.state = State::Locked(lock);
    }
}
