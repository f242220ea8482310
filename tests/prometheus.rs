//! Merged queries and freshness limits on a real Prometheus: what is told apart locally is, series by series and bit by
//! bit, what each query gives by itself.
//!
//! `tests/run prometheus` runs it; a plain `cargo test` does not, since it needs Prometheus' binary.

#[path = "prometheus/access.rs"]
mod access;
#[path = "prometheus/data.rs"]
mod data;
#[path = "prometheus/expressions.rs"]
mod expressions;
#[path = "prometheus/passes.rs"]
mod passes;
#[path = "prometheus/proxy.rs"]
mod proxy;
#[path = "prometheus/remote_write.rs"]
mod remote_write;
#[path = "prometheus/server.rs"]
mod server;
#[path = "prometheus/simulated.rs"]
mod simulated;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use trimtab::promql::{
    Answers, Ask, Definition, MergeLimits, Missing, Query, SelectorForm, Series, Template, merge, single,
};
use trimtab::selector::Selector;

use server::{Failure, Server};

/// The values' greatest age in the tests of it.
const LIMIT: Duration = Duration::from_secs(120);

/// The pods that an autoscaler selects in the tests; there are more.
const PODS: [&str; 3] = ["p-0", "p.1", "gone"];

/// Templates for each way in which a label runs through an expression, and for those where it does not.
const TEMPLATES: &str = include_str!("prometheus/templates.txt");

fn templates() -> impl Iterator<Item = &'static str> {
    TEMPLATES
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn definition(template: &str, form: SelectorForm, freshness: Option<Duration>) -> Arc<Definition> {
    Arc::new(Definition {
        name: "metric".into(),
        answers: Answers::External,
        endpoint: "main".into(),
        template: Template::parse_as(template, form).unwrap_or_else(|error| panic!("{template}: {error}")),
        step: Duration::ZERO,
        freshness,
        missing: Missing::Fails,
    })
}

/// What autoscalers of every namespace ask, with several selectors where the template takes one, some of them twice.
fn asks(definition: &Arc<Definition>) -> Vec<Ask> {
    let selectors: &[&str] = if definition.template.names_selector() {
        &[
            "app=web",
            "app=api",
            "app!=web",
            "app in (web)",
            "app in (api,web)",
            "app=web,code=200",
            "missing=x",
        ]
    } else {
        &["", ""]
    };
    let mut asks = Vec::new();
    for namespace in data::NAMESPACES {
        for selector in selectors {
            for object in ["all", "fresh"] {
                asks.push(Ask {
                    definition: definition.clone(),
                    namespace: namespace.into(),
                    object: Some(object.into()),
                    selector: Selector::parse(selector).unwrap(),
                });
            }
        }
    }
    asks
}

fn pods() -> Vec<Arc<str>> {
    PODS.map(Arc::from).to_vec()
}

/// Values by labels, without the labels that are `removed`.
type Values = BTreeMap<String, f64>;

fn comparable<'a>(series: impl IntoIterator<Item = &'a Series>, removed: &[Arc<str>]) -> Values {
    let mut all = Values::new();
    for one in series {
        let labels = one.labels.iter().filter(|(name, _)| !removed.contains(name));
        let labels: Vec<String> = labels.map(|(name, value)| format!("{name}={value:?}")).collect();
        assert!(all.insert(labels.join(","), one.value).is_none(), "twice: {one:?}");
    }
    all
}

/// Whether `template` gave the same both times, bit by bit. Within a subquery Prometheus walks through what an operator
/// gave in random order, so that one and the same query, asked twice, gives sums that differ in their last bits: there,
/// and only there, 1e-12 of the value is no difference.
fn same(template: &str, one: &Values, other: &Values) -> bool {
    let subquery = template.contains("m:") || template.contains("s:");
    let same = |a: f64, b: f64| {
        let close = subquery && (a - b).abs() <= 1e-12 * a.abs().max(b.abs());
        a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()) || close
    };
    one.len() == other.len() && one.iter().zip(other).all(|((k, a), (l, b))| k == l && same(*a, *b))
}

type Answer = Result<Values, Failure>;

/// What each ask gets of merged queries.
struct Together<'a> {
    server: &'a Server,
    asks: &'a [Ask],
    answers: Vec<Option<Answer>>,
    /// Queries that Prometheus could not read.
    unread: Vec<String>,
}

impl Together<'_> {
    /// As whoever asks would do it: a query that fails is halved.
    fn ask(&mut self, query: &Query) {
        let failure = match self.server.query(&query.text) {
            Ok(series) => {
                for (ask, part) in query.asks.iter().zip(query.split(&series)) {
                    let pods = self.asks[*ask].definition.template.names_pods();
                    let selected = |one: &&&Series| !pods || PODS.contains(&one.label("pod"));
                    let part = comparable(part.iter().filter(selected).copied(), query.added_labels());
                    assert!(
                        self.answers[*ask].replace(Ok(part)).is_none(),
                        "ask {ask} is answered twice"
                    );
                }
                return;
            }
            Err(failure) => failure,
        };
        if failure.is_syntax() {
            self.unread.push(format!("{}: {failure}", query.text));
        }
        match query.halves(self.asks) {
            Some(halves) => halves.iter().for_each(|half| self.ask(half)),
            None => query
                .asks
                .iter()
                .for_each(|ask| self.answers[*ask] = Some(Err(failure.clone()))),
        }
    }
}

/// Compares what `asks` get together with what each gets alone. Gives how many queries were for several asks that differ;
/// `None` where Prometheus cannot read the template itself.
fn compare(server: &Server, asks: &[Ask], limits: MergeLimits) -> Result<Option<usize>, String> {
    let template = asks[0].definition.template.text();
    let queries = merge(asks, limits);
    let mut together = Together {
        server,
        asks,
        answers: vec![None; asks.len()],
        unread: Vec::new(),
    };
    queries.iter().for_each(|query| together.ask(query));
    for (ask, together_answer) in asks.iter().zip(&together.answers) {
        assert_eq!(
            together_answer.is_none(),
            ask.needs_pods(),
            "{template}: {:?}",
            ask.problem()
        );
        let alone = single(ask, &pods()).map_err(|error| format!("{template}: {error}"))?;
        let alone_answer = server.query(&alone.text).map(|series| comparable(&series, &[]));
        if let Err(failure) = &alone_answer
            && failure.is_syntax()
        {
            return Ok(None);
        }
        if let Some(unread) = together.unread.first() {
            return Err(unread.clone());
        }
        let same = match (together_answer, &alone_answer) {
            (None, _) => true,
            (Some(Ok(together)), Ok(alone)) => same(template, together, alone),
            // Asked for all pods, it may fail for the sake of one that was not meant.
            (Some(Err(_)), _) => alone_answer.is_err() || ask.definition.template.names_pods(),
            (Some(Ok(_)), Err(_)) => false,
        };
        if !same {
            let texts: Vec<&str> = queries.iter().map(|query| query.text.as_str()).collect();
            return Err(format!(
                "{template}\n  for {} {:?} {}\n  alone:    {}\n  {alone_answer:?}\n  together: {texts:#?}\n  {together_answer:?}",
                ask.namespace, ask.object, ask.selector, alone.text
            ));
        }
    }
    Ok(Some(queries.iter().filter(|query| query.is_merged()).count()))
}

fn runner(cases: u32) -> TestRunner {
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(cases);
    TestRunner::new(Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    })
}

#[test]
fn each_template_of_the_table_gives_together_what_it_gives_alone() {
    let server = Server::with_data();
    let mut merged = 0;
    for template in templates() {
        for form in [SelectorForm::Exact, SelectorForm::AsAdapter] {
            for freshness in [None, Some(LIMIT)] {
                let definition = definition(template, form, freshness);
                if definition.template.can_be_limited(LIMIT).is_err() && freshness.is_some() {
                    continue;
                }
                for values in [1000, 3] {
                    let limits = MergeLimits { bytes: 16_000, values };
                    let count = compare(&server, &asks(&definition), limits);
                    let count = count.unwrap_or_else(|difference| panic!("{difference}"));
                    merged += count.unwrap_or_else(|| panic!("Prometheus cannot read {template}"));
                }
            }
        }
    }
    assert!(merged > 100, "only {merged} queries were for several");
}

#[test]
fn random_expressions_give_together_what_they_give_alone() {
    let server = Server::with_data();
    let merged = std::cell::Cell::new((0, 0));
    let result = runner(250).run(&expressions::expression(), |template| {
        let definition = definition(&template, SelectorForm::Exact, None);
        definition
            .template
            .is_readable()
            .map_err(|e| TestCaseError::fail(format!("{template}: {e}")))?;
        let count = compare(&server, &asks(&definition), MergeLimits::default()).map_err(TestCaseError::fail)?;
        if let Some(count) = count {
            let (some, all) = merged.get();
            merged.set((some + usize::from(count > 0), all + 1));
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    let (some, all) = merged.get();
    assert!(some * 3 > all, "only {some} of {all} expressions were merged");
}

/// The data stand there twice: all of them, and those series alone that have a sample within the limit.
#[test]
fn a_freshness_limit_leaves_out_the_series_without_a_fresh_sample() {
    let server = Server::with_data();
    let differs = std::cell::Cell::new(0);
    let check = |template: &str| -> Result<(), String> {
        let text = |object: &str, freshness| {
            let definition = definition(template, SelectorForm::Exact, freshness);
            let selector = if definition.template.names_selector() {
                "app=web"
            } else {
                ""
            };
            let ask = Ask {
                definition,
                namespace: "shop".into(),
                object: Some(object.into()),
                selector: Selector::parse(selector).unwrap(),
            };
            single(&ask, &pods())
                .map(|query| query.text)
                .map_err(|error| format!("{template}: {error}"))
        };
        let answer = |text: String| {
            let series = server.query(&text).map(|mut series| {
                // Not taken out, since a series with it and one without it may stand beside each other.
                let labels = series.iter_mut().flat_map(|one| &mut one.labels);
                labels
                    .filter(|(name, _)| **name == *"copy")
                    .for_each(|(_, value)| *value = "".into());
                series
            });
            series
                .map(|s| comparable(&s, &[]))
                .map_err(|failure| (failure.is_syntax(), format!("{text}: {failure}")))
        };
        let limited = answer(text("all", Some(LIMIT))?);
        let expected = answer(text("fresh", None)?);
        let unlimited = answer(text("all", None)?);
        match (&limited, &expected) {
            (Ok(limited), Ok(expected)) if same(template, limited, expected) => {
                let unlimited = unlimited.is_ok_and(|unlimited| same(template, &unlimited, limited));
                differs.set(differs.get() + usize::from(!unlimited));
                Ok(())
            }
            // Prometheus cannot read the template itself, or cannot answer it.
            (Err((limited, _)), Err((expected, _))) if limited == expected => Ok(()),
            _ => Err(format!("{template}\n  limited: {limited:?}\n  expected: {expected:?}")),
        }
    };
    // The table's `#timeless` part looks back by an offset, where fresh means something else than in the copied data.
    for template in templates().take_while(|line| !line.contains("offset")) {
        if !template.contains("$object") || template.contains("absent") {
            continue;
        }
        check(template).unwrap_or_else(|difference| panic!("{difference}"));
    }
    let expressions = expressions::expression().prop_filter("what is absent has no age", |text| {
        !["absent", "offset", "@"].iter().any(|word| text.contains(word))
    });
    let result = runner(250).run(&expressions, |template| check(&template).map_err(TestCaseError::fail));
    result.unwrap_or_else(|error| panic!("{error}"));
    assert!(
        differs.get() > 30,
        "only {} answers depended on the limit",
        differs.get()
    );
}

#[test]
fn a_freshness_limit_goes_by_the_offset_time() {
    let server = Server::with_data();
    for (template, expected) in [
        // `ended` has its last sample 200 seconds before the end, `fresh` goes on.
        (r#"count(age{n="shop"})"#, "1"),
        (r#"count(age{n="shop"} offset 100s)"#, "2"),
        (r#"count(rate(age{n="shop"}[5m]))"#, "1"),
        (r#"count(rate(age{n="shop"}[5m] offset 100s))"#, "2"),
        (r#"count(age{n="shop"} @ AGO)"#, "2"),
        (r#"count(max_over_time(age{n="shop"}[5m:15s]))"#, "1"),
        (r#"count(max_over_time(age{n="shop"}[5m:15s] offset 100s))"#, "2"),
        (
            r#"count(max_over_time((age{n="shop"} offset 50s)[5m:15s] offset 50s))"#,
            "2",
        ),
        (r#"count(max_over_time(age{n="shop"}[5m:15s] @ AGO))"#, "2"),
        (
            r#"count(max_over_time(min_over_time(age{n="shop"}[1m:15s])[5m:15s]))"#,
            "1",
        ),
    ] {
        let template = template.replace("AGO", &(data::NOW - 100).to_string());
        let limited = definition(&template, SelectorForm::Exact, Some(LIMIT));
        let ask = Ask {
            definition: limited,
            namespace: "shop".into(),
            object: None,
            selector: Selector::everything(),
        };
        let text = single(&ask, &[]).unwrap().text;
        let series = server
            .query(&text)
            .unwrap_or_else(|failure| panic!("{text}: {failure}"));
        let values: Vec<String> = series.iter().map(|s| s.value.to_string()).collect();
        assert_eq!(values, [expected], "{text}");
    }
}

/// 500 namespaces with 10 autoscalers each, every one with a selector of its own.
#[test]
fn five_thousand_autoscalers_cost_ten_queries_at_most() {
    let server = Server::start();
    let names: Vec<(String, String)> = (0..5000)
        .map(|i| (format!("team-{}", i % 500), format!("service-{i}")))
        .collect();
    let series = |(i, (namespace, app)): (usize, &(String, String))| {
        let samples = (0..9i64).map(|step| {
            (
                (data::NOW - step * 15) * 1000,
                ((100 - step) * (i as i64 % 7 + 1)) as f64,
            )
        });
        remote_write::Written {
            labels: vec![
                ("__name__".into(), "requests_total".into()),
                ("app".into(), app.clone()),
                ("namespace".into(), namespace.clone()),
                ("pod".into(), format!("{app}-0")),
            ],
            samples: samples.rev().collect(),
        }
    };
    server.write(&names.iter().enumerate().map(series).collect::<Vec<_>>());
    let template = r#"sum(rate(requests_total{namespace="$namespace",$selector}[1m]))"#;
    let definition = definition(template, SelectorForm::Exact, Some(LIMIT));
    let asks: Vec<Ask> = names
        .iter()
        .map(|(namespace, app)| Ask {
            definition: definition.clone(),
            namespace: namespace.as_str().into(),
            object: None,
            selector: Selector::parse(&format!("app={app}")).unwrap(),
        })
        .collect();
    let queries = merge(&asks, MergeLimits::default());
    assert!(queries.len() <= 10, "{} queries", queries.len());
    let mut answered = 0;
    for query in &queries {
        let series = server.query(&query.text).unwrap_or_else(|failure| panic!("{failure}"));
        for (ask, part) in query.asks.iter().zip(query.split(&series)) {
            let [one] = &part[..] else {
                panic!("{:?} has {} series", names[*ask], part.len())
            };
            assert!(
                (one.value - (*ask % 7 + 1) as f64 / 15.0).abs() < 1e-9,
                "{:?}: {}",
                names[*ask],
                one.value
            );
            answered += 1;
        }
    }
    assert_eq!(answered, 5000);
}
