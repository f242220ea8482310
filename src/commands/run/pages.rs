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
use crate::shards::Sharding;
use crate::spec::Key;

/// Whose pages, and what they are a share of; `None` where they are all.
type Whose = (Current, Option<Sharding>);

/// The pages of each autoscaler. No request changes anything.
pub(super) fn router(current: Current, sharding: Option<Sharding>) -> Router {
    Router::new()
        .route("/memory/{namespace}/{name}", get(memory))
        .route("/status/{namespace}/{name}", get(status))
        .with_state((current, sharding))
}

async fn memory(State(whose): State<Whose>, Path(names): Path<(String, String)>) -> (StatusCode, String) {
    page(&whose, names, |controller, key| Some(json!(controller.memory(key)?)))
}

async fn status(State(whose): State<Whose>, Path(names): Path<(String, String)>) -> (StatusCode, String) {
    page(&whose, names, |controller, key| Some(to_json(&controller.status(key)?)))
}

fn page(
    (current, sharding): &Whose,
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
        None => (StatusCode::NOT_FOUND, not_here(&key, *sharding)),
    }
}

/// Where it would be, since another process may have it.
fn not_here(key: &Key, sharding: Option<Sharding>) -> String {
    match sharding {
        None => format!("there is no autoscaler {key}\n"),
        Some(sharding) => {
            let shard = sharding.shard_of(&key.namespace);
            format!(
                "this process decides for no autoscaler {key}: it is of shard {shard}, which trimtab_shard_held shows the holder of\n"
            )
        }
    }
}
