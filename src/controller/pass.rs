//! One round over all autoscalers that are due: what it asks, and who takes part.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Context;
use crate::cluster::watches::Scope;
use crate::metrics::resource::{Plan, ResourcePass};
use crate::spec::{Key, MetricSource};

/// The questions of a pass over these autoscalers. Nothing is asked before a sync waits for an answer.
pub(super) fn questions(cx: &Context, due: &[Key]) -> Arc<ResourcePass> {
    let mut pods_by_namespace = BTreeMap::new();
    for key in due {
        if pods_by_namespace.contains_key(&key.namespace) {
            continue;
        }
        let asks = cx.cluster.autoscalers.get(key).is_some_and(|a| {
            a.spec.as_ref().is_ok_and(|spec| {
                let of_resource = |s: &MetricSource| {
                    matches!(
                        s,
                        MetricSource::Resource { .. } | MetricSource::ContainerResource { .. }
                    )
                };
                spec.metrics.iter().any(|m| of_resource(&m.source))
            })
        });
        if asks {
            pods_by_namespace.insert(key.namespace.clone(), cx.cluster.pods.len_of(&key.namespace));
        }
    }
    let whole = matches!(cx.cluster.scope(), Scope::Cluster);
    let plan = Plan {
        pods_by_namespace,
        pods_of_cluster: whole.then(|| cx.cluster.pods.len()),
    };
    let pods = cx.cluster.pods.clone();
    let known =
        move |namespace: &str, name: &str, labels: &crate::metrics::resource::Labels| pods.has(namespace, name, labels);
    Arc::new(cx.resource_metrics.pass(&plan, Arc::new(known)))
}
