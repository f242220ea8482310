//! Rhythms over made-up sources, in virtual time.

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Something that changes its values at some times.
struct Source {
    /// When new values could be read, in order.
    changes: Vec<Duration>,
    /// Samples carry no time.
    timeless: bool,
    /// It does not answer between these times.
    down: Option<(Duration, Duration)>,
    /// A second server, whose values change so much later, answers every other read.
    twin: Option<Duration>,
    reads: u64,
}

impl Source {
    fn new(changes: impl IntoIterator<Item = Duration>) -> Self {
        Self {
            changes: changes.into_iter().collect(),
            timeless: false,
            down: None,
            twin: None,
            reads: 0,
        }
    }

    /// Regular from `first` on, for an hour.
    fn every(period: Duration, first: Duration) -> Self {
        let hour = Duration::from_secs(3600);
        let count = u32::try_from(hour.as_millis() / period.as_millis()).unwrap();
        Self::new((0..count).map(|k| first + period * k))
    }

    /// The samples are three seconds older than the moment they can be read.
    fn newest(&mut self, at: Duration) -> Option<Timestamp> {
        self.reads += 1;
        let shift = self.twin.filter(|_| self.reads.is_multiple_of(2)).unwrap_or_default();
        let last = self.changes.iter().rev().find(|change| **change + shift <= at);
        let measured = last.map_or(0, |change| (*change + shift).as_millis() as i64) - 3_000;
        (!self.timeless).then(|| Timestamp::from_millisecond(1_767_600_000_000 + measured).unwrap())
    }

    fn is_down(&self, at: Duration) -> bool {
        self.down.is_some_and(|(from, to)| (from..to).contains(&at))
    }
}

/// What happened.
struct Course {
    passes: Vec<Duration>,
    probes: Vec<Duration>,
}

const PROBE: Duration = ms(8);
const PASS: Duration = ms(400);

/// Lets a rhythm run over a source.
fn run(period: Duration, source: &mut Source, until: Duration) -> Course {
    let mut rhythm = Rhythm::new(period);
    let mut course = Course {
        passes: Vec::new(),
        probes: Vec::new(),
    };
    let mut now = ms(1);
    let mut answers: Vec<Read> = Vec::new();
    while now < until {
        if now >= rhythm.next_pass() {
            rhythm.pass_began(now);
            course.passes.push(now);
            if !source.is_down(now) {
                let newest = source.newest(now + ms(20));
                let answered = now + PASS.min(period / 4);
                answers.push(Read {
                    asked: now,
                    answered,
                    newest,
                });
            }
        }
        if let Some(at) = answers.iter().position(|read| read.answered <= now) {
            rhythm.read(answers.remove(at), false, false);
            continue;
        }
        if rhythm.next_probe().is_some_and(|at| at <= now) {
            course.probes.push(now);
            let asked = now;
            now += PROBE;
            if source.is_down(asked) {
                rhythm.probe_failed(asked);
            } else {
                let newest = source.newest(asked + PROBE / 2);
                let answered = now;
                rhythm.read(
                    Read {
                        asked,
                        answered,
                        newest,
                    },
                    true,
                    false,
                );
            }
            continue;
        }
        let next = [
            Some(rhythm.next_pass()),
            rhythm.next_probe(),
            answers.iter().map(|r| r.answered).min(),
        ];
        let next = next.into_iter().flatten().min().unwrap();
        // Timers are up to 2 ms late.
        now = next.max(now) + ms(2);
    }
    course
}

impl Course {
    /// From each change after `from` to the pass that reads it first.
    fn reactions(&self, source: &Source, from: Duration, until: Duration) -> Vec<Duration> {
        let changes = source.changes.iter().filter(|c| **c >= from && **c < until);
        changes
            .filter_map(|change| Some(*self.passes.iter().find(|pass| **pass >= *change)? - *change))
            .collect()
    }

    fn longest_gap(&self) -> Duration {
        self.passes.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap()
    }

    fn passes_between(&self, from: Duration, until: Duration) -> usize {
        self.passes.iter().filter(|p| **p >= from && **p < until).count()
    }

    fn probes_between(&self, from: Duration, until: Duration) -> usize {
        self.probes.iter().filter(|p| **p >= from && **p < until).count()
    }
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn worst(mut reactions: Vec<Duration>) -> Duration {
    reactions.sort();
    reactions.last().copied().unwrap()
}

#[test]
fn passes_follow_a_source_of_the_same_period_after_two_changes() {
    let mut source = Source::every(secs(15), ms(6_300));
    let course = run(secs(15), &mut source, secs(600));
    let reactions = course.reactions(&source, secs(35), secs(580));
    assert!(worst(reactions.clone()) < ms(250), "{reactions:?}");
    assert!(course.longest_gap() <= ms(15_450), "{:?}", course.longest_gap());
    // Two probes a pass keep the phase.
    assert!(course.probes_between(secs(300), secs(600)) <= 20 * 3);
    assert!(course.probes.len() < 200, "{}", course.probes.len());
    assert!(course.passes_between(secs(300), secs(600)) <= 21);
}

#[test]
fn a_slow_drift_is_followed_either_way() {
    for period in [14_900, 14_990, 15_010, 15_100, 15_250] {
        let mut source = Source::every(ms(period), ms(3_100));
        let course = run(secs(15), &mut source, secs(900));
        let reactions = course.reactions(&source, secs(35), secs(880));
        assert!(worst(reactions.clone()) < ms(300), "{period}: {reactions:?}");
        assert!(
            course.longest_gap() <= ms(15_450),
            "{period}: {:?}",
            course.longest_gap()
        );
    }
}

#[test]
fn a_source_slower_than_the_passes_is_read_as_soon_as_it_has_something_new() {
    for (source_period, sync_period) in [(60, 15), (30, 15), (20, 15), (45, 15), (15, 2), (15, 5)] {
        let mut source = Source::every(secs(source_period), ms(4_200));
        let course = run(secs(sync_period), &mut source, secs(1200));
        let reactions = course.reactions(&source, secs(200), secs(1100));
        assert!(
            worst(reactions.clone()) < ms(300),
            "{source_period}/{sync_period}: {reactions:?}"
        );
        let longest = secs(sync_period) + ms(450).min(secs(sync_period) / 30);
        assert!(
            course.longest_gap() <= longest,
            "{source_period}/{sync_period}: {:?}",
            course.longest_gap()
        );
        let usual = 900 / sync_period;
        assert!(
            course.passes_between(secs(200), secs(1100)) as u64 <= usual * 5 / 3 + 2,
            "{source_period}/{sync_period}"
        );
    }
}

#[test]
fn a_source_quicker_than_the_passes_is_read_just_after_one_of_its_changes() {
    for source_period in [5, 7, 10, 13] {
        let mut source = Source::every(secs(source_period), ms(4_200));
        let course = run(secs(15), &mut source, secs(900));
        let after = |pass: &Duration| {
            let change = source.changes.iter().rev().find(|c| *c <= pass).unwrap();
            *pass - *change
        };
        let late: Vec<Duration> = course.passes.iter().filter(|p| **p > secs(60)).map(after).collect();
        assert!(late.iter().all(|l| *l < ms(300)), "{source_period}: {late:?}");
        assert!(course.passes_between(secs(60), secs(900)) <= 840 / 9 + 1);
        assert!(course.longest_gap() <= ms(15_450));
    }
}

#[test]
fn where_no_rhythm_fits_the_plain_one_stays() {
    for source_period in [ms(1_000), ms(8_000), ms(16_000), ms(17_000)] {
        let mut source = Source::every(source_period, ms(4_200));
        let course = run(secs(15), &mut source, secs(1800));
        assert!(
            course.passes.len() <= 120 + 30,
            "{source_period:?}: {:?}",
            course.passes
        );
        assert!(course.longest_gap() <= ms(15_450), "{source_period:?}");
        assert!(course.probes.len() < 600, "{source_period:?}: {}", course.probes.len());
    }
}

#[test]
fn jitter_costs_few_passes_and_most_changes_are_read_at_once() {
    let jitter = |k: u64| ms((k * 7_919 + 13) % 400);
    let mut source = Source::new((0..200).map(|k| secs(15 * k) + ms(5_000) + jitter(k)));
    let course = run(secs(15), &mut source, secs(1800));
    let mut reactions = course.reactions(&source, secs(60), secs(1700));
    reactions.sort();
    assert!(reactions[reactions.len() / 2] < ms(300), "{reactions:?}");
    assert!(reactions[reactions.len() * 9 / 10] < ms(700), "{reactions:?}");
    assert!(course.passes_between(secs(60), secs(1800)) < 116 * 3 / 2);
    assert!(course.probes_between(secs(60), secs(1800)) < 116 * 12);
    assert!(course.longest_gap() <= ms(15_450));
}

#[test]
fn another_resolution_is_learnt() {
    let before = (0..20).map(|k| secs(15 * k) + ms(2_000));
    let after = (0..20).map(|k| secs(302 + 60 * k) + ms(500));
    let mut source = Source::new(before.chain(after));
    let course = run(secs(15), &mut source, secs(1400));
    let reactions = course.reactions(&source, secs(700), secs(1380));
    assert!(worst(reactions.clone()) < ms(300), "{reactions:?}");

    let before = (0..5).map(|k| secs(60 * k) + ms(2_000));
    let after = (0..60).map(|k| secs(287 + 15 * k) + ms(500));
    let mut source = Source::new(before.chain(after));
    let course = run(secs(15), &mut source, secs(1000));
    let reactions = course.reactions(&source, secs(400), secs(980));
    assert!(worst(reactions.clone()) < ms(300), "{reactions:?}");
    assert!(course.longest_gap() <= ms(15_450));
}

#[test]
fn a_metrics_server_that_restarts_is_found_again_with_its_new_phase() {
    let before = (0..20).map(|k| secs(15 * k) + ms(2_000));
    let after = (0..40).map(|k| secs(330 + 15 * k) + ms(9_100));
    let mut source = Source::new(before.chain(after));
    source.down = Some((secs(295), secs(325)));
    let course = run(secs(15), &mut source, secs(900));
    // The first new values are found by the search, half a second at most after they came; the next ones are expected.
    let reactions = course.reactions(&source, secs(335), secs(350));
    assert!(worst(reactions.clone()) < ms(600), "{reactions:?}");
    let reactions = course.reactions(&source, secs(350), secs(880));
    assert!(worst(reactions.clone()) < ms(300), "{reactions:?}");
    assert!(course.longest_gap() <= ms(15_450));
    // While it is down one probe is tried, and then passes alone.
    assert!(course.probes_between(secs(296), secs(325)) <= 3);
}

#[test]
fn without_timestamps_nothing_is_learnt_and_nothing_probed() {
    let mut source = Source::every(secs(15), ms(6_300));
    source.timeless = true;
    let course = run(secs(15), &mut source, secs(300));
    assert_eq!((course.probes.len(), course.passes.len()), (0, 20));
}

#[test]
fn a_source_that_stands_still_is_looked_at_ever_more_rarely() {
    let mut source = Source::new([]);
    let course = run(secs(15), &mut source, secs(3600));
    assert_eq!(course.passes.len(), 240);
    assert!(course.probes.len() <= 110, "{}", course.probes.len());
    // When it moves again, it is followed again.
    let mut source = Source::new((0..100).map(|k| secs(1_800) + secs(15) * k));
    let course = run(secs(15), &mut source, secs(2400));
    let reactions = course.reactions(&source, secs(1900), secs(2380));
    assert!(worst(reactions.clone()) < ms(300), "{reactions:?}");
}

#[test]
fn several_servers_that_answer_in_turn_leave_the_plain_rhythm() {
    let mut source = Source::every(secs(15), ms(6_300));
    source.twin = Some(secs(7));
    let course = run(secs(15), &mut source, secs(1800));
    assert!(course.passes.len() <= 120 + 10, "{}", course.passes.len());
    assert!(course.probes.len() < 500, "{}", course.probes.len());
    assert!(course.longest_gap() <= ms(15_450));
}

proptest! {
    /// Whatever the source does: no pass comes late, and what it costs is bounded.
    #[test]
    fn the_laws_hold_over_any_source(
        gaps in prop::collection::vec(1u64..70_000, 1..200),
        down in prop::option::of((0u64..900_000, 0u64..200_000)),
        twin in prop::option::of(1u64..20_000),
        period in prop::sample::select(vec![1u64, 2, 5, 15, 30, 60]),
    ) {
        let mut at = Duration::ZERO;
        let changes: Vec<Duration> = gaps.iter().map(|gap| { at += ms(*gap); at }).collect();
        let mut source = Source::new(changes);
        source.down = down.map(|(from, lasts)| (ms(from), ms(from + lasts)));
        source.twin = twin.map(ms);
        let until = secs(1200);
        let course = run(secs(period), &mut source, until);
        let latest = secs(period) + LONGEST_WAIT.min(secs(period) / PARTS_OF_PERIOD) + ms(15);
        prop_assert!(course.longest_gap() <= latest, "{:?}", course.longest_gap());
        let most = 1200 / period * 5 / 3 + 1200 / (2 * period) + 5;
        prop_assert!(course.passes.len() as u64 <= most, "{} passes", course.passes.len());
        prop_assert!(course.probes.len() <= 1200 * 3, "{} probes", course.probes.len());
    }

    /// A regular source of about the sync period is followed, whatever its phase.
    #[test]
    fn any_phase_is_found(first in 0u64..15_000, period in 14_800u64..15_200) {
        let mut source = Source::every(ms(period), ms(first));
        let course = run(secs(15), &mut source, secs(400));
        let reactions = course.reactions(&source, secs(65), secs(380));
        prop_assert!(worst(reactions.clone()) < ms(900), "{:?}", reactions);
        let reactions = course.reactions(&source, secs(200), secs(380));
        prop_assert!(worst(reactions.clone()) < ms(200), "{:?}", reactions);
    }
}
