//! What one sync sees, put together from caches and answers.

use std::collections::BTreeSet;
use std::future::Future;
use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use super::selectors::{Known, SelectorTable};
use crate::cluster::discovery::Discovery;
use crate::cluster::pods::PodStore;
use crate::metrics::custom::{ResourceName, group_of};
use crate::observe::{FailureKind, MetricFailure, Pods, Reading, SelectorFailure};
use crate::selector::Selector;
use crate::spec::{Key, MetricSource};

/// The most autoscalers that are named where they select the same pods, and from which on no further ones are looked for: a
/// thousand that select everything, of pods with labels of their own, would hold up the syncs of all others.
const MOST_NAMED: usize = 20;

/// The pods that an autoscaler's scale selects, with the selector; `selectors` learns it.
///
/// # Errors
/// No selector, one that does not parse, or pods that another autoscaler selects too.
///
/// Source: Kubernetes v1.36 `horizontal.go`, `validateAndParseSelector`.
pub fn select_pods(
    key: &Key,
    selector: &Arc<str>,
    pods: &PodStore,
    selectors: &mut SelectorTable,
) -> Result<(Selector, Pods), SelectorFailure> {
    let parsed = match selectors.known(key, selector) {
        Some(known) => known.selector,
        None => parse(selector)?,
    };
    selectors.learn(key, selector, &parsed);
    let (picked, labels) = pods.select_with_labels(&key.namespace, &parsed);
    claim(key, &parsed, pods, selectors)?;
    selectors.found_alone(key, labels);
    Ok((parsed, picked))
}

/// The same where many share `selectors`: what has not changed since its last sync is not found out once more, and nothing is
/// done under the lock but to look that up.
pub(super) fn select_again(
    key: &Key,
    selector: &Arc<str>,
    pods: &PodStore,
    selectors: &Mutex<SelectorTable>,
) -> Result<(Selector, Pods), SelectorFailure> {
    let known = selectors.lock().known(key, selector);
    if let Some(Known { selector, alone }) = known {
        let (picked, labels) = pods.select_with_labels(&key.namespace, &selector);
        if alone == Some(labels) {
            return Ok((selector, picked));
        }
    }
    select_pods(key, selector, pods, &mut selectors.lock())
}

/// A scale's selector.
fn parse(selector: &str) -> Result<Selector, SelectorFailure> {
    if selector.is_empty() {
        return Err(SelectorFailure::Absent);
    }
    Selector::parse(selector).map_err(|e| SelectorFailure::Invalid(e.to_string()))
}

/// Looks whether an autoscaler's pods are its alone.
fn claim(key: &Key, selector: &Selector, pods: &PodStore, selectors: &SelectorTable) -> Result<(), SelectorFailure> {
    let mut names = BTreeSet::new();
    pods.for_each_labels(&key.namespace, selector, |labels| {
        selectors.add_selecting(&key.namespace, &labels, &mut names);
        match names.len() > MOST_NAMED {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    if names.len() > 1 {
        let autoscalers = names
            .into_iter()
            .take(MOST_NAMED)
            .map(|name| Key::new(key.namespace.clone(), name))
            .collect();
        return Err(SelectorFailure::Ambiguous {
            selector: selector.to_string(),
            autoscalers,
        });
    }
    Ok(())
}

/// What custom metrics APIs call the kind of the object that an Object metric describes: `ingresses.networking.k8s.io`.
///
/// # Errors
/// Nothing is known of the kind, or of its group; or the metric describes no object.
pub async fn resource_of(discovery: &Discovery, source: &MetricSource) -> Result<ResourceName, String> {
    let MetricSource::Object { described, .. } = source else {
        return Err("it describes no object".to_owned());
    };
    let group = group_of(&described.api_version);
    let known = discovery.resolve(group, &described.kind).await;
    Ok(known.map_err(|error| error.to_string())?.name_in(group))
}

/// A reading, or a failure where it does not come before `until`.
pub(super) async fn in_time(reading: impl Future<Output = Reading>, until: Instant) -> Reading {
    timeout_at(until, reading).await.unwrap_or_else(|_| {
        Reading::Failed(MetricFailure::new(
            FailureKind::TimedOut,
            "the metric source has too much to do: no answer within the time of a sync",
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_autoscalers_that_select_everything_are_ambiguous_after_a_look_at_one_pod() {
        let (store, mut selectors) = (PodStore::default(), SelectorTable::default());
        for n in 0..2_000 {
            let pod = serde_json::json!({"metadata": {"name": format!("web-{n}"), "namespace": "shop",
                "labels": {"app": "web", "pod": n.to_string()}}});
            store.apply(serde_json::from_value(pod).unwrap());
        }
        let everything: Arc<str> = "app".into();
        let keys: Vec<Key> = (0..1_000).map(|n| Key::new("shop", format!("hpa-{n:03}"))).collect();
        let parsed = Selector::parse(&everything).unwrap();
        for key in &keys {
            selectors.register(key);
            selectors.learn(key, &everything, &parsed);
        }
        let failure = select_pods(&keys[7], &everything, &store, &mut selectors).unwrap_err();
        let SelectorFailure::Ambiguous { autoscalers, .. } = failure else {
            panic!("{failure:?}")
        };
        assert_eq!(autoscalers, keys[..MOST_NAMED]);
        let mut looks = 0;
        store.for_each_labels("shop", &parsed, |_| {
            looks += 1;
            ControlFlow::Break(())
        });
        assert_eq!(looks, 1);
    }
}
