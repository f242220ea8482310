//! `/memory/NAMESPACE/NAME`: what the running controller remembers, for `trimtab snapshot` and `explain`.

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use http::StatusCode;
use serde_json::json;

use super::work::Current;
use crate::spec::Key;

/// The page of each autoscaler. No request changes anything.
pub(super) fn router(current: Current) -> Router {
    Router::new()
        .route("/memory/{namespace}/{name}", get(memory))
        .with_state(current)
}

async fn memory(
    State(current): State<Current>,
    Path((namespace, name)): Path<(String, String)>,
) -> (StatusCode, String) {
    let Some(controller) = current.lock().upgrade() else {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "this process does not lead\n".to_owned(),
        );
    };
    let key = Key::new(namespace, name);
    match controller.memory(&key) {
        Some(memory) => (StatusCode::OK, format!("{}\n", json!(memory))),
        None => (StatusCode::NOT_FOUND, format!("there is no autoscaler {key}\n")),
    }
}
