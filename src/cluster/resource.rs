//! Which resource of the API an object belongs to, and the paths of its URLs.

use std::fmt;
use std::sync::Arc;

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
        f.write_str(&self.plural)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        write!(f, " {}/{}", self.namespace, self.name)
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
