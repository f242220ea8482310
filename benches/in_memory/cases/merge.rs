//! Many questions to a Prometheus made into few queries, and the answers given back to who asked.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use trimtab::promql::merge::{Ask, MergeLimits, Query, merge};
use trimtab::promql::{Answers, Definition, Missing, Series, Template};
use trimtab::selector::Selector;

use super::{Case, Named, counted};

const ASKS: usize = 5_000;

pub fn cases() -> Vec<Named> {
    vec![
        counted("merging 5,000 asks", || Merging(asks())),
        counted("giving 5,000 series back", Splitting::new),
    ]
}

/// Each for an object of its own, 50 of them in a namespace.
fn asks() -> Vec<Ask> {
    let query = r#"sum(rate(http_requests_total{namespace="$namespace",ingress="$object"}[2m])) / sum(rate(http_workers{namespace="$namespace",ingress="$object"}[2m]))"#;
    let definition = Arc::new(Definition {
        name: "requests".into(),
        answers: Answers::Object { kind: None },
        endpoint: "main".into(),
        template: Template::parse(query).expect("a query"),
        step: Duration::ZERO,
        freshness: None,
        missing: Missing::Fails,
    });
    let ask = |n: usize| Ask {
        definition: definition.clone(),
        namespace: namespace(n).into(),
        object: Some(object(n).into()),
        selector: Selector::default(),
    };
    (0..ASKS).map(ask).collect()
}

fn namespace(n: usize) -> String {
    format!("team-{}", n / 50)
}

fn object(n: usize) -> String {
    format!("web-{n}")
}

struct Merging(Vec<Ask>);

impl Case for Merging {
    fn run(&mut self) {
        let queries = black_box(merge(&self.0, MergeLimits::default()));
        assert!(queries.len() <= 20, "{} queries", queries.len());
    }
}

struct Splitting {
    queries: Vec<Query>,
    series: Vec<Series>,
}

impl Splitting {
    fn new() -> Self {
        let queries = merge(&asks(), MergeLimits::default());
        let labels = |n| [("ingress", object(n)), ("namespace", namespace(n))];
        let series = |n: usize| Series {
            labels: labels(n).map(|(name, value)| (name.into(), value.into())).into(),
            value: n as f64,
        };
        Self {
            queries,
            series: (0..ASKS).map(series).collect(),
        }
    }
}

impl Case for Splitting {
    /// Of each query's answer, as if each had given all series.
    fn run(&mut self) {
        let given: usize = self
            .queries
            .iter()
            .map(|query| {
                black_box(query.split(&self.series))
                    .iter()
                    .filter(|own| !own.is_empty())
                    .count()
            })
            .sum();
        assert!(given > 0);
    }
}
