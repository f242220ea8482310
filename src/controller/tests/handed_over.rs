//! Two processes, elected on a Lease, one of which is killed: whatever the moment, nothing falls before the windows of what was
//! recommended allow it.

use serde_json::json;

use super::*;
use crate::cluster::lease::{Lease, LeaseSettings};
use crate::cluster::stored::MemoryStore;
use crate::controller::keeper::{Circumstances, begin};

/// The scale-down window.
const WINDOW: Duration = secs(120);
/// From the last renewal to the end of the Lease, as by default in `trimtab run`.
const LEASE: Duration = secs(8);

/// A process that runs a controller once it leads.
struct Process(Vec<JoinHandle<()>>);

impl Process {
    fn start(world: &Arc<World>, who: &'static str) -> Self {
        let settings = LeaseSettings {
            lease_duration: LEASE,
            renew_deadline: secs(5),
            ..LeaseSettings::new("trimtab", "trimtab", who)
        };
        let (lease, mut leadership) = Lease::new(world.client(), settings, world.clone());
        let election = tokio::spawn(lease.run(CancellationToken::new()));
        let world = world.clone();
        let work = tokio::spawn(async move {
            // Term by term, as `trimtab run` does it.
            loop {
                while !leadership.borrow_and_update().leads(Instant::now()) {
                    leadership.changed().await.unwrap();
                }
                let (recorder, _) = events(world.client());
                let circumstances = Circumstances {
                    clock: world.clone(),
                    recorder,
                    leadership: leadership.clone(),
                };
                let store = MemoryStore::new(world.client(), "trimtab", "trimtab", who, secs(10));
                let beginning = begin(Arc::new(store), circumstances).await;
                let led = Some(leadership.clone());
                let mut scene = Scene::led(world.clone(), GuardSettings::default(), Some(beginning), led);
                let _killed = Killed(scene.task.abort_handle());
                tokio::select! {
                    _ = &mut scene.task => {}
                    Ok(_) = leadership.wait_for(|now| !now.leads(Instant::now())) => {}
                }
                tokio::time::sleep(secs(1)).await;
            }
        });
        Self(vec![election, work])
    }

    /// As SIGKILL ends it: wherever it is, it goes no further.
    fn kill(self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// Takes the controller along.
struct Killed(tokio::task::AbortHandle);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What happened.
#[derive(Debug)]
struct Story {
    killed: Option<Duration>,
    /// The last renewal of the one that was killed.
    renewed: Duration,
    recommended: Vec<(Duration, i32)>,
    scales: Vec<(Duration, i32)>,
}

/// The load of each pod changes at these times; `faults` come and go; the leader is killed at `kill`, and another one stands by.
async fn story(loads: &[(u64, u32)], faults: &[(Duration, Faults)], kill: Option<Duration>, end: Duration) -> Story {
    let window = json!({"scaleDown": {"stabilizationWindowSeconds": WINDOW.as_secs()}});
    let world = World::with_behavior(1, window);
    let (first, second) = (Process::start(&world, "first"), {
        tokio::time::sleep(secs(1)).await;
        Process::start(&world, "second")
    });
    let mut changes: Vec<(Duration, Option<u32>, Option<Faults>)> = Vec::new();
    changes.extend(loads.iter().map(|(at, milli)| (secs(*at), Some(*milli), None)));
    changes.extend(faults.iter().map(|(at, faults)| (*at, None, Some(*faults))));
    changes.extend(kill.map(|at| (at, None, None)));
    changes.sort_by_key(|change| change.0);
    let mut first = Some(first);
    for (at, load, faults) in changes {
        sleep_until(world.started + at).await;
        match (load, faults) {
            (Some(milli), _) => drop(world.load(milli)),
            (_, Some(faults)) => *world.faults.lock() = faults,
            _ => first.take().unwrap().kill(),
        }
    }
    sleep_until(world.started + end).await;
    second.kill();
    if let Some(first) = first {
        first.kill();
    }
    Story::of(&world, kill, "first")
}

impl Story {
    /// What happened by now, when `who` was `killed`.
    fn of(world: &World, killed: Option<Duration>, who: &str) -> Self {
        let seen = world.seen.lock();
        let mine = seen.renewals.iter().filter(|(_, by)| by == who);
        let scales = seen.scales.iter().map(|scale| (scale.at, scale.replicas as i32));
        Self {
            killed,
            renewed: mine.map(|(at, _)| *at).max().unwrap(),
            recommended: seen.recommended.clone(),
            scales: scales.collect(),
        }
    }

    /// When it first fell below `count`.
    fn fell(&self, count: i32) -> Duration {
        let mut highest = 0;
        let fall = self.scales.iter().find(|(_, replicas)| {
            highest = highest.max(*replicas);
            *replicas < count && highest >= count
        });
        fall.unwrap_or_else(|| panic!("it never fell below {count}: {self:?}"))
            .0
    }

    /// The last recommendation of `count` or more before `until`.
    fn last_high(&self, count: i32, until: Duration) -> Duration {
        let high = self
            .recommended
            .iter()
            .filter(|(at, replicas)| *replicas >= count && *at < until);
        high.map(|(at, _)| *at).max().unwrap()
    }

    /// No count that was written is below what was recommended within the window before it, in a process that went on to renew
    /// its Lease.
    fn check_windows(&self) {
        for (at, written) in &self.scales {
            for (recommended_at, recommended) in &self.recommended {
                let within = *recommended_at < *at && *recommended_at + WINDOW > *at;
                let is_lost = self
                    .killed
                    .is_some_and(|killed| *recommended_at <= killed && *recommended_at > self.renewed);
                assert!(
                    !within || is_lost || recommended <= written,
                    "{written} at {at:?}, though {recommended} was recommended at {recommended_at:?}: {self:?}"
                );
            }
        }
    }
}

/// Every fourth of them, or all with `KILLS=all`: each takes a fifth of a second of a processor.
fn chosen(kills: impl Iterator<Item = Duration>) -> impl Iterator<Item = Duration> {
    let step = if std::env::var_os("KILLS").is_some() { 1 } else { 4 };
    kills.step_by(step)
}

/// The times from `from` to `until`, `step` milliseconds apart.
fn every(step: usize, from: Duration, until: Duration) -> impl Iterator<Item = Duration> {
    let (from, until) = (from.as_millis() as u64, until.as_millis() as u64);
    (from..until).step_by(step).map(Duration::from_millis)
}

/// Up to 4 at once, and down to 1 after the window.
const FALL: [(u64, u32); 2] = [(100, 100), (160, 25)];

#[tokio::test(start_paused = true)]
async fn killed_at_any_moment_of_a_window_it_falls_no_earlier_than_unbroken_and_hardly_later() {
    let unbroken = story(&FALL, &[], None, secs(360)).await;
    unbroken.check_windows();
    let last_high = unbroken.last_high(4, secs(300));
    let allowed = last_high + WINDOW;
    assert!(unbroken.fell(4) >= allowed && unbroken.fell(4) < allowed + PERIOD + secs(1));
    let saved = last_high + PERIOD + secs(1);
    let (mut before, mut after) = (Duration::ZERO, Duration::ZERO);
    // Around the pass that first sees the load gone, coarsely all through the window, and around its end.
    let kills = every(2_300, last_high - secs(14), last_high + secs(32))
        .chain(every(9, last_high, last_high + Duration::from_millis(40)))
        .chain(every(
            9,
            last_high + PERIOD,
            last_high + PERIOD + Duration::from_millis(40),
        ))
        .chain(every(17_300, last_high + secs(40), allowed - secs(20)))
        .chain(every(3_100, allowed - secs(20), allowed));
    for kill in chosen(kills) {
        let broken = story(&FALL, &[], Some(kill), secs(360)).await;
        broken.check_windows();
        let fell = broken.fell(4);
        assert!(
            fell >= allowed,
            "killed at {kill:?}, it fell at {fell:?}, and unbroken not before {allowed:?}"
        );
        let late = if kill < saved { &mut before } else { &mut after };
        *late = (*late).max(fell.saturating_sub(unbroken.fell(4)));
    }
    // Within the window: the Lease's time (whose end the other one sees half a second late), and a pass.
    assert!(after <= LEASE + secs(1) + PERIOD, "{after:?} late");
    // Where no fall was saved yet, the next leader cannot know that it did not come just before its own first pass; what it comes
    // to is rounded up to whole passes.
    assert!(before <= LEASE + secs(1) + PERIOD * 2, "{before:?} late");
    println!("killed before the first save {before:?} late at most, and after it {after:?}");
}

/// As [`FALL`], and after a minute for one sample up again.
const BOUNCE: [(u64, u32); 4] = [(100, 100), (160, 25), (220, 100), (235, 25)];

#[tokio::test(start_paused = true)]
async fn what_was_recommended_before_the_last_renewal_counts_however_slow_the_store() {
    let unbroken = story(&BOUNCE, &[], None, secs(440)).await;
    let bounce = unbroken.last_high(4, secs(300));
    assert!(bounce > secs(220), "{unbroken:?}");
    let slow = Faults {
        config_maps_take: secs(3),
        ..Faults::default()
    };
    let refusing = Faults {
        no_config_maps: true,
        ..Faults::default()
    };
    let (mut all, mut lost) = (0, 0);
    for faults in [Faults::default(), slow, refusing] {
        let changes = [(bounce - secs(5), faults), (bounce + secs(25), Faults::default())];
        let kills = every(1_010, bounce - secs(2), bounce + secs(8)).chain(every(
            7,
            bounce,
            bounce + Duration::from_millis(35),
        ));
        for kill in chosen(kills) {
            let broken = story(&BOUNCE, &changes, Some(kill), secs(440)).await;
            broken.check_windows();
            all += 1;
            lost += usize::from(broken.fell(4) < bounce + WINDOW);
        }
    }
    // Those that were killed before the bounce was seen, or between a recommendation and the next renewal or save.
    println!("{lost} of {all} forgot the bounce");
    assert!(lost * 2 < all, "{lost} of {all}");
}

#[tokio::test(start_paused = true)]
async fn what_a_leader_recommended_that_could_neither_read_nor_save_counts_for_the_next_one() {
    let window = json!({"scaleDown": {"stabilizationWindowSeconds": WINDOW.as_secs()}});
    let world = World::with_behavior(1, window);
    let until = |seconds| sleep_until(world.started + secs(seconds));
    let first = Process::start(&world, "first");
    for (at, milli) in FALL {
        until(at).await;
        world.load(milli);
    }
    until(200).await;
    first.kill();
    world.faults.lock().no_config_maps = true;
    let second = Process::start(&world, "second");
    for (at, milli) in &BOUNCE[2..] {
        until(*at).await;
        world.load(*milli);
    }
    until(270).await;
    second.kill();
    world.faults.lock().no_config_maps = false;
    let third = Process::start(&world, "third");
    until(500).await;
    third.kill();
    let story = Story::of(&world, Some(secs(270)), "second");
    let bounce = story.last_high(4, secs(260));
    assert!(bounce > secs(220), "{story:?}");
    story.check_windows();
    assert!(story.fell(4) >= bounce + WINDOW, "{story:?}");
}

#[tokio::test(start_paused = true)]
async fn killed_just_after_a_scale_up_its_count_holds_for_a_window() {
    let loads = [(100, 100), (121, 25)];
    let unbroken = story(&loads, &[], None, secs(360)).await;
    let (up, count) = unbroken.scales[0];
    assert_eq!(count, 4);
    let kills =
        every(5, up - Duration::from_millis(10), up + Duration::from_millis(40)).chain(every(900, up, up + secs(4)));
    for kill in chosen(kills) {
        let broken = story(&loads, &[], Some(kill), secs(360)).await;
        broken.check_windows();
        for pair in broken.scales.windows(2) {
            let (since, until) = (pair[0], pair[1]);
            assert!(
                until.1 > since.1 || until.0 >= since.0 + WINDOW,
                "killed at {kill:?}: {:?}",
                broken.scales
            );
        }
    }
}
