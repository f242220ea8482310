//! What known bugs do to requests and answers.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::answers::whole;
use super::{head_of, metrics};
use crate::memory::stored::{decode, encode};
use crate::sim::api::{AnswerBody, Api};
use crate::sim::trial::Mutation;
use crate::sim::trial::plan::Asking;
use crate::sim::trial::question::Question;

/// What a mutant remembers.
#[derive(Default)]
pub(super) struct Mutant {
    /// The Lease, as one sees it who cannot lose it.
    lease: Mutex<Option<Value>>,
    leaked: Mutex<Vec<Arc<Vec<u8>>>>,
}

/// What one write leaks.
const LEAK: usize = 64 * 1024;

impl Mutant {
    /// Answers a request of the Lease out of its own hand, once it has led.
    pub(super) fn renewed(&self, request: &Request<Bytes>) -> Option<Response<AnswerBody>> {
        if !request.uri().path().contains("/leases") {
            return None;
        }
        let mut lease = self.lease.lock();
        if *request.method() == Method::GET {
            let lease = lease.as_ref()?;
            return Some(whole(head_of(StatusCode::OK), lease.to_string().into()));
        }
        // The first one goes through: that makes it the leader.
        let led = lease.is_some();
        let mut wish: Value = serde_json::from_slice(request.body()).ok()?;
        wish["metadata"]["resourceVersion"] = "1".into();
        *lease = Some(wish.clone());
        led.then(|| whole(head_of(StatusCode::OK), wish.to_string().into()))
    }

    /// Begins a task that never ends, and keeps some bytes.
    pub(super) fn leak(&self) {
        let bytes = Arc::new(vec![0; LEAK]);
        self.leaked.lock().push(bytes);
        tokio::spawn(std::future::pending::<()>());
    }
}

/// An answer as a mutant understands it.
pub(super) fn misread(
    mutation: Option<Mutation>,
    asking: Option<Asking>,
    question: Option<&Question>,
    body: Bytes,
    (api, at): (&Api, Timestamp),
) -> Bytes {
    match (mutation, asking, question) {
        (Some(Mutation::ForgetsEverything), Some(Asking::Stored), _) => {
            Bytes::from_static(br#"{"kind":"ConfigMapList","apiVersion":"v1","metadata":{},"items":[]}"#)
        }
        (Some(Mutation::ForgetsIntents), Some(Asking::Stored), _) => without_intents(&body).unwrap_or(body),
        (Some(Mutation::MissingIsZero), Some(Asking::Metrics), Some(question)) => {
            metrics::filled_with_nothing(api, at, question, body)
        }
        (Some(Mutation::OverstatesUsage), Some(Asking::Metrics), Some(question)) => metrics::overstated(question, body),
        _ => body,
    }
}

/// Stored memory without the writes whose outcome was not known.
fn without_intents(body: &Bytes) -> Option<Bytes> {
    let mut list: Value = serde_json::from_slice(body).ok()?;
    for item in list["items"].as_array_mut()? {
        let mut object: ConfigMap = serde_json::from_value(item.take()).ok()?;
        for data in object.binary_data.iter_mut().flat_map(|data| data.values_mut()) {
            let mut part = decode(&data.0).ok()?;
            part.records.iter_mut().for_each(|record| record.intent = None);
            data.0 = encode(&part);
        }
        *item = serde_json::to_value(object).ok()?;
    }
    Some(list.to_string().into())
}

/// Takes out of a Lease what it says is not saved.
pub(super) fn assured(request: &mut Request<Bytes>) {
    let Ok(mut lease) = serde_json::from_slice::<Value>(request.body()) else {
        return;
    };
    if let Some(word) = lease.pointer_mut("/metadata/annotations/trimtab.dev~1unsaved-memory") {
        *word = "".into();
        *request.body_mut() = lease.to_string().into();
    }
}

/// Takes the test out of a patch.
pub(super) fn untested(request: &mut Request<Bytes>) {
    if let Ok(Value::Array(operations)) = serde_json::from_slice(request.body()) {
        let kept: Vec<_> = operations
            .into_iter()
            .filter(|operation| operation["op"] != "test")
            .collect();
        *request.body_mut() = json!(kept).to_string().into();
    }
}

/// As if a scale had been written.
pub(super) fn pretended(request: &Request<Bytes>) -> Response<AnswerBody> {
    let patch: Value = serde_json::from_slice(request.body()).unwrap_or_default();
    let scale = json!({ "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": { "resourceVersion": "1" },
        "spec": { "replicas": patch[1]["value"] }, "status": { "replicas": 1 } });
    whole(head_of(StatusCode::OK), scale.to_string().into())
}
