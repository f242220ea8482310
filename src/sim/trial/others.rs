//! What somebody else does to a workload and its autoscaler.

use serde_json::Value;

use crate::sim::api::{AUTOSCALERS, DEPLOYMENTS, Resource};
use crate::sim::simulated::Simulated;
use crate::spec::Key;

/// Somebody sets a count.
pub(super) fn scale(simulated: &Simulated, key: &Key, count: i32) {
    edit(simulated, key, &DEPLOYMENTS, |object| {
        object["spec"]["replicas"] = count.into()
    });
}

/// Somebody deploys a new version; the same `version` twice is none.
pub(super) fn roll_out(simulated: &Simulated, key: &Key, version: &str) {
    edit(simulated, key, &DEPLOYMENTS, |object| {
        object["spec"]["template"]["metadata"]["annotations"]["restarted"] = version.into();
    });
}

/// Somebody sets another `maxReplicas`.
pub(super) fn set_max(simulated: &Simulated, key: &Key, max: i32) {
    edit(simulated, key, &AUTOSCALERS, |object| {
        object["spec"]["maxReplicas"] = max.into()
    });
}

/// What is deleted meanwhile is not edited.
fn edit(simulated: &Simulated, key: &Key, resource: &'static Resource, edit: impl Fn(&mut Value)) {
    let edited = |before: &Value| {
        let mut after = before.clone();
        edit(&mut after);
        Ok(after)
    };
    let store = &simulated.api.store;
    if let Err(refusal) = store.update(resource, &key.namespace, &key.name, edited)
        && refusal.code != 404
    {
        panic!("{key}: {}", refusal.message);
    }
}
