//! Passes against a server that answers as its test says. Real ones are asked in `tests/prometheus`.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use jiff::SignedDuration;

use super::fake::{Fake, json};
use super::*;
use crate::observe::{Pod, PodPhase, Reading};
use crate::promql::adapter::AdapterRules;
use crate::promql::{Answers, Definition, Missing, Template};
use crate::selector::Selector;
use crate::settings::sources::{Credentials, Endpoint};
use crate::spec::MetricIdentifier;

fn now() -> Timestamp {
    Timestamp::from_second(1_767_600_000).unwrap()
}

fn endpoint(url: &str, budget: u32) -> Endpoint {
    Endpoint {
        url: url.to_owned(),
        ca_file: None,
        client_certificate: None,
        credentials: Credentials::None,
        headers: BTreeMap::new(),
        query_parameters: BTreeMap::new(),
        timeout: Duration::from_secs(2),
        queries_per_pass: NonZeroU32::new(budget).unwrap(),
        queries_in_flight: NonZeroU32::new(4).unwrap(),
    }
}

fn definition(name: &str, answers: Answers, query: &str) -> Definition {
    Definition {
        name: name.into(),
        answers,
        endpoint: "main".into(),
        template: Template::parse(query).unwrap(),
        step: Duration::ZERO,
        freshness: None,
        missing: Missing::Fails,
    }
}

/// A metric that is merged over namespaces.
fn depth() -> Definition {
    definition(
        "depth",
        Answers::External,
        r#"sum by (namespace) (depth{namespace="$namespace"})"#,
    )
}

/// A metric that is asked with the pods' names, in a way that cannot be merged.
fn singly() -> Definition {
    let pods = Answers::Pods {
        pod_label: "pod".into(),
    };
    definition("singly", pods, r#"topk(1000, up{namespace="$namespace",pod=~"$pods"})"#)
}

fn prometheus(fake: &Fake, budget: u32, metrics: Vec<Definition>) -> Prometheus {
    let sources = Sources {
        prometheus: BTreeMap::from([("main".into(), endpoint(&fake.url, budget))]),
        metrics: metrics.into_iter().map(Arc::new).collect(),
        ..Sources::default()
    };
    Prometheus::new(&sources, BreakerSettings::default(), 1).unwrap()
}

fn external(name: &str) -> MetricSource {
    MetricSource::External {
        metric: MetricIdentifier::new(name, None),
    }
}

fn pods(name: &str) -> MetricSource {
    MetricSource::Pods {
        metric: MetricIdentifier::new(name, None),
    }
}

fn pod(name: &str) -> Pod {
    Pod {
        name: name.into(),
        phase: PodPhase::Running,
        terminating: false,
        ready: None,
        started: None,
        requests: Arc::default(),
    }
}

fn namespaces(count: usize) -> Vec<Arc<str>> {
    (0..count).map(|i| format!("shop-{i}").into()).collect()
}

/// One pass in which an autoscaler of each namespace asks for `source`, in a few words each.
async fn pass(prometheus: &Prometheus, namespaces: &[Arc<str>], source: &MetricSource, now: Timestamp) -> Vec<String> {
    let wanted = namespaces.iter().map(|namespace| Wanted {
        namespace: namespace.clone(),
        source: source.clone(),
    });
    let pass = prometheus.pass(wanted.collect(), now);
    let everything = Selector::everything();
    let own: Vec<[Pod; 1]> = namespaces
        .iter()
        .map(|namespace| [pod(&format!("{namespace}-web"))])
        .collect();
    let readings = namespaces
        .iter()
        .zip(&own)
        .map(|(namespace, own)| pass.reading(namespace, source, &everything, own));
    join_all(readings).await.iter().map(print).collect()
}

fn print(reading: &Option<Reading>) -> String {
    match reading {
        None => "nobody".into(),
        Some(Reading::Single(value)) => value.to_string(),
        Some(Reading::Several(values)) => values.iter().map(ToString::to_string).collect::<Vec<_>>().join("+"),
        Some(Reading::PerPod(samples)) => {
            let of_pods = samples
                .of_pods
                .iter()
                .map(|s| s.map_or("-".into(), |s| s.value.to_string()));
            of_pods.collect::<Vec<_>>().join(" ")
        }
        Some(Reading::Failed(failure)) => format!("{:?}: {}", failure.kind, failure.message),
    }
}

/// The query of a request.
fn query(asked: &str) -> String {
    let body = asked.rsplit("\r\n").next().unwrap();
    let value = body.split('&').find_map(|pair| pair.strip_prefix("query=")).unwrap();
    let mut bytes = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let hex = [rest.next().unwrap(), rest.next().unwrap()];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// The namespaces that a query names in its first matcher.
fn named(query: &str) -> Vec<String> {
    let value = query.split('"').nth(1).unwrap();
    value.split('|').map(|name| name.replace('\\', "")).collect()
}

/// 7 for each namespace that a query names.
fn seven_each(query: &str) -> Vec<u8> {
    let series: Vec<String> = named(query)
        .iter()
        .map(|n| format!(r#"{{"metric":{{"namespace":"{n}","pod":"{n}-web"}},"value":[1,"7"]}}"#))
        .collect();
    let series = series.join(",");
    json(
        200,
        &format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{series}]}}}}"#),
    )
}

fn error(code: u16, kind: &str, message: &str) -> Vec<u8> {
    json(
        code,
        &format!(r#"{{"status":"error","errorType":"{kind}","error":"{message}"}}"#),
    )
}

#[tokio::test]
async fn autoscalers_of_many_namespaces_share_a_query() {
    let fake = Fake::start(|asked| seven_each(&query(asked))).await;
    let prometheus = prometheus(&fake, 10, vec![depth()]);
    let mut namespaces = namespaces(40);
    // Two in each.
    namespaces.extend(namespaces.clone());
    assert_eq!(
        pass(&prometheus, &namespaces, &external("depth"), now()).await,
        ["7"; 80]
    );
    assert_eq!(fake.asked().len(), 1);
    assert_eq!(prometheus.health()[0].health.counts.answered, 1);
}

#[tokio::test]
async fn what_no_definition_answers_for_is_left_to_others() {
    let fake = Fake::start(|_| Vec::new()).await;
    let prometheus = prometheus(&fake, 10, vec![depth()]);
    let shop = namespaces(1);
    assert_eq!(pass(&prometheus, &shop, &external("other"), now()).await, ["nobody"]);
    assert_eq!(pass(&prometheus, &shop, &pods("depth"), now()).await, ["nobody"]);
    assert!(fake.asked().is_empty());
}

#[tokio::test]
async fn nothing_is_asked_before_someone_waits() {
    let fake = Fake::start(|asked| seven_each(&query(asked))).await;
    let prometheus = prometheus(&fake, 10, vec![depth()]);
    let wanted = Wanted {
        namespace: "shop-0".into(),
        source: external("depth"),
    };
    let pass = prometheus.pass(vec![wanted], now());
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(fake.asked().is_empty());
    let reading = pass
        .reading(&"shop-0".into(), &external("depth"), &Selector::everything(), &[])
        .await;
    assert_eq!(print(&reading), "7");
}

#[tokio::test]
async fn passes_within_one_step_share_an_answer() {
    let fake = Fake::start(|asked| seven_each(&query(asked))).await;
    let step = Duration::from_secs(30);
    let prometheus = prometheus(&fake, 10, vec![Definition { step, ..depth() }]);
    let shop = namespaces(2);
    for seconds in [0, 15, 29, 30] {
        let at = now() + SignedDuration::from_secs(seconds);
        assert_eq!(pass(&prometheus, &shop, &external("depth"), at).await, ["7"; 2]);
    }
    let times: Vec<String> = fake
        .asked()
        .iter()
        .map(|asked| asked.split("time=").nth(1).unwrap()[..14].to_owned())
        .collect();
    assert_eq!(times, ["1767600000.000", "1767600030.000"]);
}

#[tokio::test]
async fn a_wrong_query_is_not_divided() {
    let fake = Fake::start(|_| error(400, "bad_data", "1:5: parse error: no")).await;
    let prometheus = prometheus(&fake, 100, vec![depth()]);
    let shop = namespaces(40);
    let text = "BadQuery: unable to fetch metrics from Prometheus main: bad_data: 1:5: parse error: no";
    assert_eq!(pass(&prometheus, &shop, &external("depth"), now()).await, [text; 40]);
    assert_eq!(fake.asked().len(), 1);
    // The query is wrong, and the endpoint well.
    assert_eq!(prometheus.health()[0].health.trouble, None);
}

#[tokio::test]
async fn a_bad_namespace_fails_alone_and_is_asked_apart_from_then_on() {
    let (well, times) = (Arc::new(AtomicBool::new(false)), AtomicUsize::new(0));
    let now_well = well.clone();
    let fake = Fake::start(move |asked| {
        let query = query(asked);
        if !well.load(Ordering::Relaxed) && named(&query).contains(&"shop-13".to_owned()) {
            // Prometheus names other series each time.
            let message = format!("many-to-many: {}", times.fetch_add(1, Ordering::Relaxed));
            return error(422, "execution", &message);
        }
        seven_each(&query)
    })
    .await;
    let prometheus = prometheus(&fake, 100, vec![depth()]);
    let shop = namespaces(100);
    let first = pass(&prometheus, &shop, &external("depth"), now()).await;
    for (i, text) in first.iter().enumerate() {
        match i {
            13 => assert!(text.contains("execution: many-to-many"), "{text}"),
            _ => assert_eq!(text, "7", "{i}"),
        }
    }
    // 100 halves seven times.
    let divided = fake.asked().len();
    assert!(divided <= 15, "{divided}");
    for _ in 0..3 {
        let before = fake.asked().len();
        assert_eq!(pass(&prometheus, &shop, &external("depth"), now()).await, first);
        assert_eq!(fake.asked().len() - before, 2);
    }
    now_well.store(true, Ordering::Relaxed);
    assert_eq!(pass(&prometheus, &shop, &external("depth"), now()).await, ["7"; 100]);
    let before = fake.asked().len();
    assert_eq!(pass(&prometheus, &shop, &external("depth"), now()).await, ["7"; 100]);
    assert_eq!(fake.asked().len() - before, 1);
}

#[tokio::test]
async fn where_all_fail_dividing_ends_soon_and_waits_long() {
    let fake = Fake::start(|_| error(422, "execution", "no")).await;
    let prometheus = prometheus(&fake, 100, vec![depth()]);
    let shop = namespaces(500);
    let mut cost = Vec::new();
    for _ in 0..5 {
        let before = fake.asked().len();
        let readings = pass(&prometheus, &shop, &external("depth"), now()).await;
        assert!(readings.iter().all(|text| text.contains("execution: no")));
        cost.push(fake.asked().len() - before);
    }
    assert_eq!(cost, [31, 1, 1, 1, 1]);
}

#[tokio::test]
async fn dividing_holds_to_the_budget() {
    let fake = Fake::start(|asked| match named(&query(asked)).contains(&"shop-13".to_owned()) {
        true => error(422, "execution", "no"),
        false => seven_each(&query(asked)),
    })
    .await;
    let prometheus = prometheus(&fake, 6, vec![depth()]);
    let shop = namespaces(100);
    // From pass to pass more of them are known to be well, once those under suspicion may be divided again.
    let well = |readings: Vec<String>| readings.iter().filter(|text| *text == "7").count();
    assert_eq!(well(pass(&prometheus, &shop, &external("depth"), now()).await), 75);
    assert_eq!(fake.asked().len(), 5);
    let mut best = 0;
    for _ in 0..60 {
        let before = fake.asked().len();
        best = well(pass(&prometheus, &shop, &external("depth"), now()).await);
        assert!(fake.asked().len() - before <= 6);
    }
    assert!(best > 90, "{best}");
}

#[tokio::test]
async fn who_is_left_out_comes_first_in_the_next_pass() {
    let fake = Fake::start(|asked| seven_each(&query(asked))).await;
    let prometheus = prometheus(&fake, 4, vec![singly()]);
    let shop = namespaces(10);
    let mut answered = vec![0; 10];
    for _ in 0..5 {
        let before = fake.asked().len();
        let readings = pass(&prometheus, &shop, &pods("singly"), now()).await;
        assert_eq!(fake.asked().len() - before, 4);
        for (count, text) in answered.iter_mut().zip(readings) {
            match text == "7" {
                true => *count += 1,
                false => assert_eq!(
                    text,
                    "OverBudget: unable to fetch metrics from Prometheus main: its budget of 4 queries a pass is used \
                     up (`queries-per-pass`)"
                ),
            }
        }
    }
    assert_eq!(answered, [2; 10]);
}

#[tokio::test]
async fn a_former_answer_stands_in_where_it_is_fresh_enough() {
    let fake = Fake::start(|asked| seven_each(&query(asked))).await;
    let freshness = Some(Duration::from_secs(120));
    let prometheus = prometheus(&fake, 4, vec![Definition { freshness, ..singly() }]);
    let shop = namespaces(8);
    let well = |readings: Vec<String>| readings.iter().filter(|text| *text == "7").count();
    let at = |seconds| now() + SignedDuration::from_secs(seconds);
    assert_eq!(well(pass(&prometheus, &shop, &pods("singly"), at(0)).await), 4);
    assert_eq!(well(pass(&prometheus, &shop, &pods("singly"), at(15)).await), 8);
    // The first four were answered 135 s ago, the others are asked... and the other way round.
    assert_eq!(well(pass(&prometheus, &shop, &pods("singly"), at(200)).await), 4);
}

#[tokio::test]
async fn a_slow_endpoint_delays_only_those_who_ask_it() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let slow = format!("http://{}", listener.local_addr().unwrap());
    let fake = Fake::start(|asked| seven_each(&query(asked))).await;
    let on_slow = Definition {
        endpoint: "slow".into(),
        name: "slow".into(),
        ..depth()
    };
    let sources = Sources {
        prometheus: BTreeMap::from([
            ("main".into(), endpoint(&fake.url, 10)),
            ("slow".into(), endpoint(&slow, 10)),
        ]),
        metrics: vec![Arc::new(depth()), Arc::new(on_slow)],
        ..Sources::default()
    };
    let prometheus = Prometheus::new(&sources, BreakerSettings::default(), 1).unwrap();
    let wanted = ["depth", "slow"].map(|name| Wanted {
        namespace: "shop-0".into(),
        source: external(name),
    });
    let pass = prometheus.pass(wanted.into(), now());
    let (everything, shop) = (Selector::everything(), "shop-0".into());
    let began = tokio::time::Instant::now();
    let (quick, hung) = (external("depth"), external("slow"));
    let quick = async {
        let reading = pass.reading(&shop, &quick, &everything, &[]).await;
        (print(&reading), began.elapsed())
    };
    let (quick, hung) = tokio::join!(quick, pass.reading(&shop, &hung, &everything, &[]));
    assert_eq!(quick.0, "7");
    assert!(quick.1 < Duration::from_secs(1), "{:?}", quick.1);
    let text = "TimedOut: unable to fetch metrics from Prometheus slow: no answer within 2s";
    assert_eq!(print(&hung), text);
    let trouble = |known: EndpointHealth| known.health.trouble.map(|trouble| trouble.message);
    let troubles: Vec<Option<String>> = prometheus.health().into_iter().map(trouble).collect();
    let lasting = "unable to fetch metrics from Prometheus slow: no answer within 2s";
    assert_eq!(troubles, [None, Some(lasting.into())]);
}

#[tokio::test]
async fn a_selector_that_does_not_convert_fails_by_itself() {
    let fake = Fake::start(|_| Vec::new()).await;
    let prometheus = prometheus(&fake, 10, vec![depth()]);
    let written = serde_json::json!({"matchExpressions": [{"key": "a", "operator": "Near"}]});
    let source = MetricSource::External {
        metric: MetricIdentifier::new("depth", Some(written)),
    };
    let readings = pass(&prometheus, &namespaces(1), &source, now()).await;
    assert!(readings[0].starts_with("BadSelector: "), "{readings:?}");
    assert!(fake.asked().is_empty());
}

#[tokio::test]
async fn what_is_asked_without_notice_is_asked_all_the_same() {
    let fake = Fake::start(|asked| seven_each(&query(asked))).await;
    let prometheus = prometheus(&fake, 10, vec![depth()]);
    let wanted = Wanted {
        namespace: "shop-0".into(),
        source: external("depth"),
    };
    let pass = prometheus.pass(vec![wanted], now());
    let reading = pass
        .reading(&"bank".into(), &external("depth"), &Selector::everything(), &[])
        .await;
    assert_eq!(print(&reading), "7");
}

#[tokio::test]
async fn an_inspection_shows_the_query_its_series_and_the_reading_that_a_pass_gives() {
    let answer = r#"{"status":"success","data":{"resultType":"vector","result":[
        {"metric":{"namespace":"shop","pod":"web-1"},"value":[1767600000,"5"]},
        {"metric":{"namespace":"shop","pod":"web-2"},"value":[1767600000,"NaN"]}]},"warnings":["half of it"]}"#;
    let fake = Fake::start(move |_| json(200, answer)).await;
    let prometheus = prometheus(&fake, 10, vec![singly()]);
    let (namespace, own) = ("shop".into(), [pod("web-1"), pod("web-2"), pod("web-3")]);
    let inspection = prometheus
        .inspect(&namespace, &pods("singly"), &own, now())
        .await
        .unwrap();
    let (sent, at) = inspection.query.clone().unwrap();
    assert_eq!((sent.as_str(), at), (query(&fake.asked()[0]).as_str(), now()));
    assert!(sent.contains("web-1|web-2|web-3"), "{sent}");
    assert_eq!((inspection.series.len(), inspection.by_rule), (2, false));
    assert_eq!(inspection.warnings, ["half of it"]);

    let wanted = Wanted {
        namespace: namespace.clone(),
        source: pods("singly"),
    };
    let pass = prometheus.pass(vec![wanted], now());
    let reading = pass
        .reading(&namespace, &pods("singly"), &Selector::everything(), &own)
        .await;
    assert_eq!(print(&reading), "5 - -");
    assert_eq!(Some(inspection.reading), reading);

    assert!(
        prometheus
            .inspect(&namespace, &external("other"), &[], now())
            .await
            .is_none()
    );
    // Without pods there is nothing to send.
    let nothing = prometheus
        .inspect(&namespace, &pods("singly"), &[], now())
        .await
        .unwrap();
    assert!(nothing.query.is_none() && fake.asked().len() == 2);
}

#[tokio::test]
async fn a_listing_that_hangs_delays_only_those_whom_rules_may_answer_for() {
    // Listings are never answered, queries are.
    let fake = Fake::start(|asked| match asked.starts_with("GET") {
        true => {
            std::thread::park_timeout(Duration::from_secs(3));
            Vec::new()
        }
        false => seven_each(&query(asked)),
    })
    .await;
    let rules = "rules: [{seriesQuery: '{__name__=~\"x_.*\"}', resources: {template: '<<.Resource>>'}, \
                 metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)'}]";
    let rules = AdapterRules::parse("rules.yaml", rules, &"main".into()).unwrap();
    let sources = Sources {
        prometheus: BTreeMap::from([("main".into(), endpoint(&fake.url, 10))]),
        metrics: vec![Arc::new(depth())],
        adapter_rules: Some(Arc::new(rules)),
        ..Sources::default()
    };
    let prometheus = Prometheus::new(&sources, BreakerSettings::default(), 1).unwrap();
    let (own, ruled) = (external("depth"), pods("x_y"));
    let wanted = [&own, &ruled].map(|source| Wanted {
        namespace: "shop-0".into(),
        source: source.clone(),
    });
    let pass = prometheus.pass(wanted.into(), now());
    let (everything, shop) = (Selector::everything(), "shop-0".into());
    let began = tokio::time::Instant::now();
    assert_eq!(print(&pass.reading(&shop, &own, &everything, &[]).await), "7");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

/// Rules for the series `x_…`, which are metrics called as `name` says.
fn rules(name: &str) -> Arc<AdapterRules> {
    let text = format!(
        "rules: [{{seriesQuery: '{{__name__=~\"x_.*\"}}', resources: {{template: '<<.Resource>>'}}, name: {name}, \
         metricsQuery: 'sum(<<.Series>>{{<<.LabelMatchers>>}}) by (<<.GroupBy>>)'}}]"
    );
    Arc::new(AdapterRules::parse("rules.yaml", &text, &"main".into()).unwrap())
}

#[tokio::test]
async fn rules_are_replaced_once_their_series_are_listed() {
    let lists = Arc::new(AtomicBool::new(true));
    let listing = lists.clone();
    let fake = Fake::start(move |asked| match asked.starts_with("GET") {
        true if listing.load(Ordering::Relaxed) => json(200, r#"{"status":"success","data":["x_y"]}"#),
        true => error(503, "unavailable", "starting"),
        false => seven_each(&query(asked)),
    })
    .await;
    let sources = Sources {
        prometheus: BTreeMap::from([("main".into(), endpoint(&fake.url, 10))]),
        metrics: vec![Arc::new(depth())],
        adapter_rules: Some(rules("{}")),
        ..Sources::default()
    };
    let prometheus = Prometheus::new(&sources, BreakerSettings::default(), 1).unwrap();
    let shop = namespaces(1);
    let both = async || {
        let (old, new) = (pods("x_y"), pods("called_y"));
        let old = pass(&prometheus, &shop, &old, now()).await.concat();
        (old, pass(&prometheus, &shop, &new, now()).await.concat())
    };
    assert_eq!(both().await, ("7".into(), "nobody".into()));
    let renaming = rules("{matches: 'x_(.*)', as: 'called_$1'}");
    lists.store(false, Ordering::Relaxed);
    assert!(prometheus.replace_rules(renaming.clone(), now()).await.is_err());
    assert_eq!(both().await, ("7".into(), "nobody".into()));
    lists.store(true, Ordering::Relaxed);
    prometheus.replace_rules(renaming, now()).await.unwrap();
    assert_eq!(both().await, ("nobody".into(), "7".into()));
    // The configuration's own metrics are still there.
    assert_eq!(pass(&prometheus, &shop, &external("depth"), now()).await, ["7"]);
}
