//! When an object was written, by the API server's clock: the one clock that all processes see.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Clocks that differ by less than this count as the same: a renewal is seen up to half a second late, an answer may be slow, and
/// stamps are whole seconds. Less is left to whoever sets the clocks.
pub(super) const AGREE_WITHIN: SignedDuration = SignedDuration::from_secs(3);

/// Stamps are cut off to whole seconds.
const OF_A_STAMP: SignedDuration = SignedDuration::from_secs(1);

/// When the API server took the last change of what is below `field` (`f:spec`), as it notes it for whoever owns that; `None` where
/// it notes nothing.
///
/// Source: Kubernetes v1.36 `managedfields/internal/managedfieldsupdater.go`, `Update`: the time is that of the last write that
/// changed a value.
pub(super) fn stamp(metadata: &ObjectMeta, field: &str) -> Option<Timestamp> {
    let entries = metadata.managed_fields.iter().flatten();
    let owns = entries.filter(|entry| {
        let fields = entry.fields_v1.as_ref();
        entry.operation.as_deref() == Some("Update") && fields.is_some_and(|fields| !fields.0[field].is_null())
    });
    owns.filter_map(|entry| Some(entry.time.as_ref()?.0)).max()
}

/// By how much what was noted by one clock is to be moved to be right by another one, of which each is `ahead` of the API server's
/// by so much: by nothing where they agree, and otherwise rather by too much, so that what is moved ends late and not early.
pub fn apart(ours: SignedDuration, theirs: SignedDuration) -> SignedDuration {
    let ahead = ours.saturating_sub(theirs);
    match ahead.abs() > AGREE_WITHIN {
        true => ahead.saturating_add(OF_A_STAMP),
        false => SignedDuration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata(entries: serde_json::Value) -> ObjectMeta {
        serde_json::from_value(json!({ "managedFields": entries })).unwrap()
    }

    #[test]
    fn of_what_a_person_touched_elsewhere_the_time_is_not_taken() {
        let entry = |manager: &str, operation: &str, minute: u8, fields: serde_json::Value| {
            json!({ "manager": manager, "operation": operation, "time": format!("2026-01-05T08:{minute:02}:00Z"),
                "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields })
        };
        let object = metadata(json!([
            entry("kubectl-edit", "Update", 9, json!({ "f:metadata": { "f:labels": {} } })),
            entry(
                "trimtab",
                "Update",
                5,
                json!({ "f:metadata": {}, "f:spec": { "f:renewTime": {} } })
            ),
            entry("gone", "Update", 3, json!({ "f:spec": { "f:holderIdentity": {} } })),
            entry(
                "kubectl",
                "Apply",
                8,
                json!({ "f:spec": { "f:leaseDurationSeconds": {} } })
            ),
        ]));
        assert_eq!(stamp(&object, "f:spec"), Some("2026-01-05T08:05:00Z".parse().unwrap()));
        assert_eq!(stamp(&object, "f:binaryData"), None);
        assert_eq!(stamp(&ObjectMeta::default(), "f:spec"), None);
    }

    #[test]
    fn clocks_that_agree_move_nothing_and_others_rather_more() {
        let seconds = SignedDuration::from_secs;
        assert_eq!(apart(seconds(3_600), seconds(3_598)), SignedDuration::ZERO);
        assert_eq!(apart(seconds(3_600), seconds(0)), seconds(3_601));
        assert_eq!(apart(seconds(0), seconds(3_600)), seconds(-3_599));
    }
}
