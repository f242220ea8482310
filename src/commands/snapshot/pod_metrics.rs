//! Readings of resources, from wherever they are, as `metrics.k8s.io` would have answered them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::metrics::{Pods, quantity};
use crate::duration;
use crate::observe::{Reading, Sample};
use crate::quantity::Milli;
use crate::spec::MetricSource;

/// The container that stands for all that no metric names: what a pod uses apart from the containers that are asked about.
const REST: &str = "";

/// What one pod used: by container (`None`: the pod as a whole) and resource.
type PodSamples<'a> = BTreeMap<(Option<&'a str>, &'a str), Sample>;

/// A PodMetricsList from which each of the `answered` metrics of resources reads what it read; `None` where there is none.
pub(super) fn list(namespace: &str, answered: &[(&MetricSource, &Reading)], pods: &Pods) -> Option<Value> {
    let mut asked: BTreeSet<(Option<&str>, &str)> = BTreeSet::new();
    let mut by_pod: BTreeMap<&Arc<str>, PodSamples<'_>> = BTreeMap::new();
    for (source, reading) in answered {
        let (container, resource) = match source {
            MetricSource::Resource { name } => (None, &**name),
            MetricSource::ContainerResource { name, container } => (Some(&**container), &**name),
            _ => continue,
        };
        asked.insert((container, resource));
        let Reading::PerPod(samples) = reading else { continue };
        let of_pods = pods.pods.iter().zip(&samples.of_pods);
        let own = of_pods.filter_map(|(pod, sample)| Some((&pod.name, sample.as_ref()?)));
        let strangers = samples.of_strangers.iter().map(|(name, sample)| (name, sample));
        for (name, sample) in own.chain(strangers) {
            by_pod.entry(name).or_default().insert((container, resource), *sample);
        }
    }
    if asked.is_empty() {
        return None;
    }
    let any_labels = pods.labels.values().next();
    let items = by_pod.iter().map(|(name, samples)| {
        let labels = pods.labels.get(*name).or(any_labels);
        item(namespace, name, labels, samples, &asked)
    });
    Some(json!({
        "kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "items": items.collect::<Vec<_>>(),
    }))
}

fn item(
    namespace: &str,
    name: &str,
    labels: Option<&Value>,
    samples: &PodSamples<'_>,
    asked: &BTreeSet<(Option<&str>, &str)>,
) -> Value {
    let mut containers: BTreeMap<&str, BTreeMap<&str, Milli>> = BTreeMap::new();
    for ((container, resource), sample) in samples {
        if let Some(container) = container {
            containers.entry(container).or_default().insert(resource, sample.value);
        }
    }
    // A sum needs the resource in each container; what is left of it is the rest's.
    for (_, resource) in asked.iter().filter(|(container, _)| container.is_none()) {
        let whole = samples.get(&(None, *resource));
        let mut rest = whole.map(|sample| sample.value);
        for (container, usage) in &mut containers {
            if *container != REST && !asked.contains(&(Some(*container), *resource)) {
                usage.insert(resource, Milli::ZERO);
            }
            let used = usage.get(resource).copied().unwrap_or(Milli::ZERO);
            rest = rest.map(|rest| Milli(rest.0.saturating_sub(used.0)));
        }
        let of_rest = containers.entry(REST).or_default();
        of_rest.extend(rest.map(|rest| (*resource, rest)));
    }
    // Only for cpu does the time of a sample count.
    let of_cpu = samples.iter().find(|((_, resource), _)| *resource == "cpu");
    let sample = of_cpu.or_else(|| samples.iter().next()).map(|(_, sample)| sample);
    let containers = containers.iter().map(|(name, usage)| {
        let usage: BTreeMap<_, _> = usage
            .iter()
            .map(|(resource, value)| (resource, quantity(*value)))
            .collect();
        json!({ "name": name, "usage": usage })
    });
    let mut item = json!({
        "metadata": { "name": name, "namespace": namespace, "labels": labels },
        "containers": containers.collect::<Vec<_>>(),
    });
    if let Some(sample) = sample {
        item["timestamp"] = json!(sample.at.map(|at| at.to_string()));
        item["window"] = duration::print(sample.window).into();
    }
    item
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::*;
    use crate::metrics::resource::{Usages, reading};
    use crate::observe::{FailureKind, MetricFailure, Pod, PodPhase};
    use crate::selector::Selector;

    fn sample(milli: i64) -> Option<Sample> {
        Some(Sample {
            value: Milli(milli),
            at: Some(Timestamp::UNIX_EPOCH),
            window: SignedDuration::from_secs(30),
        })
    }

    fn per_pod(of_pods: [Option<Sample>; 2]) -> Reading {
        Reading::PerPod(crate::observe::PodSamples {
            of_pods: of_pods.into(),
            ..crate::observe::PodSamples::default()
        })
    }

    fn pods() -> Pods {
        let pod = |name: &str| Pod {
            name: name.into(),
            phase: PodPhase::Running,
            terminating: false,
            ready: None,
            started: None,
            requests: Arc::default(),
        };
        Pods {
            selector: Selector::parse("app=web").expect("it is one"),
            pods: Arc::new(vec![pod("a"), pod("b")]),
            labels: ["a", "b"].map(|name| (name.into(), json!({ "app": "web" }))).into(),
        }
    }

    /// What each metric reads out of the list that is made of what it read.
    #[track_caller]
    fn round_trip(metrics: &[(MetricSource, Reading)]) {
        let pods = pods();
        let answered: Vec<_> = metrics.iter().map(|(source, reading)| (source, reading)).collect();
        let list = list("shop", &answered, &pods).expect("there are metrics of resources");
        let usages = Usages::decode(&list.to_string()).expect("it is a list").of("shop");
        for (source, expected) in metrics {
            let (name, container) = match source {
                MetricSource::Resource { name } => (name, None),
                MetricSource::ContainerResource { name, container } => (name, Some(&**container)),
                _ => unreachable!("only resources are tested"),
            };
            let found = reading(&usages, &pods.selector, &pods.pods, name, container);
            match expected {
                Reading::Failed(_) => assert!(
                    matches!(&found, Reading::PerPod(s) if s.of_pods.iter().all(Option::is_none)),
                    "{name}: {found:?} of {list}"
                ),
                expected => assert_eq!(found, *expected, "{name} of {list}"),
            }
        }
    }

    #[test]
    fn each_metric_reads_what_it_read() {
        let whole = |name: &str| MetricSource::Resource { name: name.into() };
        let main = |name: &str| MetricSource::ContainerResource {
            name: name.into(),
            container: "main".into(),
        };
        let failed = || Reading::Failed(MetricFailure::new(FailureKind::TimedOut, "slow"));
        round_trip(&[(whole("cpu"), per_pod([sample(1500), None]))]);
        round_trip(&[
            (whole("cpu"), per_pod([sample(1500), None])),
            (whole("memory"), per_pod([sample(7_000_000), sample(0)])),
        ]);
        round_trip(&[
            (main("cpu"), per_pod([sample(300), sample(200)])),
            (whole("memory"), per_pod([sample(7_000_000), None])),
        ]);
        round_trip(&[
            (main("cpu"), per_pod([sample(300), None])),
            (whole("cpu"), per_pod([sample(400), sample(100)])),
        ]);
        round_trip(&[
            (whole("cpu"), failed()),
            (whole("memory"), per_pod([sample(7_000_000), sample(1)])),
        ]);
    }
}
