//! A rule's query, filled in for what is asked.
//!
//! Source: Prometheus Adapter, `pkg/naming/metrics_query.go`, `Build` and `BuildExternal`: the selector's matchers come
//! first, then the namespace's, then the objects'.

use std::sync::Arc;
use std::time::Duration;

use super::Rule;
use super::go_template::{Field, Part};
use super::labels::{Labels, Resource};
use crate::promql::definition::DEFAULT_FRESHNESS;
use crate::promql::{SelectorForm, Template};
use crate::selector::Selector;

/// What a query is filled in with.
#[derive(Debug, Default)]
pub(super) struct Filling<'a> {
    series: &'a str,
    matchers: String,
    group_by: String,
    /// Labels with what they are compared with, as the template's text.
    values: Vec<(Arc<str>, String)>,
}

/// Which objects a query asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Objects {
    /// The autoscaler's pods.
    Pods,
    /// One object of this resource.
    One(Resource),
}

impl Rule {
    /// Whether a label names such objects.
    pub(super) fn has_label(&self, objects: &Objects) -> bool {
        self.labels.label(&objects.resource()).is_some()
    }

    /// The query of a custom metric, and the label that names the objects.
    pub(super) fn custom_query(
        &self,
        series: &str,
        objects: &Objects,
        selector: &Selector,
    ) -> Result<(Template, Arc<str>), String> {
        let (matchers, label) = object_matchers(&self.labels, objects)?;
        let mut values = selector_values(selector);
        for (label, _, value) in &matchers {
            values.retain(|(known, _)| known != label);
            values.push((label.clone(), (*value).to_owned()));
        }
        let filling = Filling {
            series,
            matchers: written(&matchers, true),
            group_by: label.to_string(),
            values,
        };
        Ok((template(&fill(&self.query, &filling))?, label))
    }

    /// The query of an external metric.
    pub(super) fn external_query(&self, series: &str, selector: &Selector) -> Result<Template, String> {
        let mut values = selector_values(selector);
        let mut matchers = Vec::new();
        if self.namespaced {
            let Some(label) = self.labels.label(&Resource::namespace()) else {
                return Err(
                    "no label names the namespace: set resources.overrides, such as {namespace: {resource: namespace}}, or \
                     resources.namespaced: false"
                        .to_owned(),
                );
            };
            values.retain(|(known, _)| *known != label);
            values.push((label.clone(), "$namespace".to_owned()));
            matchers.push((label, "=", "$namespace"));
        }
        let filling = Filling {
            series,
            matchers: written(&matchers, true),
            group_by: String::new(),
            values,
        };
        template(&fill(&self.query, &filling))
    }

    /// Whether the query depends on the values in a metric's selector, and not only on its matchers.
    pub(super) fn names_values(&self) -> bool {
        self.query.iter().any(|part| matches!(part, Part::LabelValues(_)))
    }
}

impl Objects {
    fn resource(&self) -> Resource {
        match self {
            Self::Pods => Resource::pod(),
            Self::One(resource) => resource.clone(),
        }
    }
}

/// The query for the containers of pods: the template, and the labels of namespace and pod.
pub(super) fn container_query(
    parts: &[Part],
    labels: &Labels,
    container_label: &str,
) -> Result<(Template, Arc<str>, Arc<str>), String> {
    let (matchers, pod) = object_matchers(labels, &Objects::Pods)?;
    let namespace = matchers[0].0.clone();
    let filling = Filling {
        series: "",
        matchers: written(&matchers, false),
        group_by: format!("{pod},{container_label}"),
        values: matchers
            .iter()
            .map(|(label, _, value)| (label.clone(), (*value).to_owned()))
            .collect(),
    };
    Ok((template(&fill(parts, &filling))?, namespace, pod))
}

type Matcher = (Arc<str>, &'static str, &'static str);

/// The matchers of namespace and objects, and the label that names the objects.
fn object_matchers(labels: &Labels, objects: &Objects) -> Result<(Vec<Matcher>, Arc<str>), String> {
    let resource = objects.resource();
    let label_of = |resource: &Resource, what: &str| {
        labels
            .label(resource)
            .ok_or_else(|| format!("no label names the {what}: set resources.overrides or resources.template"))
    };
    let label = label_of(&resource, "object")?;
    let namespace = || label_of(&Resource::namespace(), "namespace");
    let matchers = match objects {
        Objects::Pods => vec![(namespace()?, "=", "$namespace"), (label.clone(), "=~", "$pods")],
        // Kubernetes asks for the autoscaler's own namespace, whatever the metric names.
        Objects::One(resource) if resource.is_namespace() => vec![(label.clone(), "=", "$namespace")],
        Objects::One(resource) if resource.is_of_cluster() => vec![(label.clone(), "=", "$object")],
        Objects::One(_) => vec![(namespace()?, "=", "$namespace"), (label.clone(), "=", "$object")],
    };
    Ok((matchers, label))
}

fn written(matchers: &[Matcher], with_selector: bool) -> String {
    let selector = with_selector.then(|| "$selector".to_owned());
    let matchers = matchers
        .iter()
        .map(|(label, operator, value)| format!("{label}{operator}\"{value}\""));
    let all: Vec<String> = selector.into_iter().chain(matchers).collect();
    all.join(",")
}

/// What the labels of a selector are compared with, joined as the adapter joins them.
fn selector_values(selector: &Selector) -> Vec<(Arc<str>, String)> {
    selector
        .requirements()
        .iter()
        .map(|requirement| (requirement.key().clone(), requirement.values().join("|")))
        .collect()
}

fn fill(parts: &[Part], filling: &Filling<'_>) -> String {
    let mut text = String::new();
    for part in parts {
        match part {
            // A dollar of the rule's own is none of our placeholders.
            Part::Text(literal) => text.push_str(&literal.replace('$', "$$")),
            Part::Field(Field::Series) => text.push_str(filling.series),
            Part::Field(Field::LabelMatchers) => text.push_str(&filling.matchers),
            Part::Field(Field::GroupBy) => text.push_str(&filling.group_by),
            Part::Field(Field::Group | Field::Resource) => {}
            // Go gives nothing for a key that a map does not have.
            Part::LabelValues(label) => text.extend(
                filling
                    .values
                    .iter()
                    .find(|(known, _)| **known == **label)
                    .map(|(_, value)| value.as_str()),
            ),
        }
    }
    text
}

/// The freshness limit of a rule's query: the usual one, where it can be put into it. Whoever wrote the rule for the adapter
/// knew of none.
pub(super) fn freshness(template: &Template) -> Option<Duration> {
    template
        .can_be_limited(DEFAULT_FRESHNESS)
        .is_ok()
        .then_some(DEFAULT_FRESHNESS)
}

fn template(text: &str) -> Result<Template, String> {
    Template::parse_as(text, SelectorForm::AsAdapter).map_err(|error| format!("{error}, in the query {text}"))
}
