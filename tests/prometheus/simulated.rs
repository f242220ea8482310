//! The simulated cluster's Prometheus beside the real one: the same series, the same queries, answers that agree.

use std::cell::Cell;
use std::sync::Arc;

use proptest::test_runner::TestCaseError;
use trimtab::promql::evaluate::{Outcome, Recorded, Refused, evaluate};
use trimtab::promql::{SelectorForm, Series, single};

use super::server::{Failure, Server};
use super::{LIMIT, Values, asks, comparable, data, definition, expressions, pods, runner, templates};

fn recorded() -> Vec<Recorded> {
    let of = |written: data::Written| {
        let pairs = written.labels.iter();
        let mut labels: Vec<(Arc<str>, Arc<str>)> = pairs
            .map(|(name, value)| (name.as_str().into(), value.as_str().into()))
            .collect();
        labels.sort();
        Recorded {
            labels: labels.into(),
            samples: written.samples,
        }
    };
    data::series().into_iter().map(of).collect()
}

/// Whether the simulated Prometheus knows the query, and answers as the real one does.
fn compare(server: &Server, series: &[Recorded], query: &str) -> Result<bool, String> {
    let simulated = match evaluate(query, data::NOW * 1000, series) {
        // What it does not know it refuses; that is no difference.
        Err(Refused::Unreadable { .. }) => return Ok(false),
        Err(Refused::Execution(message)) => Err(message),
        Ok(Outcome::Vector(vector)) => Ok(vector),
        Ok(Outcome::Scalar(value)) => Ok(vec![Series {
            labels: [].into(),
            value,
        }]),
    };
    let real = server.query(query);
    let agree = match (&simulated, &real) {
        (Ok(simulated), Ok(real)) => close(&comparable(simulated, &[]), &comparable(real, &[])),
        (Err(_), Err(failure)) => !Failure::is_syntax(failure),
        _ => false,
    };
    match agree {
        true => Ok(true),
        false => Err(format!("{query}\n  simulated: {simulated:?}\n  real: {real:?}")),
    }
}

/// Sums are added up in another order.
fn close(simulated: &Values, real: &Values) -> bool {
    let same =
        |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0);
    simulated.len() == real.len()
        && simulated
            .iter()
            .zip(real)
            .all(|((k, a), (l, b))| k == l && same(*a, *b))
}

/// What is asked for one autoscaler alone, for each namespace and selector, with a freshness limit and without.
fn queries(template: &str) -> Vec<String> {
    let mut queries = Vec::new();
    for freshness in [None, Some(LIMIT)] {
        let definition = definition(template, SelectorForm::Exact, freshness);
        if freshness.is_some() && definition.template.can_be_limited(LIMIT).is_err() {
            continue;
        }
        let asked = asks(&definition);
        queries.extend(
            asked
                .iter()
                .filter_map(|ask| single(ask, &pods()).ok())
                .map(|query| query.text),
        );
    }
    queries.sort();
    queries.dedup();
    queries
}

#[test]
fn the_simulated_prometheus_answers_as_the_real_one_does() {
    let (server, series) = (Server::with_data(), recorded());
    let (mut known, mut all) = (0, 0);
    for template in templates() {
        let mut is_known = true;
        for query in queries(template) {
            is_known &= compare(&server, &series, &query).unwrap_or_else(|difference| panic!("{difference}"));
        }
        all += 1;
        known += usize::from(is_known);
    }
    assert!(known >= 35, "only {known} of {all} templates are known");
    let known = Cell::new((0, 0));
    let result = runner(400).run(&expressions::expression(), |template| {
        for query in queries(&template).into_iter().take(4) {
            let is_known = compare(&server, &series, &query).map_err(TestCaseError::fail)?;
            let (some, all) = known.get();
            known.set((some + usize::from(is_known), all + 1));
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    let (some, all) = known.get();
    println!("{some} of {all} random queries are known");
    assert!(some * 4 > all, "only {some} of {all} random queries are known");
}
