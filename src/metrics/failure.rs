//! Why a metric source gave no answer.

use std::fmt;
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

/// Who was asked, for messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SourceName {
    /// A metrics API of Kubernetes.
    Api(MetricsApi),
    /// A Prometheus, by its name in the configuration.
    Prometheus(Arc<str>),
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api(api) => f.write_str(api.as_str()),
            Self::Prometheus(name) => write!(f, "Prometheus {name}"),
        }
    }
}

impl From<MetricsApi> for SourceName {
    fn from(api: MetricsApi) -> Self {
        Self::Api(api)
    }
}

/// What API servers say, in Kubernetes' words, where nothing serves a path.
const NOT_SERVED: &str = "the server could not find the requested resource";

/// Whether a 404 comes from the adapter, which has the API and not the metric; else nothing serves the API.
fn is_of_adapter(error: &WireError) -> bool {
    error
        .status()
        .is_some_and(|status| !status.message.is_empty() && !status.message.starts_with(NOT_SERVED))
}

/// A question to a metric source that has no answer. Shared by all autoscalers that wait for it, so cheap to clone.
///
/// The texts are the same each time that the same thing happens: they go into conditions, and a status that differs is
/// written.
#[derive(Clone, Debug, thiserror::Error)]
#[error("unable to fetch metrics from {asked}: {message}")]
pub struct SourceError {
    /// Who was asked.
    pub asked: SourceName,
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
            WireFailure::NotFound if is_of_adapter(&error) => (FailureKind::Empty, false, said.to_owned()),
            WireFailure::NotFound => (
                FailureKind::Unavailable,
                false,
                format!("{NOT_SERVED} ({})", api.remedy()),
            ),
            // An adapter's way to say that this one metric failed; a server that is away has other codes.
            WireFailure::Unavailable if error.code() == Some(500) && error.status().is_some() => {
                (FailureKind::BadAnswer, false, said.to_owned())
            }
            WireFailure::Forbidden | WireFailure::Unauthorized => (FailureKind::Forbidden, false, said.to_owned()),
            WireFailure::TimedOut => (FailureKind::TimedOut, true, said.to_owned()),
            WireFailure::TooLarge | WireFailure::BadRequest => (FailureKind::BadAnswer, false, said.to_owned()),
            _ => (FailureKind::Unavailable, true, format!("{said} ({})", api.remedy())),
        };
        Self {
            asked: api.into(),
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
            asked: api.into(),
            kind: FailureKind::BadAnswer,
            message,
            strains: false,
            source: Some(Arc::new(error)),
        }
    }

    /// An answer whose reading broke off, by a panic or by the process's end.
    pub fn broken_off(asked: impl Into<SourceName>) -> Self {
        Self {
            asked: asked.into(),
            kind: FailureKind::BadAnswer,
            message: "reading the answer broke off".to_owned(),
            strains: false,
            source: None,
        }
    }

    /// Whether it is about what was asked, so that another question may well be answered.
    pub(super) fn is_of_question(&self) -> bool {
        use FailureKind::{Forbidden, TimedOut, Unavailable};
        !self.strains && !matches!(self.kind, Unavailable | TimedOut | Forbidden)
    }

    /// Whether the server says that there is nothing under the path.
    pub(super) fn is_not_found(&self) -> bool {
        let wire = self
            .source
            .as_ref()
            .and_then(|source| source.downcast_ref::<WireError>());
        wire.is_some_and(|error| error.failure() == WireFailure::NotFound)
    }

    /// A failure of one question, which says nothing about how the server is.
    pub(super) fn of_question(asked: impl Into<SourceName>, kind: FailureKind, message: String) -> Self {
        Self {
            asked: asked.into(),
            kind,
            message,
            strains: false,
            source: None,
        }
    }

    /// The API is not served at all, `what` it is that is missing.
    pub(super) fn not_served(api: MetricsApi, what: &str) -> Self {
        Self::of_question(api, FailureKind::Unavailable, format!("{what} ({})", api.remedy()))
    }

    /// The failure that it means for a metric.
    pub fn failure(&self) -> MetricFailure {
        MetricFailure::new(self.kind, self.to_string())
    }
}
