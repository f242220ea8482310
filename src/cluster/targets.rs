//! Scale targets: how many replicas they ask for and have, and which pods are theirs.
//!
//! The four kinds that Kubernetes has itself are watched, so that a sync asks nothing. All others, and those that may
//! not be watched, are read by their scale subresource.

mod answer;
mod cache;
mod workload;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kube::Client;

use super::discovery::{Discovery, GroupVersion};
use super::resource::{Collection, ScaleResource};
use super::watch::Need;
use super::watches::{Coverage, Watches};
use crate::observe::{Scale, ScaleFailure};
use crate::spec::ObjectRef;
use crate::wire::{self, Limits};
use answer::Answer;
use cache::Cache;
pub(super) use workload::{Deployment, ReplicationController, Workload};
use workload::{ReplicaSet, StatefulSet, WorkloadKind};

/// A Scale has its metadata, two counts and a selector: some hundred bytes.
const SCALE_BYTES: usize = 256 * 1024;

/// The scales of all targets.
pub struct Targets {
    client: Client,
    /// For kinds that are none of the four.
    custom: Client,
    discovery: Discovery,
    watches: Arc<Watches>,
    /// The longest that one scale is waited for.
    time: Duration,
    deployments: Kind<Deployment>,
    stateful_sets: Kind<StatefulSet>,
    replica_sets: Kind<ReplicaSet>,
    replication_controllers: Kind<ReplicationController>,
}

/// A kind that is watched, once somebody has asked for it.
struct Kind<K> {
    cache: Arc<Cache<K>>,
    coverage: OnceLock<Coverage>,
    /// A resource without namespace and name, for what all resources of the kind share.
    resource: ScaleResource,
}

impl<K: WorkloadKind> Default for Kind<K> {
    fn default() -> Self {
        let Collection { group, version, plural } = K::COLLECTION;
        Self {
            cache: Arc::default(),
            coverage: OnceLock::new(),
            resource: ScaleResource {
                group: group.into(),
                version: version.into(),
                plural: plural.into(),
                namespace: "".into(),
                name: "".into(),
            },
        }
    }
}

impl<K: WorkloadKind> Kind<K> {
    fn watch(&self, watches: &Watches) -> &Coverage {
        self.coverage.get_or_init(|| watches.start(&self.cache, Need::Optional))
    }
}

/// A kind of the four, with its type forgotten.
trait AnyKind {
    fn collection(&self) -> Collection;
    fn resource(&self, namespace: &Arc<str>, name: &Arc<str>) -> ScaleResource;
    /// What the watch knows; `None` where it does not know, or not well enough.
    fn known(&self, watches: &Watches, namespace: &str, name: &str) -> Option<Scale>;
    fn note(&self, resource: &ScaleResource, replicas: i32, resource_version: &str);
}

impl<K: WorkloadKind> AnyKind for Kind<K> {
    fn collection(&self) -> Collection {
        K::COLLECTION
    }

    fn resource(&self, namespace: &Arc<str>, name: &Arc<str>) -> ScaleResource {
        ScaleResource {
            group: self.resource.group.clone(),
            version: self.resource.version.clone(),
            plural: self.resource.plural.clone(),
            namespace: namespace.clone(),
            name: name.clone(),
        }
    }

    fn known(&self, watches: &Watches, namespace: &str, name: &str) -> Option<Scale> {
        if self.watch(watches).is_current(namespace) {
            self.cache.scale(namespace, name)
        } else {
            None
        }
    }

    fn note(&self, resource: &ScaleResource, replicas: i32, resource_version: &str) {
        self.cache
            .note(&resource.namespace, &resource.name, replicas, resource_version);
    }
}

impl Targets {
    /// Targets that are watched by `watches`, and asked for through `client`, through `custom` where Kubernetes does not have their
    /// kind itself, each for at most `time`.
    ///
    /// Deployments and StatefulSets are watched from now on; ReplicaSets, of which there are many, and
    /// ReplicationControllers, of which there are few, once an autoscaler names one.
    pub fn start(client: Client, custom: Client, watches: Arc<Watches>, time: Duration) -> Self {
        let targets = Self {
            discovery: Discovery::new(custom.clone()),
            client,
            custom,
            watches,
            time,
            deployments: Kind::default(),
            stateful_sets: Kind::default(),
            replica_sets: Kind::default(),
            replication_controllers: Kind::default(),
        };
        targets.deployments.watch(&targets.watches);
        targets.stateful_sets.watch(&targets.watches);
        targets
    }

    /// The scale of `target`, and the resource that it is of.
    ///
    /// From the cache where the target's kind is watched and the watch is up, with the count that was
    /// [written last](Self::note_written); else by one request.
    ///
    /// # Errors
    ///
    /// As a sync reports it: the reference does not parse, nothing is known of its kind, or the scale cannot be read.
    pub async fn scale(
        &self,
        namespace: &Arc<str>,
        target: &ObjectRef,
    ) -> Result<(Scale, ScaleResource), ScaleFailure> {
        let GroupVersion { group, .. } =
            GroupVersion::parse(&target.api_version).map_err(|error| ScaleFailure::BadApiVersion(error.to_string()))?;
        if let Some(kind) = self.kind(group, &target.kind) {
            let resource = kind.resource(namespace, &target.name);
            return match kind.known(&self.watches, namespace, &target.name) {
                Some(scale) => Ok((scale, resource)),
                None => Ok((self.read(&self.client, &resource).await?, resource)),
            };
        }
        let resource = self.resolve(group, namespace, target).await?;
        Ok((self.read(&self.custom, &resource).await?, resource))
    }

    /// The scale, where it is known without asking.
    pub fn known_scale(&self, namespace: &str, target: &ObjectRef) -> Option<Scale> {
        let GroupVersion { group, .. } = GroupVersion::parse(&target.api_version).ok()?;
        self.kind(group, &target.kind)?
            .known(&self.watches, namespace, &target.name)
    }

    /// The scale as the API server has it now: after a conflict, when the cache cannot be right.
    ///
    /// # Errors
    ///
    /// As [`scale`](Self::scale).
    pub async fn fresh_scale(
        &self,
        namespace: &Arc<str>,
        target: &ObjectRef,
    ) -> Result<(Scale, ScaleResource), ScaleFailure> {
        let GroupVersion { group, .. } = group_version(target)?;
        let (client, resource) = match self.kind(group, &target.kind) {
            Some(kind) => (&self.client, kind.resource(namespace, &target.name)),
            None => (&self.custom, self.resolve(group, namespace, target).await?),
        };
        Ok((self.read(client, &resource).await?, resource))
    }

    async fn read(&self, client: &Client, resource: &ScaleResource) -> Result<Scale, ScaleFailure> {
        let limits = Limits {
            time: self.time,
            bytes: SCALE_BYTES,
        };
        let body = wire::get(client, &resource.scale_path(), &[], limits).await;
        let body = body.map_err(|error| ScaleFailure::NotRead(error.message().to_owned()))?;
        let Answer {
            scale,
            resource_version,
        } = answer::read(&body).map_err(ScaleFailure::NotRead)?;
        self.note_written(resource, scale.spec_replicas, &resource_version);
        Ok(scale)
    }

    /// Remembers that the API server had this count at this version, so that no later sync decides on an older one.
    pub fn note_written(&self, resource: &ScaleResource, replicas: i32, resource_version: &str) {
        let kinds = self.kinds();
        let kind = kinds.iter().find(|kind| {
            let collection = kind.collection();
            collection.plural == &*resource.plural && collection.group == &*resource.group
        });
        if let Some(kind) = kind {
            kind.note(resource, replicas, resource_version);
        }
    }

    /// Finds resources by their kinds.
    pub fn discovery(&self) -> &Discovery {
        &self.discovery
    }

    fn kinds(&self) -> [&dyn AnyKind; 4] {
        [
            &self.deployments,
            &self.stateful_sets,
            &self.replica_sets,
            &self.replication_controllers,
        ]
    }

    /// A kind is known as it is written and in lower case, as by Kubernetes' REST mapper.
    fn kind(&self, group: &str, kind: &str) -> Option<&dyn AnyKind> {
        match (group, kind) {
            ("apps", "Deployment" | "deployment") => Some(&self.deployments),
            ("apps", "StatefulSet" | "statefulset") => Some(&self.stateful_sets),
            ("apps", "ReplicaSet" | "replicaset") => Some(&self.replica_sets),
            ("", "ReplicationController" | "replicationcontroller") => Some(&self.replication_controllers),
            _ => None,
        }
    }

    async fn resolve(
        &self,
        group: &str,
        namespace: &Arc<str>,
        target: &ObjectRef,
    ) -> Result<ScaleResource, ScaleFailure> {
        let known = self.discovery.resolve(group, &target.kind).await;
        let known = known.map_err(|error| ScaleFailure::NoKind(error.to_string()))?;
        let refuse = |what: &str| Err(ScaleFailure::NotRead(format!("{} {what}", known.plural)));
        if !known.namespaced {
            return refuse("are not in namespaces: an autoscaler scales objects of its own namespace");
        }
        if !known.has_scale {
            return refuse("have no scale subresource: they cannot be scaled");
        }
        Ok(ScaleResource {
            group: group.into(),
            version: known.version,
            plural: known.plural,
            namespace: namespace.clone(),
            name: target.name.clone(),
        })
    }
}

/// What a scale subresource has answered, read for the fuzz target.
pub(super) fn read_scale(body: &[u8]) -> Result<Scale, String> {
    answer::read(body).map(|answer| answer.scale)
}

fn group_version(target: &ObjectRef) -> Result<GroupVersion<'_>, ScaleFailure> {
    GroupVersion::parse(&target.api_version).map_err(|error| ScaleFailure::BadApiVersion(error.to_string()))
}

#[cfg(test)]
mod tests;
