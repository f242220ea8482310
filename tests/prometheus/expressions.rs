//! Random templates of PromQL.

use proptest::prelude::*;

fn one_of(choices: &'static [&'static str]) -> impl Strategy<Value = String> + Clone {
    proptest::sample::select(choices).prop_map(str::to_owned)
}

/// What stands between the braces. Mostly the namespace, and mostly as it should.
fn matchers() -> impl Strategy<Value = String> {
    let namespace = prop_oneof![
        12 => Just(r#",namespace="$namespace""#),
        2 => Just(r#",namespace=~"$namespace""#),
        1 => Just(r#",namespace!="$namespace""#),
        1 => Just(""),
    ];
    let selector = prop_oneof![3 => Just(""), 1 => Just(",$selector"), 1 => Just(",app=~\"web|api\"")];
    let pods = prop_oneof![4 => Just(""), 1 => Just(r#",pod=~"$pods""#)];
    (namespace, selector, pods).prop_map(|(n, s, p)| format!(r#"copy="$object"{n}{s}{p}"#))
}

fn instant() -> impl Strategy<Value = String> {
    let metric = one_of(&["requests_total", "queue_length", "limit", "latency_bucket"]);
    let behind = prop_oneof![8 => Just(""), 1 => Just(" offset 1m"), 1 => Just(" @ end()")];
    (metric, matchers(), behind).prop_map(|(metric, matchers, behind)| format!("{metric}{{{matchers}}}{behind}"))
}

fn ranged() -> impl Strategy<Value = String> {
    let function = one_of(&[
        "rate",
        "increase",
        "irate",
        "delta",
        "deriv",
        "avg_over_time",
        "max_over_time",
        "last_over_time",
        "count_over_time",
        "changes",
        "resets",
        "absent_over_time",
    ]);
    let metric = one_of(&["requests_total", "queue_length", "latency_bucket"]);
    let window = one_of(&["1m", "2m", "5m"]);
    (function, metric, matchers(), window)
        .prop_map(|(f, metric, matchers, w)| format!("{f}({metric}{{{matchers}}}[{w}])"))
}

fn labels() -> impl Strategy<Value = String> {
    let label = proptest::sample::select(&["namespace", "pod", "app", "code", "le", "copy"][..]);
    proptest::collection::vec(label, 0..4).prop_map(|labels| labels.join(", "))
}

fn grouping() -> impl Strategy<Value = String> {
    (one_of(&["by", "without"]), labels()).prop_map(|(word, labels)| format!("{word} ({labels})"))
}

fn matching() -> impl Strategy<Value = String> {
    let on = (one_of(&["on", "ignoring"]), labels()).prop_map(|(word, labels)| format!("{word} ({labels})"));
    let group = one_of(&[
        "",
        "",
        " group_left ()",
        " group_right (app)",
        " group_left (namespace)",
    ]);
    prop_oneof![2 => Just(String::new()), 3 => (on, group).prop_map(|(on, group)| on + &group)]
}

/// An expression that gives a vector. Without `topk`, which picks among equals by chance: asked twice within a subquery,
/// one and the same query gives now one series and now another.
pub fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![instant(), ranged()];
    leaf.prop_recursive(4, 12, 2, |inner| {
        let aggregation = one_of(&[
            "sum",
            "avg",
            "min",
            "max",
            "count",
            "group",
            "stddev",
            "quantile",
            "count_values",
        ]);
        let aggregated = (aggregation, grouping(), 0..3, inner.clone()).prop_map(|(a, g, place, e)| {
            let inside = match a.as_str() {
                "quantile" => format!("0.7, {e}"),
                "count_values" => format!("\"v\", {e}"),
                _ => e,
            };
            match place {
                0 => format!("{a}({inside})"),
                1 => format!("{a} {g} ({inside})"),
                _ => format!("{a}({inside}) {g}"),
            }
        });
        let arithmetic = one_of(&["+", "-", "*", "/", ">", "== bool", "atan2"]);
        let paired = (inner.clone(), arithmetic, matching(), inner.clone())
            .prop_map(|(l, o, m, r)| format!("({l}) {o} {m} ({r})"));
        let set = (
            inner.clone(),
            one_of(&["and", "or", "unless"]),
            grouping(),
            0..2,
            inner.clone(),
        )
            .prop_map(|(l, o, g, with, r)| match with {
                0 => format!("({l}) {o} ({r})"),
                _ => format!(
                    "({l}) {o} {} ({r})",
                    g.replace("by", "on").replace("without", "ignoring")
                ),
            });
        let wrapped = (
            one_of(&[
                "abs(E)",
                "-E",
                "ceil(E)",
                "clamp_max(E, 100)",
                "E * 2",
                "1 - E",
                "E > 0",
                "sort(E)",
                "timestamp(E)",
                "histogram_quantile(0.9, E)",
                "E or vector(0)",
                "absent(E)",
                "vector(scalar(E))",
                "E > bool scalar(E)",
                "label_replace(E, \"app\", \"x-$$1\", \"app\", \"(.*)\")",
                "label_replace(E, \"namespace\", \"n\", \"\", \"\")",
                "label_join(E, \"z\", \"-\", \"pod\", \"app\")",
                "max_over_time(E[2m:30s])",
                "avg_over_time(E[1m:15s] offset 30s)",
                "clamp_min(E, time() / 1e9)",
                "E ^ 2",
            ]),
            inner,
        )
            .prop_map(|(around, e)| around.replace('E', &format!("({e})")));
        prop_oneof![3 => aggregated, 2 => paired, 1 => set, 2 => wrapped]
    })
}
