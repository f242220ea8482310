//! An autoscaler as written, in any version: what defaults are filled into and validation looks at.
//!
//! Shaped like autoscaling/v2, the version that Kubernetes stores. Texts and numbers are kept as they are.

use serde_json::Value;

use crate::quantity::Quantity;

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct WrittenHpa {
    pub namespace: String,
    pub name: String,
    pub scale_target: WrittenReference,
    pub min_replicas: Option<i32>,
    pub max_replicas: i32,
    pub metrics: Vec<WrittenMetric>,
    pub behavior: Option<WrittenBehavior>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct WrittenReference {
    pub api_version: String,
    pub kind: String,
    pub name: String,
}

/// One metric: its type, and whichever source blocks are there, which should be one.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct WrittenMetric {
    pub kind: String,
    pub object: Option<WrittenObject>,
    pub external: Option<WrittenCustom>,
    pub pods: Option<WrittenCustom>,
    pub resource: Option<WrittenResource>,
    pub container_resource: Option<WrittenResource>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct WrittenObject {
    pub described: WrittenReference,
    pub custom: WrittenCustom,
}

/// A metric with a name of its own and its target: of Pods, External and Object sources.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct WrittenCustom {
    pub metric: String,
    pub selector: Option<Value>,
    pub target: WrittenTarget,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct WrittenResource {
    pub name: String,
    /// Empty, and not looked at, in Resource sources.
    pub container: String,
    pub target: WrittenTarget,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct WrittenTarget {
    pub kind: String,
    pub value: Option<Quantity>,
    pub average_value: Option<Quantity>,
    pub average_utilization: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct WrittenBehavior {
    pub scale_up: Option<WrittenRules>,
    pub scale_down: Option<WrittenRules>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct WrittenRules {
    pub stabilization_window_seconds: Option<i32>,
    pub select_policy: Option<String>,
    pub policies: Option<Vec<WrittenPolicy>>,
    pub tolerance: Option<Quantity>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct WrittenPolicy {
    pub kind: String,
    pub value: i32,
    pub period_seconds: i32,
}
