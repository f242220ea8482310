//! Answers of the cluster's Prometheus that are wrong, or that a known bug gets wrong.

use std::collections::BTreeSet;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Storm;
use crate::sim::api::{Api, PODS};
use crate::sim::random::Random;
use crate::sim::trial::plan::What;

/// An answer in which series are missing, absurd, or contradict one another.
pub(super) fn spoilt(storm: &Storm, met: &[&What], body: Bytes) -> Bytes {
    changed(body, |series| {
        for what in met {
            match what {
                What::MetricsMissing => series.retain(|one| !Random::named(storm.seed, pod(one)).chance(0.5)),
                What::MetricsOdd => series.iter_mut().for_each(|one| {
                    let odd = *Random::named(storm.seed, pod(one)).pick(&["NaN", "", "+Inf", "-Inf", "9e18", "1e-9"]);
                    one["value"][1] = odd.into();
                }),
                What::MetricsContradictory => {
                    let others: Vec<Value> = series.iter().map(|one| contradiction(storm.seed, one)).collect();
                    series.extend(others);
                }
                _ => {}
            }
        }
    })
}

/// The same pod once more with another value; or a pod that nobody knows.
fn contradiction(seed: u64, one: &Value) -> Value {
    let mut random = Random::named(seed, pod(one));
    let mut other = one.clone();
    if random.chance(0.3) {
        other["metric"]["pod"] = format!("{}-stranger", pod(one)).into();
    }
    other["value"][1] = (*random.pick(&["0", "0.001", "0.5", "3"])).into();
    other
}

/// An answer that is understood as if everything were a half more than it is.
pub(super) fn overstated(body: Bytes) -> Bytes {
    changed(body, |series| {
        for one in series {
            let value = one["value"][1].as_str().and_then(|value| value.parse::<f64>().ok());
            if let Some(value) = value {
                one["value"][1] = (value * 1.5).to_string().into();
            }
        }
    })
}

/// An answer that is understood as if pods without a value were at 0.
pub(super) fn filled_with_nothing(api: &Api, at: Timestamp, body: Bytes) -> Bytes {
    changed(body, |series| {
        let there: BTreeSet<String> = series.iter().map(|one| pod(one).to_owned()).collect();
        series.extend(each_at_nothing(api, at).filter(|one| !there.contains(pod(one))));
    })
}

/// What a controller would see that takes a failure for no usage at all.
pub(super) fn nothing_used(api: &Api, at: Timestamp) -> Bytes {
    let all: Vec<Value> = each_at_nothing(api, at).collect();
    let answer = json!({ "status": "success", "data": { "resultType": "vector", "result": all } });
    Bytes::from(answer.to_string())
}

/// Each pod that there is, with all labels that a query may give.
fn each_at_nothing(api: &Api, at: Timestamp) -> impl Iterator<Item = Value> {
    let (pods, _) = api.store.list(&PODS, None);
    pods.into_iter().map(move |pod| {
        let metadata = &pod["metadata"];
        json!({ "metric": { "namespace": metadata["namespace"], "pod": metadata["name"], "container": "main" },
            "value": [at.as_second(), "0"] })
    })
}

/// What is no vector of series stays as it is.
fn changed(body: Bytes, change: impl FnOnce(&mut Vec<Value>)) -> Bytes {
    let Ok(mut answer) = serde_json::from_slice::<Value>(&body) else {
        return body;
    };
    match answer["data"]["result"].as_array_mut() {
        Some(series) => change(series),
        None => return body,
    }
    Bytes::from(answer.to_string())
}

fn pod(series: &Value) -> &str {
    series["metric"]["pod"].as_str().unwrap_or_default()
}
