//! The cluster that a scenario describes, as its steps leave it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::scenario::{ExternalValue, Reference, ScaleObject, ScenarioError, Step, Target, error_in};
use crate::cluster::discovery::GroupVersion;
use crate::cluster::pods::{PodStore, SlimPod};
use crate::controller::selectors::SelectorTable;
use crate::decide::Settings;
use crate::memory::Memory;
use crate::metrics::{custom, external, resource};
use crate::observe::{FailureKind, MetricFailure, Pod, Reading, Scale, ScaleFailure, Status};
use crate::selector::Selector;
use crate::spec::{Key, MetricIdentifier, MetricSource, ObjectRef, Spec};

const AUTOSCALER: &str = "HorizontalPodAutoscaler";

/// An autoscaler with what it and the controller remember.
pub(super) struct Autoscaler {
    pub spec: Arc<Spec>,
    pub status: Status,
    pub memory: Memory,
    /// The latest status that the file expects.
    pub expected_status: Option<Value>,
}

/// The cluster.
pub(super) struct World {
    pub settings: Settings,
    /// In the order in which they appeared, which is that of their syncs.
    pub autoscalers: Vec<Autoscaler>,
    pub pods: PodStore,
    pub selectors: SelectorTable,
    /// The Events of the steps before, by autoscaler; one that comes back goes on counting.
    pub recorded: BTreeMap<Key, usize>,
    scales: BTreeMap<Target, Scale>,
    usages: resource::Usages,
    custom: Vec<Custom>,
    external: Vec<ExternalValue>,
    failing: BTreeMap<String, String>,
    /// Scale writes that are still to be refused in this step.
    conflicts: u32,
}

/// A value of a custom metric.
#[derive(Deserialize)]
struct Custom {
    #[serde(flatten)]
    answered: custom::CustomValue,
    /// In a snapshot: the labels of a pod that the API knew and the pods' watch did not.
    #[serde(default)]
    labels: Option<BTreeMap<Arc<str>, Arc<str>>>,
}

/// What became of a scale write.
pub(super) enum Written {
    Done,
    Conflict,
    Failed(String),
}

impl World {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            autoscalers: Vec::new(),
            pods: PodStore::default(),
            selectors: SelectorTable::default(),
            recorded: BTreeMap::new(),
            scales: BTreeMap::new(),
            usages: resource::Usages::default(),
            custom: Vec::new(),
            external: Vec::new(),
            failing: BTreeMap::new(),
            conflicts: 0,
        }
    }

    /// Applies a step's changes; gives the autoscalers that were written, sorted. `text` is the whole file, for the
    /// places of errors.
    pub(super) fn apply(&mut self, text: &str, step: &Step<'_>) -> Result<Vec<Key>, ScenarioError> {
        for gone in &step.remove {
            self.remove(gone);
        }
        let first_new = self.autoscalers.len();
        let mut written = Vec::new();
        for object in &step.apply {
            written.extend(
                self.apply_object(object)
                    .map_err(|problem| error_in(text, object, problem))?,
            );
        }
        written.sort();
        self.autoscalers[first_new..].sort_by(|a, b| a.spec.key.cmp(&b.spec.key));
        for scale in &step.scales {
            self.scales.insert(scale.target.clone(), seen(&scale.scale));
        }
        if let Some(list) = step.pod_metrics {
            self.usages =
                resource::Usages::decode(list.get()).map_err(|e| error_in(text, list, format!("podMetrics: {e}")))?;
        }
        if let Some(values) = &step.custom_metrics {
            self.custom = values
                .iter()
                .map(|v| serde_json::from_str(v.get()).map_err(|e| error_in(text, v, format!("customMetrics: {e}"))))
                .collect::<Result<_, _>>()?;
        }
        if let Some(values) = &step.external_metrics {
            self.external = values.clone();
        }
        if let Some(failing) = &step.failing {
            self.failing = failing.clone();
        }
        self.conflicts = self
            .failing
            .get("scale.conflicts")
            .and_then(|n| n.parse().ok())
            .unwrap_or(0);
        Ok(written)
    }

    /// Applies an object; gives its key where it is an autoscaler.
    fn apply_object(&mut self, object: &RawValue) -> Result<Option<Key>, String> {
        #[derive(Deserialize)]
        struct Kind {
            kind: String,
        }
        let Kind { kind } = serde_json::from_str(object.get()).map_err(|e| e.to_string())?;
        match kind.as_str() {
            "Pod" => {
                let pod: SlimPod = serde_json::from_str(object.get()).map_err(|e| format!("Pod: {e}"))?;
                self.pods.apply(pod);
                Ok(None)
            }
            AUTOSCALER => self.apply_autoscaler(object).map(Some),
            other => Err(format!(
                "cannot apply a {other:?}: a scenario has Pods and {AUTOSCALER}s"
            )),
        }
    }

    /// Applying an autoscaler again replaces its wish and keeps the rest.
    fn apply_autoscaler(&mut self, object: &RawValue) -> Result<Key, String> {
        let value: Value = serde_json::from_str(object.get()).map_err(|e| e.to_string())?;
        let spec = Arc::new(Spec::from_stored(&value).map_err(|e| e.to_string())?);
        let key = spec.key.clone();
        if let Some(known) = self.autoscalers.iter_mut().find(|a| a.spec.key == key) {
            known.spec = spec;
            return Ok(key);
        }
        let status = Status::from_stored(&value).map_err(|e| e.to_string())?;
        self.selectors.register(&spec.key);
        self.autoscalers.push(Autoscaler {
            spec,
            status,
            memory: Memory::default(),
            expected_status: None,
        });
        Ok(key)
    }

    fn remove(&mut self, gone: &Reference) {
        match gone.kind.as_str() {
            "Pod" => self.pods.delete(&gone.namespace, &gone.name),
            _ => {
                let key = Key::new(gone.namespace.as_str(), gone.name.as_str());
                self.autoscalers.retain(|a| a.spec.key != key);
                self.selectors.forget(&key);
            }
        }
    }

    /// Where the scale of `target` is, as the API server would find it by group and kind.
    fn find(&self, namespace: &str, target: &ObjectRef) -> Result<&Target, ScaleFailure> {
        let group = |api_version| GroupVersion::parse(api_version).map(|v| v.group);
        let wanted = group(&target.api_version).map_err(|e| ScaleFailure::BadApiVersion(e.to_string()))?;
        let same_kind = |kind: &str| kind == &*target.kind || kind.to_lowercase() == *target.kind;
        self.scales
            .keys()
            .find(|t| {
                t.namespace == namespace
                    && t.name == *target.name
                    && same_kind(&t.kind)
                    && group(&t.api_version).is_ok_and(|g| g == wanted)
            })
            .ok_or_else(|| ScaleFailure::NotRead(format!("{} {:?} not found", target.kind, target.name)))
    }

    pub(super) fn scale(&self, namespace: &str, target: &ObjectRef) -> Result<Scale, ScaleFailure> {
        let found = self.find(namespace, target);
        if let (Some(message), true) = (
            self.failing.get("scale.get"),
            !matches!(found, Err(ScaleFailure::BadApiVersion(_))),
        ) {
            return Err(ScaleFailure::NotRead(message.clone()));
        }
        found.map(|t| self.scales[t].clone())
    }

    pub(super) fn write_scale(&mut self, namespace: &str, target: &ObjectRef, replicas: i32) -> Written {
        if let Some(message) = self.failing.get("scale.update") {
            return Written::Failed(message.clone());
        }
        if self.conflicts > 0 {
            self.conflicts -= 1;
            return Written::Conflict;
        }
        let found = match self.find(namespace, target) {
            Ok(found) => found.clone(),
            Err(failure) => return Written::Failed(failure.message().to_owned()),
        };
        if let Some(scale) = self.scales.get_mut(&found) {
            scale.spec_replicas = replicas;
        }
        Written::Done
    }

    /// Why a status cannot be written now.
    pub(super) fn status_failure(&self) -> Option<&str> {
        self.failing.get("status.update").map(String::as_str)
    }

    /// What the metric APIs answer for one metric of an autoscaler.
    pub(super) fn reading(&self, namespace: &str, source: &MetricSource, selector: &Selector, pods: &[Pod]) -> Reading {
        let of_resource = |name: &str, container| {
            self.answered("podMetrics", name, || {
                resource::reading(&self.usages.of(namespace), selector, pods, name, container)
            })
        };
        match source {
            MetricSource::Resource { name } => of_resource(name, None),
            MetricSource::ContainerResource { name, container } => of_resource(name, Some(container)),
            MetricSource::Pods { metric } => self.answered("customMetrics", &metric.name, || {
                let of_pods = self.custom(namespace, "Pod", metric);
                let is_selected = |value: &Custom| match &value.labels {
                    Some(labels) => selector.matches(labels),
                    None => pods.iter().any(|pod| pod.name == value.answered.name),
                };
                let selected = of_pods.filter(|value| is_selected(value));
                custom::pods_reading(selected.map(|value| &value.answered), pods)
            }),
            MetricSource::Object { described, metric } => self.answered("customMetrics", &metric.name, || {
                // The first of several: the oracle's API, which answers for one object, has no other.
                let values = self
                    .custom(namespace, &described.kind, metric)
                    .filter(|value| value.answered.name == described.name);
                custom::object_reading(values.take(1).map(|value| &value.answered))
            }),
            MetricSource::External { metric } => self.answered("externalMetrics", &metric.name, || {
                let values = self.external.iter().filter(|value| {
                    value.namespace == namespace && value.metric_name == *metric.name && answers(value, metric)
                });
                let values: Vec<external::ExternalValue> = values.map(ExternalValue::as_answered).collect();
                external::reading(&values)
            }),
        }
    }

    /// An answer, unless the API fails, for all metrics or for this one.
    fn answered(&self, api: &str, metric: &str, answer: impl FnOnce() -> Reading) -> Reading {
        let of_metric = self.failing.get(&format!("{api}/{metric}"));
        match of_metric.or_else(|| self.failing.get(api)) {
            Some(message) => Reading::Failed(MetricFailure::new(FailureKind::Unavailable, message.clone())),
            None => answer(),
        }
    }

    fn custom<'a>(
        &'a self,
        namespace: &'a str,
        kind: &'a str,
        metric: &'a MetricIdentifier,
    ) -> impl Iterator<Item = &'a Custom> {
        let wanted = metric.selector.as_ref().map(ToString::to_string).unwrap_or_default();
        self.custom.iter().filter(move |Custom { answered: v, .. }| {
            v.kind.eq_ignore_ascii_case(kind)
                && &*v.namespace == namespace
                && v.metric == metric.name
                && v.selector.as_ref().is_none_or(|selector| is_same(selector, &wanted))
        })
    }
}

/// Whether an external value answers a metric's selector.
fn answers(value: &ExternalValue, metric: &MetricIdentifier) -> bool {
    // The oracle's API in memory is asked with Go's selector, and Go's absent one matches nothing. (A real API is asked by
    // text, and then without a selector: for everything.)
    match (&value.selector, &metric.selector, &metric.written) {
        (Some(answered), Ok(wanted), _) => is_same(answered, &wanted.to_string()),
        (None, Ok(wanted), Some(_)) => wanted.matches(&value.as_answered().labels),
        _ => false,
    }
}

/// Whether `written`, a LabelSelector, is the selector that `canonical` is the text of.
fn is_same(written: &Value, canonical: &str) -> bool {
    Selector::from_label_selector(written).is_ok_and(|selector| selector.to_string() == canonical)
}

fn seen(scale: &ScaleObject) -> Scale {
    Scale {
        spec_replicas: scale.spec.replicas,
        status_replicas: scale.status.replicas,
        selector: scale.status.selector.as_str().into(),
    }
}
