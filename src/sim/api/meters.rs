//! What the metrics APIs have to tell, as a metrics server and an adapter left it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::refusal::Refusal;
use super::selection::Selection;
use super::store::{Place, seconds};
use super::target::{CUSTOM, EXTERNAL};
use crate::selector::Selector;

/// One value of a metric of an object, or of something outside of the cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Gauge {
    /// As Kubernetes writes quantities: `1500m`.
    pub value: String,
    /// When it was measured.
    pub at: Timestamp,
}

/// An object that has custom metrics.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Described {
    /// Its namespace.
    pub namespace: String,
    /// What its resource is called: `pods`, `services`, `ingresses.networking.k8s.io`.
    pub resource: String,
    /// Its name.
    pub name: String,
}

/// Labels of a series, and its newest value.
pub type Series = (BTreeMap<String, String>, Gauge);

/// All values that can be asked for. Metrics are there once somebody has set one of their values.
#[derive(Default)]
pub struct Meters {
    pods: BTreeMap<Place, Arc<Value>>,
    custom: BTreeMap<(String, Described), Gauge>,
    external: BTreeMap<(String, String), Vec<Series>>,
    custom_names: BTreeSet<String>,
    external_names: BTreeSet<String>,
}

impl Meters {
    /// Puts these `PodMetrics` in the place of all that there were.
    pub fn set_pods(&mut self, metrics: impl IntoIterator<Item = Value>) {
        let placed = |object: Value| {
            let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
            ((text("namespace"), text("name")), Arc::new(object))
        };
        self.pods = metrics.into_iter().map(placed).collect();
    }

    /// Sets the values of a custom metric, in the place of all that it had.
    pub fn set_custom(&mut self, metric: &str, values: impl IntoIterator<Item = (Described, Gauge)>) {
        self.custom.retain(|(name, _), _| name != metric);
        self.custom_names.insert(metric.to_owned());
        let values = values.into_iter().map(|(of, gauge)| ((metric.to_owned(), of), gauge));
        self.custom.extend(values);
    }

    /// Sets the series of an external metric.
    pub fn set_external(&mut self, namespace: &str, metric: &str, series: Vec<Series>) {
        self.external_names.insert(metric.to_owned());
        self.external.insert((namespace.to_owned(), metric.to_owned()), series);
    }

    /// Forgets the series of external metrics but of these namespaces and metrics.
    pub fn keep_external(&mut self, is_kept: impl Fn(&str, &str) -> bool) {
        self.external
            .retain(|(namespace, metric), _| is_kept(namespace, metric));
    }

    pub(super) fn pods(&self) -> impl Iterator<Item = &Arc<Value>> {
        self.pods.values()
    }

    pub(in crate::sim) fn pod(&self, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.pods.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// The value of a custom metric of one pod.
    pub(in crate::sim) fn custom_of_pod(&self, metric: &str, namespace: &str, name: &str) -> Option<String> {
        let of = Described {
            namespace: namespace.to_owned(),
            resource: "pods".to_owned(),
            name: name.to_owned(),
        };
        self.custom
            .get(&(metric.to_owned(), of))
            .map(|gauge| gauge.value.clone())
    }

    pub(super) fn serves_custom(&self) -> bool {
        !self.custom_names.is_empty()
    }

    pub(super) fn serves_external(&self) -> bool {
        !self.external_names.is_empty()
    }

    /// What the metrics of a group are called in discovery.
    pub(super) fn names(&self, group: &str) -> Vec<String> {
        match group {
            CUSTOM => {
                let names = self
                    .custom
                    .keys()
                    .map(|(metric, of)| format!("{}/{metric}", of.resource));
                names.collect::<BTreeSet<_>>().into_iter().collect()
            }
            EXTERNAL => self.external_names.iter().cloned().collect(),
            _ => Vec::new(),
        }
    }

    /// A `MetricValueList`: the values of the objects that `is_asked` names.
    ///
    /// # Errors
    ///
    /// 404 where there is no such metric, or none of this object.
    pub(in crate::sim) fn custom(
        &self,
        metric: &str,
        (namespace, resource, object): (&str, &str, &str),
        is_asked: impl Fn(&str) -> bool,
    ) -> Result<Value, Refusal> {
        let of_metric = self
            .custom
            .iter()
            .filter(|((name, of), _)| name == metric && of.namespace == namespace && of.resource == resource);
        let asked = of_metric.filter(|((_, of), _)| {
            if object == "*" {
                is_asked(&of.name)
            } else {
                of.name == object
            }
        });
        let items: Vec<Value> = asked.map(|((_, of), gauge)| custom_value(metric, of, gauge)).collect();
        let missing = if object == "*" {
            !self.custom_names.contains(metric)
        } else {
            items.is_empty()
        };
        if missing {
            let of = if object == "*" {
                String::new()
            } else {
                format!(" {object}")
            };
            let message = format!("the server could not find the metric {metric} for {resource}{of}");
            return Err(Refusal::new(404, "NotFound", message));
        }
        Ok(
            json!({ "kind": "MetricValueList", "apiVersion": format!("{CUSTOM}/v1beta2"), "metadata": {}, "items": items }),
        )
    }

    /// An `ExternalMetricValueList`.
    ///
    /// # Errors
    ///
    /// 404 where there is no such metric.
    pub(in crate::sim) fn external(&self, namespace: &str, metric: &str, labels: &Selector) -> Result<Value, Refusal> {
        if !self.external_names.contains(metric) {
            let message = format!("the server could not find the metric {metric} for ");
            return Err(Refusal::new(404, "NotFound", message));
        }
        let series = self.external.get(&(namespace.to_owned(), metric.to_owned()));
        let picked = series.into_iter().flatten().filter(|(of, _)| {
            let labels_of: BTreeMap<Arc<str>, Arc<str>> =
                of.iter().map(|(k, v)| (k.as_str().into(), v.as_str().into())).collect();
            labels.matches(&labels_of)
        });
        let item = |(of, gauge): &Series| json!({ "metricName": metric, "metricLabels": of, "timestamp": seconds(gauge.at), "value": gauge.value });
        let items: Vec<Value> = picked.map(item).collect();
        let version = format!("{EXTERNAL}/v1beta1");
        Ok(json!({ "kind": "ExternalMetricValueList", "apiVersion": version, "metadata": {}, "items": items }))
    }

    /// The `PodMetrics` that a selection picks.
    pub(super) fn list_pods(&self, selection: &Selection) -> Vec<Arc<Value>> {
        self.pods().filter(|object| selection.picks(object)).cloned().collect()
    }
}

fn custom_value(metric: &str, of: &Described, gauge: &Gauge) -> Value {
    let (kind, version) = match of.resource.as_str() {
        "pods" => ("Pod", "/v1"),
        "services" => ("Service", "/v1"),
        "namespaces" => ("Namespace", "/v1"),
        _ => ("", ""),
    };
    json!({
        "describedObject": { "kind": kind, "namespace": of.namespace, "name": of.name, "apiVersion": version },
        "metric": { "name": metric, "selector": null }, "timestamp": seconds(gauge.at), "value": gauge.value,
    })
}
