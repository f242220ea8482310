//! Any text is a rule file of Prometheus Adapter, or mistakes with places in it; and what rules give can be asked.

use std::sync::Arc;

use trimtab::promql::adapter::AdapterRules;
use trimtab::selector::Selector;
use trimtab::spec::{MetricIdentifier, MetricSource, ObjectRef};

const NAMES: [&str; 4] = [
    "worker_busy_seconds_total",
    "worker_jobs_total",
    "http_requests_total",
    "",
];

pub fn check(text: &str) {
    let rules = match AdapterRules::parse("t", text, &"main".into()) {
        Ok(rules) => rules,
        Err(mistakes) => {
            assert!(!mistakes.is_empty());
            // YAML 1.1 knows more line breaks than most, and what ends too early is wrong on the line after its last.
            let breaks = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];
            let lines = text.matches(breaks).count() as u64 + 1;
            assert!(mistakes.iter().all(|m| (1..=lines).contains(&m.line)), "{mistakes:?}");
            return;
        }
    };
    let names: Arc<[Arc<str>]> = NAMES.map(Arc::from).into();
    let listed = vec![names; rules.series_queries().len()];
    let mut catalog = rules.catalog(&listed);
    for name in NAMES
        .into_iter()
        .chain(["busy", "jobs", "http_requests", "loaves", "mails_old"])
    {
        let metric = MetricIdentifier {
            name: name.into(),
            written: None,
            selector: Ok(Selector::parse("a=b").expect("it is a selector")),
        };
        let described = ObjectRef {
            api_version: "v1".into(),
            kind: "Service".into(),
            name: "front".into(),
        };
        for source in [
            MetricSource::Pods { metric: metric.clone() },
            MetricSource::Object {
                described,
                metric: metric.clone(),
            },
            MetricSource::External { metric },
        ] {
            let first = catalog.find(&source);
            let second = catalog.find(&source);
            assert_eq!(first, second);
        }
    }
}
