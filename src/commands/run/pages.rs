//! `/memory/NAMESPACE/NAME` and `/status/NAMESPACE/NAME`: what the running controller remembers of an autoscaler, and what it
//! said last, for `trimtab snapshot` and `explain`.

use std::sync::Weak;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use http::StatusCode;
use serde_json::{Value, json};

use super::work::Current;
use crate::controller::Controller;
use crate::render::status::to_json;
use crate::spec::Key;

/// The pages of each autoscaler. No request changes anything.
pub(super) fn router(current: Current) -> Router {
    Router::new()
        .route("/memory/{namespace}/{name}", get(memory))
        .route("/status/{namespace}/{name}", get(status))
        .with_state(current)
}

async fn memory(State(current): State<Current>, Path(names): Path<(String, String)>) -> (StatusCode, String) {
    page(&current, names, |controller, key| Some(json!(controller.memory(key)?)))
}

async fn status(State(current): State<Current>, Path(names): Path<(String, String)>) -> (StatusCode, String) {
    page(&current, names, |controller, key| {
        Some(to_json(&controller.status(key)?))
    })
}

fn page(
    current: &Current,
    (namespace, name): (String, String),
    content: impl Fn(&Controller, &Key) -> Option<Value>,
) -> (StatusCode, String) {
    let controllers: Vec<_> = current.lock().iter().filter_map(Weak::upgrade).collect();
    if controllers.is_empty() {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "this process does not lead\n".to_owned(),
        );
    }
    let key = Key::new(namespace, name);
    match controllers.iter().find_map(|controller| content(controller, &key)) {
        Some(content) => (StatusCode::OK, format!("{content}\n")),
        None => (StatusCode::NOT_FOUND, format!("there is no autoscaler {key}\n")),
    }
}
