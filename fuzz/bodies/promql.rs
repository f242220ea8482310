//! Any text is a template or an error, and what is made of a query that we read is a query that we read.

use std::sync::Arc;
use std::time::Duration;

use trimtab::promql::{Answers, Ask, Definition, MergeLimits, Missing, Query, Series, Template, merge, single};
use trimtab::selector::Selector;

pub fn check(text: &str) {
    let Ok(template) = Template::parse(text) else { return };
    let freshness = Some(Duration::from_secs(120)).filter(|limit| template.can_be_limited(*limit).is_ok());
    if let Some(limit) = freshness
        && let Ok(limited) = template.limited(limit)
    {
        assert!(
            deeper(&limited) || limited.is_readable().is_ok(),
            "{text:?} limited is {:?}",
            limited.text()
        );
    }
    for freshness in [None, freshness] {
        let definition = Arc::new(Definition {
            name: "metric".into(),
            answers: Answers::External,
            endpoint: "main".into(),
            template: template.clone(),
            step: Duration::ZERO,
            freshness,
            missing: Missing::Fails,
        });
        let ask = |(namespace, app): (&str, &str)| Ask {
            definition: definition.clone(),
            namespace: namespace.into(),
            object: Some("object".into()),
            selector: match template.names_selector() {
                true => Selector::parse(&format!("app={app},tier!=x")).expect("it is a selector"),
                false => Selector::everything(),
            },
        };
        let asks = [("a", "v"), ("b.c", "w"), ("a", "w"), ("a", "w")].map(ask);
        let queries = merge(&asks, MergeLimits::default());
        let mut asked: Vec<usize> = queries.iter().flat_map(|query| query.asks.iter().copied()).collect();
        asked.sort_unstable();
        let expected: Vec<usize> = if asks[0].needs_pods() {
            Vec::new()
        } else {
            (0..asks.len()).collect()
        };
        assert_eq!(asked, expected, "{text:?}");
        for query in &queries {
            is_read(&template, query);
            let nothing: [Series; 0] = [];
            assert_eq!(query.split(&nothing).len(), query.asks.len(), "{text:?}");
            for half in query.halves(&asks).into_iter().flatten() {
                is_read(&template, &half);
            }
        }
        is_read(
            &template,
            &single(&asks[0], &["p-0".into(), "p.1".into()]).expect("there are pods"),
        );
    }
}

/// Whether a query that we read became one that we read. A dollar in it is no placeholder any more.
fn is_read(template: &Template, query: &Query) {
    if template.is_readable().is_err() || query.text.contains('$') {
        return;
    }
    let read = Template::parse(&query.text);
    let reads = read
        .as_ref()
        .is_ok_and(|read| deeper(read) || read.is_readable().is_ok());
    assert!(reads, "{:?} became {:?}: {read:?}", template.text(), query.text);
}

/// Whether it is not read for its depth alone: a guard adds some levels.
fn deeper(template: &Template) -> bool {
    template
        .is_readable()
        .is_err_and(|error| error.contains("less nesting"))
}
