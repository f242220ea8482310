//! What is wrong with metrics and their targets.

use super::{Place, Rules, check_reference, names};
use crate::spec::written::{WrittenCustom, WrittenMetric, WrittenResource, WrittenTarget};

pub(super) fn check(metrics: &[WrittenMetric], min_replicas: i32, rules: Rules, place: &Place<'_>) {
    for (i, metric) in metrics.iter().enumerate() {
        check_metric(metric, rules, &place.item(i));
    }
    let wakes = |metric: &WrittenMetric| matches!(metric.kind.as_str(), "Object" | "External");
    if min_replicas == 0 && !metrics.iter().any(wakes) {
        let types: Vec<&str> = metrics.iter().map(|m| m.kind.as_str()).collect();
        place.wrong(
            types.join(", "),
            "an Object or External metric, which alone can bring back what has no pods",
        );
    }
}

/// The blocks that are there, in the order in which Kubernetes looks at them: of several, only the first is looked into.
fn blocks(metric: &WrittenMetric) -> Vec<&'static str> {
    let blocks = [
        ("object", metric.object.is_some()),
        ("external", metric.external.is_some()),
        ("pods", metric.pods.is_some()),
        ("resource", metric.resource.is_some()),
        ("containerResource", metric.container_resource.is_some()),
    ];
    blocks
        .into_iter()
        .filter(|(_, there)| *there)
        .map(|(name, _)| name)
        .collect()
}

fn check_metric(metric: &WrittenMetric, rules: Rules, place: &Place<'_>) {
    let expected = match metric.kind.as_str() {
        "Object" => Some("object"),
        "Pods" => Some("pods"),
        "Resource" => Some("resource"),
        "External" => Some("external"),
        "ContainerResource" => Some("containerResource"),
        other => {
            let want = "Object, Pods, Resource, External or ContainerResource";
            place.child("type").text(other, want, |_| Some(want.into()));
            None
        }
    };
    let blocks = blocks(metric);
    if let Some(first) = blocks.first() {
        check_block(metric, first, rules, &place.child(first));
    }
    if let Some(expected) = expected.filter(|e| !blocks.contains(e)) {
        place
            .child(expected)
            .missing(format!("what the type {} is about", metric.kind));
    }
    if blocks.len() > 1 {
        for other in blocks.iter().filter(|b| Some(**b) != expected) {
            place.child(other).wrong("…", "only the block that the type names");
        }
    }
}

fn check_block(metric: &WrittenMetric, block: &str, rules: Rules, place: &Place<'_>) {
    if let Some(object) = &metric.object {
        check_reference(&object.described, &place.child("describedObject"), rules, true);
        check_custom(&object.custom, place, Targets::ValueOrAverage);
    } else if let Some(external) = &metric.external {
        check_custom(external, place, Targets::ValueNorAverage);
    } else if let Some(pods) = &metric.pods {
        check_custom(pods, place, Targets::Average);
    } else if let Some(resource) = metric.resource.as_ref().or(metric.container_resource.as_ref()) {
        check_resource(resource, block == "containerResource", place);
    }
}

/// Which fields of a custom metric's target must be set.
enum Targets {
    /// At least one of value and averageValue.
    ValueOrAverage,
    /// Exactly one of value and averageValue.
    ValueNorAverage,
    /// averageValue.
    Average,
}

fn check_custom(custom: &WrittenCustom, place: &Place<'_>, targets: Targets) {
    place
        .child("metric")
        .child("name")
        .text(&custom.metric, "a metric's name", names::path_segment_problem);
    let WrittenTarget {
        value, average_value, ..
    } = &custom.target;
    let place = place.child("target");
    check_target(&custom.target, &place);
    let average = place.child("averageValue");
    match targets {
        Targets::Average if average_value.is_none() => average.missing("an average value above 0"),
        Targets::ValueOrAverage | Targets::ValueNorAverage if value.is_none() && average_value.is_none() => {
            average.missing("an average value or a value above 0");
        }
        Targets::ValueNorAverage if average_value.is_some() => {
            if let Some(value) = value {
                place
                    .child("value")
                    .wrong(value.to_string(), "either a value or an average value");
            }
        }
        _ => {}
    }
}

fn check_resource(resource: &WrittenResource, of_container: bool, place: &Place<'_>) {
    let name_problem = if of_container {
        names::container_resource_problem
    } else {
        |_: &str| None
    };
    place
        .child("name")
        .text(&resource.name, "a resource such as cpu or memory", name_problem);
    if of_container {
        place
            .child("container")
            .text(&resource.container, "a container's name", names::label_problem);
    }
    let WrittenTarget {
        average_value,
        average_utilization,
        ..
    } = &resource.target;
    let place = place.child("target");
    check_target(&resource.target, &place);
    match (average_value, average_utilization) {
        (None, None) => place
            .child("averageUtilization")
            .missing("a utilization or an average value"),
        (Some(value), Some(_)) => {
            place
                .child("averageValue")
                .wrong(value.to_string(), "either a utilization or an average value");
        }
        _ => {}
    }
}

fn check_target(target: &WrittenTarget, place: &Place<'_>) {
    if !matches!(target.kind.as_str(), "Utilization" | "Value" | "AverageValue") {
        let want = "Utilization, Value or AverageValue";
        place.child("type").text(&target.kind, want, |_| Some(want.into()));
    }
    for (name, quantity) in [("value", target.value), ("averageValue", target.average_value)] {
        if let Some(quantity) = quantity.filter(|q| !q.is_positive()) {
            place.child(name).wrong(quantity.to_string(), "above 0");
        }
    }
    if let Some(percent) = target.average_utilization.filter(|percent| *percent < 1) {
        place.child("averageUtilization").wrong(percent, "at least 1");
    }
}
