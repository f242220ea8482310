use std::time::Duration;

use super::*;
use crate::observe::{ContainerKind, ContainerRequests, PodPhase, PodRequests, ResourceList};
use crate::promql::Template;

fn definition(answers: Answers, missing: Missing) -> Definition {
    Definition {
        name: "qps".into(),
        answers,
        endpoint: "main".into(),
        template: Template::parse("up").unwrap(),
        step: Duration::ZERO,
        freshness: None,
        missing,
    }
}

fn pods_metric() -> Answers {
    Answers::Pods {
        pod_label: "pod".into(),
    }
}

fn resource() -> Answers {
    Answers::Resource {
        pod_label: "pod".into(),
        container_label: "container".into(),
        namespace_label: "namespace".into(),
        window: Duration::from_secs(120),
    }
}

/// A pod with containers; those that begin with `init` are init containers.
fn pod(name: &str, containers: &[&str]) -> Pod {
    let containers = containers.iter().map(|name| ContainerRequests {
        name: (*name).into(),
        kind: match name.starts_with("init") {
            true => ContainerKind::Init,
            false => ContainerKind::Main,
        },
        requests: ResourceList::default(),
    });
    Pod {
        name: name.into(),
        phase: PodPhase::Running,
        terminating: false,
        ready: None,
        started: None,
        requests: Arc::new(PodRequests {
            containers: containers.collect(),
            ..PodRequests::default()
        }),
    }
}

/// A series, its labels as `name=value`.
fn series(labels: &str, value: f64) -> Series {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap();
        (name.into(), value.into())
    };
    Series {
        labels: labels.split(',').filter(|text| !text.is_empty()).map(pair).collect(),
        value,
    }
}

fn read(definition: &Definition, given: &[Series], pods: &[Pod], container: Option<&str>) -> Reading {
    let given: Vec<&Series> = given.iter().collect();
    let asked = Asked {
        definition,
        at: Timestamp::UNIX_EPOCH,
    };
    Values::of(definition, &given).reading(asked, pods, container)
}

/// A reading in a few words: milli by pod, what is unusable, or how it failed.
fn print(reading: &Reading) -> String {
    match reading {
        Reading::PerPod(samples) => {
            assert!(samples.of_strangers.is_empty());
            let of_pod = |sample: &Option<Sample>| sample.map_or("-".into(), |sample| sample.value.0.to_string());
            let of_pods: Vec<String> = samples.of_pods.iter().map(of_pod).collect();
            let unusable: Vec<String> = samples
                .unusable
                .iter()
                .map(|(pod, why)| format!("{pod} {why:?}"))
                .collect();
            format!("{} {}", of_pods.join(" "), unusable.join(" "))
                .trim()
                .to_owned()
        }
        Reading::Single(value) => value.0.to_string(),
        Reading::Several(values) => values.iter().map(|v| v.0.to_string()).collect::<Vec<_>>().join("+"),
        Reading::Failed(failure) => {
            let prefix = "unable to fetch metrics from Prometheus main: qps: ";
            assert!(failure.message.starts_with(prefix), "{}", failure.message);
            format!("{:?}", failure.kind)
        }
    }
}

#[test]
fn a_float_becomes_what_prometheus_adapter_makes_of_it() {
    for (float, milli) in [
        (0.1, 100),
        (0.0009, 0),
        (-0.0009, 0),
        (1.2345, 1234),
        (-1.2345, -1234),
        // As in Go: 0.29 * 1000 is 290, 8.2 * 1000 is 8199.999…
        (0.29, 290),
        (8.2, (8.2_f64 * 1000.0) as i64),
        (1e300, i64::MAX),
        (-1e300, i64::MIN),
    ] {
        assert_eq!(value(float), Ok(Milli(milli)), "{float}");
    }
}

#[test]
fn pods_have_the_samples_of_their_own_series() {
    let pods = [pod("a", &[]), pod("b", &[]), pod("c", &[])];
    for (given, expected) in [
        (vec![series("pod=a", 1.0), series("pod=b", -2.0)], "1000 -2000 -"),
        // Of another autoscaler, of no pod, and a label without a value.
        (
            vec![
                series("pod=a", 1.0),
                series("pod=z", 9.0),
                series("", 9.0),
                series("pod=", 9.0),
            ],
            "1000 - -",
        ),
        (
            vec![
                series("pod=a", 1.0),
                series("pod=b", f64::NAN),
                series("pod=c", f64::INFINITY),
            ],
            "1000 - - b NotANumber c Infinite",
        ),
        (
            vec![series("pod=a,x=1", 1.0), series("pod=a,x=2", 1.0), series("pod=b", 0.0)],
            "- 0 - a Several",
        ),
        (vec![series("pod=a", f64::NEG_INFINITY)], "NotFinite"),
        (vec![series("pod=a,x=1", 1.0), series("pod=a,x=2", f64::NAN)], "Several"),
        (vec![series("pod=z", 1.0)], "Empty"),
        (vec![], "Empty"),
    ] {
        let definition = definition(pods_metric(), Missing::Fails);
        assert_eq!(print(&read(&definition, &given, &pods, None)), expected, "{given:?}");
    }
}

#[test]
fn a_value_for_what_is_missing_stands_for_no_series_and_for_nothing_else() {
    let missing = Missing::Is(Milli(7));
    let pods = [pod("a", &[]), pod("b", &[])];
    let of_pods = |given: &[Series]| print(&read(&definition(pods_metric(), missing), given, &pods, None));
    assert_eq!(of_pods(&[]), "7 7");
    assert_eq!(of_pods(&[series("pod=a", f64::NAN)]), "- 7 a NotANumber");
    let object = definition(Answers::Object { kind: None }, missing);
    assert_eq!(print(&read(&object, &[], &pods, None)), "7");
    assert_eq!(print(&read(&object, &[series("", f64::NAN)], &pods, None)), "NotFinite");
    assert_eq!(
        print(&read(&definition(Answers::External, missing), &[], &pods, None)),
        "7"
    );
}

#[test]
fn no_pods_is_for_the_decision_to_say() {
    let definition = definition(pods_metric(), Missing::Fails);
    assert_eq!(print(&read(&definition, &[series("pod=a", 1.0)], &[], None)), "");
}

#[test]
fn an_object_has_exactly_one_series() {
    let object = definition(Answers::Object { kind: None }, Missing::Fails);
    let read = |given: &[Series]| print(&read(&object, given, &[], None));
    assert_eq!(read(&[series("a=b", -1.5)]), "-1500");
    assert_eq!(read(&[]), "Empty");
    assert_eq!(read(&[series("a=b", 1.0), series("a=c", 1.0)]), "Several");
    assert_eq!(read(&[series("", f64::INFINITY)]), "NotFinite");
}

#[test]
fn every_series_of_an_external_metric_counts() {
    let external = definition(Answers::External, Missing::Fails);
    let read = |given: &[Series]| print(&read(&external, given, &[], None));
    assert_eq!(read(&[series("a=b", 1.5), series("a=c", -1.0)]), "1500+-1000");
    assert_eq!(read(&[]), "Empty");
    assert_eq!(read(&[series("a=b", 1.5), series("a=c", f64::NAN)]), "NotFinite");
}

#[test]
fn a_pod_uses_what_its_containers_use_together() {
    let pods = [pod("a", &["app", "log", "init-db"]), pod("b", &["app"])];
    let definition = definition(resource(), Missing::Fails);
    let read = |given: &[(&str, f64)], container| {
        let given: Vec<Series> = given.iter().map(|(labels, value)| series(labels, *value)).collect();
        print(&read(&definition, &given, &pods, container))
    };
    let whole = [
        ("pod=a,container=app", 0.1),
        ("pod=a,container=log", 0.02),
        ("pod=a,container=init-db", 5.0),
        ("pod=a", 6.0),
        ("pod=b,container=app", 0.3),
        ("pod=b,container=debug", 0.05),
        ("pod=z,container=app", 9.0),
    ];
    assert_eq!(read(&whole, None), "120 350");
    assert_eq!(read(&whole, Some("app")), "100 300");
    assert_eq!(read(&whole, Some("log")), "20 -");
    // A container without a series leaves its pod without a sample.
    assert_eq!(read(&[whole[0], whole[4]], None), "- 300");
    assert_eq!(read(&[whole[0]], None), "Empty");
    assert_eq!(
        read(&[("pod=b,container=app", f64::NAN), whole[0], whole[1]], None),
        "120 - b NotANumber"
    );
    assert_eq!(
        read(
            &[
                ("container=app,pod=b,x=1", 1.0),
                ("container=app,pod=b,x=2", 1.0),
                whole[0],
                whole[1]
            ],
            None
        ),
        "120 - b Several"
    );
}

#[test]
fn a_usage_says_when_and_over_which_time_it_was_measured() {
    let definition = definition(resource(), Missing::Fails);
    let reading = read(
        &definition,
        &[series("pod=a,container=app", 1.0)],
        &[pod("a", &["app"])],
        None,
    );
    let Reading::PerPod(samples) = reading else {
        panic!("{reading:?}")
    };
    let sample = samples.of_pods[0].unwrap();
    assert_eq!(
        (sample.at, sample.window),
        (Some(Timestamp::UNIX_EPOCH), SignedDuration::from_secs(120))
    );
}
