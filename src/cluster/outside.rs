//! What comes from API servers and is read in private, from bytes at hand: for the fuzz targets, and for nobody else.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::autoscalers::StoredAutoscaler;
use super::lease::{self, LeaseSettings};
use super::pods::SlimPod;
use super::resource::ScaleResource;
use super::targets::{self, Deployment, ReplicationController, Workload};
use super::watch::Part;
use super::watch::reread::{frames, lines, page};
use super::{discovery, scale};
use crate::shards::Sharding;

/// What each event says, or what is wrong with it.
pub type Said = Vec<Result<String, String>>;

/// The body of a watch that comes in pieces of `size` bytes, for each form and kind, of all namespaces and of every other one.
pub fn watch(body: &[u8], size: usize) -> Vec<Said> {
    let half = half();
    let mut all = Vec::new();
    for part in [None, half.as_ref()] {
        all.extend([
            frames::<SlimPod>(body, size, part),
            lines::<SlimPod>(body, size, part),
            lines::<StoredAutoscaler>(body, size, part),
            lines::<Workload<Deployment>>(body, size, part),
            lines::<Workload<ReplicationController>>(body, size, part),
        ]);
    }
    all
}

/// The same of a page of a list.
pub fn list(body: &[u8]) -> Vec<Said> {
    let half = half();
    let mut all = Vec::new();
    for part in [None, half.as_ref()] {
        all.extend([
            page::<SlimPod>(body, part),
            page::<StoredAutoscaler>(body, part),
            page::<Workload<Deployment>>(body, part),
        ]);
    }
    all
}

fn half() -> Option<Part> {
    Sharding::new(2).map(|sharding| Part::new(sharding, [0].into()))
}

/// A scale that was asked for: its counts and its selector; and one that is the answer to a write.
pub fn scales(body: &[u8]) -> [Result<(i32, String), String>; 2] {
    let asked = targets::read_scale(body).map(|scale| (scale.spec_replicas, scale.selector.to_string()));
    let target = ScaleResource {
        group: "apps".into(),
        version: "v1".into(),
        plural: "deployments".into(),
        namespace: "shop".into(),
        name: "web".into(),
    };
    let written = scale::written(body, &target);
    let written = written.map(|written| (written.replicas, written.resource_version));
    [asked, written.map_err(|error| error.to_string())]
}

/// The versions in a group's document, and the kinds in the list of a version; the messages of both, where it is none.
pub fn discovered(body: &[u8]) -> [Result<usize, String>; 2] {
    [discovery::versions_in(body), discovery::kinds_in(body)].map(|count| count.map_err(|error| error.to_string()))
}

/// How long a Lease lasts that says this, and how it is written where it is taken, and given back, at a time (Unix, in seconds).
///
/// # Errors
///
/// What is wrong with it.
pub fn lease(body: &[u8], now: i64) -> Result<(Duration, Vec<Value>), String> {
    let now = Timestamp::from_second(now).unwrap_or_default();
    let settings = LeaseSettings::new("trimtab", "trimtab", "me");
    let (lasts, written) = lease::reread(body, &settings, now).map_err(|error| error.to_string())?;
    let written = written
        .iter()
        .map(|lease| serde_json::to_value(lease).unwrap_or_default());
    Ok((lasts, written.collect()))
}
