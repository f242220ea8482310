//! `apiVersion`, as a scale target names it.

use thiserror::Error;

/// An API group and a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupVersion<'a> {
    /// The group; empty for the core group.
    pub group: &'a str,
    /// The version; empty where none is named.
    pub version: &'a str,
}

/// An `apiVersion` with more than one slash.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("apiVersion {0:?} has more than one slash: want group/version, such as apps/v1")]
pub struct BadApiVersion(pub String);

impl<'a> GroupVersion<'a> {
    /// Splits an `apiVersion`.
    ///
    /// Without a slash it is a version of the core group: `apps` alone is not the group apps.
    ///
    /// # Errors
    ///
    /// [`BadApiVersion`] where there is more than one slash.
    ///
    /// Source: Kubernetes v1.36 `apimachinery/pkg/runtime/schema/group_version.go`, `ParseGroupVersion`.
    pub fn parse(api_version: &'a str) -> Result<Self, BadApiVersion> {
        match api_version.split_once('/') {
            Some((_, version)) if version.contains('/') => Err(BadApiVersion(api_version.to_owned())),
            Some((group, version)) => Ok(Self { group, version }),
            None => Ok(Self {
                group: "",
                version: api_version,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_version_is_split_as_kubernetes_does_it() {
        for (text, expected) in [
            ("", Some(("", ""))),
            ("/", Some(("", ""))),
            ("v1", Some(("", "v1"))),
            ("apps", Some(("", "apps"))),
            ("apps/v1", Some(("apps", "v1"))),
            ("apps/", Some(("apps", ""))),
            ("/v1", Some(("", "v1"))),
            ("a/b/c", None),
            ("//", None),
        ] {
            let split = GroupVersion::parse(text).ok().map(|gv| (gv.group, gv.version));
            assert_eq!(split, expected, "{text:?}");
        }
        let error = GroupVersion::parse("a/b/c").unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"apiVersion "a/b/c" has more than one slash: want group/version, such as apps/v1"#
        );
    }
}
