//! A resource of containers, in place of metrics.k8s.io.

use std::sync::Arc;

use jiff::SignedDuration;
use rustc_hash::FxHashMap;

use super::{Asked, Value, joined};
use crate::observe::{ContainerKind, Pod, Reading};
use crate::promql::{Answers, Missing};
use crate::quantity::Milli;

/// One Resource (`container` absent) or ContainerResource metric's reading.
///
/// A pod's sample is the sum over its containers. Where one of those that run side by side has no series, the pod has no
/// sample: with a part of its usage it would look idle. Init containers that have ended may still have series, and do not count.
/// Sums saturate.
pub(super) fn reading(
    asked: Asked<'_>,
    pods: &[Pod],
    by_pod: &FxHashMap<Arc<str>, FxHashMap<Arc<str>, Value>>,
    container: Option<&str>,
) -> Reading {
    let window = match &asked.definition.answers {
        Answers::Resource { window, .. } => SignedDuration::try_from(*window).unwrap_or(SignedDuration::MAX),
        _ => SignedDuration::ZERO,
    };
    let values = pods.iter().map(|pod| {
        let containers = by_pod.get(&pod.name);
        let value = match container {
            Some(container) => containers.and_then(|c| c.get(container).copied()),
            None => containers.and_then(|c| sum(pod, c)),
        };
        match (value, asked.definition.missing) {
            (None, Missing::Is(value)) => Some(Ok(value)),
            (value, _) => value,
        }
    });
    joined(asked, pods, values, window)
}

/// What the pod's containers use together; `None` where one has no series.
fn sum(pod: &Pod, containers: &FxHashMap<Arc<str>, Value>) -> Option<Value> {
    let known = &pod.requests.containers;
    let runs = known.iter().filter(|c| c.kind != ContainerKind::Init);
    if !runs.clone().all(|c| containers.contains_key(&c.name)) {
        return None;
    }
    let is_init = |name: &str| known.iter().any(|c| &*c.name == name && c.kind == ContainerKind::Init);
    let counted = containers
        .iter()
        .filter(|(name, _)| !is_init(name))
        .map(|(_, value)| value);
    counted.fold(None, |sum, value| {
        let sum: Value = sum.unwrap_or(Ok(Milli::ZERO));
        Some(sum.and_then(|sum| Ok(sum.saturating_add((*value)?))))
    })
}
