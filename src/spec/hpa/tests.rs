use super::*;
use crate::quantity::Milli;
use crate::spec::{MetricSource, MetricTarget, PolicyKind, ScalingPolicy, SelectPolicy};
use serde_json::json;

fn autoscaler(version: &str, spec: Value) -> Value {
    json!({
        "apiVersion": version, "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "shop", "labels": {"a": "b"}},
        "spec": spec, "status": {"currentReplicas": 1},
    })
}

fn v2(mut changes: Value) -> Value {
    let mut spec = json!({
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "maxReplicas": 10,
    });
    for (name, value) in changes.as_object_mut().unwrap() {
        spec[name] = value.take();
    }
    autoscaler("autoscaling/v2", spec)
}

fn manifest(object: &Value) -> Result<Spec, SpecError> {
    Spec::from_manifest(object, &ManifestOptions::default())
}

/// The paths that a manifest is refused for, and that a stored object is.
fn refused(object: &Value) -> (String, String) {
    let paths = |read: Result<Spec, SpecError>| match read {
        Ok(_) => String::new(),
        Err(e) => e.problems.into_iter().map(|p| p.path).collect::<Vec<_>>().join(" "),
    };
    (paths(manifest(object)), paths(Spec::from_stored(object)))
}

#[test]
fn what_is_left_out_gets_kubernetes_defaults() {
    let spec = manifest(&v2(json!({}))).unwrap();
    assert_eq!(spec.key, Key::new("shop", "web"));
    assert_eq!((spec.min_replicas, spec.max_replicas), (1, 10));
    assert_eq!(spec.metrics.len(), 1);
    assert_eq!(spec.metrics[0].source, MetricSource::Resource { name: "cpu".into() });
    assert_eq!(spec.metrics[0].target, MetricTarget::Utilization(80));
    assert_eq!(spec.behavior, None);
}

#[test]
fn a_behavior_is_filled_in_field_by_field() {
    let spec = manifest(&v2(json!({"behavior": {"scaleDown": {"selectPolicy": "Min"}}}))).unwrap();
    let behavior = spec.behavior.unwrap();
    let policy = |kind, value| ScalingPolicy {
        kind,
        value,
        period_seconds: 15,
    };
    assert_eq!(behavior.scale_up.stabilization_window_seconds, Some(0));
    assert_eq!(
        behavior.scale_up.policies,
        [policy(PolicyKind::Pods, 4), policy(PolicyKind::Percent, 100)]
    );
    assert_eq!(behavior.scale_down.stabilization_window_seconds, None);
    assert_eq!(behavior.scale_down.select_policy, SelectPolicy::Min);
    assert_eq!(behavior.scale_down.policies, [policy(PolicyKind::Percent, 100)]);
    assert_eq!(behavior.scale_down.tolerance, None);
}

#[test]
fn every_problem_is_reported_at_once() {
    let error = manifest(&v2(json!({
        "minReplicas": 0, "maxReplicas": -1, "scaleTargetRef": {"kind": "a/b"},
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 0}}}],
        "behavior": {"scaleUp": {"policies": [], "stabilizationWindowSeconds": 3601}},
    })));
    let message = error.unwrap_err().to_string();
    let expected = "HorizontalPodAutoscaler shop/web: \
        spec.minReplicas: found 0, want at least 1, or the feature gate HPAScaleToZero; \
        spec.maxReplicas: found -1, want at least 1; \
        spec.scaleTargetRef.kind: found \"a/b\", want a name that is neither '.' nor '..' and has no '/' and no '%'; \
        spec.scaleTargetRef.name: missing, want a name; \
        spec.scaleTargetRef.apiVersion: missing, want group/version, such as apps/v1; \
        spec.metrics[0].resource.target.averageUtilization: found 0, want at least 1; \
        spec.metrics: found \"Resource\", want an Object or External metric, which alone can bring back what has no pods; \
        spec.behavior.scaleUp.stabilizationWindowSeconds: found 3601, want 0 to 3600 seconds; \
        spec.behavior.scaleUp.policies: missing, want at least one policy, or no such field for the default ones";
    assert_eq!(message, expected);
}

#[test]
fn what_was_stored_once_stays_allowed() {
    let zero = v2(json!({
        "minReplicas": 0, "scaleTargetRef": {"apiVersion": "apps", "kind": "Deployment", "name": "web"}, "new": 1,
        "metrics": [{"type": "External", "external": {"metric": {"name": "q"}, "target": {"type": "Value", "value": "5"}}}],
    }));
    let paths = "spec.new spec.minReplicas spec.scaleTargetRef.apiVersion";
    assert_eq!(refused(&zero), (paths.into(), "".into()));
    let allowed = ManifestOptions {
        scale_to_zero: true,
        ..Default::default()
    };
    assert_eq!(Spec::from_manifest(&zero, &allowed).unwrap_err().problems.len(), 2);
}

#[test]
fn an_item_of_a_list_has_no_version() {
    let mut object = v2(json!({}));
    object
        .as_object_mut()
        .unwrap()
        .retain(|name, _| name != "apiVersion" && name != "kind");
    assert_eq!(refused(&object), ("kind".into(), "".into()));
}

#[test]
fn what_is_no_autoscaler_is_refused() {
    let object = autoscaler("autoscaling/v3", json!({}));
    let error = manifest(&object).unwrap_err().to_string();
    let expected = "HorizontalPodAutoscaler: apiVersion: found \"autoscaling/v3\", \
        want autoscaling/v2, autoscaling/v1, autoscaling/v2beta2 or autoscaling/v2beta1";
    assert_eq!(error, expected);
    for other in [json!(null), json!([]), json!({"kind": "Pod"}), json!("text")] {
        assert!(
            manifest(&other).is_err() && Spec::from_stored(&other).is_err(),
            "{other}"
        );
    }
}

#[test]
fn a_manifest_without_a_namespace_goes_to_the_default_one() {
    let mut object = v2(json!({}));
    object["metadata"]["namespace"].take();
    assert_eq!(manifest(&object).unwrap().key, Key::new("default", "web"));
}

/// A metric's target, `None` where the metric is refused.
fn target(kind: &str, block: &str, mut source: Value, target: Value) -> Option<MetricTarget> {
    source["target"] = target;
    let object = v2(json!({"metrics": [{"type": kind, block: source}]}));
    manifest(&object).ok().map(|spec| spec.metrics[0].target)
}

#[test]
fn the_field_that_counts_differs_by_metric_type() {
    let both = |kind: &str| json!({"type": kind, "value": "5", "averageValue": "1500u"});
    let (five, two) = (Milli(5000), Milli(2));
    let object = json!({"metric": {"name": "m"}, "describedObject": {"kind": "Service", "name": "s"}});
    let object = |t| target("Object", "object", object.clone(), t);
    assert_eq!(object(both("Value")), Some(MetricTarget::Value(five)));
    assert_eq!(object(both("AverageValue")), Some(MetricTarget::AverageValue(two)));
    assert_eq!(object(both("Utilization")), Some(MetricTarget::Mismatched));
    assert_eq!(
        object(json!({"type": "Value", "averageValue": "5"})),
        Some(MetricTarget::Mismatched)
    );
    let external = |t| target("External", "external", json!({"metric": {"name": "m"}}), t);
    assert_eq!(
        external(json!({"type": "Value", "averageValue": "5"})),
        Some(MetricTarget::AverageValue(five))
    );
    assert_eq!(
        external(json!({"type": "Utilization", "value": 5})),
        Some(MetricTarget::Value(five))
    );
    assert_eq!(external(both("Value")), None);
    let pods = |t| target("Pods", "pods", json!({"metric": {"name": "m"}}), t);
    assert_eq!(pods(both("Value")), Some(MetricTarget::AverageValue(two)));
    let resource = |t| target("Resource", "resource", json!({"name": "memory"}), t);
    assert_eq!(
        resource(json!({"type": "Value", "averageValue": "5"})),
        Some(MetricTarget::AverageValue(five))
    );
    assert_eq!(
        resource(json!({"type": "AverageValue", "averageUtilization": 7})),
        Some(MetricTarget::Utilization(7))
    );
}

#[test]
fn a_selector_that_does_not_convert_is_no_refusal() {
    let selector = json!({"matchExpressions": [{"key": "a", "operator": "Near"}]});
    let metric =
        json!({"metric": {"name": "m", "selector": selector}, "target": {"type": "AverageValue", "averageValue": 1}});
    let spec = manifest(&v2(json!({"metrics": [{"type": "Pods", "pods": metric}]}))).unwrap();
    let MetricSource::Pods { metric } = &spec.metrics[0].source else {
        panic!()
    };
    assert!(metric.selector.as_ref().unwrap_err().contains("Near"));
    assert_eq!(metric.written.as_deref(), Some(&selector));
}

/// One wish, with the object's metadata and spec for each version.
fn wish() -> [(&'static str, Value, Value); 4] {
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
    let service = json!({"apiVersion": "v1", "kind": "Service", "name": "s"});
    let selector = json!({"matchLabels": {"a": "b"}});
    let behavior = json!({
        "scaleUp": {"stabilizationWindowSeconds": 9, "selectPolicy": "Min",
            "policies": [{"type": "Pods", "value": 2, "periodSeconds": 30}]},
        "scaleDown": {"selectPolicy": "Disabled", "policies": [{"type": "Percent", "value": 10, "periodSeconds": 60}]},
    });
    let go_behavior = json!({
        "ScaleUp": {"StabilizationWindowSeconds": 9, "SelectPolicy": "Min", "Tolerance": null,
            "Policies": [{"Type": "Pods", "Value": 2, "PeriodSeconds": 30}]},
        "ScaleDown": {"StabilizationWindowSeconds": null, "SelectPolicy": "Disabled",
            "Policies": [{"Type": "Percent", "Value": 10, "PeriodSeconds": 60}]},
    });
    let metrics = json!([
        {"type": "ContainerResource", "containerResource": {"name": "memory", "container": "app",
            "target": {"type": "AverageValue", "averageValue": "1Gi"}}},
        {"type": "Pods", "pods": {"metric": {"name": "qps", "selector": selector},
            "target": {"type": "AverageValue", "averageValue": "10"}}},
        {"type": "Object", "object": {"describedObject": service, "metric": {"name": "load"},
            "target": {"type": "Value", "value": "3k"}}},
        {"type": "Object", "object": {"describedObject": service, "metric": {"name": "load"},
            "target": {"type": "AverageValue", "averageValue": "4"}}},
        {"type": "External", "external": {"metric": {"name": "queue", "selector": selector},
            "target": {"type": "AverageValue", "averageValue": "5"}}},
        {"type": "External", "external": {"metric": {"name": "queue"}, "target": {"type": "Value", "value": "6"}}},
        {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}},
    ]);
    let mut old_metrics = json!([
        {"type": "ContainerResource", "containerResource": {"name": "memory", "container": "app", "targetAverageValue": "1Gi"}},
        {"type": "Pods", "pods": {"metricName": "qps", "selector": selector, "targetAverageValue": "10"}},
        {"type": "Object", "object": {"target": service, "metricName": "load", "targetValue": "3k"}},
        {"type": "Object", "object": {"target": service, "metricName": "load", "targetValue": "0", "averageValue": "4"}},
        {"type": "External", "external": {"metricName": "queue", "metricSelector": selector, "targetAverageValue": "5"}},
        {"type": "External", "external": {"metricName": "queue", "targetValue": "6"}},
    ]);
    let annotations = json!({"autoscaling.alpha.kubernetes.io/behavior": go_behavior.to_string(),
        "autoscaling.alpha.kubernetes.io/metrics": old_metrics.to_string()});
    old_metrics.as_array_mut().unwrap().push(json!(
        {"type": "Resource", "resource": {"name": "cpu", "targetAverageUtilization": 70}}));
    let v2 =
        json!({"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 9, "metrics": metrics, "behavior": behavior});
    let v2beta1 = json!({"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 9, "metrics": old_metrics});
    let v1 =
        json!({"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 9, "targetCPUUtilizationPercentage": 70});
    [
        ("autoscaling/v2", json!({}), v2.clone()),
        ("autoscaling/v2beta2", json!({}), v2),
        ("autoscaling/v2beta1", annotations.clone(), v2beta1),
        ("autoscaling/v1", annotations, v1),
    ]
}

#[test]
fn the_same_wish_in_all_four_versions_is_the_same_spec() {
    let specs = wish().map(|(version, annotations, spec)| {
        let mut object = autoscaler(version, spec);
        object["metadata"]["annotations"] = annotations;
        manifest(&object).unwrap_or_else(|e| panic!("{version}: {e}"))
    });
    assert_eq!(specs[0].metrics.len(), 7);
    assert_eq!(
        specs[0]
            .behavior
            .as_ref()
            .map(|b| b.scale_up.stabilization_window_seconds),
        Some(Some(9))
    );
    for spec in &specs[1..] {
        assert_eq!(*spec, specs[0]);
    }
}

#[test]
fn annotations_that_do_not_parse_are_ignored() {
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
    let mut object = autoscaler("autoscaling/v1", json!({"scaleTargetRef": target, "maxReplicas": 3}));
    object["metadata"]["annotations"] = json!({
        "autoscaling.alpha.kubernetes.io/behavior": "{\"ScaleUp\": 5}",
        "autoscaling.alpha.kubernetes.io/metrics": "[{\"type\": \"Pods\"",
    });
    let spec = manifest(&object).unwrap();
    assert_eq!(spec.behavior, None);
    assert_eq!(spec.metrics[0].target, MetricTarget::Utilization(80));
}

#[test]
fn versions_differ_in_what_they_know() {
    let behavior = json!({"behavior": {"scaleUp": {"tolerance": "50m"}}});
    let mut object = v2(behavior);
    let spec = manifest(&object).unwrap();
    assert_eq!(
        spec.behavior.unwrap().scale_up.tolerance.map(|t| t.fraction()),
        Some(0.05)
    );
    object["apiVersion"] = "autoscaling/v2beta2".into();
    assert_eq!(refused(&object).0, "spec.behavior.scaleUp.tolerance");
    object["apiVersion"] = "autoscaling/v2beta1".into();
    assert_eq!(refused(&object).0, "spec.behavior");
    object["apiVersion"] = "autoscaling/v1".into();
    assert_eq!(refused(&object).0, "spec.behavior");
}

#[test]
fn a_behavior_from_an_annotation_must_be_whole() {
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
    let mut object = autoscaler("autoscaling/v1", json!({"scaleTargetRef": target, "maxReplicas": 3}));
    let annotation = "{\"ScaleUp\": {\"SelectPolicy\": \"Min\"}}";
    object["metadata"]["annotations"] = json!({"autoscaling.alpha.kubernetes.io/behavior": annotation});
    assert_eq!(refused(&object).0, "spec.behavior.scaleUp.policies");
}
