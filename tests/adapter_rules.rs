//! Prometheus Adapter's rules as they are read: `tests/adapter-rules/*.rules.yaml`, what is asked of them in `.asked.yaml`,
//! what comes of it, kept in `.expected`, and what the adapter itself would ask Prometheus for, kept in `.adapter` by
//! `tests/adapter-rules/record`.

#[path = "support/expect.rs"]
mod expect;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use expect::expect_file;
use serde::Deserialize;
use trimtab::promql::adapter::{AdapterRules, Catalog};
use trimtab::promql::{Answers, Ask, AskError, Definition, MergeLimits, merge, single};
use trimtab::selector::Selector;
use trimtab::spec::{MetricIdentifier, MetricSource, ObjectRef};

const FOLDER: &str = "tests/adapter-rules";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// The names of the series behind each series query that has to be listed.
    #[serde(default)]
    series: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    metrics: Vec<Metric>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metric {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    #[serde(default)]
    selector: String,
    /// `group/version Kind name`
    #[serde(default)]
    object: String,
}

impl Metric {
    fn source(&self) -> MetricSource {
        let metric = MetricIdentifier {
            name: self.name.as_str().into(),
            written: None,
            selector: Ok(Selector::parse(&self.selector).expect("it is a selector")),
        };
        match self.kind.as_str() {
            "Pods" => MetricSource::Pods { metric },
            "External" => MetricSource::External { metric },
            "Object" => {
                let mut words = self.object.split(' ');
                let mut word = || Arc::<str>::from(words.next().expect("an object has three words"));
                let described = ObjectRef {
                    api_version: word(),
                    kind: word(),
                    name: word(),
                };
                MetricSource::Object { described, metric }
            }
            other => panic!("{other} is no type"),
        }
    }
}

/// What comes of a rule file.
fn outcome(name: &str) -> String {
    let path = format!("{name}.rules.yaml");
    let mut out = String::new();
    let rules = match AdapterRules::parse(&path, &read(&path), &"main".into()) {
        Ok(rules) => rules,
        Err(mistakes) => {
            for mistake in mistakes {
                let _ = writeln!(out, "{mistake}");
            }
            return out;
        }
    };
    for warning in rules.warnings() {
        let _ = writeln!(out, "warning: {warning}");
    }
    for query in rules.series_queries() {
        let _ = writeln!(out, "list {query}");
    }
    for definition in rules.resources() {
        let _ = writeln!(out, "Resource {}\n{}", definition.name, shown(definition));
    }
    if folder().join(format!("{name}.asked.yaml")).exists() {
        let (mut catalog, asked) = catalog(name);
        for metric in &asked.metrics {
            out.push_str(&answer(&mut catalog, metric));
        }
    }
    out
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER)
}

fn read(file: &str) -> String {
    fs::read_to_string(folder().join(file)).unwrap_or_else(|error| panic!("read {file}: {error}"))
}

/// The files of the folder that end so, without that end.
fn names(end: &str) -> Vec<String> {
    let entries = fs::read_dir(folder()).expect("the folder can be read");
    let names = entries.filter_map(|entry| {
        let name = entry.expect("the folder can be read").file_name();
        name.to_string_lossy().strip_suffix(end).map(str::to_owned)
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// A rule file's metrics with the series that there are, and what is asked of them.
fn catalog(name: &str) -> (Catalog, Asked) {
    let path = format!("{name}.rules.yaml");
    let rules = AdapterRules::parse(&path, &read(&path), &"main".into()).expect("the rules are right");
    let asked: Asked =
        serde_saphyr::from_str(&read(&format!("{name}.asked.yaml"))).expect("it is in the form of Asked");
    let names: Vec<Arc<[Arc<str>]>> = rules
        .series_queries()
        .iter()
        .map(|query| {
            asked.series[&**query]
                .iter()
                .map(|name| Arc::from(name.as_str()))
                .collect()
        })
        .collect();
    (rules.catalog(&names), asked)
}

/// A question in a line.
fn words(metric: &Metric) -> String {
    let words = [&metric.kind, &metric.name, &metric.object, &metric.selector];
    let words: Vec<&str> = words
        .into_iter()
        .map(String::as_str)
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" ")
}

fn answer(catalog: &mut Catalog, metric: &Metric) -> String {
    let answer = match catalog.find(&metric.source()) {
        None => "  no rule gives it\n".to_owned(),
        Some(Err(problem)) => format!("  {problem}\n"),
        Some(Ok(definition)) => shown(&definition) + &together(&definition, metric),
    };
    format!("{}\n{answer}", words(metric))
}

/// What one autoscaler of the namespace `shop` with two pods would ask, without the age limit: what the adapter asks.
fn query(definition: &Definition, metric: &Metric) -> Result<String, AskError> {
    let definition = Definition {
        freshness: None,
        ..definition.clone()
    };
    let ask = ask(&Arc::new(definition), "shop", metric);
    single(&ask, &["web-1".into(), "web-2".into()]).map(|query| query.text)
}

/// What autoscalers of two namespaces ask together, without the age limit.
fn together(definition: &Definition, metric: &Metric) -> String {
    let definition = Arc::new(Definition {
        freshness: None,
        ..definition.clone()
    });
    let asks = ["post", "shop"].map(|namespace| ask(&definition, namespace, metric));
    if let Some(problem) = asks[0].problem() {
        return format!("  cannot be asked: {problem}\n");
    }
    let queries = merge(&asks, MergeLimits::default());
    let lines = queries
        .iter()
        .map(|query| format!("  together {}\n", indented(&query.text)));
    lines.collect()
}

fn ask(definition: &Arc<Definition>, namespace: &str, metric: &Metric) -> Ask {
    let object = metric.object.rsplit(' ').next().filter(|name| !name.is_empty());
    Ask {
        definition: definition.clone(),
        namespace: namespace.into(),
        object: object.map(Arc::from),
        selector: Selector::parse(&metric.selector).expect("it is a selector"),
    }
}

fn indented(text: &str) -> String {
    text.trim().replace('\n', "\n  ")
}

fn shown(definition: &Definition) -> String {
    let labels = match &definition.answers {
        Answers::Pods { pod_label } => format!("  by {pod_label}\n"),
        Answers::Resource {
            pod_label,
            container_label,
            namespace_label,
            window,
        } => format!("  by {namespace_label}, {pod_label}, {container_label} over {window:?}\n"),
        Answers::Object { .. } | Answers::External => String::new(),
    };
    let limit = match definition.freshness {
        Some(limit) => format!("  not older than {limit:?}\n"),
        None => String::new(),
    };
    format!("  {}\n{labels}{limit}", indented(definition.template.text()))
}

#[test]
fn the_example_s_rules_give_what_its_comments_say() {
    let path = "config/prometheus-adapter.rules.yaml";
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("it is there");
    let rules = AdapterRules::parse(path, &text, &"main".into()).expect("it is right");
    assert_eq!(rules.warnings(), []);
    let names: Vec<Arc<[Arc<str>]>> = vec![["shop_orders_total".into()].into()];
    assert_eq!(rules.series_queries().len(), names.len());
    let mut catalog = rules.catalog(&names);
    for (kind, name, object) in [
        ("Pods", "qps", ""),
        ("Pods", "shop_orders_per_second", ""),
        ("Object", "shop_orders_per_second", "v1 Service front"),
        ("External", "qps", ""),
        ("External", "mails_waiting", ""),
    ] {
        let metric = Metric {
            kind: kind.into(),
            name: name.into(),
            selector: String::new(),
            object: object.into(),
        };
        assert!(matches!(catalog.find(&metric.source()), Some(Ok(_))), "{kind} {name}");
    }
    assert_eq!(rules.resources().len(), 2);
}

#[test]
fn queries_are_those_of_the_adapter_itself() {
    let mut compared = 0;
    for name in names(".adapter") {
        // A question, then a query in one line, `none`, or `error` and what it is.
        let recorded = read(&format!("{name}.adapter"));
        let mut recorded = recorded.lines();
        let (mut catalog, asked) = catalog(&name);
        for metric in &asked.metrics {
            let question = recorded.next().expect("each question is recorded");
            assert_eq!(question, words(metric), "{name} is recorded anew");
            let theirs = recorded.next().expect("each question has its answer").trim();
            let ours = match catalog.find(&metric.source()) {
                None => "none".to_owned(),
                Some(Err(problem)) => format!("error {problem}"),
                Some(Ok(definition)) => match query(&definition, metric) {
                    Ok(text) => text.split_whitespace().collect::<Vec<_>>().join(" "),
                    Err(error) => format!("error {error}"),
                },
            };
            let both_fail = theirs.starts_with("error ") && ours.starts_with("error ");
            assert!(
                both_fail || ours == theirs,
                "{name}: {question}\n  adapter: {theirs}\n  trimtab: {ours}"
            );
            compared += 1;
        }
        assert_eq!(recorded.next(), None, "{name} is recorded anew");
    }
    assert!(compared >= 20, "only {compared} queries were compared");
}

#[test]
fn rule_files_give_what_is_kept() {
    let names = names(".rules.yaml");
    assert!(names.len() >= 5, "only {} rule files", names.len());
    let differences: Vec<String> = names
        .iter()
        .filter_map(|name| expect_file(&format!("{FOLDER}/{name}.expected"), &outcome(name)).err())
        .collect();
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}
