//! Known bugs, to see whether the judge notices them.

use serde_json::{Value, json};

/// A controller with a bug, made from the right one by what it is shown and what becomes of its writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// It writes counts without testing the old one.
    WritesUntested,
    /// It takes a metric that failed for one that is 0.
    FailureIsZero,
    /// It forgets stabilization windows.
    NoWindow,
    /// It knows no scaling policies.
    NoPolicies,
    /// It goes beyond `maxReplicas`.
    BeyondMax,
    /// Its writes are lost, and it does not notice.
    WritesNothing,
    /// What former processes have stored is not there.
    ForgetsEverything,
    /// What former processes were about to write, and may have written, is not there.
    ForgetsIntents,
    /// It tells the next leader that all that it recommended is saved.
    SaysAllIsSaved,
    /// It takes pods without a value for pods that use nothing.
    MissingIsZero,
    /// It takes everything for a half more than it is.
    OverstatesUsage,
    /// It believes for ever that it leads, once it has led.
    LeadsForEver,
    /// It does not take out of its caches what is deleted.
    MissesDeletions,
    /// Each write of a count leaves a task behind that never ends, and some memory.
    Leaks,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::WritesUntested,
        Self::FailureIsZero,
        Self::NoWindow,
        Self::NoPolicies,
        Self::BeyondMax,
        Self::WritesNothing,
        Self::ForgetsEverything,
        Self::ForgetsIntents,
        Self::SaysAllIsSaved,
        Self::MissingIsZero,
        Self::OverstatesUsage,
        Self::LeadsForEver,
        Self::MissesDeletions,
        Self::Leaks,
    ];

    /// Whether it shows in how autoscalers are read.
    pub(super) fn is_of_specs(self) -> bool {
        matches!(self, Self::NoWindow | Self::NoPolicies | Self::BeyondMax)
    }

    /// An autoscaler's spec as it reads it.
    pub(super) fn misread(self, spec: &mut Value) {
        if spec.is_null() {
            return;
        }
        let unlimited = json!([{ "type": "Pods", "value": 100, "periodSeconds": 15 }]);
        match self {
            Self::NoWindow => spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"] = 0.into(),
            Self::NoPolicies => {
                spec["behavior"]["scaleUp"]["policies"] = unlimited.clone();
                spec["behavior"]["scaleDown"]["policies"] = unlimited;
            }
            Self::BeyondMax => spec["maxReplicas"] = (spec["maxReplicas"].as_i64().unwrap_or(1) + 3).into(),
            _ => {}
        }
    }
}
