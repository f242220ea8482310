//! The resources that the simulated API has.

/// One resource in its one version.
#[derive(Debug, PartialEq, Eq)]
pub struct Resource {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The version.
    pub version: &'static str,
    /// Its name in paths.
    pub plural: &'static str,
    /// What one of it is called.
    pub kind: &'static str,
    /// What kubectl takes for it as well.
    pub short_names: &'static [&'static str],
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
    /// Whether its objects have a status of their own, written by a subresource.
    pub has_status: bool,
    /// Whether its objects have a scale.
    pub has_scale: bool,
    /// Whether a generation counts the changes of `spec`. HorizontalPodAutoscalers have none.
    pub counts_generations: bool,
    /// Whether `kubectl get all` has it.
    pub in_all: bool,
}

impl Resource {
    /// `deployments.apps`, `pods`.
    pub fn full_name(&self) -> String {
        match self.group {
            "" => self.plural.to_owned(),
            group => format!("{}.{group}", self.plural),
        }
    }

    /// `Deployment.apps`, `Pod`.
    pub(super) fn kind_name(&self) -> String {
        match self.group {
            "" => self.kind.to_owned(),
            group => format!("{}.{group}", self.kind),
        }
    }

    /// `apps/v1`, `v1`.
    pub fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    pub(super) fn can_be_written(&self) -> bool {
        self.group != METRICS_GROUP
    }
}

/// The group of resource metrics, which are read only.
const METRICS_GROUP: &str = "metrics.k8s.io";

const PLAIN: Resource = Resource {
    group: "",
    version: "v1",
    plural: "",
    kind: "",
    short_names: &[],
    namespaced: true,
    has_status: false,
    has_scale: false,
    counts_generations: false,
    in_all: false,
};

const WORKLOAD: Resource = Resource {
    group: "apps",
    has_status: true,
    has_scale: true,
    counts_generations: true,
    in_all: true,
    ..PLAIN
};

/// Namespaces.
pub static NAMESPACES: Resource = Resource {
    plural: "namespaces",
    kind: "Namespace",
    short_names: &["ns"],
    namespaced: false,
    has_status: true,
    ..PLAIN
};
/// Pods.
pub static PODS: Resource = Resource {
    plural: "pods",
    kind: "Pod",
    short_names: &["po"],
    has_status: true,
    in_all: true,
    ..PLAIN
};
/// Services.
pub static SERVICES: Resource = Resource {
    plural: "services",
    kind: "Service",
    short_names: &["svc"],
    has_status: true,
    in_all: true,
    ..PLAIN
};
/// Events of the core group.
pub static EVENTS: Resource = Resource {
    plural: "events",
    kind: "Event",
    short_names: &["ev"],
    ..PLAIN
};
/// ConfigMaps.
pub static CONFIG_MAPS: Resource = Resource {
    plural: "configmaps",
    kind: "ConfigMap",
    short_names: &["cm"],
    ..PLAIN
};
/// ReplicationControllers.
pub static REPLICATION_CONTROLLERS: Resource = Resource {
    group: "",
    plural: "replicationcontrollers",
    kind: "ReplicationController",
    short_names: &["rc"],
    ..WORKLOAD
};
/// Deployments.
pub static DEPLOYMENTS: Resource = Resource {
    plural: "deployments",
    kind: "Deployment",
    short_names: &["deploy"],
    ..WORKLOAD
};
/// StatefulSets.
pub static STATEFUL_SETS: Resource = Resource {
    plural: "statefulsets",
    kind: "StatefulSet",
    short_names: &["sts"],
    ..WORKLOAD
};
/// ReplicaSets.
pub static REPLICA_SETS: Resource = Resource {
    plural: "replicasets",
    kind: "ReplicaSet",
    short_names: &["rs"],
    ..WORKLOAD
};
/// HorizontalPodAutoscalers.
pub static AUTOSCALERS: Resource = Resource {
    group: "autoscaling",
    version: "v2",
    plural: "horizontalpodautoscalers",
    kind: "HorizontalPodAutoscaler",
    short_names: &["hpa"],
    has_status: true,
    in_all: true,
    ..PLAIN
};
/// Leases.
pub static LEASES: Resource = Resource {
    group: "coordination.k8s.io",
    plural: "leases",
    kind: "Lease",
    ..PLAIN
};
/// What pods use, as a metrics server gives it.
pub static POD_METRICS: Resource = Resource {
    group: METRICS_GROUP,
    version: "v1beta1",
    plural: "pods",
    kind: "PodMetrics",
    ..PLAIN
};

/// What refusals of scales are about. Scales are parts of workloads, and no resource of their own.
pub(super) static SCALES: Resource = Resource {
    group: "autoscaling",
    plural: "scales",
    kind: "Scale",
    ..PLAIN
};

/// All of them, in the order of discovery.
pub static RESOURCES: &[&Resource] = &[
    &NAMESPACES,
    &PODS,
    &SERVICES,
    &EVENTS,
    &CONFIG_MAPS,
    &REPLICATION_CONTROLLERS,
    &DEPLOYMENTS,
    &STATEFUL_SETS,
    &REPLICA_SETS,
    &AUTOSCALERS,
    &LEASES,
    &POD_METRICS,
];

/// The resource that has this path.
pub(super) fn find(group: &str, version: &str, plural: &str) -> Option<&'static Resource> {
    RESOURCES
        .iter()
        .copied()
        .find(|resource| (resource.group, resource.version, resource.plural) == (group, version, plural))
}
