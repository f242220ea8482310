//! Which resource of the API an object belongs to, and the paths of its URLs.

use std::fmt;
use std::sync::Arc;

/// All objects of one kind, by the name of their resource in the API.
///
/// Prints as `kubectl` calls it: `deployments.apps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Collection {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The version.
    pub version: &'static str,
    /// The resource's name, such as `deployments`.
    pub plural: &'static str,
}

impl Collection {
    /// The URL path of the collection in one namespace, or in the whole cluster.
    pub fn path(&self, namespace: Option<&str>) -> String {
        let Self { group, version, plural } = self;
        let root = if group.is_empty() {
            "/api".to_owned()
        } else {
            format!("/apis/{group}")
        };
        match namespace {
            Some(namespace) => format!("{root}/{version}/namespaces/{namespace}/{plural}"),
            None => format!("{root}/{version}/{plural}"),
        }
    }
}

impl fmt::Display for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print_resource(f, self.plural, self.group)
    }
}

/// One object that has a `scale` subresource, by the name of its resource in the API.
///
/// Prints as people write it: `deployments.apps shop/web`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ScaleResource {
    /// The API group; empty for the core group.
    pub group: Arc<str>,
    /// The version to ask with: the group's preferred one of those that have the resource.
    pub version: Arc<str>,
    /// The resource's name, such as `deployments`.
    pub plural: Arc<str>,
    /// The object's namespace.
    pub namespace: Arc<str>,
    /// The object's name.
    pub name: Arc<str>,
}

impl ScaleResource {
    /// The URL path of the object's `scale` subresource.
    pub fn scale_path(&self) -> String {
        let Self {
            group,
            version,
            plural,
            namespace,
            name,
        } = self;
        if group.is_empty() {
            format!("/api/{version}/namespaces/{namespace}/{plural}/{name}/scale")
        } else {
            format!("/apis/{group}/{version}/namespaces/{namespace}/{plural}/{name}/scale")
        }
    }
}

impl fmt::Display for ScaleResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print_resource(f, &self.plural, &self.group)?;
        write!(f, " {}/{}", self.namespace, self.name)
    }
}

fn print_resource(f: &mut fmt::Formatter<'_>, plural: &str, group: &str) -> fmt::Result {
    match group {
        "" => f.write_str(plural),
        group => write!(f, "{plural}.{group}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(group: &str, version: &str, plural: &str) -> ScaleResource {
        ScaleResource {
            group: group.into(),
            version: version.into(),
            plural: plural.into(),
            namespace: "shop".into(),
            name: "web".into(),
        }
    }

    #[test]
    fn a_collection_is_in_one_namespace_or_in_all() {
        let pods = Collection {
            group: "",
            version: "v1",
            plural: "pods",
        };
        assert_eq!(pods.path(None), "/api/v1/pods");
        assert_eq!(pods.path(Some("shop")), "/api/v1/namespaces/shop/pods");
        let deployments = Collection {
            group: "apps",
            version: "v1",
            plural: "deployments",
        };
        assert_eq!(deployments.path(None), "/apis/apps/v1/deployments");
        assert_eq!(
            (pods.to_string(), deployments.to_string()),
            ("pods".into(), "deployments.apps".into())
        );
    }

    #[test]
    fn the_core_group_has_a_path_of_its_own() {
        let deployment = resource("apps", "v1", "deployments");
        assert_eq!(
            deployment.scale_path(),
            "/apis/apps/v1/namespaces/shop/deployments/web/scale"
        );
        assert_eq!(deployment.to_string(), "deployments.apps shop/web");
        let controller = resource("", "v1", "replicationcontrollers");
        assert_eq!(
            controller.scale_path(),
            "/api/v1/namespaces/shop/replicationcontrollers/web/scale"
        );
        assert_eq!(controller.to_string(), "replicationcontrollers shop/web");
    }
}
