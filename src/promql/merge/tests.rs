use std::time::Duration;

use super::*;
use crate::promql::{Answers, Missing, Template};

fn definition(query: &str) -> Arc<Definition> {
    Arc::new(Definition {
        name: "qps".into(),
        answers: Answers::External,
        endpoint: "main".into(),
        template: Template::parse(query).unwrap(),
        step: Duration::ZERO,
        freshness: None,
        missing: Missing::Fails,
    })
}

fn ask(definition: &Arc<Definition>, namespace: &str, selector: &str) -> Ask {
    Ask {
        definition: definition.clone(),
        namespace: namespace.into(),
        object: Some("web".into()),
        selector: Selector::parse(selector).unwrap(),
    }
}

/// What namespaces `a` and `b` ask of `query` with a selector each, as texts.
fn merged(query: &str, selectors: [&str; 2]) -> Vec<String> {
    let definition = definition(query);
    let asks = [ask(&definition, "a", selectors[0]), ask(&definition, "b", selectors[1])];
    let queries = merge(&asks, MergeLimits::default());
    queries.into_iter().map(|query| query.text).collect()
}

#[test]
fn labels_that_differ_are_named_and_grouped_by() {
    for (query, expected) in [
        (r#"a{n="$namespace"}"#, r#"a{n=~"a|b"}"#),
        (r#"a{n=~"$namespace"}"#, r#"a{n=~"a|b"}"#),
        (r#"sum(a{n="$namespace"})"#, r#"sum by (n)(a{n=~"a|b"})"#),
        (r#"sum by (x) (a{n="$namespace"})"#, r#"sum by (x, n) (a{n=~"a|b"})"#),
        (r#"sum by (n) (a{n="$namespace"})"#, r#"sum by (n) (a{n=~"a|b"})"#),
        (r#"sum(a{n="$namespace"}) BY ()"#, r#"sum(a{n=~"a|b"}) by (n)"#),
        (
            r#"avg without (n, x) (a{n="$namespace"})"#,
            r#"avg without (x) (a{n=~"a|b"})"#,
        ),
        (
            r#"sum(a{n="$namespace"}) / sum(b{n="$namespace"})"#,
            r#"sum by (n)(a{n=~"a|b"}) / sum by (n)(b{n=~"a|b"})"#,
        ),
        (
            r#"a{n="$namespace"} / on (x) group_left (y) b{n="$namespace"}"#,
            r#"a{n=~"a|b"} / on (x, n) group_left (y) b{n=~"a|b"}"#,
        ),
        (
            r#"a{n="$namespace"} and ignoring (n, x) b{n="$namespace"}"#,
            r#"a{n=~"a|b"} and ignoring (x) b{n=~"a|b"}"#,
        ),
        (
            r#"clamp_min(sum(a{n="$namespace"}), scalar(max(c))) * 2 > bool 1"#,
            r#"clamp_min(sum by (n)(a{n=~"a|b"}), scalar(max(c))) * 2 > bool 1"#,
        ),
        (
            r#"max_over_time(sum(rate(a{n="$namespace"}[1m]))[5m:30s])"#,
            r#"max_over_time(sum by (n)(rate(a{n=~"a|b"}[1m]))[5m:30s])"#,
        ),
        (
            r#"histogram_quantile(0.9, sum by (le) (rate(a_bucket{n="$namespace"}[1m])))"#,
            r#"histogram_quantile(0.9, sum by (le, n) (rate(a_bucket{n=~"a|b"}[1m])))"#,
        ),
        (
            r#"label_replace(a{n="$namespace"}, "x", "$$1", "y", "(.*)")"#,
            r#"label_replace(a{n=~"a|b"}, "x", "$1", "y", "(.*)")"#,
        ),
        (
            r#"label_join(a{n="$namespace"}, "x", "-", "n", "y")"#,
            r#"label_join(a{n=~"a|b"}, "x", "-", "n", "y")"#,
        ),
        (
            r#"sum by (pod) (a{n="$namespace",pod=~"$pods"})"#,
            r#"sum by (pod, n) (a{n=~"a|b",pod!=""})"#,
        ),
        ("time()", "time()"),
    ] {
        assert_eq!(merged(query, ["", ""]), [expected], "{query}");
    }
}

#[test]
fn selectors_that_differ_in_values_are_merged_too() {
    let query = r#"sum(a{n="$namespace",$selector})"#;
    for (selectors, expected) in [
        (["", ""], vec![r#"sum by (n)(a{n=~"a|b"})"#]),
        (
            ["x=1,y!=2", "x=2,y!=2"],
            vec![r#"sum by (n, x)(a{n=~"a|b",x=~"1|2",y!="2"})"#],
        ),
        (["x=1", "x==1"], vec![r#"sum by (n, x)(a{n=~"a|b",x="1"})"#]),
        (
            ["x=a.b", "x in (c)"],
            vec![r#"sum by (n, x)(a{n=~"a|b",x=~"a\\.b|c"})"#],
        ),
        (
            ["x in (1,2)", "x in (1,3)"],
            vec![r#"sum(a{n="a",x=~"1|2"})"#, r#"sum(a{n="b",x=~"1|3"})"#],
        ),
        (["x=1", "y=1"], vec![r#"sum(a{n="a",x="1"})"#, r#"sum(a{n="b",y="1"})"#]),
        (["n=c", "n=d"], vec![r#"sum(a{n="a",n="c"})"#, r#"sum(a{n="b",n="d"})"#]),
    ] {
        assert_eq!(merged(query, selectors), expected, "{selectors:?}");
    }
}

#[test]
fn what_is_in_doubt_is_asked_for_by_itself() {
    for query in [
        r#"absent(a{n="$namespace"})"#,
        r#"scalar(a{n="$namespace"})"#,
        r#"vector(scalar(a{n="$namespace"}))"#,
        r#"sum(a{n="$namespace"}) or vector(0)"#,
        r#"topk(1, a{n="$namespace"})"#,
        r#"limitk(1, a{n="$namespace"})"#,
        r#"count_values("x", a{n="$namespace"})"#,
        r#"quantile(scalar(b{n="$namespace"}), a{n="$namespace"})"#,
        r#"label_replace(a{n="$namespace"}, "n", "", "", "")"#,
        r#"label_join(a{n="$namespace"}, "n", "", "x")"#,
        // The merged query's sums have the label n, and the single one's have not.
        r#"label_join(sum(a{n="$namespace"}), "x", "-", "y", "n")"#,
        r#"label_replace(sum(a{n="$namespace"}), "x", "$$1", "n", "(.*)")"#,
        r#"a{n="$namespace"} / on (x) group_left (n) b{n="$namespace"}"#,
        r#"a{n="$namespace"} / b"#,
        r#"a{n="$namespace"} / b{m="$namespace"}"#,
        r#"sum(a{n="$namespace"}) / on (n) b{n="$namespace"}"#,
        r#"sum(a{n="$namespace"}) / b{n="$namespace"}"#,
        r#"sum(a{n="$namespace"}) or on () b{n="$namespace"}"#,
        r#"a{n="x-$namespace"}"#,
        r#"a{n!="$namespace"}"#,
        r#"rollup_rate(a{n="$namespace"}[5m])"#,
        r#"a{n="$namespace"} if b"#,
        r#"{__name__="$namespace"}"#,
    ] {
        assert_eq!(
            merged(query, ["", ""]).len(),
            2,
            "{query}: {:?}",
            merged(query, ["", ""])
        );
    }
}

#[test]
fn pods_are_named_where_the_answer_does_not_tell_them_apart() {
    for (query, needed) in [
        (r#"sum by (pod) (a{pod=~"$pods"})"#, false),
        (r#"a{pod=~"$pods"} * 2"#, false),
        (r#"a{pod=~"$pods"} / on (pod) b{pod=~"$pods"}"#, false),
        (
            r#"sum without (x) (a{pod=~"$pods"}) / ignoring (x) group_right b{pod=~"$pods"}"#,
            false,
        ),
        (r#"sum(a{pod=~"$pods"})"#, true),
        (r#"sum without (pod) (a{pod=~"$pods"})"#, true),
        (r#"a{pod=~"$pods"} / on (x) b{pod=~"$pods"}"#, true),
        (r#"topk(1, a{pod=~"$pods"})"#, true),
        (r#"a{pod=~"$pods"} if b"#, true),
        (r#"sum(a)"#, false),
    ] {
        let ask = ask(&definition(query), "a", "");
        assert_eq!(ask.needs_pods(), needed, "{query}");
        assert_eq!(
            merge(std::slice::from_ref(&ask), MergeLimits::default()).is_empty(),
            needed
        );
    }
    let ask = ask(&definition(r#"sum(a{pod=~"$pods"})"#), "a", "");
    let text = |pods: &[Arc<str>]| single(&ask, pods).map(|query| query.text);
    assert_eq!(
        text(&["p-1.x".into(), "q".into()]).as_deref(),
        Ok(r#"sum(a{pod=~"p-1\\.x|q"})"#)
    );
    assert_eq!(text(&[]), Err(AskError::NoPods));
}

#[test]
fn series_go_to_those_who_asked_for_them() {
    let definition = definition(r#"sum by (x) (a{n="$namespace",$selector})"#);
    let asks = [
        ask(&definition, "b", "app=w"),
        ask(&definition, "a", "app=v"),
        ask(&definition, "a", "app=v"),
        ask(&definition, "c", "app=v"),
    ];
    let [query] = merge(&asks, MergeLimits::default()).try_into().unwrap();
    let series = |labels: [(&str, &str); 3], value: f64| Series {
        labels: labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        value,
    };
    let answer = [
        series([("app", "v"), ("n", "a"), ("x", "1")], 1.0),
        series([("app", "w"), ("n", "a"), ("x", "1")], 2.0),
        series([("app", "w"), ("n", "b"), ("x", "1")], 3.0),
        series([("app", "v"), ("n", "a"), ("x", "2")], 4.0),
    ];
    let parts = query.split(&answer);
    let mut values: Vec<(usize, Vec<f64>)> = query
        .asks
        .iter()
        .zip(parts)
        .map(|(ask, part)| (*ask, part.iter().map(|s| s.value).collect()))
        .collect();
    values.sort_by_key(|(ask, _)| *ask);
    assert_eq!(
        values,
        [(0, vec![3.0]), (1, vec![1.0, 4.0]), (2, vec![1.0, 4.0]), (3, vec![])]
    );
    let added: Vec<&str> = query.added_labels().iter().map(|l| &**l).collect();
    assert_eq!(added, ["n", "app"]);
}

#[test]
fn a_query_that_fails_is_halved_down_to_single_asks() {
    let definition = definition(r#"sum(a{n="$namespace"})"#);
    let asks = ["a", "b", "c", "c"].map(|namespace| ask(&definition, namespace, ""));
    let [query] = merge(&asks, MergeLimits::default()).try_into().unwrap();
    let [left, right] = query.halves(&asks).unwrap();
    assert_eq!(
        (left.text.as_str(), left.asks.as_slice()),
        (r#"sum(a{n="a"})"#, &[0][..])
    );
    assert!(left.halves(&asks).is_none());
    assert_eq!(right.asks, [1, 2, 3]);
    let [left, right] = right.halves(&asks).unwrap();
    assert_eq!(
        (left.text.as_str(), right.text.as_str()),
        (r#"sum(a{n="b"})"#, r#"sum(a{n="c"})"#)
    );
    assert_eq!(right.asks, [2, 3]);
    assert!(right.halves(&asks).is_none());
}

#[test]
fn five_thousand_asks_in_five_hundred_namespaces_are_at_most_ten_queries() {
    for query in [
        r#"sum(rate(requests_total{namespace="$namespace",$selector}[1m]))"#,
        r#"sum(rate(errors_total{namespace="$namespace",$selector}[5m])) / sum(rate(requests_total{namespace="$namespace",$selector}[5m]))"#,
    ] {
        let definition = Arc::new(Definition {
            freshness: Some(Duration::from_secs(120)),
            ..(*definition(query)).clone()
        });
        let namespace = |i: usize| format!("team-{}-production", i % 500);
        let asks: Vec<Ask> = (0..5000)
            .map(|i| ask(&definition, &namespace(i), &format!("app=service-{i}")))
            .collect();
        let limits = MergeLimits::default();
        let queries = merge(&asks, limits);
        assert!(queries.len() <= 10, "{} queries", queries.len());
        let mut asked: Vec<usize> = queries.iter().flat_map(|query| query.asks.iter().copied()).collect();
        asked.sort_unstable();
        assert_eq!(asked, (0..5000).collect::<Vec<_>>());
        for query in &queries {
            assert!(query.text.len() <= limits.bytes, "{} bytes", query.text.len());
            assert!(query.cases.len() <= limits.values);
        }
    }
}

#[test]
fn the_same_query_of_two_definitions_is_one() {
    let (one, two) = (definition("sum(a)"), definition("sum(a)"));
    let elsewhere = Arc::new(Definition {
        endpoint: "other".into(),
        ..(*one).clone()
    });
    let asks = [ask(&one, "a", ""), ask(&two, "b", ""), ask(&elsewhere, "a", "")];
    let queries = merge(&asks, MergeLimits::default());
    assert_eq!(
        queries.iter().map(|q| q.asks.clone()).collect::<Vec<_>>(),
        [vec![0, 1], vec![2]]
    );
}

#[test]
fn what_cannot_be_asked_is_left_out_and_says_why() {
    let problem = |query: &str, selector: &str| {
        let ask = ask(&definition(query), "a", selector);
        assert_eq!(merge(std::slice::from_ref(&ask), MergeLimits::default()).len(), 0);
        assert_eq!(single(&ask, &[]).err(), ask.problem());
        ask.problem().map(|problem| problem.to_string()).unwrap_or_default()
    };
    assert!(problem("a{$selector}", "x>1").contains("label x"));
    assert!(problem("a{$selector}", "app.kubernetes.io/name=x").contains("app.kubernetes.io/name"));
    assert!(problem("a", "x=1").contains("no $selector"));
    let mut nobody = ask(&definition("a{service=\"$object\"}"), "a", "");
    nobody.object = None;
    assert_eq!(nobody.problem(), Some(AskError::NoObject));
    assert_eq!(merge(&[nobody], MergeLimits::default()).len(), 0);
}
