//! A [`Spec`] as an object of autoscaling/v2.

use serde_json::{Map, Value, json};

use super::{
    Behavior, MetricIdentifier, MetricSource, MetricSpec, MetricTarget, ObjectRef, PolicyKind, ScalingRules,
    SelectPolicy, Spec,
};

impl Spec {
    /// The wish as a HorizontalPodAutoscaler of autoscaling/v2, whatever version it was written in; every default is in it.
    /// Reading it gives the same wish.
    pub fn to_v2(&self) -> Value {
        let mut spec = json!({
            "scaleTargetRef": reference(&self.scale_target),
            "minReplicas": self.min_replicas,
            "maxReplicas": self.max_replicas,
            "metrics": self.metrics.iter().map(metric).collect::<Vec<_>>(),
        });
        if let Some(Behavior { scale_up, scale_down }) = &self.behavior {
            spec["behavior"] = json!({ "scaleUp": rules(scale_up), "scaleDown": rules(scale_down) });
        }
        json!({
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": { "namespace": self.key.namespace, "name": self.key.name },
            "spec": spec,
        })
    }
}

fn reference(reference: &ObjectRef) -> Value {
    let ObjectRef {
        api_version,
        kind,
        name,
    } = reference;
    let mut fields = json!({ "kind": kind, "name": name });
    // Absent for the core group.
    if !api_version.is_empty() {
        fields["apiVersion"] = (**api_version).into();
    }
    fields
}

fn metric(metric: &MetricSpec) -> Value {
    let target = target(&metric.target);
    match &metric.source {
        MetricSource::Resource { name } => {
            json!({ "type": "Resource", "resource": { "name": name, "target": target } })
        }
        MetricSource::ContainerResource { name, container } => json!({
            "type": "ContainerResource",
            "containerResource": { "name": name, "container": container, "target": target },
        }),
        MetricSource::Pods { metric } => json!({
            "type": "Pods", "pods": { "metric": identifier(metric), "target": target },
        }),
        MetricSource::Object { described, metric } => json!({
            "type": "Object",
            "object": { "describedObject": reference(described), "metric": identifier(metric), "target": target },
        }),
        MetricSource::External { metric } => json!({
            "type": "External", "external": { "metric": identifier(metric), "target": target },
        }),
    }
}

fn identifier(metric: &MetricIdentifier) -> Value {
    let mut fields = json!({ "name": metric.name });
    if let Some(written) = &metric.written {
        fields["selector"] = (**written).clone();
    }
    fields
}

fn target(target: &MetricTarget) -> Value {
    match target {
        MetricTarget::Utilization(percent) => json!({ "type": "Utilization", "averageUtilization": percent }),
        MetricTarget::AverageValue(value) => json!({ "type": "AverageValue", "averageValue": value.to_string() }),
        MetricTarget::Value(value) => json!({ "type": "Value", "value": value.to_string() }),
        // Any that do not fit together: which they were does not matter to anybody.
        MetricTarget::Mismatched => json!({ "type": "Value", "averageValue": "1" }),
    }
}

fn rules(rules: &ScalingRules) -> Value {
    let mut fields = Map::new();
    if let Some(seconds) = rules.stabilization_window_seconds {
        fields.insert("stabilizationWindowSeconds".into(), seconds.into());
    }
    let select = match rules.select_policy {
        SelectPolicy::Max => "Max",
        SelectPolicy::Min => "Min",
        SelectPolicy::Disabled => "Disabled",
    };
    fields.insert("selectPolicy".into(), select.into());
    let policies = rules.policies.iter().map(|policy| {
        let kind = match policy.kind {
            PolicyKind::Pods => "Pods",
            PolicyKind::Percent => "Percent",
        };
        json!({ "type": kind, "value": policy.value, "periodSeconds": policy.period_seconds })
    });
    fields.insert("policies".into(), policies.collect());
    if let Some(tolerance) = rules.tolerance {
        fields.insert("tolerance".into(), tolerance.to_string().into());
    }
    fields.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::ManifestOptions;

    fn hpa(version: &str, spec: Value) -> Value {
        let mut spec = spec;
        spec["scaleTargetRef"] = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" });
        spec["maxReplicas"] = 10.into();
        json!({
            "apiVersion": version, "kind": "HorizontalPodAutoscaler",
            "metadata": { "namespace": "shop", "name": "web" },
            "spec": spec,
        })
    }

    #[test]
    fn the_same_wish_is_read_from_what_is_printed() {
        let selector = json!({ "matchLabels": { "a.b/c": "d" } });
        let all = json!({ "minReplicas": 2, "metrics": [
            { "type": "Resource", "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 80 } } },
            { "type": "ContainerResource", "containerResource": { "name": "memory", "container": "main",
                "target": { "type": "AverageValue", "averageValue": "1.5Gi" } } },
            { "type": "Pods", "pods": { "metric": { "name": "qps", "selector": selector },
                "target": { "type": "AverageValue", "averageValue": "100" } } },
            { "type": "Object", "object": { "metric": { "name": "hits" }, "describedObject": { "kind": "Service", "name": "s",
                "apiVersion": "v1" }, "target": { "type": "Value", "value": "2k" } } },
            { "type": "External", "external": { "metric": { "name": "queue", "selector": {} },
                "target": { "type": "AverageValue", "averageValue": "7m" } } },
        ], "behavior": { "scaleUp": { "selectPolicy": "Min", "tolerance": "0.05", "policies": [
                { "type": "Pods", "value": 4, "periodSeconds": 60 }, { "type": "Percent", "value": 10, "periodSeconds": 30 } ] },
            "scaleDown": { "selectPolicy": "Disabled", "stabilizationWindowSeconds": 0 } } });
        let mut without_tolerance = all.clone();
        if let Some(rules) = without_tolerance["behavior"]["scaleUp"].as_object_mut() {
            rules.remove("tolerance");
        }
        without_tolerance["metrics"][1] = all["metrics"][0].clone();
        for object in [
            hpa("autoscaling/v2", all),
            hpa("autoscaling/v2", json!({})),
            hpa("autoscaling/v2beta2", without_tolerance),
            hpa("autoscaling/v1", json!({ "targetCPUUtilizationPercentage": 50 })),
            hpa(
                "autoscaling/v2beta1",
                json!({ "metrics": [{ "type": "Object", "object": {
                "target": { "apiVersion": "v1", "kind": "Service", "name": "s" }, "metricName": "hits",
                "averageValue": "3", "targetValue": "0" } }] }),
            ),
        ] {
            let options = ManifestOptions::default();
            let spec = Spec::from_manifest(&object, &options).unwrap_or_else(|error| panic!("{error}"));
            let printed = spec.to_v2();
            assert_eq!(
                Spec::from_manifest(&printed, &options).as_ref(),
                Ok(&spec),
                "{printed:#}"
            );
            assert_eq!(Spec::from_stored(&printed).as_ref(), Ok(&spec));
        }
    }
}
