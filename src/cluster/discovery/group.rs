//! One API group's resources.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use rustc_hash::FxHashSet;
use serde::Deserialize;

use crate::wire::{self, Limits, WireError, WireFailure};

/// One document: the core group's takes 10 KB, and the largest groups there are some 200 KB.
const LIMITS: Limits = Limits {
    time: Duration::from_secs(10),
    bytes: 4 * 1024 * 1024,
};

/// The most versions of a group that are read, a request each; no group has more than five. An aggregated API server of
/// somebody's may name as many as it likes.
const MOST_VERSIONS: usize = 16;

/// The most resources of a group that are known, all versions together; the largest groups have a hundred.
const MOST_RESOURCES: usize = 2_000;

/// A resource that the API has for a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownResource {
    /// The kind, as the API writes it.
    pub kind: Arc<str>,
    /// The resource's name, such as `deployments`.
    pub plural: Arc<str>,
    /// The version to ask with: the group's preferred one where that has the resource.
    pub version: Arc<str>,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
    /// Whether its objects have a scale.
    pub has_scale: bool,
}

impl KnownResource {
    /// Its name with that of its group, as in `services` and `ingresses.networking.k8s.io`.
    pub fn name_in(&self, group: &str) -> Arc<str> {
        match group {
            "" => self.plural.clone(),
            group => format!("{}.{group}", self.plural).into(),
        }
    }
}

/// A group's resources, each in one version.
#[derive(Debug, Default)]
pub(super) struct GroupResources(Vec<KnownResource>);

impl GroupResources {
    /// Source: Kubernetes v1.36 `client-go/restmapper/discovery.go`, `NewDiscoveryRESTMapper`: each kind is known as it is
    /// written and in lower case.
    pub(super) fn find(&self, kind: &str) -> Option<&KnownResource> {
        self.0
            .iter()
            .find(|known| *known.kind == *kind || known.kind.to_lowercase() == kind)
    }

    fn add(&mut self, version: &Arc<str>, listed: Vec<RawResource>) {
        let scaled = listed.iter().filter_map(|r| r.name.strip_suffix("/scale"));
        let scaled: FxHashSet<&str> = scaled.collect();
        for resource in listed.iter().take(2 * MOST_RESOURCES) {
            if self.0.len() >= MOST_RESOURCES {
                return;
            }
            let known = self.0.iter().any(|known| *known.plural == *resource.name);
            if known || resource.name.contains('/') {
                continue;
            }
            self.0.push(KnownResource {
                kind: resource.kind.as_str().into(),
                plural: resource.name.as_str().into(),
                version: version.clone(),
                namespaced: resource.namespaced,
                has_scale: scaled.contains(resource.name.as_str()),
            });
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawGroup {
    #[serde(default)]
    versions: Vec<RawVersion>,
    preferred_version: Option<RawVersion>,
}

/// Text in the core group's list, an object in the others'.
#[derive(Deserialize)]
#[serde(untagged)]
enum RawVersion {
    Core(String),
    Named { version: String },
}

impl RawVersion {
    fn name(self) -> Arc<str> {
        match self {
            Self::Core(version) | Self::Named { version } => version.into(),
        }
    }
}

#[derive(Deserialize)]
struct RawResources {
    #[serde(default)]
    resources: Vec<RawResource>,
}

#[derive(Deserialize)]
struct RawResource {
    name: String,
    kind: String,
    #[serde(default)]
    namespaced: bool,
}

/// Reads what a group has; nothing where there is no such group.
///
/// A version that cannot be read is left out, unless none can.
pub(super) async fn read_group(client: &Client, group: &str) -> Result<GroupResources, WireError> {
    let root = match group {
        "" => "/api".to_owned(),
        group => format!("/apis/{}", wire::path_segment(group)),
    };
    let order = match wire::get(client, &root, &[], LIMITS).await {
        Ok(body) => versions(&body, &root)?,
        Err(error) if error.failure() == WireFailure::NotFound => return Ok(GroupResources::default()),
        Err(error) => return Err(error),
    };
    let mut resources = GroupResources::default();
    let mut failure = None;
    for version in &order {
        let path = format!("{root}/{}", wire::path_segment(version));
        let listed = match wire::get(client, &path, &[], LIMITS).await {
            Ok(body) => decode::<RawResources>(&body, &path),
            Err(error) => Err(error),
        };
        match listed {
            Ok(listed) => resources.add(version, listed.resources),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    match failure {
        Some(error) if resources.0.is_empty() => Err(error),
        _ => Ok(resources),
    }
}

/// The versions that a group's document names, the preferred one first.
pub(super) fn versions(body: &[u8], root: &str) -> Result<Vec<Arc<str>>, WireError> {
    let RawGroup {
        versions,
        preferred_version,
    } = decode(body, root)?;
    let mut order: Vec<Arc<str>> = preferred_version
        .into_iter()
        .chain(versions)
        .map(RawVersion::name)
        .take(2 * MOST_VERSIONS)
        .collect();
    let mut seen = Vec::new();
    order.retain(|version| {
        !seen.contains(version) && {
            seen.push(version.clone());
            true
        }
    });
    order.truncate(MOST_VERSIONS);
    Ok(order)
}

/// What one version of a group has.
pub(super) fn resources(body: &[u8], version: &Arc<str>) -> Result<Vec<KnownResource>, WireError> {
    let mut resources = GroupResources::default();
    resources.add(version, decode::<RawResources>(body, version)?.resources);
    Ok(resources.0)
}

fn decode<T: for<'de> Deserialize<'de>>(body: &[u8], path: &str) -> Result<T, WireError> {
    serde_json::from_slice(body).map_err(|error| {
        WireError::new(
            format!("GET {path}"),
            WireFailure::Other,
            format!("not understood: {error}"),
        )
    })
}
