//! Why a metric source gave no answer.

use std::sync::Arc;

use super::decode::DecodeError;
use crate::observe::{FailureKind, MetricFailure};
use crate::wire::{WireError, WireFailure};

/// A metrics API, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetricsApi {
    /// `metrics.k8s.io`.
    Resource,
    /// `custom.metrics.k8s.io`.
    Custom,
    /// `external.metrics.k8s.io`.
    External,
}

impl MetricsApi {
    /// Kubernetes' name for it in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resource => "resource metrics API",
            Self::Custom => "custom metrics API",
            Self::External => "external metrics API",
        }
    }

    /// What to look at where nothing serves it.
    fn remedy(self) -> &'static str {
        match self {
            Self::Resource => {
                "is metrics-server installed and ready? See `kubectl get apiservice v1beta1.metrics.k8s.io`"
            }
            Self::Custom => {
                "is a metrics adapter installed and ready? See `kubectl get apiservice`, custom.metrics.k8s.io"
            }
            Self::External => {
                "is a metrics adapter installed and ready? See `kubectl get apiservice`, external.metrics.k8s.io"
            }
        }
    }
}

/// A question to a metric source that has no answer. Shared by all autoscalers that wait for it, so cheap to clone.
///
/// The texts are the same each time that the same thing happens: they go into conditions, and a status that differs is
/// written.
#[derive(Clone, Debug, thiserror::Error)]
#[error("unable to fetch metrics from {}: {message}", api.as_str())]
pub struct SourceError {
    /// Which API was asked.
    pub api: MetricsApi,
    /// The kind of failure.
    pub kind: FailureKind,
    /// What went wrong, and what to look at.
    pub message: String,
    /// Whether it says that the server has trouble, so that asking less helps.
    pub(super) strains: bool,
    /// What came back.
    #[source]
    pub source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl SourceError {
    /// No answer from the Kubernetes API.
    pub fn wire(api: MetricsApi, error: WireError) -> Self {
        let said = error.message();
        let (kind, strains, message) = match error.failure() {
            WireFailure::NotFound => (
                FailureKind::Unavailable,
                false,
                format!("the server could not find the requested resource ({})", api.remedy()),
            ),
            WireFailure::Forbidden | WireFailure::Unauthorized => (FailureKind::Forbidden, false, said.to_owned()),
            WireFailure::TimedOut => (FailureKind::TimedOut, true, said.to_owned()),
            WireFailure::TooLarge | WireFailure::BadRequest => (FailureKind::BadAnswer, false, said.to_owned()),
            _ => (FailureKind::Unavailable, true, format!("{said} ({})", api.remedy())),
        };
        Self {
            api,
            kind,
            message,
            strains,
            source: Some(Arc::new(error)),
        }
    }

    /// An answer that cannot be read.
    pub fn unreadable(api: MetricsApi, error: DecodeError) -> Self {
        let message = match std::error::Error::source(&error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        };
        Self {
            api,
            kind: FailureKind::BadAnswer,
            message,
            strains: false,
            source: Some(Arc::new(error)),
        }
    }

    /// An answer whose reading broke off, by a panic or by the process's end.
    pub fn broken_off(api: MetricsApi) -> Self {
        Self {
            api,
            kind: FailureKind::BadAnswer,
            message: "reading the answer broke off".to_owned(),
            strains: false,
            source: None,
        }
    }

    /// The failure that it means for a metric.
    pub fn failure(&self) -> MetricFailure {
        MetricFailure::new(self.kind, self.to_string())
    }
}
