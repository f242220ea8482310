//! What a process that is killed leaves to the next one.

use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::*;
use crate::clock::Clock;
use crate::cluster::lease::{Former, LastWord, Leadership};
use crate::cluster::stored::MemoryStore;
use crate::controller::keeper::{Circumstances, begin};
use crate::memory::stored::{PART_BYTES, Part, Record, decode, encode, shifted, uid_mark};

/// A term of leadership over a world, with the store that goes with it.
struct Term {
    scene: Scene,
    store: Arc<MemoryStore>,
    leadership: watch::Sender<Leadership>,
}

/// The former leader was last known to lead at `former`, counted from the world's start.
async fn lead(world: &Arc<World>, who: &str, former: Option<Duration>) -> Term {
    take_over(world, who, former, "").await
}

/// With this word in its last renewal.
async fn take_over(world: &Arc<World>, who: &str, former: Option<Duration>, word: &str) -> Term {
    let epoch = world.now() - SignedDuration::try_from(world.elapsed()).unwrap();
    let former = former.map(|former| Former {
        identity: "first".into(),
        renewed: epoch + SignedDuration::try_from(former).unwrap(),
        ahead: SignedDuration::ZERO,
        ahead_of_server: None,
        word: Some(word.into()),
    });
    take_over_from(world, who, former).await
}

async fn take_over_from(world: &Arc<World>, who: &str, former: Option<Former>) -> Term {
    let store = Arc::new(MemoryStore::new(world.client(), "trimtab", "trimtab", who, secs(2)));
    let until = Instant::now() + secs(1_000_000);
    let (leadership, receiver) = watch::channel(Leadership::Leading {
        until,
        above: None,
        former,
        word: LastWord::default(),
        tenure: "1".into(),
    });
    let (recorder, writer) = events(world.client());
    tokio::spawn(writer.run(CancellationToken::new(), secs(0)));
    let circumstances = Circumstances {
        clock: world.clone(),
        recorder,
        leadership: receiver,
    };
    let beginning = begin(store.clone(), circumstances).await;
    let scene = Scene::over(world.clone(), GuardSettings::default(), Some(beginning));
    Term {
        scene,
        store,
        leadership,
    }
}

impl Term {
    /// As SIGKILL ends it; gives when.
    fn kill(self) -> Duration {
        self.scene.task.abort();
        self.scene.world.elapsed()
    }
}

/// When the count of autoscaler 0 was written, and to what.
fn scales(world: &World) -> Vec<(f64, i64)> {
    let seen = world.seen.lock();
    let of_first = seen.scales.iter().filter(|written| written.autoscaler == 0);
    of_first
        .map(|written| (written.at.as_secs_f64(), written.replicas))
        .collect()
}

/// The number of records in the store.
fn records(world: &World) -> usize {
    use base64_of_json as data;
    let objects = world.config_maps.lock();
    objects
        .values()
        .map(|object| decode(&data(object)).unwrap().records.len())
        .sum()
}

fn base64_of_json(object: &Value) -> Vec<u8> {
    let object: k8s_openapi::api::core::v1::ConfigMap = serde_json::from_value(object.clone()).unwrap();
    object.binary_data.unwrap()["memory"].0.clone()
}

/// Up to 4 at once, and down to 1 after the window of five minutes; killed on the way, after `lives` of that window.
async fn fall(store: bool, lives: Duration) -> (Duration, Duration, Vec<(f64, i64)>) {
    let world = World::new(3);
    let begin = async |who, former| match store {
        true => Ok(lead(&world, who, former).await),
        false => Err(Scene::over(world.clone(), GuardSettings::default(), None)),
    };
    let first = begin("first", None).await;
    tokio::time::sleep_until(world.started + secs(100)).await;
    world.double();
    tokio::time::sleep_until(world.started + secs(160)).await;
    let falls = world.load(25);
    tokio::time::sleep_until(world.started + falls + lives).await;
    let killed = match first {
        Ok(term) => term.kill(),
        Err(scene) => {
            scene.task.abort();
            world.elapsed()
        }
    };
    tokio::time::sleep(secs(10)).await;
    let _second = begin("second", Some(killed - secs(1))).await;
    tokio::time::sleep_until(world.started + secs(900)).await;
    (falls, killed, scales(&world))
}

#[tokio::test(start_paused = true)]
async fn killed_at_any_moment_of_a_window_it_falls_when_the_unbroken_window_allows_it() {
    for lives in [1, 7, 14, 16, 100, 150, 222, 280, 295] {
        let (falls, _, scales) = fall(true, secs(lives)).await;
        assert_eq!(scales.len(), 2, "{scales:?}");
        assert_eq!((scales[0].1, scales[1].1), (4, 1));
        // The last recommendation of 4 was made within a period before the load fell.
        let unbroken = falls.as_secs_f64() + 300.0;
        let late = scales[1].0 - unbroken;
        assert!((-15.5..=26.0).contains(&late), "after {lives} s: {late} s late");
        let last_high = unbroken - 15.5;
        assert!(scales[1].0 >= last_high, "too early: {scales:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_store_a_kill_begins_the_window_anew_as_in_kubernetes() {
    let (falls, killed, scales) = fall(false, secs(222)).await;
    assert!(scales[1].0 > killed.as_secs_f64() + 300.0, "{scales:?}");
    assert!(scales[1].0 > falls.as_secs_f64() + 500.0);
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_recommended_after_the_last_save_counts_as_the_count() {
    let world = World::new(1);
    let first = lead(&world, "first", None).await;
    first.scene.until(secs(100)).await;
    world.double();
    first.scene.until(secs(160)).await;
    let falls = world.load(25);
    first.scene.until(falls + secs(60)).await;
    // From now on nothing can be saved, and the leader lives on for 40 s.
    first.scene.faults(Faults {
        no_config_maps: true,
        ..Faults::default()
    });
    first.scene.until(falls + secs(100)).await;
    let killed = first.kill();
    *world.faults.lock() = Faults::default();
    let _second = take_over(&world, "second", Some(killed), "0@*").await;
    tokio::time::sleep_until(world.started + secs(900)).await;
    let fell = scales(&world)[1].0 - killed.as_secs_f64();
    assert!(
        (300.0..=316.0).contains(&fell),
        "{fell} s after the former leader's end"
    );
    assert!(world.seen.lock().events.contains(&"FailedSaveMemory".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn forty_that_scale_in_one_pass_are_saved_once_before_and_once_after() {
    let slow = json!({"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}});
    let world = World::with_behavior(40, slow);
    let term = lead(&world, "first", None).await;
    term.scene.until(secs(100)).await;
    let before = world.seen.lock().saves.len();
    let shows = world.double();
    term.scene.until(shows + secs(5)).await;
    {
        let seen = world.seen.lock();
        let saves = &seen.saves[before..];
        assert_eq!(saves.len(), 2, "{saves:?}");
        assert_eq!(seen.scales.len(), 40);
        assert!(
            seen.scales
                .iter()
                .all(|scale| scale.at > saves[0] && scale.at < saves[1] && scale.replicas == 3)
        );
        let slowest = seen.scales.iter().map(|scale| scale.at).max().unwrap() - shows;
        assert!(slowest < Duration::from_millis(400), "{slowest:?}");
    }
    term.kill();
}

#[tokio::test(start_paused = true)]
async fn killed_in_the_middle_of_a_period_a_policy_is_not_exceeded() {
    let slow = json!({"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 120}]}});
    for lives in [0, 10, 80, 105, 250, 400, 1_000, 30_000] {
        let world = World::with_behavior(1, slow.clone());
        let first = lead(&world, "first", None).await;
        first.scene.until(secs(100)).await;
        let shows = world.double();
        // From just before the intent is saved, step by step.
        first.scene.until(shows + Duration::from_millis(lives)).await;
        let killed = first.kill();
        let second = lead(&world, "second", Some(killed)).await;
        second.scene.until(secs(600)).await;
        let scales = scales(&world);
        assert!(scales.len() >= 2, "after {lives} ms: {scales:?}");
        for pair in scales.windows(2) {
            assert_eq!(pair[1].1 - pair[0].1, 1);
            let apart = pair[1].0 - pair[0].0;
            assert!(apart >= 120.0, "killed after {lives} ms, two in {apart} s: {scales:?}");
        }
        second.kill();
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_refuses_holds_no_scale_up_back_for_long() {
    let slow = json!({"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}});
    let world = World::with_behavior(3, slow);
    let term = lead(&world, "first", None).await;
    term.scene.until(secs(100)).await;
    term.scene.faults(Faults {
        no_config_maps: true,
        ..Faults::default()
    });
    let shows = world.double();
    term.scene.until(shows + secs(10)).await;
    let scaled = term.scene.scaled(3, shows);
    assert_eq!(scaled.len(), 3);
    assert!(scaled.iter().all(|at| *at < shows + secs(3)), "{scaled:?}");
    assert_eq!(term.store.counts().unsaved_writes, 3);
    term.scene.faults(Faults::default());
    term.scene.until(shows + secs(20)).await;
    assert_eq!(records(&world), 3);
    term.kill();
}

#[tokio::test(start_paused = true)]
async fn where_another_process_saves_the_term_ends_and_nothing_more_is_scaled() {
    let slow = json!({"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}});
    let world = World::with_behavior(3, slow);
    let first = lead(&world, "first", None).await;
    first.scene.until(secs(100)).await;
    // The first one was paused, say, and does not know yet.
    let second = lead(&world, "second", Some(secs(99))).await;
    second.scene.until(secs(101)).await;
    second.kill();
    world.double();
    tokio::time::sleep_until(world.started + secs(200)).await;
    assert!(first.scene.task.is_finished());
    assert!(scales(&world).is_empty());
    assert!(first.leadership.borrow().leads(Instant::now()));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_does_not_lead_saves_nothing() {
    let world = World::new(3);
    let term = lead(&world, "first", None).await;
    term.scene.until(secs(100)).await;
    term.leadership.send_replace(Leadership::Following { leader: None });
    let before = world.seen.lock().saves.len();
    world.double();
    term.scene.until(secs(250)).await;
    assert_eq!(world.seen.lock().saves.len(), before);
    term.kill();
}

#[tokio::test(start_paused = true)]
async fn nothing_to_remember_costs_one_save_a_term() {
    let world = World::new(40);
    let term = lead(&world, "first", None).await;
    term.scene.until(secs(900)).await;
    assert_eq!((world.seen.lock().saves.len(), records(&world)), (1, 0));
    term.scene.end().await;
    assert_eq!(world.seen.lock().saves.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_window_costs_one_save_a_pass_for_all_that_wait_for_theirs() {
    let world = World::new(200);
    let term = lead(&world, "first", None).await;
    term.scene.until(secs(100)).await;
    world.double();
    term.scene.until(secs(160)).await;
    let falls = world.load(25);
    let before = world.seen.lock().saves.len();
    term.scene.until(falls + secs(300)).await;
    let saves = world.seen.lock().saves.len() - before;
    assert!((18..=22).contains(&saves), "{saves} saves in 300 s");
    assert_eq!(records(&world), 200);
    term.kill();
}

#[tokio::test(start_paused = true)]
async fn a_clean_stop_saves_what_there_is() {
    let world = World::new(3);
    let first = lead(&world, "first", None).await;
    first.scene.until(secs(100)).await;
    let shows = world.double();
    first.scene.until(shows + secs(2)).await;
    first.scene.end().await;
    assert_eq!(records(&world), 3);
    let before = world.elapsed();
    let second = lead(&world, "second", Some(before)).await;
    second.scene.until(before + secs(5)).await;
    assert!(!world.seen.lock().events.contains(&"NoStoredMemory".to_owned()));
    second.kill();
}

/// Has all that is stored be stored by a clock that is so far behind; `is_stamped`: the API server has noted when.
fn stored_behind(world: &World, behind: SignedDuration, is_stamped: bool) {
    for object in world.config_maps.lock().values_mut() {
        let mut part = decode(&base64_of_json(object)).unwrap();
        if is_stamped {
            let entry = json!({"manager": "trimtab", "operation": "Update", "time": format!("{:.0}", part.saved_at),
                "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:binaryData": {"f:memory": {}}}});
            object["metadata"]["managedFields"] = json!([entry]);
        }
        let by = -i64::try_from(behind.as_millis()).unwrap();
        part.saved_at = shifted(part.saved_at, by);
        part.records.iter_mut().for_each(|record| record.shift(by));
        object["binaryData"]["memory"] = json!(k8s_openapi::ByteString(encode(&part)));
    }
}

/// The fall of [`fall`], after a leader whose clock was so far behind; `former` gives the one that led after it.
async fn after_a_wrong_clock(behind: SignedDuration, is_stamped: bool, former: impl Fn(&World) -> Former) {
    let world = World::new(1);
    let first = lead(&world, "first", None).await;
    first.scene.until(secs(100)).await;
    world.double();
    first.scene.until(secs(160)).await;
    let falls = world.load(25);
    first.scene.until(falls + secs(100)).await;
    first.kill();
    stored_behind(&world, behind, is_stamped);
    let second = take_over_from(&world, "second", Some(former(&world))).await;
    second.scene.until(secs(1_000)).await;
    let scales = scales(&world);
    let late = scales[1].0 - (falls.as_secs_f64() + 300.0);
    assert!((-15.5..=26.0).contains(&late), "{late} s late, {behind:?} behind");
    second.kill();
}

#[tokio::test(start_paused = true)]
async fn a_former_leader_whose_clock_was_wrong_has_no_window_end_early_or_late() {
    for behind in [SignedDuration::from_hours(1), -SignedDuration::from_hours(1)] {
        let former = |world: &World| Former {
            identity: "first".into(),
            renewed: world.now() - behind,
            ahead: behind,
            ahead_of_server: None,
            word: Some("".into()),
        };
        after_a_wrong_clock(behind, false, former).await;
    }
}

#[tokio::test(start_paused = true)]
async fn stored_times_are_right_by_the_api_servers_clock_whoever_led_since_and_whatever_was_set() {
    let minutes = SignedDuration::from_mins;
    for behind in [minutes(60), minutes(4), minutes(-60)] {
        // It has renewed the Lease by the right clock, or was not the last one to do so.
        for identity in ["first", "another"] {
            let former = |world: &World| Former {
                identity: identity.into(),
                renewed: world.now(),
                ahead: SignedDuration::ZERO,
                ahead_of_server: Some(SignedDuration::ZERO),
                word: Some("".into()),
            };
            after_a_wrong_clock(behind, true, former).await;
        }
    }
}

/// More than one part can hold, in one part: of so many autoscalers, each with an hour of recommendations.
fn more_than_fits(world: &World, autoscalers: usize) -> Value {
    let record = |number: usize| {
        let mut memory = Memory::default();
        for step in (0..240).rev() {
            let at = world.now() - SignedDuration::from_secs(15 * step);
            let replicas = uid_mark(&format!("{number} {step}")) % 100_000;
            memory.recommend(replicas as i32, at, Timestamp::MIN, SignedDuration::ZERO);
        }
        Record {
            key: Key::new(format!("shop-{}", number % 4), format!("web-{number}")),
            uid: uid_mark(&format!("u{number}")),
            memory,
            count: Some(2),
            intent: None,
            unknown_until: None,
        }
    };
    let mut records: Vec<Record> = (0..autoscalers).map(record).collect();
    records.sort_by(|a, b| a.key.cmp(&b.key));
    let bytes = encode(&Part {
        writer: "first".to_owned(),
        saved_at: world.now(),
        number: 0,
        parts: 1,
        records,
    });
    assert!(bytes.len() > PART_BYTES, "{}", bytes.len());
    let metadata = json!({"name": "trimtab-memory-0", "resourceVersion": "1000"});
    json!({"metadata": metadata, "binaryData": {"memory": k8s_openapi::ByteString(bytes)}})
}

#[tokio::test(start_paused = true)]
async fn where_parts_become_more_no_old_one_is_written_before_the_new_ones_are() {
    let world = World::new(300);
    let stored = more_than_fits(&world, 300);
    world
        .config_maps
        .lock()
        .insert("trimtab-memory-0".to_owned(), stored.clone());
    *world.faults.lock() = Faults {
        no_new_config_maps: true,
        ..Faults::default()
    };
    let term = lead(&world, "second", Some(secs(0))).await;
    term.scene.until(secs(20)).await;
    assert_eq!(world.config_maps.lock()["trimtab-memory-0"], stored);
    term.scene.faults(Faults::default());
    term.scene.until(secs(60)).await;
    assert!(world.config_maps.lock().len() >= 2);
    assert_eq!(records(&world), 300);
    term.kill();
}

#[tokio::test(start_paused = true)]
async fn memory_that_is_missing_corrupt_or_of_the_future_is_warned_of_and_begun_anew() {
    type Harm = fn(&mut Value);
    let cases: [(&str, Harm); 4] = [
        ("NoStoredMemory", |object| *object = Value::Null),
        ("UnreadableMemory", |object| {
            object["binaryData"]["memory"] = json!("VFRNMQ==")
        }),
        ("UnreadableMemory", |object| {
            object["binaryData"]["memory"] = json!("VFRNOQAAAAA=")
        }),
        ("UnreadableMemory", |object| object["binaryData"] = Value::Null),
    ];
    for (reason, harm) in cases {
        let world = World::new(2);
        let first = lead(&world, "first", None).await;
        first.scene.until(secs(100)).await;
        world.double();
        first.scene.until(secs(160)).await;
        world.load(25);
        first.scene.until(secs(300)).await;
        let killed = first.kill();
        {
            let mut objects = world.config_maps.lock();
            objects.values_mut().for_each(harm);
            objects.retain(|_, object| !object.is_null());
        }
        let second = lead(&world, "second", Some(killed)).await;
        second.scene.until(secs(900)).await;
        assert!(world.seen.lock().events.contains(&reason.to_owned()), "{reason}");
        assert!(scales(&world)[1].0 >= killed.as_secs_f64() + 300.0);
        assert!(records(&world) <= 2, "what was unreadable is replaced");
        second.kill();
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_was_lost_counts_if_the_count_has_moved() {
    let slow = json!({"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 120}]}});
    for lose_answers in [true, false] {
        let world = World::with_behavior(1, slow.clone());
        let term = lead(&world, "first", None).await;
        term.scene.until(secs(100)).await;
        term.scene.faults(Faults {
            lose_answers,
            too_many: !lose_answers,
            ..Faults::default()
        });
        let shows = world.double();
        term.scene.until(shows + secs(5)).await;
        term.scene.faults(Faults::default());
        term.scene.until(secs(500)).await;
        let scales = scales(&world);
        assert_eq!(scales.len(), 2, "lost: {lose_answers}, {scales:?}");
        assert!(scales[1].0 - scales[0].0 >= 120.0, "lost: {lose_answers}, {scales:?}");
        // A refusal says that it did not take place: it is written in the next pass.
        assert_eq!(scales[0].0 < shows.as_secs_f64() + 5.0, lose_answers);
        term.kill();
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_takes_place_after_the_old_count_was_seen_once_more_counts_too() {
    let slow = json!({"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 120}]}});
    for killed in [false, true] {
        let world = World::with_behavior(1, slow.clone());
        let mut term = lead(&world, "first", None).await;
        term.scene.until(secs(100)).await;
        let late = Faults {
            late: secs(24),
            ..Faults::default()
        };
        term.scene.faults(late);
        let shows = world.double();
        term.scene.until(shows + secs(6)).await;
        // Without metrics nothing is written that would be faster.
        term.scene.faults(Faults {
            metrics_take: secs(60),
            ..Faults::default()
        });
        if killed {
            let killed = term.kill();
            term = lead(&world, "second", Some(killed)).await;
        }
        term.scene.until(shows + secs(23)).await;
        assert_eq!(scales(&world), [], "killed: {killed}");
        term.scene.faults(Faults::default());
        term.scene.until(secs(500)).await;
        let scales = scales(&world);
        assert_eq!(scales.len(), 2, "killed: {killed}, {scales:?}");
        assert!(
            scales[0].0 <= shows.as_secs_f64() + 25.0,
            "killed: {killed}, {scales:?}"
        );
        assert!(scales[1].0 - scales[0].0 >= 120.0, "killed: {killed}, {scales:?}");
        term.kill();
    }
}
