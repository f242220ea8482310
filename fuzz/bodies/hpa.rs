//! Any text is a HorizontalPodAutoscaler as a watch hands it over, or an error; its status is read alike from text and tree.

use trimtab::cluster::autoscalers::StoredAutoscaler;
use trimtab::cluster::watch::Watched;
use trimtab::observe::Status;

pub fn check(text: &str) {
    if let Ok(stored) = serde_json::from_str::<StoredAutoscaler>(text) {
        let _ = stored.resource_version();
    }
    let Ok(object) = serde_json::from_str::<serde_json::Value>(text) else {
        return;
    };
    let status = object.get("status").cloned().unwrap_or_default();
    // The tree keeps the last of two equal keys, which the text's reader refuses.
    let read = Status::from_text(&status.to_string());
    if let (Ok(of_text), Ok(of_tree)) = (read, Status::from_stored(&object)) {
        assert_eq!(of_text, of_tree);
    }
}
