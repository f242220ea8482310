//! A pod as the API sends it, cut down to what a decision needs.
//!
//! A pod is some 7 KB of JSON, of which 300 bytes matter here. The text is read once, borrowed; nothing that is not
//! asked for is allocated.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use jiff::Timestamp;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use crate::observe::{
    ConditionStatus, ContainerKind, ContainerRequests, Pod, PodPhase, PodRequests, ReadyCondition, ResourceList,
};
use crate::quantity::{Milli, Quantity};

/// A pod's place, labels and facts, read from the JSON or the protobuf of a `v1` Pod.
///
/// Lenient where a decision can be: a time or an amount that does not parse is absent (a missing request then fails
/// the metric that needs it, with the pod's name), a phase that is not known is [`PodPhase::Unknown`].
#[derive(Clone, Debug, PartialEq)]
pub struct SlimPod {
    /// The pod's namespace; empty where the object names none.
    pub namespace: String,
    /// The resource version at which the pod was read; empty where the object has none.
    pub resource_version: String,
    /// The labels, each key once.
    pub labels: Vec<(String, String)>,
    /// Name, phase, readiness, times and requests.
    pub facts: Pod,
}

impl<'de> Deserialize<'de> for SlimPod {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        RawPod::deserialize(deserializer).map(Self::from)
    }
}

impl From<RawPod<'_>> for SlimPod {
    fn from(pod: RawPod<'_>) -> Self {
        let RawPod { metadata, spec, status } = pod;
        let facts = Pod {
            name: metadata.name.0.as_ref().into(),
            phase: phase(status.phase.0.as_ref()),
            terminating: metadata.deletion_timestamp.is_some(),
            ready: ready(status.conditions.unwrap_or_default()),
            started: status.start_time.and_then(time),
            requests: Arc::new(requests(spec)),
        };
        let text = |pair: (Text<'_>, Text<'_>)| (pair.0.0.into_owned(), pair.1.0.into_owned());
        Self {
            namespace: metadata.namespace.0.into_owned(),
            resource_version: metadata.resource_version.0.into_owned(),
            labels: metadata.labels.unwrap_or_default().0.into_iter().map(text).collect(),
            facts,
        }
    }
}

pub(super) fn phase(text: &str) -> PodPhase {
    match text {
        "Pending" => PodPhase::Pending,
        "Running" => PodPhase::Running,
        "Succeeded" => PodPhase::Succeeded,
        "Failed" => PodPhase::Failed,
        _ => PodPhase::Unknown,
    }
}

fn time(text: Text<'_>) -> Option<Timestamp> {
    text.0.parse().ok()
}

fn ready(conditions: Vec<RawCondition<'_>>) -> Option<ReadyCondition> {
    let condition = conditions.into_iter().find(|c| c.kind.0 == "Ready")?;
    Some(ReadyCondition {
        status: condition_status(&condition.status.0),
        since: condition.last_transition_time.and_then(time),
    })
}

pub(super) fn condition_status(text: &str) -> ConditionStatus {
    match text {
        "True" => ConditionStatus::True,
        "False" => ConditionStatus::False,
        _ => ConditionStatus::Unknown,
    }
}

fn requests(spec: RawSpec<'_>) -> PodRequests {
    let main = spec
        .containers
        .unwrap_or_default()
        .into_iter()
        .map(|c| container(c, ContainerKind::Main));
    let init = spec.init_containers.unwrap_or_default().into_iter().map(|c| {
        let restarts = c.restart_policy.as_ref().is_some_and(|policy| policy.0 == "Always");
        container(
            c,
            if restarts {
                ContainerKind::Sidecar
            } else {
                ContainerKind::Init
            },
        )
    });
    PodRequests {
        containers: main.chain(init).collect(),
        pod_level: resources(spec.resources),
        overhead: amounts(spec.overhead),
    }
}

fn container(container: RawContainer<'_>, kind: ContainerKind) -> ContainerRequests {
    let requests = resources(container.resources);
    ContainerRequests {
        name: container.name.0.as_ref().into(),
        kind,
        requests,
    }
}

fn resources(resources: Option<RawResources<'_>>) -> ResourceList {
    amounts(resources.and_then(|r| r.requests))
}

fn amounts(pairs: Option<Pairs<'_, Amount>>) -> ResourceList {
    let known = |(name, amount): (Text<'_>, Amount)| Some((Arc::from(name.0.as_ref()), amount.0?));
    let mut list: Vec<(Arc<str>, Milli)> = pairs.unwrap_or_default().0.into_iter().filter_map(known).collect();
    list.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    list.shrink_to_fit();
    ResourceList(list)
}

#[derive(serde::Deserialize)]
struct RawPod<'a> {
    #[serde(borrow)]
    metadata: RawMetadata<'a>,
    #[serde(borrow, default)]
    spec: RawSpec<'a>,
    #[serde(borrow, default)]
    status: RawStatus<'a>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMetadata<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, default)]
    namespace: Text<'a>,
    #[serde(borrow, default)]
    resource_version: Text<'a>,
    #[serde(borrow)]
    deletion_timestamp: Option<Text<'a>>,
    #[serde(borrow)]
    labels: Option<Pairs<'a, Text<'a>>>,
}

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawSpec<'a> {
    #[serde(borrow)]
    containers: Option<Vec<RawContainer<'a>>>,
    #[serde(borrow)]
    init_containers: Option<Vec<RawContainer<'a>>>,
    #[serde(borrow)]
    resources: Option<RawResources<'a>>,
    #[serde(borrow)]
    overhead: Option<Pairs<'a, Amount>>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawContainer<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    restart_policy: Option<Text<'a>>,
    #[serde(borrow)]
    resources: Option<RawResources<'a>>,
}

#[derive(serde::Deserialize)]
struct RawResources<'a> {
    #[serde(borrow)]
    requests: Option<Pairs<'a, Amount>>,
}

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawStatus<'a> {
    #[serde(borrow, default)]
    phase: Text<'a>,
    #[serde(borrow)]
    start_time: Option<Text<'a>>,
    #[serde(borrow)]
    conditions: Option<Vec<RawCondition<'a>>>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawCondition<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    status: Text<'a>,
    #[serde(borrow)]
    last_transition_time: Option<Text<'a>>,
}

// serde borrows for a field that is a `Cow`, not for one within an `Option` or a tuple: hence a type of its own.
#[derive(Default, serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A JSON object as a list, in its own order: no tree is built for what is read once.
struct Pairs<'a, V>(Vec<(Text<'a>, V)>);

impl<V> Default for Pairs<'_, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de: 'a, 'a, V: Deserialize<'de>> Deserialize<'de> for Pairs<'a, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each<'a, V>(PhantomData<Pairs<'a, V>>);
        impl<'de: 'a, 'a, V: Deserialize<'de>> Visitor<'de> for Each<'a, V> {
            type Value = Pairs<'a, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Each(PhantomData))
    }
}

/// A quantity in thousandths; `None` where it does not parse.
struct Amount(Option<Milli>);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AmountVisitor;
        impl<'de> Visitor<'de> for AmountVisitor {
            type Value = Amount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity")
            }

            fn visit_str<E>(self, text: &str) -> Result<Amount, E> {
                Ok(Amount(amount(text)))
            }

            // A number is allowed in a manifest; the API server itself always answers with text.
            fn visit_u64<E>(self, number: u64) -> Result<Amount, E> {
                Ok(Amount(amount(&number.to_string())))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Amount, E> {
                Ok(Amount(amount(&number.to_string())))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Amount, E> {
                Ok(Amount(amount(&number.to_string())))
            }
        }
        deserializer.deserialize_any(AmountVisitor)
    }
}

pub(super) fn amount(text: &str) -> Option<Milli> {
    text.parse::<Quantity>().ok().map(|quantity| quantity.milli())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pod: serde_json::Value) -> SlimPod {
        let text = pod.to_string();
        let borrowed: SlimPod = serde_json::from_str(&text).unwrap();
        let owned: SlimPod = serde_json::from_value(pod).unwrap();
        assert_eq!(borrowed, owned);
        borrowed
    }

    fn list(pairs: &[(&str, i64)]) -> ResourceList {
        ResourceList(
            pairs
                .iter()
                .map(|(name, milli)| (Arc::from(*name), Milli(*milli)))
                .collect(),
        )
    }

    #[test]
    fn a_running_pod_has_its_facts() {
        let pod = read(serde_json::json!({
            "metadata": {"name": "web-1", "namespace": "shop", "resourceVersion": "7", "uid": "u",
                "creationTimestamp": "2026-01-05T07:59:00Z", "labels": {"app": "web", "tier": "front \"end\""}},
            "spec": {"containers": [
                {"name": "app", "image": "x", "resources": {"requests": {"memory": "1Gi", "cpu": "250m"}}},
                {"name": "log", "resources": {}}]},
            "status": {"phase": "Running", "startTime": "2026-01-05T08:00:00Z", "conditions": [
                {"type": "Initialized", "status": "True", "lastTransitionTime": "2026-01-05T08:00:01Z"},
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-05T08:00:09Z"}]},
        }));
        assert_eq!((pod.namespace.as_str(), pod.resource_version.as_str()), ("shop", "7"));
        assert_eq!(
            pod.labels,
            [("app".into(), "web".into()), ("tier".into(), "front \"end\"".into())]
        );
        assert_eq!(
            (&*pod.facts.name, pod.facts.phase, pod.facts.terminating),
            ("web-1", PodPhase::Running, false)
        );
        assert_eq!(pod.facts.started, Some("2026-01-05T08:00:00Z".parse().unwrap()));
        let since = Some("2026-01-05T08:00:09Z".parse().unwrap());
        assert_eq!(
            pod.facts.ready,
            Some(ReadyCondition {
                status: ConditionStatus::True,
                since
            })
        );
        let containers = &pod.facts.requests.containers;
        assert_eq!(
            containers[0].requests,
            list(&[("cpu", 250), ("memory", 1_073_741_824_000)])
        );
        assert_eq!(containers[1].requests, list(&[]));
    }

    #[test]
    fn sidecars_init_containers_pod_level_requests_and_overhead_are_kept_apart() {
        let pod = read(serde_json::json!({
            "metadata": {"name": "p"},
            "spec": {
                "containers": [{"name": "a", "resources": {"requests": {"cpu": 1}}}],
                "initContainers": [
                    {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "50m"}}},
                    {"name": "i", "resources": {"requests": {"cpu": "2"}}}],
                "resources": {"requests": {"cpu": "500m"}},
                "overhead": {"cpu": "10m"}},
        }));
        let requests = &pod.facts.requests;
        let kinds: Vec<_> = requests.containers.iter().map(|c| (&*c.name, c.kind)).collect();
        assert_eq!(
            kinds,
            [
                ("a", ContainerKind::Main),
                ("s", ContainerKind::Sidecar),
                ("i", ContainerKind::Init)
            ]
        );
        assert_eq!(requests.containers[0].requests, list(&[("cpu", 1000)]));
        assert_eq!(requests.pod_level, list(&[("cpu", 500)]));
        assert_eq!(requests.overhead, list(&[("cpu", 10)]));
    }

    #[test]
    fn what_is_absent_null_or_unreadable_is_missing_and_not_an_error() {
        let pod = read(serde_json::json!({
            "metadata": {"name": "p", "labels": null, "deletionTimestamp": "2026-01-05T08:00:00Z"},
            "spec": {"containers": [{"name": "a", "resources": {"requests": {"cpu": "many", "memory": "1"}}}]},
            "status": {"phase": "Odd", "startTime": "yesterday", "conditions": [
                {"type": "Ready", "status": "False", "lastTransitionTime": null}]},
        }));
        assert!(pod.facts.terminating);
        assert_eq!((pod.facts.phase, pod.facts.started), (PodPhase::Unknown, None));
        assert_eq!(
            pod.facts.ready,
            Some(ReadyCondition {
                status: ConditionStatus::False,
                since: None
            })
        );
        assert_eq!(pod.facts.requests.containers[0].requests, list(&[("memory", 1000)]));
        assert_eq!(read(serde_json::json!({"metadata": {"name": "p"}})).facts.ready, None);
    }
}
