//! What processes ask of those who measure, and what the cluster's Prometheus says of pods.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use reqwest::Url;
use serde_json::Value;

use crate::promql::Definition;
use crate::promql::evaluate::Outcome;
use crate::promql::merge::{Ask, single};
use crate::selector::Selector;
use crate::settings::sources::Sources;
use crate::sim::api::Api;
use crate::spec::Key;

/// Where metrics come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// metrics.k8s.io.
    Resource,
    /// custom.metrics.k8s.io.
    Custom,
    /// Prometheus, for Resource metrics.
    PrometheusResource,
    /// Prometheus, for Pods metrics.
    PrometheusPods,
}

/// A question, as it is seen on its way.
pub(super) struct Question {
    /// Who is asked.
    pub(super) source: Source,
    /// The path of a metrics API, or the query: the same for the same question at another time.
    pub(super) text: String,
    /// The namespace that it is about; `None`: several.
    pub(super) namespace: Option<String>,
}

/// What pods have of a metric, in thousandths.
pub(super) type Values = BTreeMap<Key, i64>;

/// In the paths of the cluster's Prometheus.
const PROXY: &str = "/proxy/";

/// In the queries for CPU, and in no other.
const CPU_SERIES: &str = "container_cpu_usage_seconds_total";

/// Whether a path is one of the cluster's Prometheus.
pub(super) fn is_of_prometheus(path: &str) -> bool {
    path.contains(PROXY)
}

impl Source {
    /// Who answers for a metric of an autoscaler.
    pub(super) fn of_metric(metric: &Value, sources: Option<&Sources>) -> Self {
        match (metric["type"] == "Pods", definition(metric, sources).is_some()) {
            (true, false) => Self::Custom,
            (true, true) => Self::PrometheusPods,
            (false, false) => Self::Resource,
            (false, true) => Self::PrometheusResource,
        }
    }

    pub(super) fn is_prometheus(self) -> bool {
        matches!(self, Self::PrometheusPods | Self::PrometheusResource)
    }

    /// Whether it is asked for Pods metrics.
    pub(super) fn is_of_pods(self) -> bool {
        matches!(self, Self::Custom | Self::PrometheusPods)
    }
}

/// By what Prometheus answers for a metric of an autoscaler; `None`: a metrics API does.
pub(super) fn definition<'s>(metric: &Value, sources: Option<&'s Sources>) -> Option<&'s Arc<Definition>> {
    let (name, of_type) = match metric["type"] == "Pods" {
        true => (&metric["pods"]["metric"]["name"], "Pods"),
        false => (&metric["resource"]["name"], "Resource"),
    };
    let mut defined = sources?.metrics.iter();
    defined.find(|definition| *name == *definition.name && definition.answers.type_name() == of_type)
}

impl Question {
    /// The question that a request to a metrics API or to Prometheus is.
    pub(super) fn of(request: &Request<Bytes>) -> Self {
        let path = request.uri().path();
        let until = |text: &str, begins: &str, ends: char| {
            let rest = text.split_once(begins)?.1;
            rest.split(ends).next().map(str::to_owned)
        };
        if is_of_prometheus(path) {
            let text = query(request);
            Self {
                source: match text.contains(CPU_SERIES) {
                    true => Source::PrometheusResource,
                    false => Source::PrometheusPods,
                },
                namespace: until(&text, "namespace=\"", '"'),
                text,
            }
        } else {
            Self {
                source: match path.contains("custom.metrics") {
                    true => Source::Custom,
                    false => Source::Resource,
                },
                namespace: until(path, "/namespaces/", '/'),
                text: path.to_owned(),
            }
        }
    }
}

/// The parameter `query`, from the body or the address.
fn query(request: &Request<Bytes>) -> String {
    let body = String::from_utf8_lossy(request.body());
    let parameters = match body.is_empty() {
        true => request.uri().query().unwrap_or_default(),
        false => &body,
    };
    let url = Url::parse(&format!("http://prometheus/?{parameters}"));
    let find = |url: Url| {
        url.query_pairs()
            .find(|(name, _)| name == "query")
            .map(|(_, value)| value.into_owned())
    };
    url.ok().and_then(find).unwrap_or_default()
}

/// One value that Prometheus gives: whose it is, of which container (nothing where the metric knows none), and how much.
struct Said {
    pod: Key,
    container: String,
    value: f64,
}

/// What an answer of Prometheus says of pods: nothing where one value is not readable, or `most` and more; and nothing of those
/// pods of which it says two things, or that something is NaN or infinite. `namespace`: of series that do not say it.
pub(super) fn said(body: &[u8], namespace: Option<&str>, most: i64) -> Option<Values> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let said = |series: &Value| {
        let label = |name: &str| series["metric"][name].as_str();
        Some(Said {
            pod: Key::new(label("namespace").or(namespace)?, label("pod")?),
            container: label("container").unwrap_or_default().to_owned(),
            value: series["value"][1].as_str()?.parse().ok()?,
        })
    };
    let all: Option<Vec<Said>> = answer["data"]["result"].as_array()?.iter().map(said).collect();
    summed(all?, most)
}

/// What these pods have of a metric by what Prometheus knows at this moment, those of which it knows nothing left out.
pub(super) fn known(api: &Api, definition: &Arc<Definition>, namespace: &str, pods: &[String]) -> Option<Values> {
    let ask = Ask {
        definition: definition.clone(),
        namespace: namespace.into(),
        object: None,
        selector: Selector::everything(),
    };
    let pods: Vec<Arc<str>> = pods.iter().map(|pod| Arc::from(pod.as_str())).collect();
    let query = single(&ask, &pods).ok()?;
    let Outcome::Vector(vector) = api.prometheus.evaluated(&query.text, api.store.now())? else {
        return None;
    };
    let said = vector.iter().filter_map(|series| {
        let label = |name: &str| {
            series
                .labels
                .iter()
                .find(|(label, _)| **label == *name)
                .map(|(_, value)| &**value)
        };
        Some(Said {
            pod: Key::new(namespace, label("pod")?),
            container: label("container").unwrap_or_default().to_owned(),
            value: series.value,
        })
    });
    summed(said, i64::MAX)
}

/// Each pod's containers together, in thousandths that are cut off. Nothing where one is absurd.
fn summed(said: impl IntoIterator<Item = Said>, most: i64) -> Option<Values> {
    let mut containers: BTreeMap<(Key, String), Option<i64>> = BTreeMap::new();
    for Said { pod, container, value } in said {
        let milli = (value * 1000.0) as i64;
        if value.is_finite() && !(0..most).contains(&milli) {
            return None;
        }
        let milli = value.is_finite().then_some(milli);
        let former = containers.entry((pod, container));
        former.and_modify(|former| *former = None).or_insert(milli);
    }
    let mut values: BTreeMap<Key, Option<i64>> = BTreeMap::new();
    for ((pod, _), milli) in containers {
        let sum = values.entry(pod).or_insert(Some(0));
        *sum = sum.zip(milli).map(|(sum, milli)| sum.saturating_add(milli));
    }
    Some(values.into_iter().filter_map(|(pod, sum)| Some((pod, sum?))).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(method: &str, uri: &str, body: &'static str) -> Question {
        let request = Request::builder().method(method).uri(uri);
        Question::of(
            &request
                .body(Bytes::from_static(body.as_bytes()))
                .expect("it is a request"),
        )
    }

    #[test]
    fn a_question_is_known_by_its_path_or_its_query() {
        let proxy = "/api/v1/namespaces/monitoring/services/prometheus:9090/proxy/api/v1/query";
        for (question, source, namespace) in [
            (
                asked("GET", "/apis/metrics.k8s.io/v1beta1/pods", ""),
                Source::Resource,
                None,
            ),
            (
                asked(
                    "GET",
                    "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/pods/*/qps",
                    "",
                ),
                Source::Custom,
                Some("shop"),
            ),
            (
                asked(
                    "POST",
                    proxy,
                    "query=sum+by+%28pod%29+%28served%7Bnamespace%3D%22bank%22%7D%29&time=1",
                ),
                Source::PrometheusPods,
                Some("bank"),
            ),
            (
                asked(
                    "GET",
                    &format!("{proxy}?query=rate(container_cpu_usage_seconds_total%5B1m%5D)"),
                    "",
                ),
                Source::PrometheusResource,
                None,
            ),
        ] {
            assert_eq!((question.source, question.namespace.as_deref()), (source, namespace));
        }
    }

    #[test]
    fn containers_are_added_up_and_what_is_said_twice_is_not_said() {
        let series = |pod: &str, container: &str, value: &str| json!({ "metric": { "pod": pod, "container": container }, "value": [1, value] });
        let answer = |series: Vec<Value>| json!({ "data": { "result": series } }).to_string();
        let two = answer(vec![
            series("a", "x", "0.0105"),
            series("a", "y", "0.02"),
            series("b", "x", "1"),
            series("b", "x", "2"),
        ]);
        let values = said(two.as_bytes(), Some("shop"), 1_000_000);
        assert_eq!(values, Some(BTreeMap::from([(Key::new("shop", "a"), 30)])));
        assert_eq!(
            said(two.as_bytes(), None, 1_000_000),
            None,
            "nobody knows which namespace"
        );
        for (value, expected) in [
            ("NaN", Some(0)),
            ("+Inf", Some(0)),
            ("0.25", Some(1)),
            ("", None),
            ("-1", None),
            ("9e18", None),
        ] {
            let answer = answer(vec![series("a", "x", value)]);
            let found = said(answer.as_bytes(), Some("shop"), 1_000_000);
            assert_eq!(found.map(|values| values.len()), expected, "{value}");
        }
    }
}
