//! A named metric that a Prometheus answers for.

use std::sync::Arc;
use std::time::Duration;

use super::Template;
use crate::quantity::Milli;

/// A metric by name, and how to ask a Prometheus for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// The name by which autoscalers ask for it: `metric.name`, or the resource's name.
    pub name: Arc<str>,
    /// What it answers for.
    pub answers: Answers,
    /// The Prometheus to ask: a name of the `prometheus:` block.
    pub endpoint: Arc<str>,
    /// The query.
    pub template: Template,
    /// The evaluation time is rounded down to a multiple of this, so that all passes within one step share one answer.
    /// Zero: each pass asks at its own time.
    pub step: Duration,
    /// Values count only where the series that they are computed from have a sample that is not older than this.
    /// `None`: Prometheus' own lookback alone decides.
    pub freshness: Option<Duration>,
    /// What stands for a value that is not there.
    pub missing: Missing,
}

/// What a metric answers for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answers {
    /// Pods metrics.
    Pods {
        /// The label that names the pod.
        pod_label: Arc<str>,
    },
    /// Object metrics.
    Object {
        /// The kind of object that it is for; `None`: any.
        kind: Option<ObjectKind>,
    },
    /// External metrics.
    External,
    /// A resource of containers, in place of metrics.k8s.io.
    Resource {
        /// The label that names the pod.
        pod_label: Arc<str>,
        /// The label that names the container.
        container_label: Arc<str>,
        /// The label that names the namespace.
        namespace_label: Arc<str>,
        /// The time that a value covers: the window of the query's `rate`.
        window: Duration,
    },
}

/// A kind of object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectKind {
    /// The API group; empty for the core group; `None`: whichever has it.
    pub group: Option<Arc<str>>,
    /// The kind, such as `Ingress`; compared without regard to case.
    pub kind: Arc<str>,
}

/// What stands for a value that is not there: a pod without a series, or an answer without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missing {
    /// Nothing: the pod has no sample, or the metric fails. Kubernetes' rules for missing pods then apply.
    #[default]
    Fails,
    /// This value.
    Is(Milli),
}
