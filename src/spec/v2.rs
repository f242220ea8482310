//! autoscaling/v2 and autoscaling/v2beta2, which have the same shape but for tolerances.

use serde_json::Value;

use super::fields::Fields;
use super::written::{
    WrittenBehavior, WrittenCustom, WrittenHpa, WrittenMetric, WrittenObject, WrittenPolicy, WrittenReference,
    WrittenResource, WrittenRules, WrittenTarget,
};

/// Whether scaling rules may have a tolerance.
#[derive(Clone, Copy)]
pub(super) enum Tolerances {
    /// As in autoscaling/v2.
    Known,
    /// As in autoscaling/v2beta2: an unknown field.
    Unknown,
}

/// Reads `spec`; the object's name is not its affair.
pub(super) fn read(spec: &Fields<'_>, tolerances: Tolerances) -> WrittenHpa {
    let written = WrittenHpa {
        scale_target: reference(&spec.object_or_empty("scaleTargetRef")),
        min_replicas: spec.count("minReplicas"),
        max_replicas: spec.count("maxReplicas").unwrap_or(0),
        metrics: spec.list("metrics").unwrap_or_default().iter().map(metric).collect(),
        behavior: spec.object("behavior").map(|b| behavior(&b, tolerances)),
        ..WrittenHpa::default()
    };
    spec.end();
    written
}

pub(super) fn text(fields: &Fields<'_>, name: &'static str) -> String {
    fields.text(name).unwrap_or_default().to_owned()
}

pub(super) fn reference(fields: &Fields<'_>) -> WrittenReference {
    let written = WrittenReference {
        api_version: text(fields, "apiVersion"),
        kind: text(fields, "kind"),
        name: text(fields, "name"),
    };
    fields.end();
    written
}

fn metric(fields: &Fields<'_>) -> WrittenMetric {
    let written = WrittenMetric {
        kind: text(fields, "type"),
        object: fields.object("object").as_ref().map(object),
        external: fields.object("external").as_ref().map(custom),
        pods: fields.object("pods").as_ref().map(custom),
        resource: fields.object("resource").as_ref().map(resource),
        container_resource: fields.object("containerResource").as_ref().map(container_resource),
    };
    fields.end();
    written
}

fn object(fields: &Fields<'_>) -> WrittenObject {
    let described = reference(&fields.object_or_empty("describedObject"));
    WrittenObject {
        described,
        custom: custom(fields),
    }
}

fn custom(fields: &Fields<'_>) -> WrittenCustom {
    let metric = fields.object_or_empty("metric");
    let written = WrittenCustom {
        metric: text(&metric, "name"),
        selector: selector(&metric, "selector"),
        target: target(&fields.object_or_empty("target")),
    };
    metric.end();
    fields.end();
    written
}

fn resource(fields: &Fields<'_>) -> WrittenResource {
    let written = WrittenResource {
        name: text(fields, "name"),
        container: String::new(),
        target: target(&fields.object_or_empty("target")),
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

fn target(fields: &Fields<'_>) -> WrittenTarget {
    let written = WrittenTarget {
        kind: text(fields, "type"),
        value: fields.quantity("value"),
        average_value: fields.quantity("averageValue"),
        average_utilization: fields.count("averageUtilization"),
    };
    fields.end();
    written
}

/// A metric's selector as it is, if it has the shape of one. Whether it makes sense is seen when it is used: Kubernetes
/// stores those that do not.
pub(super) fn selector(fields: &Fields<'_>, name: &'static str) -> Option<Value> {
    let selector = fields.object(name)?;
    let labels = selector.object_or_empty("matchLabels");
    labels.each_value(|value| value.is_string() || value.is_null(), "a string");
    for expression in selector.list("matchExpressions").unwrap_or_default() {
        expression.text("key");
        expression.text("operator");
        expression.texts("values");
        expression.end();
    }
    selector.end();
    fields.value(name).cloned()
}

pub(super) fn behavior(fields: &Fields<'_>, tolerances: Tolerances) -> WrittenBehavior {
    let written = WrittenBehavior {
        scale_up: fields.object("scaleUp").map(|r| rules(&r, tolerances)),
        scale_down: fields.object("scaleDown").map(|r| rules(&r, tolerances)),
    };
    fields.end();
    written
}

fn rules(fields: &Fields<'_>, tolerances: Tolerances) -> WrittenRules {
    let written = WrittenRules {
        stabilization_window_seconds: fields.count("stabilizationWindowSeconds"),
        select_policy: fields.text("selectPolicy").map(str::to_owned),
        policies: fields.list("policies").map(|list| list.iter().map(policy).collect()),
        tolerance: match tolerances {
            Tolerances::Known => fields.quantity("tolerance"),
            Tolerances::Unknown => None,
        },
    };
    fields.end();
    written
}

fn policy(fields: &Fields<'_>) -> WrittenPolicy {
    let written = WrittenPolicy {
        kind: text(fields, "type"),
        value: fields.count("value").unwrap_or(0),
        period_seconds: fields.count("periodSeconds").unwrap_or(0),
    };
    fields.end();
    written
}
