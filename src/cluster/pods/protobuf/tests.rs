use super::*;
use crate::wire::protobuf::{put_bytes, put_number};

fn field(number: u32, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut field = Vec::new();
    put_bytes(&mut field, number, bytes.as_ref());
    field
}

fn integer(number: u32, value: u64) -> Vec<u8> {
    let mut field = Vec::new();
    put_number(&mut field, number, value);
    field
}

fn entry(number: u32, key: &str, value: impl AsRef<[u8]>) -> Vec<u8> {
    field(number, [field(1, key), field(2, value)].concat())
}

fn amount_of(number: u32, name: &str, quantity: &str) -> Vec<u8> {
    entry(number, name, field(1, quantity))
}

fn seconds(text: &str) -> Vec<u8> {
    let time: Timestamp = text.parse().unwrap();
    integer(1, time.as_second().cast_unsigned())
}

fn metadata_of(more: &[Vec<u8>]) -> Vec<u8> {
    let own = [
        field(1, "web-1"),
        field(2, "web-"),
        field(3, "shop"),
        field(5, "u"),
        field(6, "7"),
    ];
    field(1, [own.concat(), more.concat()].concat())
}

fn json(pod: serde_json::Value) -> SlimPod {
    serde_json::from_value(pod).unwrap()
}

#[test]
fn a_pod_is_what_the_same_pod_in_json_is() {
    let requests = |amounts: &[(&str, &str)]| -> Vec<u8> {
        let limits = amount_of(1, "cpu", "9");
        let own = amounts.iter().flat_map(|(name, quantity)| amount_of(2, name, quantity));
        limits.into_iter().chain(own).collect()
    };
    let container = |number, name: &str, amounts: &[(&str, &str)], more: &[u8]| {
        field(
            number,
            [
                &field(1, name)[..],
                &field(2, "image"),
                &field(8, requests(amounts)),
                more,
            ]
            .concat(),
        )
    };
    let condition = |kind: &str, status: &str, since: Vec<u8>| {
        field(
            2,
            [field(1, kind), field(2, status), field(3, ""), field(4, since)].concat(),
        )
    };
    let spec = [
        container(20, "sidecar", &[("cpu", "50m")], &field(24, "Always")),
        container(20, "init", &[("cpu", "2")], &[]),
        container(2, "app", &[("memory", "1Gi"), ("cpu", "250m")], &[]),
        container(2, "log", &[("cpu", "many")], &[]),
        field(3, "Always"),
        integer(4, 30),
        amount_of(32, "cpu", "10m"),
        field(40, requests(&[("cpu", "500m")])),
    ];
    let status = [
        field(1, "Running"),
        condition("Initialized", "True", seconds("2026-01-05T08:00:01Z")),
        condition("Ready", "False", seconds("2026-01-05T08:00:09Z")),
        condition("Ready", "True", Vec::new()),
        field(6, "10.0.0.1"),
        field(7, seconds("2026-01-05T08:00:00Z")),
    ];
    let labels = [
        entry(11, "app", "web"),
        entry(11, "tier", "front"),
        entry(12, "note", "x"),
    ];
    let pod = [metadata_of(&labels), field(2, spec.concat()), field(3, status.concat())].concat();
    let expected = json(serde_json::json!({
        "metadata": {"name": "web-1", "namespace": "shop", "resourceVersion": "7",
            "labels": {"app": "web", "tier": "front"}},
        "spec": {
            "containers": [
                {"name": "app", "resources": {"requests": {"memory": "1Gi", "cpu": "250m"}}},
                {"name": "log", "resources": {"requests": {"cpu": "many"}}}],
            "initContainers": [
                {"name": "sidecar", "restartPolicy": "Always", "resources": {"requests": {"cpu": "50m"}}},
                {"name": "init", "resources": {"requests": {"cpu": "2"}}}],
            "overhead": {"cpu": "10m"},
            "resources": {"requests": {"cpu": "500m"}}},
        "status": {"phase": "Running", "startTime": "2026-01-05T08:00:00Z", "conditions": [
            {"type": "Initialized", "status": "True", "lastTransitionTime": "2026-01-05T08:00:01Z"},
            {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-05T08:00:09Z"},
            {"type": "Ready", "status": "True", "lastTransitionTime": null}]},
    }));
    assert_eq!(read(&pod).unwrap(), expected);
    assert_eq!(expected.facts.requests.containers.len(), 4);
    assert!(expected.facts.ready.is_some_and(|ready| ready.since.is_some()));
}

#[test]
fn a_bare_pod_is_what_a_bare_pod_in_json_is() {
    let pod = [
        metadata_of(&[field(9, seconds("2026-01-05T08:00:00Z"))]),
        field(3, field(1, "Odd")),
    ]
    .concat();
    let expected = serde_json::json!({
        "metadata": {"name": "web-1", "namespace": "shop", "resourceVersion": "7",
            "deletionTimestamp": "2026-01-05T08:00:00Z"},
        "status": {"phase": "Odd"}});
    assert_eq!(read(&pod).unwrap(), json(expected));
}

#[test]
fn what_is_no_pod_is_refused() {
    assert_eq!(read(b"\x0a\x05a"), Err(ProtobufError::CutOff));
    assert_eq!(read(&field(1, integer(1, 5))), Err(ProtobufError::FieldType(1)));
    assert_eq!(read(&field(1, field(1, b"\xff"))), Err(ProtobufError::NotText));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        lies in proptest::collection::vec((proptest::num::usize::ANY, proptest::num::u8::ANY), 0..4),
        junk in proptest::collection::vec(proptest::num::u8::ANY, 0..40),
    ) {
        let _ = read(&junk);
        let spec = field(2, [field(1, "app"), field(8, amount_of(2, "cpu", "1"))].concat());
        let mut pod = [metadata_of(&[entry(11, "a", "b")]), field(2, spec), field(3, field(7, integer(1, 9)))].concat();
        let length = pod.len();
        for (place, byte) in lies {
            pod[place % length] = byte;
        }
        let _ = read(&pod);
    }
}
