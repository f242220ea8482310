//! Any JSON is an autoscaler or an error that says where, and an autoscaler is within its own bounds.

use trimtab::observe::Status;
use trimtab::spec::{ManifestOptions, Spec, SpecError};

pub fn check(text: &str) {
    let Ok(object) = serde_json::from_str(text) else { return };
    let _ = Status::from_stored(&object);
    for read in [
        Spec::from_stored(&object),
        Spec::from_manifest(&object, &ManifestOptions::default()),
    ] {
        match read {
            Ok(spec) => {
                assert!(spec.min_replicas >= 0 && spec.min_replicas <= spec.max_replicas && spec.max_replicas >= 1);
                assert!(!spec.metrics.is_empty());
            }
            Err(SpecError { problems, .. }) => assert!(!problems.is_empty()),
        }
    }
}
