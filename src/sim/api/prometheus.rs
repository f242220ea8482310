//! The Prometheus of a simulated cluster: series that were scraped, and its HTTP API.
//!
//! It is reached as in a real cluster, through the API server: `/api/v1/namespaces/monitoring/services/prometheus:9090/proxy`.
//! Which queries it knows, [`promql::evaluate`](crate::promql::evaluate) says; all others are bad data to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::target::Parameters;
use crate::promql::evaluate::{LabelSet, Outcome, Recorded, Refused, STALE, evaluate};
use crate::promql::{Definition, Series};
use crate::settings::sources::{Endpoint, Sources, Url};

/// Where it is.
pub(super) const NAMESPACE: &str = "monitoring";
pub(super) const SERVICES: [&str; 3] = ["prometheus", "prometheus:9090", "prometheus:web"];

/// Samples are kept for so long: the longest range that anybody asks about, and the lookback.
const RETENTION: Duration = Duration::from_secs(15 * 60);

/// What is said where nothing has the path, as Go's router does.
const NO_PAGE: &str = "404 page not found";

/// A Prometheus. It is there once it is started.
#[derive(Default)]
pub struct Prometheus {
    series: Mutex<Option<Vec<Recorded>>>,
}

/// What it answers: a status and a body.
pub(super) type Reply = (StatusCode, Value);

impl Prometheus {
    /// Starts it: from now on it scrapes.
    pub fn start(&self) {
        self.series.lock().get_or_insert_default();
    }

    /// Ends it, with all that it knows.
    pub fn stop(&self) {
        *self.series.lock() = None;
    }

    /// Whether it has been started.
    pub fn is_up(&self) -> bool {
        self.series.lock().is_some()
    }

    /// The name of the endpoint by which processes ask it.
    pub const NAME: &str = "simulated";

    /// Its address, as a process in the cluster is told.
    pub const ADDRESS: &str = "http://kubernetes/api/v1/namespaces/monitoring/services/prometheus:9090/proxy";

    /// Settings by which a process asks it for these metrics.
    ///
    /// # Panics
    ///
    /// Never: the address is a constant.
    pub fn sources(metrics: Vec<Definition>) -> Sources {
        let url = Url::parse(Self::ADDRESS).expect("the address is one");
        Sources {
            prometheus: BTreeMap::from([(Arc::from(Self::NAME), Endpoint::new(&url))]),
            metrics: metrics.into_iter().map(Arc::new).collect(),
            ..Sources::default()
        }
    }

    /// Takes what all targets show at `at`. What they showed the last time, and do not show now, has ended.
    pub fn scraped(&self, at: Timestamp, shown: impl IntoIterator<Item = Series>) {
        let at = at.as_millisecond();
        let forgotten = at - i64::try_from(RETENTION.as_millis()).unwrap_or(i64::MAX);
        let mut guard = self.series.lock();
        let Some(known) = guard.as_mut() else { return };
        let mut shown: BTreeMap<LabelSet, f64> = shown.into_iter().map(|s| (s.labels, s.value)).collect();
        for series in known.iter_mut() {
            let ended = series
                .samples
                .last()
                .is_some_and(|(_, value)| value.to_bits() == STALE.to_bits());
            match shown.remove(&series.labels) {
                Some(value) => series.samples.push((at, value)),
                None if !ended => series.samples.push((at, STALE)),
                None => {}
            }
            let old = series.samples.partition_point(|(at, _)| *at < forgotten);
            series.samples.drain(..old);
        }
        known.retain(|series| !series.samples.is_empty());
        known.extend(shown.into_iter().map(|(labels, value)| Recorded {
            labels,
            samples: vec![(at, value)],
        }));
    }

    /// What a query gives at `now`, of all that it knows; `None` where it was not started, or does not know the query.
    pub fn evaluated(&self, query: &str, now: Timestamp) -> Option<Outcome> {
        let guard = self.series.lock();
        evaluate(query, now.as_millisecond(), guard.as_ref()?).ok()
    }

    /// Answers a request below its address at `now`; `None` where it was not started.
    pub(super) fn answer(&self, path: &[&str], parameters: &Parameters, now: Timestamp) -> Option<Reply> {
        let guard = self.series.lock();
        let series = guard.as_ref()?;
        Some(match path {
            ["-", "ready" | "healthy"] => (StatusCode::OK, json!("Prometheus Server is Ready.")),
            ["api", "v1", "query"] => query(series, parameters, now),
            ["api", "v1", "label", label, "values"] => values(series, label, parameters, now),
            _ => (StatusCode::NOT_FOUND, json!(NO_PAGE)),
        })
    }
}

fn query(series: &[Recorded], parameters: &Parameters, now: Timestamp) -> Reply {
    let Some(at) = time(parameters.get("time"), now.as_millisecond()) else {
        return bad_time("time", parameters.get("time"));
    };
    let data = match evaluate(parameters.get("query"), at, series) {
        Ok(Outcome::Scalar(value)) => json!({ "resultType": "scalar", "result": point(at, value) }),
        Ok(Outcome::Vector(vector)) => {
            let result: Vec<Value> = vector
                .iter()
                .map(|series| json!({ "metric": metric(&series.labels), "value": point(at, series.value) }))
                .collect();
            json!({ "resultType": "vector", "result": result })
        }
        Err(refused @ Refused::Unreadable { .. }) => {
            let problem = format!("invalid parameter \"query\": {refused}");
            return failed(StatusCode::BAD_REQUEST, "bad_data", &problem);
        }
        Err(Refused::Execution(problem)) => {
            return failed(StatusCode::UNPROCESSABLE_ENTITY, "execution", &problem);
        }
    };
    (StatusCode::OK, json!({ "status": "success", "data": data }))
}

/// The values of a label, of series that selectors pick which have samples in a time.
fn values(series: &[Recorded], label: &str, parameters: &Parameters, now: Timestamp) -> Reply {
    let times = [("start", 0), ("end", now.as_millisecond())].map(|(name, otherwise)| {
        let given = parameters.get(name);
        time(given, otherwise).ok_or_else(|| bad_time(name, given))
    });
    let (start, end) = match times {
        [Ok(start), Ok(end)] => (start, end),
        [Err(bad), _] | [_, Err(bad)] => return bad,
    };
    let there = |series: &&Recorded| series.samples.iter().any(|(at, _)| (start..=end).contains(at));
    // Each as if it had its last sample at the end, so that a selector picks it.
    let at_end = |series: &Recorded| {
        let mut samples = series
            .samples
            .iter()
            .filter(|(_, value)| value.to_bits() != STALE.to_bits());
        let last = samples.any(|(at, _)| *at <= end).then_some((end, 1.0));
        Recorded {
            labels: series.labels.clone(),
            samples: last.into_iter().collect(),
        }
    };
    let within: Vec<Recorded> = series.iter().filter(there).map(at_end).collect();
    let mut found: BTreeSet<Arc<str>> = BTreeSet::new();
    let mut take = |labels: &[(Arc<str>, Arc<str>)]| {
        found.extend(
            labels
                .iter()
                .filter(|(name, _)| **name == *label)
                .map(|(_, value)| value.clone()),
        );
    };
    let selectors: Vec<&str> = parameters.all("match[]").collect();
    if selectors.is_empty() {
        within.iter().for_each(|series| take(&series.labels));
    }
    for selector in selectors {
        match evaluate(selector, end, &within) {
            Ok(Outcome::Vector(picked)) => picked.iter().for_each(|series| take(&series.labels)),
            Ok(Outcome::Scalar(_)) => return failed(StatusCode::BAD_REQUEST, "bad_data", "no selector"),
            Err(refused) => {
                let problem = format!("invalid parameter \"match[]\": {refused}");
                return failed(StatusCode::BAD_REQUEST, "bad_data", &problem);
            }
        }
    }
    (StatusCode::OK, json!({ "status": "success", "data": found }))
}

fn failed(code: StatusCode, kind: &str, problem: &str) -> Reply {
    (code, json!({ "status": "error", "errorType": kind, "error": problem }))
}

fn bad_time(name: &str, given: &str) -> Reply {
    let problem = format!("invalid parameter {name:?}: cannot parse {given:?} to a valid timestamp");
    failed(StatusCode::BAD_REQUEST, "bad_data", &problem)
}

/// Seconds since 1970, or a time as people write it, in milliseconds.
fn time(given: &str, otherwise: i64) -> Option<i64> {
    if given.is_empty() {
        return Some(otherwise);
    }
    match given.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() => Some((seconds * 1000.0).round() as i64),
        _ => given.parse::<Timestamp>().ok().map(|time| time.as_millisecond()),
    }
}

fn metric(labels: &[(Arc<str>, Arc<str>)]) -> Value {
    labels
        .iter()
        .map(|(name, value)| (name.to_string(), Value::from(&**value)))
        .collect()
}

/// As Go writes numbers.
fn point(at: i64, value: f64) -> Value {
    let text = match value {
        value if value.is_nan() => "NaN".to_owned(),
        value if value.is_infinite() && value > 0.0 => "+Inf".to_owned(),
        value if value.is_infinite() => "-Inf".to_owned(),
        value => value.to_string(),
    };
    json!([at as f64 / 1000.0, text])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, pod: &str, value: f64) -> Series {
        let labels = [("__name__", name), ("pod", pod)].map(|(name, value)| (name.into(), value.into()));
        Series {
            labels: labels.into(),
            value,
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    fn scraped() -> Prometheus {
        let prometheus = Prometheus::default();
        prometheus.start();
        prometheus.scraped(at(0), [series("served", "a", 1.0), series("served", "b", 5.0)]);
        prometheus.scraped(at(15), [series("served", "a", 31.0)]);
        prometheus
    }

    fn ask(prometheus: &Prometheus, path: &str, query: &str) -> (u16, Value) {
        let path: Vec<&str> = path.split('/').collect();
        let reply = prometheus.answer(&path, &Parameters::parse(query), at(20));
        let (code, body) = reply.unwrap();
        (code.as_u16(), body)
    }

    #[test]
    fn answers_have_the_shape_of_prometheus() {
        let prometheus = scraped();
        let (code, body) = ask(
            &prometheus,
            "api/v1/query",
            "query=rate(served%5B1m%5D)*60&time=1700000020.5",
        );
        let series = json!([{ "metric": { "pod": "a" }, "value": [1_700_000_020.5, "42"] }]);
        let expected = json!({ "status": "success", "data": { "resultType": "vector", "result": series } });
        assert_eq!((code, &body), (200, &expected));
        let (_, body) = ask(&prometheus, "api/v1/query", "query=-1/0");
        assert_eq!(
            body["data"],
            json!({ "resultType": "scalar", "result": [1_700_000_020.0, "-Inf"] })
        );
        for (query, code, kind) in [
            ("query=sum(", 400, "bad_data"),
            ("", 400, "bad_data"),
            ("query=1&time=soon", 400, "bad_data"),
            ("query=topk(1,served)", 400, "bad_data"),
            ("query=served%2Bon()served%20offset%2010s", 422, "execution"),
        ] {
            let (found, body) = ask(&prometheus, "api/v1/query", query);
            assert_eq!(
                (found, &body["errorType"], &body["status"]),
                (code, &json!(kind), &json!("error")),
                "{query}"
            );
        }
        assert_eq!(ask(&prometheus, "api/v2/query", "").0, 404);
    }

    #[test]
    fn what_is_not_scraped_any_more_has_ended_and_is_forgotten_in_the_end() {
        let prometheus = scraped();
        let pods = |query: &str| ask(&prometheus, "api/v1/label/pod/values", query).1["data"].clone();
        let (_, now) = ask(&prometheus, "api/v1/query", "query=count(served)");
        assert_eq!(now["data"]["result"][0]["value"][1], "1");
        assert_eq!(pods("match[]=%7B__name__%3D~%22serv.%2A%22%7D"), json!(["a", "b"]));
        assert_eq!(pods("match[]=served&start=1700000016"), json!([]));
        prometheus.scraped(at(1_820), [series("served", "a", 61.0)]);
        assert_eq!(pods("end=1700009999"), json!(["a"]));
    }

    #[test]
    fn it_is_not_there_before_it_is_started() {
        let prometheus = Prometheus::default();
        prometheus.scraped(at(0), [series("served", "a", 1.0)]);
        assert!(
            prometheus
                .answer(&["-", "ready"], &Parameters::default(), at(0))
                .is_none()
        );
    }
}
