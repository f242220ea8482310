//! The scale write: a compare-and-set of the replica count.

use http::Method;
use k8s_openapi::api::autoscaling::v1::Scale;
use kube::Client;
use serde_json::json;

use crate::cluster::resource::ScaleResource;
use crate::wire::{self, WireError, WireFailure, WriteTime};

/// The largest Scale that is read: its metadata, two counts and a selector have some hundred bytes; the annotations of
/// the workload, up to 256 KiB, are not in it.
const SCALE_BYTES: usize = 256 * 1024;

/// What the API server has after a successful write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The count asked for, as the server has it now.
    pub replicas: i32,
    /// The workload's resource version after the write: a watch that has seen it has seen the write.
    pub resource_version: String,
}

/// Why a scale write did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ScaleWriteError {
    /// The count is no longer the one that the decision saw, or the object changed while it was written: nothing was
    /// written; read the scale again and decide again.
    #[error("scale {target} from {from} to {to}: its count is not {from} any more")]
    Conflict {
        /// The workload.
        target: ScaleResource,
        /// The count that was expected.
        from: i32,
        /// The count that was to be written.
        to: i32,
    },
    /// The server refused or did not answer. Where [`WireError`] says that the answer was lost, the count may
    /// have been written all the same.
    #[error("scale {target} from {from} to {to}")]
    Failed {
        /// The workload.
        target: ScaleResource,
        /// The count that was expected.
        from: i32,
        /// The count that was to be written.
        to: i32,
        /// Why.
        #[source]
        source: WireError,
    },
}

impl ScaleWriteError {
    /// A short name of the failure, from a closed list.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "Conflict",
            Self::Failed { source, .. } => source.reason(),
        }
    }

    /// Whether the count may have been written all the same.
    pub fn may_be_written(&self) -> bool {
        match self {
            Self::Conflict { .. } => false,
            Self::Failed { source, .. } => matches!(
                source.failure(),
                WireFailure::TimedOut
                    | WireFailure::Connection
                    | WireFailure::Unavailable
                    | WireFailure::TooLarge
                    | WireFailure::Other
            ),
        }
    }

    /// What went wrong, for conditions and Events: as the server said it.
    pub fn message(&self) -> String {
        match self {
            Self::Conflict { .. } => self.to_string(),
            Self::Failed { source, .. } => source.message().to_owned(),
        }
    }
}

/// Sets the replica count of `target` to `to`, if it is `from`.
///
/// Nobody else's change is ever overwritten: the server tests the count and sets it in one step, as a JSON patch of the
/// scale subresource. A resource version would do as well, but would clash with each status update of the workload.
/// Needs the right to `patch` the subresource. `time` bounds the whole request.
///
/// # Errors
///
/// [`ScaleWriteError::Conflict`] where the count is another by now, [`ScaleWriteError::Failed`] for all else.
pub async fn write_scale(
    client: &Client,
    target: &ScaleResource,
    from: i32,
    to: i32,
    time: impl Into<WriteTime>,
) -> Result<Written, ScaleWriteError> {
    let time = time.into();
    let outcome = async {
        let kind = (Method::PATCH, "application/json-patch+json");
        let path = target.scale_path();
        let answer = wire::write_in_time(client, &path, kind, patch(from, to), time, SCALE_BYTES).await?;
        written(&answer, target)
    };
    outcome.await.map_err(|source| {
        let target = target.clone();
        if is_conflict(&source) {
            ScaleWriteError::Conflict { target, from, to }
        } else {
            ScaleWriteError::Failed {
                target,
                from,
                to,
                source,
            }
        }
    })
}

fn patch(from: i32, to: i32) -> Vec<u8> {
    // With 0 replicas the server leaves the field out, so that a test for 0 fails and one for null holds.
    let seen = if from == 0 { json!(null) } else { json!(from) };
    // "add" also replaces; "replace" fails where the field is left out.
    let patch = json!([
        { "op": "test", "path": "/spec/replicas", "value": seen },
        { "op": "add", "path": "/spec/replicas", "value": to },
    ]);
    patch.to_string().into_bytes()
}

/// A failed test is 422 Invalid without causes; an invalid count is 422 with them. (Seen on kube-apiserver 1.36.)
fn is_conflict(error: &WireError) -> bool {
    let causes = || {
        error
            .status()
            .and_then(|status| status.details.as_ref())
            .map_or(0, |details| details.causes.len())
    };
    match error.failure() {
        WireFailure::Conflict => true,
        WireFailure::Invalid => causes() == 0,
        _ => false,
    }
}

/// What the answer to a write says.
pub(super) fn written(answer: &[u8], target: &ScaleResource) -> Result<Written, WireError> {
    let scale: Scale = serde_json::from_slice(answer).map_err(|error| {
        let attempted = format!("PATCH {}", target.scale_path());
        WireError::new(
            attempted,
            WireFailure::Other,
            format!("the answer is no Scale: {error}"),
        )
    })?;
    Ok(Written {
        replicas: scale.spec.and_then(|spec| spec.replicas).unwrap_or(0),
        resource_version: scale.metadata.resource_version.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::{BodyExt, Full};
    use kube::client::Body;
    use serde_json::Value;
    use tower::service_fn;

    use super::*;

    fn web() -> ScaleResource {
        ScaleResource {
            group: "apps".into(),
            version: "v1".into(),
            plural: "deployments".into(),
            namespace: "shop".into(),
            name: "web".into(),
        }
    }

    /// Writes from `from` to 6 on a server that expects this test value and answers with this.
    async fn write(from: i32, tested: Value, code: u16, answer: Value) -> Result<Written, ScaleWriteError> {
        let service = service_fn(move |request: Request<Body>| {
            let (tested, answer) = (tested.clone(), answer.clone());
            async move {
                assert_eq!(
                    request.uri().path(),
                    "/apis/apps/v1/namespaces/shop/deployments/web/scale"
                );
                assert_eq!(
                    request.headers()[http::header::CONTENT_TYPE],
                    "application/json-patch+json"
                );
                let patch: Value =
                    serde_json::from_slice(&request.into_body().collect().await.unwrap().to_bytes()).unwrap();
                assert_eq!(
                    patch[0],
                    json!({ "op": "test", "path": "/spec/replicas", "value": tested })
                );
                assert_eq!(patch[1], json!({ "op": "add", "path": "/spec/replicas", "value": 6 }));
                let body = Full::new(Bytes::from(answer.to_string()));
                Ok::<_, Infallible>(Response::builder().status(code).body(body).unwrap())
            }
        });
        write_scale(
            &Client::new(service, "default"),
            &web(),
            from,
            6,
            Duration::from_secs(5),
        )
        .await
    }

    fn refusal(code: u16, reason: &str, causes: &[&str]) -> Value {
        let causes: Vec<Value> = causes
            .iter()
            .map(|field| json!({ "field": field, "reason": "FieldValueInvalid" }))
            .collect();
        json!({ "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": "no", "details": { "causes": causes } })
    }

    #[tokio::test]
    async fn a_write_tests_the_count_that_was_seen() {
        let scale =
            json!({ "metadata": { "resourceVersion": "8" }, "spec": { "replicas": 6 }, "status": { "replicas": 3 } });
        let written = write(3, json!(3), 200, scale).await.unwrap();
        assert_eq!(
            written,
            Written {
                replicas: 6,
                resource_version: "8".into()
            }
        );
    }

    #[tokio::test]
    async fn no_replicas_are_an_absent_field() {
        let answer = json!({ "metadata": { "resourceVersion": "8" }, "spec": {}, "status": { "replicas": 0 } });
        assert_eq!(write(0, Value::Null, 200, answer).await.unwrap().replicas, 0);
    }

    #[tokio::test]
    async fn a_failed_test_is_a_conflict_and_an_invalid_count_is_not() {
        let conflict = |outcome| matches!(outcome, Err(ScaleWriteError::Conflict { .. }));
        assert!(conflict(write(3, json!(3), 422, refusal(422, "Invalid", &[])).await));
        assert!(conflict(write(3, json!(3), 409, refusal(409, "Conflict", &[])).await));
        assert!(!conflict(
            write(3, json!(3), 422, refusal(422, "Invalid", &["spec.replicas"])).await
        ));
        let error = write(3, json!(3), 403, refusal(403, "Forbidden", &[]))
            .await
            .unwrap_err();
        assert_eq!((error.reason(), error.message()), ("Forbidden", "no".to_owned()));
        assert_eq!(error.to_string(), "scale deployments.apps shop/web from 3 to 6");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_answer_is_given_up() {
        let service =
            service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>());
        let client = Client::new(service, "default");
        let error = write_scale(&client, &web(), 3, 6, Duration::from_secs(5))
            .await
            .unwrap_err();
        assert_eq!(error.reason(), "TimedOut");
    }
}
