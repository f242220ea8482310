//! From an autoscaler as written to what is wished, once nothing is wrong with it.

use std::sync::Arc;

use super::written::{
    WrittenBehavior, WrittenCustom, WrittenHpa, WrittenMetric, WrittenObject, WrittenPolicy, WrittenReference,
    WrittenResource, WrittenRules,
};
use super::{
    Behavior, Key, MetricIdentifier, MetricSource, MetricSpec, MetricTarget, ObjectRef, PolicyKind, ScalingPolicy,
    ScalingRules, SelectPolicy, Spec,
};
use crate::quantity::{Quantity, Tolerance};

/// The wish. It means something only if [validation](super::validate::check) found nothing.
pub(super) fn spec(written: &WrittenHpa) -> Spec {
    let behavior = |WrittenBehavior { scale_up, scale_down }: &WrittenBehavior| Behavior {
        scale_up: scaling_rules(scale_up.as_ref()),
        scale_down: scaling_rules(scale_down.as_ref()),
    };
    Spec {
        key: Key::new(written.namespace.as_str(), written.name.as_str()),
        scale_target: reference(&written.scale_target),
        min_replicas: written.min_replicas.unwrap_or(1),
        max_replicas: written.max_replicas,
        metrics: written.metrics.iter().filter_map(metric).collect(),
        behavior: written.behavior.as_ref().map(behavior),
    }
}

fn reference(
    WrittenReference {
        api_version,
        kind,
        name,
    }: &WrittenReference,
) -> ObjectRef {
    ObjectRef {
        api_version: api_version.as_str().into(),
        kind: kind.as_str().into(),
        name: name.as_str().into(),
    }
}

/// Which of a target's fields counts differs by type, as Kubernetes' controller has it.
///
/// Source: Kubernetes v1.36 `horizontal.go`, `computeStatusForObjectMetric` and the other four.
fn metric(written: &WrittenMetric) -> Option<MetricSpec> {
    let (source, target) = match written.kind.as_str() {
        "Object" => object(written.object.as_ref()?),
        "Pods" => {
            let pods = written.pods.as_ref()?;
            (
                MetricSource::Pods {
                    metric: identifier(pods),
                },
                average(pods.target.average_value)?,
            )
        }
        "External" => {
            let external = written.external.as_ref()?;
            let target = average(external.target.average_value).or(whole(external.target.value))?;
            (
                MetricSource::External {
                    metric: identifier(external),
                },
                target,
            )
        }
        "Resource" => {
            let resource = written.resource.as_ref()?;
            (
                MetricSource::Resource {
                    name: resource.name.as_str().into(),
                },
                resource_target(resource)?,
            )
        }
        "ContainerResource" => {
            let resource = written.container_resource.as_ref()?;
            let name: Arc<str> = resource.name.as_str().into();
            let source = MetricSource::ContainerResource {
                name,
                container: resource.container.as_str().into(),
            };
            (source, resource_target(resource)?)
        }
        _ => return None,
    };
    Some(MetricSpec { source, target })
}

/// Only of Object metrics does the target's type decide.
fn object(WrittenObject { described, custom }: &WrittenObject) -> (MetricSource, MetricTarget) {
    let target = match custom.target.kind.as_str() {
        "Value" => whole(custom.target.value),
        "AverageValue" => average(custom.target.average_value),
        _ => None,
    };
    let source = MetricSource::Object {
        described: reference(described),
        metric: identifier(custom),
    };
    (source, target.unwrap_or(MetricTarget::Mismatched))
}

fn resource_target(resource: &WrittenResource) -> Option<MetricTarget> {
    average(resource.target.average_value).or(resource.target.average_utilization.map(MetricTarget::Utilization))
}

fn average(value: Option<Quantity>) -> Option<MetricTarget> {
    value.map(|v| MetricTarget::AverageValue(v.milli()))
}

fn whole(value: Option<Quantity>) -> Option<MetricTarget> {
    value.map(|v| MetricTarget::Value(v.milli()))
}

fn identifier(custom: &WrittenCustom) -> MetricIdentifier {
    MetricIdentifier::new(&custom.metric, custom.selector.clone())
}

fn scaling_rules(written: Option<&WrittenRules>) -> ScalingRules {
    let nothing = WrittenRules::default();
    let written = written.unwrap_or(&nothing);
    ScalingRules {
        stabilization_window_seconds: written.stabilization_window_seconds,
        select_policy: match written.select_policy.as_deref() {
            Some("Min") => SelectPolicy::Min,
            Some("Disabled") => SelectPolicy::Disabled,
            _ => SelectPolicy::Max,
        },
        policies: written.policies.iter().flatten().map(policy).collect(),
        tolerance: written.tolerance.map(Tolerance::new),
    }
}

fn policy(written: &WrittenPolicy) -> ScalingPolicy {
    let kind = if written.kind == "Pods" {
        PolicyKind::Pods
    } else {
        PolicyKind::Percent
    };
    ScalingPolicy {
        kind,
        value: written.value,
        period_seconds: written.period_seconds,
    }
}
