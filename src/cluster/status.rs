//! The status write of a HorizontalPodAutoscaler.

pub mod budget;

use http::Method;
use kube::Client;
use serde::{Deserialize, Serialize};

use crate::observe::Status;
use crate::render::status::{Stored, Unset};
use crate::spec::Key;
use crate::wire::{self, WireError, WireFailure, WriteTime};

/// The largest autoscaler that is read back: etcd takes 1.5 MiB, and JSON is larger than what is stored.
const AUTOSCALER_BYTES: usize = 8 * 1024 * 1024;

/// Why a status was not written.
#[derive(Debug, thiserror::Error)]
pub enum StatusWriteError {
    /// The autoscaler is gone, or another one has its name by now.
    #[error("write the status of HorizontalPodAutoscaler {key}: it is gone")]
    Gone {
        /// The autoscaler.
        key: Key,
    },
    /// The server refused, or did not answer. In the latter case it may have been written all the same.
    #[error("write the status of HorizontalPodAutoscaler {key}")]
    Failed {
        /// The autoscaler.
        key: Key,
        /// Why.
        #[source]
        source: WireError,
    },
}

impl StatusWriteError {
    /// A short name of the failure, from a closed list.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Gone { .. } => "Gone",
            Self::Failed { source, .. } => source.reason(),
        }
    }

    /// What went wrong, for Events: as the server said it.
    pub fn message(&self) -> String {
        match self {
            Self::Gone { .. } => self.to_string(),
            Self::Failed { source, .. } => source.message().to_owned(),
        }
    }
}

/// Replaces the status of the autoscaler `key` that has this `uid`; gives its new resource version.
///
/// What `status` does not have is removed. Others may write to the
/// autoscaler at the same time: the status belongs to its controller alone, so no resource version is tested. Needs the right
/// to `patch` the subresource. `time` bounds the whole request.
///
/// # Errors
///
/// [`StatusWriteError::Gone`] where there is no such autoscaler, [`StatusWriteError::Failed`] for all else.
pub async fn write_status(
    client: &Client,
    key: &Key,
    uid: &str,
    status: &Status,
    time: impl Into<WriteTime>,
) -> Result<String, StatusWriteError> {
    let time = time.into();
    let Key { namespace, name } = key;
    let path = format!("/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers/{name}/status");
    let outcome = async {
        let kind = (Method::PATCH, "application/merge-patch+json");
        let answer = wire::write_in_time(client, &path, kind, patch(uid, status), time, AUTOSCALER_BYTES).await?;
        resource_version(&answer, &path)
    };
    outcome.await.map_err(|source| {
        if is_gone(&source) {
            StatusWriteError::Gone { key: key.clone() }
        } else {
            StatusWriteError::Failed {
                key: key.clone(),
                source,
            }
        }
    })
}

/// Another UID is 422: the field may not be changed. (Seen on kube-apiserver 1.36.)
fn is_gone(error: &WireError) -> bool {
    let details = error.status().and_then(|status| status.details.as_ref());
    match error.failure() {
        WireFailure::NotFound => true,
        WireFailure::Invalid => details.is_some_and(|d| d.causes.iter().any(|cause| cause.field == "metadata.uid")),
        _ => false,
    }
}

#[derive(Serialize)]
struct Patch<'a> {
    metadata: PatchMetadata<'a>,
    status: Stored<'a>,
}

#[derive(Serialize)]
struct PatchMetadata<'a> {
    uid: &'a str,
}

fn patch(uid: &str, status: &Status) -> Vec<u8> {
    let patch = Patch {
        metadata: PatchMetadata { uid },
        status: Stored {
            status,
            unset: Unset::Null,
        },
    };
    serde_json::to_vec(&patch).expect("text, numbers and JSON values become JSON")
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    metadata: AnswerMetadata<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnswerMetadata<'a> {
    #[serde(borrow)]
    resource_version: std::borrow::Cow<'a, str>,
}

fn resource_version(answer: &[u8], path: &str) -> Result<String, WireError> {
    let answer: Answer<'_> = serde_json::from_slice(answer).map_err(|error| {
        let message = format!("the answer is no HorizontalPodAutoscaler: {error}");
        WireError::new(format!("PATCH {path}"), WireFailure::Other, message)
    })?;
    Ok(answer.metadata.resource_version.into_owned())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::{BodyExt, Full};
    use kube::client::Body;
    use serde_json::{Value, json};
    use tower::service_fn;

    use super::*;

    async fn write(code: u16, answer: Value) -> Result<String, StatusWriteError> {
        let service = service_fn(move |request: Request<Body>| {
            let answer = answer.clone();
            async move {
                let path = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/web/status";
                assert_eq!(request.uri().path(), path);
                assert_eq!(
                    request.headers()[http::header::CONTENT_TYPE],
                    "application/merge-patch+json"
                );
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let expected = json!({
                    "metadata": { "uid": "u-1" },
                    "status": {
                        "currentReplicas": 3, "desiredReplicas": 4, "conditions": null,
                        "observedGeneration": null, "lastScaleTime": null, "currentMetrics": null,
                    },
                });
                assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);
                let body = Full::new(Bytes::from(answer.to_string()));
                Ok::<_, Infallible>(Response::builder().status(code).body(body).unwrap())
            }
        });
        let client = Client::new(service, "default");
        let status = Status {
            current_replicas: 3,
            desired_replicas: 4,
            ..Status::default()
        };
        write_status(
            &client,
            &Key::new("shop", "web"),
            "u-1",
            &status,
            Duration::from_secs(5),
        )
        .await
    }

    #[tokio::test]
    async fn a_status_is_replaced_whole() {
        assert_eq!(
            write(200, json!({ "metadata": { "resourceVersion": "9" } }))
                .await
                .unwrap(),
            "9"
        );
    }

    #[tokio::test]
    async fn another_autoscaler_of_the_name_is_left_alone() {
        let invalid = |field| json!({ "details": { "causes": [{ "field": field, "message": "no" }] } });
        let gone = |outcome| matches!(outcome, Err(StatusWriteError::Gone { .. }));
        assert!(gone(write(404, json!({})).await));
        assert!(gone(write(422, invalid("metadata.uid")).await));
        assert!(!gone(write(422, invalid("status.currentReplicas")).await));
        let error = write(403, json!({ "message": "no" })).await.unwrap_err();
        assert_eq!((error.reason(), error.message()), ("Forbidden", "no".to_owned()));
    }
}
