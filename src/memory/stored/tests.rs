use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::spec::{PolicyKind, ScalingPolicy, ScalingRules, SelectPolicy};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_767_600_000 + seconds).unwrap()
}

fn rules(period_seconds: i32) -> ScalingRules {
    ScalingRules {
        stabilization_window_seconds: None,
        select_policy: SelectPolicy::Max,
        policies: vec![ScalingPolicy {
            kind: PolicyKind::Pods,
            value: 1,
            period_seconds,
        }],
        tolerance: None,
    }
}

fn behavior() -> Behavior {
    Behavior {
        scale_up: rules(60),
        scale_down: rules(60),
    }
}

fn record(name: &str) -> Record {
    Record {
        key: Key::new("shop", name),
        uid: uid_mark("a uid"),
        memory: Memory::default(),
        count: None,
        intent: None,
        unknown_until: None,
    }
}

fn part(saved: i64, records: Vec<Record>) -> Part {
    Part {
        writer: "trimtab-0_uuid".to_owned(),
        saved_at: at(saved),
        number: 0,
        parts: 1,
        records,
    }
}

fn recommend(memory: &mut Memory, replicas: i32, seconds: i64) {
    memory.recommend(replicas, at(seconds), Timestamp::MIN, SignedDuration::ZERO);
}

prop_compose! {
    fn any_record()(
        name in "[a-z]{1,8}(-[a-zé]{1,4})?",
        uid: u32,
        recommendations in prop::collection::vec((-4000i64..100, 0i32..2000), 0..20),
        events in prop::collection::vec((-2000i64..100, 0i32..2000, any::<bool>()), 0..10),
        intent in prop::option::of((0i32..9, 0i32..9, -20i64..20)),
        unknown in prop::option::of(-100i64..100),
        count in prop::option::of(0i32..2000),
    ) -> Record {
        let mut memory = Memory::default();
        for (seconds, replicas) in recommendations {
            recommend(&mut memory, replicas, seconds);
        }
        for (seconds, change, up) in events {
            let direction = if up { Direction::Up } else { Direction::Down };
            memory.scaled(direction, change, at(seconds), &rules(900));
        }
        Record {
            key: Key::new("shop", name),
            uid,
            memory: memory.thinned(),
            count,
            intent: intent.map(|(from, to, seconds)| Intent { from, to, at: at(seconds) }),
            unknown_until: unknown.map(at),
        }
    }
}

fn shown(part: &Part) -> Vec<String> {
    let of = |record: &Record| {
        let memory = serde_json::to_string(&record.memory).unwrap();
        format!(
            "{} {} {memory} {:?} {:?} {:?}",
            record.key, record.uid, record.count, record.intent, record.unknown_until
        )
    };
    part.records.iter().map(of).collect()
}

proptest! {
    #[test]
    fn what_is_stored_comes_back(records in prop::collection::vec(any_record(), 0..20)) {
        let mut records = records;
        records.sort_by(|a, b| a.key.cmp(&b.key));
        let stored = part(0, records);
        let bytes = encode(&stored);
        let back = decode(&bytes).unwrap();
        prop_assert_eq!(shown(&back), shown(&stored));
        prop_assert_eq!((&back.writer, back.saved_at), (&stored.writer, at(0)));
        prop_assert_eq!(encode(&back), bytes);
    }

    #[test]
    fn bytes_that_were_changed_are_noticed(records in prop::collection::vec(any_record(), 0..5), place: usize, change in 1u8..=255) {
        let mut bytes = encode(&part(0, records));
        let place = place % bytes.len();
        bytes[place] ^= change;
        prop_assert!(decode(&bytes).is_err());
        bytes.truncate(place);
        prop_assert!(decode(&bytes).is_err());
    }
}

#[test]
fn ten_thousand_autoscalers_in_a_scale_down_window_take_two_parts() {
    let mut records: Vec<Record> = (0..10_000)
        .map(|number: i64| {
            let mut record = record(&format!("deployment-{number}"));
            record.uid = uid_mark(&number.to_string());
            for step in 0..20 {
                recommend(&mut record.memory, if step < 7 { 9 } else { 4 }, 15 * step);
            }
            record.memory = record.memory.thinned();
            record
        })
        .collect();
    records.sort_by(|a, b| a.key.cmp(&b.key));
    let bytes = encode(&part(300, records)).len();
    assert!(bytes < 2 * PART_BYTES, "{bytes}");
}

#[test]
fn other_versions_and_other_objects_are_told_apart() {
    let mut bytes = encode(&part(0, Vec::new()));
    bytes[3] = b'1';
    assert_eq!(decode(&bytes), Err(Unreadable::Version('1')));
    assert_eq!(decode(b""), Err(Unreadable::Foreign));
    assert_eq!(decode(b"{}"), Err(Unreadable::Foreign));
    let long = [b"TTM2".as_slice(), &[0; MOST_BYTES]].concat();
    assert_eq!(decode(&long), Err(Unreadable::TooLarge));
}

/// With a right checksum: as someone would write it who means harm.
fn sealed(plain: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut body = Vec::new();
    let mut compressor = flate2::write::DeflateEncoder::new(&mut body, flate2::Compression::fast());
    compressor.write_all(plain).unwrap();
    compressor.finish().unwrap();
    [b"TTM2".as_slice(), &crc32fast::hash(&body).to_le_bytes(), &body].concat()
}

#[test]
fn a_bomb_is_given_up() {
    let bytes = sealed(&vec![0; 40 * 1024 * 1024]);
    assert!(bytes.len() < MOST_BYTES);
    assert_eq!(decode(&bytes), Err(Unreadable::TooLarge));
}

proptest! {
    #[test]
    fn no_bytes_with_a_right_checksum_break_the_reader(plain in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&sealed(&plain));
        // With a head that is right.
        let head = [0, 1, b'w', 0, 1, 1];
        let _ = decode(&sealed(&[head.as_slice(), &plain].concat()));
    }
}

#[test]
fn a_place_is_the_same_for_ever_and_all_places_are_used() {
    assert_eq!(place(&Key::new("shop", "web"), 16), 11);
    assert_eq!(uid_mark("8c0e6f0e"), 73_794_927);
    let used: BTreeSet<usize> = (0..200)
        .map(|number| place(&Key::new("shop", format!("web-{number}")), 16))
        .collect();
    assert_eq!(used.len(), 16);
    assert!((0..200).all(|number| place(&Key::new("a", format!("{number}")), 1) == 0));
}

#[test]
fn of_two_records_the_later_counts() {
    let (mut old, mut new) = (record("web"), record("web"));
    recommend(&mut old.memory, 9, -100);
    recommend(&mut new.memory, 4, -50);
    let found = recollect(
        vec![part(0, vec![new.clone()]), part(-30, vec![old])],
        |_, _| false,
        at(5),
        at(6),
    );
    assert_eq!(found[&new.key].memory, new.memory);
}

#[test]
fn parts_of_a_leader_before_one_that_could_not_read_them_count_no_more() {
    let of_two = |saved, number| Part {
        number,
        parts: 2,
        ..part(saved, vec![record(["web", "api"][number])])
    };
    let names = |parts| -> Vec<String> {
        let found = recollect(parts, |_, _| false, at(90), at(100));
        found.keys().map(|key| key.name.to_string()).collect()
    };
    assert_eq!(names(vec![of_two(0, 0), of_two(1, 1)]), ["api", "web"]);
    assert_eq!(names(vec![part(2, Vec::new()), of_two(1, 1)]), [""; 0]);
    // One of two is saved, and the other is what it was before there were two.
    assert_eq!(names(vec![part(0, vec![record("web")]), of_two(1, 1)]), ["api", "web"]);
}

/// 9 until a while ago, 4 when it was stored, with 9 pods.
fn held() -> Record {
    let mut held = record("web");
    recommend(&mut held.memory, 9, -100);
    recommend(&mut held.memory, 4, 0);
    held.count = Some(9);
    held
}

#[test]
fn what_lies_after_the_last_save_counts_as_the_current_count() {
    let memory = |lacking: bool| {
        let found = recollect(vec![part(0, vec![held()])], |_, _| lacking, at(90), at(100));
        found[&held().key].clone().inherited(9, None, at(100)).0
    };
    // Everything was stored when its writer was last known to be alive.
    assert_eq!(memory(false).largest_after(at(-100)), Some(4));
    assert_eq!(memory(true).largest_after(at(-100)), Some(9));
    let other = |number: usize, key: &Key| number != 0 || *key != held().key;
    let found = recollect(vec![part(0, vec![held()])], other, at(90), at(100));
    assert_eq!(found[&held().key].unknown_until, None);
}

#[test]
fn what_was_recommended_last_holds_until_the_next_leader_sees_the_count() {
    let (memory, _) = held().inherited(9, None, at(25));
    assert_eq!(memory.largest_after(at(24)), Some(4));
    assert_eq!(memory.largest_after(at(-101)), Some(9));
    assert!(record("web").inherited(9, None, at(25)).0.is_new());
}

#[test]
fn a_count_that_is_not_the_stored_one_was_recommended_meanwhile() {
    for count in [12, 7] {
        let (memory, _) = held().inherited(count, None, at(25));
        assert_eq!(memory.largest_after(at(24)), Some(count));
        assert_eq!(memory.last_recommendation(), Some(count));
    }
    let unknown = Record { count: None, ..held() };
    assert_eq!(unknown.inherited(12, None, at(25)).0.largest_after(at(24)), Some(4));
}

#[test]
fn an_intent_took_place_if_the_count_has_moved() {
    let intent = |from, to| Record {
        intent: Some(Intent { from, to, at: at(0) }),
        ..record("web")
    };
    let moved = |record: Record, count, direction| {
        let (memory, open) = record.settled(count, Some(&behavior()), at(7));
        let moved = memory.moved_after(direction, at(-1));
        assert_eq!(open.is_none(), moved != 0, "what has not taken place may yet");
        moved
    };
    for (count, expected) in [(4, 0), (8, 4), (6, 4), (12, 4), (3, 0)] {
        assert_eq!(moved(intent(4, 8), count, Direction::Up), expected, "found {count}");
    }
    for (count, expected) in [(8, 0), (4, 4), (6, 4), (1, 4), (9, 0)] {
        assert_eq!(moved(intent(8, 4), count, Direction::Down), expected, "found {count}");
    }
    // It may have been written just now, and counts from then.
    let (memory, _) = intent(4, 8).settled(8, Some(&behavior()), at(7));
    assert_eq!(memory.moved_after(Direction::Up, at(6)), 4);
    assert_eq!(memory.moved_after(Direction::Up, at(7)), 0);
    assert_eq!(memory.moved_after(Direction::Down, at(-1)), 0);
    assert!(intent(4, 8).settled(8, None, at(7)).0.is_new());
}

#[test]
fn times_that_are_still_to_come_count_as_now() {
    let mut ahead = record("web");
    recommend(&mut ahead.memory, 9, 5000);
    ahead.intent = Some(Intent {
        from: 1,
        to: 2,
        at: at(5000),
    });
    let found = recollect(vec![part(0, vec![ahead.clone()])], |_, _| true, at(9000), at(10));
    let found = found[&ahead.key].clone();
    assert_eq!(found.memory.largest_after(at(9)), Some(9));
    assert_eq!(found.memory.largest_after(at(10)), None);
    assert_eq!((found.intent.unwrap().at, found.unknown_until), (at(10), Some(at(10))));
}

#[test]
fn only_what_could_be_granted_is_held() {
    let mut memory = Memory::default();
    assert!(!is_held(&memory, 3, (1, 10)));
    recommend(&mut memory, 9, 0);
    recommend(&mut memory, 2, 15);
    assert!(is_held(&memory, 3, (1, 10)));
    assert!(!is_held(&memory, 3, (3, 10)));
    assert!(!is_held(&memory, 2, (1, 10)));
    assert!(is_held(&memory, 1, (1, 10)));
}
