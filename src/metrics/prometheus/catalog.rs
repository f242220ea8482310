//! Which definition answers for a metric: those of the configuration first, then Prometheus Adapter's rules. Pure.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::memory::AskKey;
use crate::observe::{FailureKind, MetricFailure};
use crate::promql::adapter::AdapterRules;
use crate::promql::{Answers, Ask, Definition};
use crate::selector::Selector;
use crate::spec::{MetricIdentifier, MetricSource, ObjectRef};

/// All that is known before anything is asked.
pub(super) struct Catalog {
    /// By the metric's name; of several, those for one kind of object first.
    own: FxHashMap<Arc<str>, Vec<Arc<Definition>>>,
    rules: Option<Arc<AdapterRules>>,
}

impl Catalog {
    pub(super) fn new(metrics: &[Arc<Definition>], rules: Option<Arc<AdapterRules>>) -> Self {
        let resources = rules.as_ref().map_or(&[][..], |rules| rules.resources());
        let mut own: FxHashMap<Arc<str>, Vec<Arc<Definition>>> = FxHashMap::default();
        // The rules' resources stand behind the configuration's metrics, and need no names of series.
        for definition in metrics.iter().chain(resources) {
            own.entry(definition.name.clone()).or_default().push(definition.clone());
        }
        for definitions in own.values_mut() {
            definitions.sort_by_key(|d| !matches!(d.answers, Answers::Object { kind: Some(_) }));
        }
        Self { own, rules }
    }

    /// Prometheus Adapter's rules.
    pub(super) fn rules(&self) -> Option<&Arc<AdapterRules>> {
        self.rules.as_ref()
    }

    /// The configuration's definition for a metric.
    pub(super) fn own(&self, source: &MetricSource) -> Option<&Arc<Definition>> {
        let definitions = self.own.get(name(source))?;
        definitions
            .iter()
            .find(|definition| answers_for(&definition.answers, source))
    }
}

/// The metric's name.
pub(super) fn name(source: &MetricSource) -> &Arc<str> {
    match source {
        MetricSource::Resource { name } | MetricSource::ContainerResource { name, .. } => name,
        MetricSource::Pods { metric } | MetricSource::Object { metric, .. } | MetricSource::External { metric } => {
            &metric.name
        }
    }
}

/// What is asked of `definition`.
///
/// # Errors
/// Where the metric's selector does not convert.
pub(super) fn ask(
    definition: &Arc<Definition>,
    namespace: &Arc<str>,
    source: &MetricSource,
) -> Result<Ask, MetricFailure> {
    let object = match source {
        MetricSource::Object { described, .. } => Some(described.name.clone()),
        _ => None,
    };
    let selector = match identifier(source).map(|id| &id.selector) {
        None => Selector::everything(),
        Some(Ok(selector)) => selector.clone(),
        Some(Err(problem)) => return Err(MetricFailure::new(FailureKind::BadSelector, problem.clone())),
    };
    Ok(Ask {
        definition: definition.clone(),
        namespace: namespace.clone(),
        object,
        selector,
    })
}

/// The key of what is asked.
pub(super) fn key(ask: &Ask, source: &MetricSource) -> AskKey {
    let kind = source_key(source);
    let object = ask.object.as_deref().unwrap_or_default();
    // None of these can hold a line feed.
    format!("{kind}\n{}\n{object}\n{}", ask.namespace, ask.selector).into()
}

/// What a metric is called, and of what kind of thing it is.
fn source_key(source: &MetricSource) -> String {
    let name = name(source);
    match source {
        // A resource of one container is found in the same answer.
        MetricSource::Resource { .. } | MetricSource::ContainerResource { .. } => format!("Resource\n{name}"),
        MetricSource::Object { described, .. } => {
            let ObjectRef { api_version, kind, .. } = described;
            format!("Object {api_version} {kind}\n{name}")
        }
        MetricSource::Pods { .. } | MetricSource::External { .. } => format!("{}\n{name}", source.type_name()),
    }
}

fn identifier(source: &MetricSource) -> Option<&MetricIdentifier> {
    match source {
        MetricSource::Resource { .. } | MetricSource::ContainerResource { .. } => None,
        MetricSource::Pods { metric } | MetricSource::Object { metric, .. } | MetricSource::External { metric } => {
            Some(metric)
        }
    }
}

fn answers_for(answers: &Answers, source: &MetricSource) -> bool {
    match (answers, source) {
        (Answers::Pods { .. }, MetricSource::Pods { .. })
        | (Answers::External, MetricSource::External { .. })
        | (Answers::Resource { .. }, MetricSource::Resource { .. } | MetricSource::ContainerResource { .. }) => true,
        (Answers::Object { kind: None }, MetricSource::Object { .. }) => true,
        (Answers::Object { kind: Some(kind) }, MetricSource::Object { described, .. }) => {
            let group = described.api_version.split_once('/').map_or("", |(group, _)| group);
            kind.kind.eq_ignore_ascii_case(&described.kind) && kind.group.as_deref().is_none_or(|g| g == group)
        }
        _ => false,
    }
}
