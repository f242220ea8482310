//! One Event -> one or two requests.

use std::time::Duration;

use http::Method;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Client;
use serde_json::json;
use tracing::{debug, warn};

use super::correlate::{Entry, Involved, InvolvedKind};
use crate::decide::EventKind;
use crate::wire::{self, Limits, WireError, WireFailure};

/// The component that Kubernetes' autoscaler names in its Events.
const COMPONENT: &str = "horizontal-pod-autoscaler";

/// An Event that comes back: a message of up to a kilobyte and its metadata.
const EVENT_BYTES: usize = 64 * 1024;

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It stands.
    Written,
    /// The server refused it: another try would be refused as well.
    Refused,
    /// There was no answer, or none but "not now".
    Unanswered,
}

/// Writes `entry`: raises the count of the Event that stands, or makes a new one where there is none.
pub(super) async fn write(client: &Client, entry: &Entry, time: Duration) -> Outcome {
    let limits = Limits {
        time,
        bytes: EVENT_BYTES,
    };
    let mut outcome = Err(WireFailure::NotFound);
    if entry.repeats() {
        outcome = send(client, Method::PATCH, &entry_path(entry), patch(entry), limits).await;
    }
    // Events are forgotten by the server after an hour.
    if outcome == Err(WireFailure::NotFound) {
        outcome = send(client, Method::POST, &collection_path(entry), body(entry), limits).await;
    }
    match outcome {
        Ok(()) => Outcome::Written,
        // A first try whose answer was lost.
        Err(WireFailure::Conflict) => Outcome::Written,
        Err(
            WireFailure::Unavailable | WireFailure::TimedOut | WireFailure::Connection | WireFailure::TooManyRequests,
        ) => Outcome::Unanswered,
        Err(_) => Outcome::Refused,
    }
}

async fn send(client: &Client, method: Method, path: &str, body: Vec<u8>, limits: Limits) -> Result<(), WireFailure> {
    let kind = if method == Method::PATCH {
        "application/merge-patch+json"
    } else {
        "application/json"
    };
    let outcome = async { wire::write(client, method, path, kind, body, limits).await };
    outcome.await.map(drop).map_err(|error: WireError| {
        match error.failure() {
            WireFailure::NotFound | WireFailure::Conflict => {
                debug!(error = &error as &dyn std::error::Error, "Event not written");
            }
            _ => warn!(error = &error as &dyn std::error::Error, "Event not written"),
        }
        error.failure()
    })
}

fn collection_path(entry: &Entry) -> String {
    format!("/api/v1/namespaces/{}/events", entry.occurrence.involved.key.namespace)
}

fn entry_path(entry: &Entry) -> String {
    format!("{}/{}", collection_path(entry), entry.name)
}

/// What a repetition changes.
fn patch(entry: &Entry) -> Vec<u8> {
    let last = Time(entry.occurrence.at);
    json!({ "count": entry.count, "lastTimestamp": last, "message": entry.occurrence.message })
        .to_string()
        .into_bytes()
}

fn body(entry: &Entry) -> Vec<u8> {
    let occurrence = &entry.occurrence;
    let Involved {
        kind,
        key,
        uid,
        resource_version,
    } = &occurrence.involved;
    let (api_version, kind) = match kind {
        InvolvedKind::Autoscaler => ("autoscaling/v2", "HorizontalPodAutoscaler"),
        InvolvedKind::ConfigMap => ("v1", "ConfigMap"),
    };
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let event = Event {
        metadata: ObjectMeta {
            name: text(&entry.name),
            namespace: text(&key.namespace),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: text(api_version),
            kind: text(kind),
            namespace: text(&key.namespace),
            name: text(&key.name),
            uid: text(uid),
            resource_version: text(resource_version),
            field_path: None,
        },
        reason: text(occurrence.reason),
        message: text(&occurrence.message),
        type_: text(match occurrence.kind {
            EventKind::Normal => "Normal",
            EventKind::Warning => "Warning",
        }),
        count: Some(entry.count),
        first_timestamp: Some(Time(entry.first)),
        last_timestamp: Some(Time(occurrence.at)),
        source: Some(EventSource {
            component: text(COMPONENT),
            host: None,
        }),
        reporting_component: text(COMPONENT),
        ..Event::default()
    };
    serde_json::to_vec(&event).expect("an Event has string keys only")
}
