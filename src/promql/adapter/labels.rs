//! Which label names the objects of a resource.
//!
//! Source: Prometheus Adapter, `pkg/naming/resource_converter.go`. The adapter asks the API server which resources there
//! are; here a kind's resource is guessed as Kubernetes guesses it, which holds for all of its own kinds.

use std::sync::Arc;

use super::go_template::{Field, Part};

/// A kind of object, with the names of its resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Resource {
    group: Arc<str>,
    singular: String,
    plural: String,
}

impl Resource {
    /// The resource of `kind`.
    ///
    /// Source: apimachinery `pkg/api/meta/restmapper.go`, `UnsafeGuessKindToResource`.
    pub(super) fn of_kind(group: &str, kind: &str) -> Self {
        let singular = kind.to_lowercase();
        let plural = if singular.ends_with("endpoints") {
            singular.clone()
        } else if singular.ends_with('s') {
            format!("{singular}es")
        } else if let Some(stem) = singular.strip_suffix('y') {
            format!("{stem}ies")
        } else {
            format!("{singular}s")
        };
        Self {
            group: group.into(),
            singular,
            plural,
        }
    }

    /// Pods.
    pub(super) fn pod() -> Self {
        Self::of_kind("", "Pod")
    }

    /// Namespaces.
    pub(super) fn namespace() -> Self {
        Self::of_kind("", "Namespace")
    }

    /// Whether it is namespaces.
    pub(super) fn is_namespace(&self) -> bool {
        self.group.is_empty() && self.singular == "namespace"
    }

    /// Whether its objects belong to no namespace: those that the adapter knows to (`series_registry.go`, `SetSeries`).
    pub(super) fn is_of_cluster(&self) -> bool {
        self.group.is_empty() && ["namespace", "node", "persistentvolume"].contains(&self.singular.as_str())
    }
}

/// What `resources` of a rule says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Labels {
    /// Labels with their resource, in the file's order.
    pub overrides: Vec<Override>,
    /// How all other resources' labels are made.
    pub template: Option<Vec<Part>>,
}

/// A label that names the objects of a resource.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Override {
    pub label: Arc<str>,
    /// Empty: whichever group has the resource.
    pub group: String,
    /// Singular or plural.
    pub resource: String,
}

impl Override {
    /// Whether the label names objects of `resource`.
    pub(super) fn is_for(&self, resource: &Resource) -> bool {
        let name = self.resource.to_lowercase();
        (name == resource.singular || name == resource.plural)
            && (self.group.is_empty() || *self.group == *resource.group)
    }
}

impl Labels {
    /// Whether nothing is said.
    pub(super) fn is_empty(&self) -> bool {
        self.overrides.is_empty() && self.template.is_none()
    }

    /// The label that names the objects of `resource`, if there is one.
    pub(super) fn label(&self, resource: &Resource) -> Option<Arc<str>> {
        let named = self.overrides.iter().find(|label| label.is_for(resource));
        match (named, &self.template) {
            (Some(named), _) => Some(named.label.clone()),
            (None, Some(template)) => Some(made(template, resource)).filter(|label| !label.is_empty()),
            (None, None) => None,
        }
    }
}

fn made(template: &[Part], resource: &Resource) -> Arc<str> {
    let text: String = template
        .iter()
        .map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Field(Field::Group) => resource.group.replace(['.', '-'], "_"),
            Part::Field(_) | Part::LabelValues(_) => resource.singular.clone(),
        })
        .collect();
    text.into()
}

#[cfg(test)]
mod tests {
    use super::super::go_template::{Use, parse};
    use super::*;

    #[test]
    fn kinds_become_resources_as_kubernetes_guesses() {
        for (kind, singular, plural) in [
            ("Pod", "pod", "pods"),
            ("Ingress", "ingress", "ingresses"),
            ("NetworkPolicy", "networkpolicy", "networkpolicies"),
            ("Endpoints", "endpoints", "endpoints"),
        ] {
            let resource = Resource::of_kind("", kind);
            assert_eq!(
                (resource.singular.as_str(), resource.plural.as_str()),
                (singular, plural)
            );
        }
    }

    #[test]
    fn overrides_go_before_the_template() {
        let of = |label: &str, group: &str, resource: &str| Override {
            label: label.into(),
            group: group.into(),
            resource: resource.into(),
        };
        let labels = Labels {
            overrides: vec![
                of("kubernetes_pod", "", "pods"),
                of("ing", "", "ingress"),
                of("shop", "shop.example", "shop"),
            ],
            template: Some(parse("k_<<.Group>>_<<.Resource>>", Use::Label).expect("it is a template")),
        };
        for (group, kind, label) in [
            ("", "Pod", "kubernetes_pod"),
            ("networking.k8s.io", "Ingress", "ing"),
            ("shop.example", "Shop", "shop"),
            ("other.example", "Shop", "k_other_example_shop"),
            ("", "Service", "k__service"),
        ] {
            let resource = Resource::of_kind(group, kind);
            assert_eq!(labels.label(&resource).as_deref(), Some(label), "{kind}");
        }
        assert_eq!(Labels::default().label(&Resource::pod()), None);
    }
}
