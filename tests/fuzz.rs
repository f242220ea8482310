//! The fuzz targets' bodies (`fuzz/bodies`): on the inputs that libFuzzer found and `fuzz/kept` keeps, and on random text.
//! `tests/run --extended fuzz` has libFuzzer look for more.
//!
//! The generators bend random text towards what the bodies read, since chance alone hardly writes a quantity.

use proptest::prelude::*;

#[path = "../fuzz/bodies/all.rs"]
mod bodies;

use bodies::*;

/// A manifest with every field.
const MANIFEST: &str = include_str!("../fuzz/seeds/manifest.json");

/// The same as YAML.
const MANIFEST_YAML: &str = include_str!("cli/folder/web.yaml");

/// An instant query's answer, with every field.
const ANSWER: &str = include_str!("../fuzz/seeds/prometheus_answer.json");

/// Two PodMetrics in protobuf.
const POD_METRICS: &[u8] = include_bytes!("../fuzz/seeds/pod_metrics_protobuf.pb");

/// A pod, and a list of two of it, in protobuf.
const POD: &[u8] = include_bytes!("../fuzz/seeds/pod.pb");
const PODS: &[u8] = include_bytes!("../fuzz/seeds/pod.list.pb");

/// A refusal in protobuf, with a cause.
const REFUSAL: &[u8] = include_bytes!("../fuzz/seeds/refusal.pb");

/// Answers of the three metrics APIs in JSON, and an autoscaler with a status.
const POD_METRICS_JSON: &str = include_str!("../fuzz/seeds/pod_metrics_json.json");
const CUSTOM_METRICS: &str = include_str!("../fuzz/seeds/custom_metrics.json");
const EXTERNAL_METRICS: &str = include_str!("../fuzz/seeds/external_metrics.json");
const HPA: &str = include_str!("../fuzz/seeds/hpa.json");

/// Two records before they are compressed: a scale-down that is held, and a write whose outcome is not known.
const STORED: &[u8] = &[
    0, 1, b'w', 0, 1, 2, // saved, writer, number, parts, records
    0, 5, b's', b'/', b'w', b'e', b'b', 1, 2, 3, 4, 0, 2, 200, 1, 18, 0, 8, 0, 0, // shop/web: 9, then 4
    5, 1, b'2', 1, 2, 3, 4, 3, 4, 8, 0, 10, 1, 0, 8, 1, 100, 8, 1, 90, 5, // 4 to 8, and events both ways
];

/// A scale, a group's document and the list of one of its versions in one, and a Lease.
const SCALE: &str = include_str!("../fuzz/seeds/scale.json");
const DISCOVERY: &str = include_str!("../fuzz/seeds/discovery.json");
const LEASE: &str = include_str!("../fuzz/seeds/lease.json");

/// A pod, a Deployment and a bookmark as a watch sends them, and a pod and a bookmark in protobuf.
const WATCH: &str = include_str!("../fuzz/seeds/watch.jsonl");
const WATCH_FRAMES: &[u8] = include_bytes!("../fuzz/seeds/watch.frames.pb");

/// Three steps of an autoscaler's life.
const SCENARIO: &str = include_str!("../fuzz/seeds/scenario.json");

/// A load that was recorded.
const TRACE: &str = include_str!("../fuzz/seeds/trace.csv");

/// Rules of Prometheus Adapter of every kind.
const RULES: &str = include_str!("adapter-rules/families.rules.yaml");

/// The blocks of Prometheus endpoints and metrics, with nearly every key.
const CONFIGURATION: &str = include_str!("cli/sources.yaml");

/// The text with some characters in the place of others.
fn torn(text: &'static str) -> impl Strategy<Value = String> {
    let junk = prop_oneof![
        "[\"'`{}\\[\\]()<>:,.$|#&*!%@=~ -]{0,3}",
        "[a-z0-9é\n]{0,3}",
        Just("<<".to_owned()),
        Just("\n  ".to_owned()),
        Just("$pods".to_owned()),
    ];
    let length = text.chars().count();
    let tear = (0..length, 0..4usize, junk);
    proptest::collection::vec(tear, 1..4).prop_map(move |tears| {
        let mut characters: Vec<char> = text.chars().collect();
        for (place, count, junk) in tears {
            let end = (place + count).min(characters.len());
            characters.splice(place.min(end)..end, junk.chars());
        }
        characters.into_iter().collect()
    })
}

/// The text with the value of one line replaced.
fn bent(text: &'static str) -> impl Strategy<Value = String> {
    let junk = prop_oneof![
        Just("null".to_owned()),
        Just("{}".to_owned()),
        Just("[]".to_owned()),
        Just("-1".to_owned()),
        Just("0".to_owned()),
        Just("1e30".to_owned()),
        Just("\"\"".to_owned()),
        Just("\"1Ki\"".to_owned()),
        Just("2147483647".to_owned()),
        Just("\"9999-12-31T23:59:59Z\"".to_owned()),
        Just("\"-9999h\"".to_owned()),
        Just("[null]".to_owned()),
        "[0-9]{1,20}",
        "\"[a-zA-Z0-9./%-]{0,9}\"",
    ];
    let lines = text.lines().count();
    (0..lines, junk).prop_map(|(place, junk)| {
        let bend = |(i, line): (usize, &str)| match line.split_once(": ") {
            Some((name, value)) if i == place && !value.ends_with(['{', '[']) => {
                format!("{name}: {junk}{}", if value.ends_with(',') { "," } else { "" })
            }
            _ => line.to_owned(),
        };
        text.lines().enumerate().map(bend).collect::<Vec<_>>().join("\n")
    })
}

/// The bytes with some in the place of others; a few of them are lengths.
fn flipped(bytes: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    let flips = proptest::collection::vec(
        (0..bytes.len(), 0..3usize, proptest::collection::vec(any::<u8>(), 0..3)),
        1..4,
    );
    flips.prop_map(move |flips| {
        let mut bytes = bytes.to_vec();
        for (place, count, junk) in flips {
            let end = (place + count).min(bytes.len());
            bytes.splice(place.min(end)..end, junk);
        }
        bytes
    })
}

/// Pieces of PromQL in any order, most of it nonsense, some of it not.
fn pieces() -> impl Strategy<Value = String> {
    let piece = proptest::sample::select(
        &[
            "a",
            "b_total",
            "sum",
            "by",
            "without",
            "(",
            ")",
            "(x)",
            "(n, x)",
            "{",
            "}",
            "{n=\"$namespace\"}",
            "on",
            "ignoring",
            "{n=\"$namespace\",$selector}",
            "{o=\"$object\",pod=~\"$pods\"}",
            "[5m]",
            "[1m]",
            "[5m:1m]",
            "offset 5m",
            "@ end()",
            "rate",
            "max_over_time",
            "label_replace",
            "group_left",
            "bool",
            "+",
            "-",
            "/",
            "==",
            "and",
            "or",
            ",",
            "1",
            "\"x\"",
            "topk",
            "scalar",
            "# c\n",
            "$$",
            "`",
            "if",
            "=~",
            "timestamp",
        ][..],
    );
    proptest::collection::vec(piece, 0..20).prop_map(|pieces| pieces.join(" "))
}

/// Pieces of PromQL in an order that makes sense.
fn query() -> impl Strategy<Value = String> {
    let leaf = proptest::sample::select(
        &[
            "a{n=\"$namespace\"}",
            "rate(a{n=\"$namespace\",$selector}[5m])",
            "b{$selector,o='$object'} offset -5m @ 12",
            "a{n=~`$namespace`,pod=~\"$pods\"}",
            "\"a$$\"",
            "1e3",
            "time()",
            "c{$selector}[5m]",
            "{n=\"$namespace\"}",
        ][..],
    );
    leaf.prop_map(str::to_owned).prop_recursive(5, 20, 3, |inner| {
        let around = proptest::sample::select(
            &[
                "sum(E)",
                "sum by (x) (E)",
                "avg(E) without (n, app)",
                "E + E",
                "E / on (n) group_left E",
                "E and ignoring (app) E",
                "max_over_time(E[5m:] offset 1m)",
                "-E",
                "(E)",
                "timestamp(E)",
                "topk(E, E)",
                "histogram_quantile(0.9, E)",
                "label_replace(E, \"n\", \"\", \"\", \"\")",
                "rate(E)",
                "E # why\n",
                "E unless on () group_right() E",
            ][..],
        );
        (around, inner.clone(), inner).prop_map(|(around, one, two)| around.replacen('E', &one, 1).replace('E', &two))
    })
}

proptest! {
    #[test]
    fn templates(text in prop_oneof![1 => ".*", 4 => pieces(), 5 => query()]) {
        promql::check(&text);
    }

    #[test]
    fn quantities(text in prop_oneof![".*", "[+-]?[0-9]{0,40}\\.?[0-9]{0,40}[numkMGTPEeKi]{0,2}[+-]?[0-9]{0,20}"]) {
        quantity::check(&text);
    }

    #[test]
    fn selectors(text in prop_oneof![".*", "[ab=!<>(), ]{0,30}", "((!)?[ab](=| in \\(x|,y\\)|!=z|>5)?,?){0,5}"]) {
        selector::check(&text);
    }

    #[test]
    fn manifests(text in prop_oneof![".*", bent(MANIFEST)]) {
        manifest::check(&text);
    }

    #[test]
    fn prometheus_answers(text in prop_oneof![1 => ".*", 9 => bent(ANSWER)]) {
        prometheus_answer::check(&text);
    }

    #[test]
    fn pod_metrics_in_protobuf(bytes in prop_oneof![proptest::collection::vec(any::<u8>(), 0..60), flipped(POD_METRICS)]) {
        pod_metrics_protobuf::check(&bytes);
    }

    #[test]
    fn pods(bytes in prop_oneof![proptest::collection::vec(any::<u8>(), 0..60), flipped(POD), flipped(PODS)]) {
        pod::check(&bytes);
    }

    #[test]
    fn refusals(bytes in prop_oneof![proptest::collection::vec(any::<u8>(), 0..60), flipped(REFUSAL)]) {
        refusal::check(&bytes);
    }

    #[test]
    fn pod_metrics_in_json(text in prop_oneof![1 => ".*", 9 => torn(POD_METRICS_JSON)]) {
        pod_metrics_json::check(&text);
    }

    #[test]
    fn custom_metric_values(text in prop_oneof![1 => ".*", 9 => torn(CUSTOM_METRICS)]) {
        custom_metrics::check(&text);
    }

    #[test]
    fn external_metric_values(text in prop_oneof![1 => ".*", 9 => torn(EXTERNAL_METRICS)]) {
        external_metrics::check(&text);
    }

    #[test]
    fn watched_autoscalers(text in prop_oneof![1 => ".*", 9 => torn(HPA)]) {
        hpa::check(&text);
    }

    #[test]
    fn answers_with_scales(text in prop_oneof![1 => ".*", 9 => torn(SCALE)]) {
        scale::check(&text);
    }

    #[test]
    fn discovery_documents(text in prop_oneof![1 => ".*", 9 => torn(DISCOVERY)]) {
        discovery::check(&text);
    }

    #[test]
    fn leases(text in prop_oneof![1 => ".*", 9 => torn(LEASE)]) {
        lease::check(&text);
    }

    #[test]
    fn watches(bytes in prop_oneof![
        1 => proptest::collection::vec(any::<u8>(), 0..60),
        4 => flipped(WATCH_FRAMES),
        5 => torn(WATCH).prop_map(String::into_bytes),
    ]) {
        watch::check(&bytes);
    }

    #[test]
    fn manifest_files(text in prop_oneof![1 => ".*", 4 => bent(MANIFEST), 5 => torn(MANIFEST_YAML)]) {
        manifest_file::check(&text);
    }

    #[test]
    fn durations(text in prop_oneof![".*", "[+-]?([0-9]{0,20}\\.?[0-9]{0,20}(ns|us|ms|s|m|h)){0,3}"]) {
        duration::check(&text);
    }

    #[test]
    fn stored_memories(bytes in prop_oneof![proptest::collection::vec(any::<u8>(), 0..60), flipped(STORED)]) {
        stored_memory::check(&bytes);
    }

    #[test]
    fn rule_files(text in prop_oneof![1 => ".*", 4 => bent(RULES), 15 => torn(RULES)]) {
        adapter_rules::check(&text);
    }

    #[test]
    fn configurations(text in prop_oneof![1 => ".*", 4 => bent(CONFIGURATION), 15 => torn(CONFIGURATION)]) {
        configuration::check(&text);
    }

    #[test]
    fn traces(text in prop_oneof![1 => ".*", 3 => "([0-9]{1,3}(\\.[0-9])?,[0-9.e-]{1,6}\n){1,5}", 6 => torn(TRACE)]) {
        trace::check(&text);
    }

    #[test]
    fn scenarios(text in prop_oneof![1 => ".*", 9 => bent(SCENARIO)]) {
        scenario::check(&text);
    }
}

/// Every input that is kept, for every target.
#[test]
fn what_libfuzzer_found_holds() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/kept");
    for target in TARGETS {
        let file = folder.join(format!("{}.txt", target.name));
        let kept = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let inputs: Vec<Vec<u8>> = kept
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(unescaped)
            .collect();
        assert!(inputs.len() > 10, "{} inputs of {} are kept", inputs.len(), target.name);
        for input in inputs {
            // The target's name and the input stand in the message of a test that fails.
            println!("{}: {}", target.name, input.escape_ascii());
            (target.check)(&input);
        }
    }
}

/// Brackets within brackets: a reader that calls itself for each of them would end the process.
#[test]
fn no_depth_breaks_a_parser() {
    const DEPTH: usize = 20_000;
    // What the main thread has. The few levels that YAML's reader goes down take 2 MiB where nothing is optimised.
    const STACK: usize = 8 << 20;
    let deep = |open: &str, close: &str| open.repeat(DEPTH) + &close.repeat(DEPTH);
    let (lists, objects) = (deep("[", "]"), deep("{\"a\":", "}"));
    let within = |field: &str| format!(r#"{{"metadata":{{"namespace":"a","name":"b"}},"{field}":{lists}}}"#);
    let texts = [
        deep("(", ")"),
        deep("sum(", ")"),
        deep("-", "1"),
        deep("{a: ", "}"),
        deep("- ", ""),
        within("spec"),
        within("status"),
        within("items"),
        within("data"),
        format!(r#"{{"type":"ADDED","object":{objects}}}"#) + "\n",
        lists.clone(),
        objects,
    ];
    let all = move || {
        for target in TARGETS {
            for text in &texts {
                println!("{}: {:.30}…", target.name, text);
                (target.check)(text.as_bytes());
            }
        }
    };
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(all);
    thread.expect("a thread").join().expect("no check fails");
}

/// What `escape_ascii` has written.
fn unescaped(line: &str) -> Vec<u8> {
    let mut bytes = line.bytes();
    let mut input = Vec::new();
    while let Some(byte) = bytes.next() {
        input.push(match byte {
            b'\\' => match bytes.next().expect("an escape is whole") {
                b't' => b'\t',
                b'n' => b'\n',
                b'r' => b'\r',
                b'x' => {
                    let digits = [bytes.next(), bytes.next()].map(|digit| digit.expect("an escape is whole"));
                    let digits = std::str::from_utf8(&digits).expect("an escape is ASCII");
                    u8::from_str_radix(digits, 16).expect("an escape is hexadecimal")
                }
                itself => itself,
            },
            itself => itself,
        });
    }
    input
}

#[test]
fn what_is_kept_is_read_as_it_was_written() {
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(unescaped(&all.escape_ascii().to_string()), all);
}

#[test]
fn the_untorn_answers_are_answers() {
    assert_eq!(
        trimtab::metrics::resource::Usages::decode(POD_METRICS_JSON)
            .unwrap()
            .len(),
        2
    );
    assert_eq!(trimtab::metrics::custom::decode(CUSTOM_METRICS).unwrap().len(), 2);
    assert_eq!(trimtab::metrics::external::decode(EXTERNAL_METRICS).unwrap().len(), 2);
    serde_json::from_str::<trimtab::cluster::autoscalers::StoredAutoscaler>(HPA).unwrap();
    let status = trimtab::wire::protobuf::status(REFUSAL).unwrap();
    assert_eq!((status.code, status.details.unwrap().causes.len()), (410, 1));
}

#[test]
fn the_untorn_answers_of_an_api_server_are_answers() {
    use trimtab::cluster::outside;
    let pair = |count, text: &str| Ok((count, text.to_owned()));
    let scales = outside::scales(SCALE.as_bytes());
    assert_eq!(scales, [pair(6, "app=web,tier in (a,b)"), pair(6, "7")]);
    assert_eq!(outside::discovered(DISCOVERY.as_bytes()), [Ok(2), Ok(2)]);
    let (lasts, written) = outside::lease(LEASE.as_bytes(), 0).unwrap();
    assert_eq!(
        (lasts.as_secs(), &written[0]["spec"]["leaseTransitions"]),
        (8, &4.into())
    );
    let (lines, frames) = (outside::watch(WATCH.as_bytes(), 7), outside::watch(WATCH_FRAMES, 5));
    let said = |text: &str| Ok(text.to_owned());
    let (pods, deployments) = (&lines[1], &lines[3]);
    assert_eq!((&pods[0], &pods[2]), (&said("applied 7"), &said("bookmark 9 true")));
    assert_eq!((&deployments[1], deployments.len()), (&said("applied 4"), 3));
    assert!(frames[0][0].as_ref().is_ok_and(|text| text.starts_with("applied ")));
    assert_eq!((&frames[0][1], frames[0].len()), (&said("bookmark 9 true"), 2));
}

#[test]
fn the_unflipped_pod_is_one_and_in_a_list_two() {
    use trimtab::cluster::watch::Watched;
    let read = trimtab::cluster::pods::SlimPod::READ_PROTOBUF.unwrap();
    let pod = read(POD).unwrap();
    assert_eq!(
        (&*pod.facts.name, pod.facts.requests.containers.len(), pod.labels.len()),
        ("web-1", 3, 2)
    );
    let mut names = Vec::new();
    let take = |part: trimtab::wire::protobuf::Part<'_>| {
        if let trimtab::wire::protobuf::Part::Item(item) = part {
            names.push(read(item)?.facts.name);
        }
        Ok::<_, trimtab::wire::protobuf::ProtobufError>(())
    };
    trimtab::wire::protobuf::ListReader::default().push(PODS, take).unwrap();
    assert_eq!(names, [pod.facts.name.clone(), pod.facts.name]);
}

#[test]
fn the_unbent_manifest_is_an_autoscaler() {
    let object = serde_json::from_str(MANIFEST).unwrap();
    trimtab::spec::Spec::from_manifest(&object, &Default::default()).unwrap();
}

#[test]
fn the_unbent_answer_has_two_series() {
    let answer = trimtab::metrics::prometheus::answer::decode(ANSWER).unwrap();
    assert_eq!((answer.series.len(), answer.warnings.len()), (2, 1));
}

#[test]
fn the_unflipped_pod_metrics_are_two() {
    let mut reader = trimtab::metrics::resource::PodMetricsReader::default();
    reader.push(POD_METRICS).unwrap();
    assert_eq!(reader.finish().unwrap().len(), 2);
}

#[test]
fn the_unflipped_stored_memory_is_of_two_autoscalers() {
    let part = trimtab::memory::stored::decode(&stored_memory::sealed(STORED)).unwrap();
    assert_eq!(part.records.len(), 2);
}

#[test]
fn the_untorn_trace_has_four_hundred_requests_at_its_peak() {
    assert_eq!(trimtab::sim::load::trace::Trace::parse(TRACE).unwrap().peak(), 400.0);
}

#[test]
fn the_unbent_scenario_holds() {
    assert_eq!(trimtab::sim::replay::replay(SCENARIO, |_| {}).unwrap(), []);
}

#[test]
fn the_untorn_rules_and_configuration_are_right() {
    trimtab::promql::adapter::AdapterRules::parse("t", RULES, &"main".into()).unwrap();
    configuration::check(CONFIGURATION);
}
