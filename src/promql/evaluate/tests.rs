//! Small worlds; `tests/prometheus.rs` compares with a real Prometheus.

use super::*;

const NOW: i64 = 1_000_000_000;

fn recorded(labels: &str, samples: &[(i64, f64)]) -> Recorded {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap();
        (name.into(), value.into())
    };
    let mut labels: Vec<(Arc<str>, Arc<str>)> = labels.split(',').map(pair).collect();
    labels.sort();
    Recorded {
        labels: labels.into(),
        samples: samples.iter().map(|(ago, value)| (NOW - ago * 1000, *value)).collect(),
    }
}

fn world() -> Vec<Recorded> {
    let counter: Vec<(i64, f64)> = (0..9).rev().map(|n| (n * 15, (9 - n) as f64 * 30.0)).collect();
    vec![
        recorded("__name__=served,pod=a,ns=x", &counter),
        recorded("__name__=served,pod=b,ns=x", &[(40, 100.0), (25, 10.0), (10, 40.0)]),
        recorded("__name__=queue,pod=a,ns=x", &[(20, 5.0)]),
        recorded("__name__=queue,pod=b,ns=y", &[(20, 7.0)]),
        recorded("__name__=queue,pod=gone,ns=y", &[(20, 9.0), (5, STALE)]),
        recorded("__name__=queue,pod=late,ns=y", &[(301, 9.0)]),
    ]
}

fn shown(query: &str) -> String {
    let print = |series: &Series| {
        let labels: Vec<String> = series.labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
        format!("{} {}", labels.join(","), series.value)
    };
    match evaluate(query, NOW, &world()) {
        Ok(Outcome::Scalar(value)) => value.to_string(),
        Ok(Outcome::Vector(vector)) => vector.iter().map(print).collect::<Vec<_>>().join("; "),
        Err(refused) => refused.to_string(),
    }
}

#[test]
fn each_form_gives_what_prometheus_gives() {
    for (query, expected) in [
        ("queue", "__name__=queue,ns=x,pod=a 5; __name__=queue,ns=y,pod=b 7"),
        ("queue{ns!=\"x\",pod=~\"a|b\"}", "__name__=queue,ns=y,pod=b 7"),
        ("queue{pod=~\"late\"} offset 1m", "__name__=queue,ns=y,pod=late 9"),
        ("sum(queue)", " 12"),
        ("sum by (ns) (queue)", "ns=x 5; ns=y 7"),
        ("max without (pod) (queue) * 2", "ns=x 10; ns=y 14"),
        ("rate(served{pod=\"a\"}[1m])", "ns=x,pod=a 2"),
        ("sum by (ns) (rate(served[1m]))", "ns=x 3.0555555555555554"),
        ("queue and on (pod) served{pod=\"a\"}", "__name__=queue,ns=x,pod=a 5"),
        ("(queue and last_over_time(queue[15s])) or vector(0)", " 0"),
        ("queue > 6", "__name__=queue,ns=y,pod=b 7"),
        ("6 < bool queue", "ns=x,pod=a 0; ns=y,pod=b 1"),
        (
            "queue / on (pod) group_left () count by (pod) (served)",
            "ns=x,pod=a 5; ns=y,pod=b 7",
        ),
        ("scalar(queue{pod=\"a\"}) - 1", "4"),
        ("-queue{pod=\"a\"} ^ 2", "ns=x,pod=a -25"),
        ("queue{pod=\"$a\"}", ""),
    ] {
        assert_eq!(shown(query), expected, "{query}");
    }
}

#[test]
fn what_is_not_known_is_refused_and_not_guessed() {
    for (query, part) in [
        ("", "1:1: parse error: no expression found"),
        ("sum(queue", "parse error: expected"),
        ("topk(1, queue)", "topk is not known"),
        ("max_over_time(queue[5m:1m])", "anything but a selector"),
        ("label_replace(queue, \"a\", \"b\", \"c\", \"d\")", "unknown function"),
        ("rate(queue)", "expected type range vector"),
        ("sum(1)", "expected type instant vector"),
        ("1 == 1", "must use BOOL"),
        ("{pod=\"\"}", "at least one non-empty matcher"),
        ("queue * on () queue", "found duplicate series"),
        ("abs({__name__=~\"queue|served\"})", "same labelset"),
    ] {
        let shown = shown(query);
        assert!(shown.contains(part), "{query}: {shown}");
    }
}
