//! autoscaling/v2beta1: metrics with their targets in fields of their own. autoscaling/v1's annotation has the same.
//!
//! Source: Kubernetes v1.36 `pkg/apis/autoscaling/v1/conversion.go`, for a metric's target type.

use super::annotations;
use super::fields::Fields;
use super::v2::{reference, selector, text};
use super::written::{WrittenCustom, WrittenHpa, WrittenMetric, WrittenObject, WrittenResource, WrittenTarget};
use crate::quantity::Quantity;

/// Reads `spec`, and the behavior from the annotations of `metadata`.
pub(super) fn read(metadata: &Fields<'_>, spec: &Fields<'_>) -> WrittenHpa {
    let written = WrittenHpa {
        scale_target: reference(&spec.object_or_empty("scaleTargetRef")),
        min_replicas: spec.count("minReplicas"),
        max_replicas: spec.count("maxReplicas").unwrap_or(0),
        metrics: metrics(spec),
        behavior: annotations::behavior(metadata),
        ..WrittenHpa::default()
    };
    spec.end();
    written
}

/// The list `metrics` of `fields`.
pub(super) fn metrics(fields: &Fields<'_>) -> Vec<WrittenMetric> {
    fields.list("metrics").unwrap_or_default().iter().map(metric).collect()
}

fn metric(fields: &Fields<'_>) -> WrittenMetric {
    let written = WrittenMetric {
        kind: text(fields, "type"),
        object: fields.object("object").as_ref().map(object),
        external: fields.object("external").as_ref().map(external),
        pods: fields.object("pods").as_ref().map(pods),
        resource: fields.object("resource").as_ref().map(resource),
        container_resource: fields.object("containerResource").as_ref().map(container_resource),
    };
    fields.end();
    written
}

fn object(fields: &Fields<'_>) -> WrittenObject {
    let value = fields.quantity("targetValue").unwrap_or_default();
    let average = fields.quantity("averageValue");
    let target = match average {
        None => WrittenTarget {
            kind: "Value".into(),
            value: Some(value),
            ..WrittenTarget::default()
        },
        // The version cannot leave the value out: a zero means that it is not meant.
        Some(_) => WrittenTarget {
            kind: "AverageValue".into(),
            value: (value != Quantity::default()).then_some(value),
            average_value: average,
            ..WrittenTarget::default()
        },
    };
    let custom = WrittenCustom {
        metric: text(fields, "metricName"),
        selector: selector(fields, "selector"),
        target,
    };
    let written = WrittenObject {
        described: reference(&fields.object_or_empty("target")),
        custom,
    };
    fields.end();
    written
}

fn pods(fields: &Fields<'_>) -> WrittenCustom {
    let average = fields.quantity("targetAverageValue").unwrap_or_default();
    let target = WrittenTarget {
        kind: "AverageValue".into(),
        average_value: Some(average),
        ..WrittenTarget::default()
    };
    let written = WrittenCustom {
        metric: text(fields, "metricName"),
        selector: selector(fields, "selector"),
        target,
    };
    fields.end();
    written
}

fn external(fields: &Fields<'_>) -> WrittenCustom {
    let value = fields.quantity("targetValue");
    let kind = if value.is_some() { "Value" } else { "AverageValue" };
    let average_value = fields.quantity("targetAverageValue");
    let target = WrittenTarget {
        kind: kind.into(),
        value,
        average_value,
        ..WrittenTarget::default()
    };
    let written = WrittenCustom {
        metric: text(fields, "metricName"),
        selector: selector(fields, "metricSelector"),
        target,
    };
    fields.end();
    written
}

fn resource(fields: &Fields<'_>) -> WrittenResource {
    let average_utilization = fields.count("targetAverageUtilization");
    let kind = if average_utilization.is_some() {
        "Utilization"
    } else {
        "AverageValue"
    };
    let average_value = fields.quantity("targetAverageValue");
    let target = WrittenTarget {
        kind: kind.into(),
        value: None,
        average_value,
        average_utilization,
    };
    let written = WrittenResource {
        name: text(fields, "name"),
        container: String::new(),
        target,
    };
    fields.end();
    written
}

fn container_resource(fields: &Fields<'_>) -> WrittenResource {
    let container = text(fields, "container");
    WrittenResource {
        container,
        ..resource(fields)
    }
}
