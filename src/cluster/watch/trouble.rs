//! Why a watch has to begin again, and what that means for how.

use std::time::Duration;

use kube::core::Status;
use thiserror::Error;

use super::event::Unreadable;
use super::pieces::StreamError;
use crate::wire::{WireError, WireFailure};

/// Why a watch has to begin again.
#[derive(Debug, Error)]
pub(super) enum Trouble {
    #[error("{0}")]
    Wire(#[from] WireError),
    #[error("{0}")]
    Stream(#[from] StreamError),
    #[error("the server ended the watch: {}", .0.message)]
    Refused(Box<Status>),
    #[error("the server has sent nothing for {}", humantime::format_duration(*.0))]
    Silent(Duration),
    #[error("the server sends changes where a list was asked for")]
    Changes,
    #[error("the server ended the watch early")]
    Ended,
    #[error("the server's answer is not a list: {0}")]
    NoList(Unreadable),
    #[error("the list has no resource version")]
    NoVersion,
}

impl Trouble {
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Wire(error) => error.reason(),
            Self::Stream(_) => WireFailure::Connection.as_str(),
            Self::Refused(status) if status.code == 410 => WireFailure::Gone.as_str(),
            Self::Refused(_) => WireFailure::Other.as_str(),
            Self::Silent(_) => "Silent",
            Self::Ended => "Ended",
            Self::Changes | Self::NoList(_) | Self::NoVersion => "Unreadable",
        }
    }

    /// The resource version asked for is of no use: too old, or from a future that was lost with the server's data.
    pub(super) fn needs_a_list(&self) -> bool {
        let status = match self {
            Self::Refused(status) => Some(&**status),
            Self::Wire(error) => match error.failure() {
                WireFailure::Gone | WireFailure::BadRequest => return true,
                _ => error.status(),
            },
            _ => None,
        };
        status.is_some_and(|status| {
            let causes = status.details.iter().flat_map(|details| &details.causes);
            status.code == 410
                || causes
                    .into_iter()
                    .any(|cause| cause.reason == "ResourceVersionTooLarge")
        })
    }

    /// The server does not know how to stream a list: WatchList is off, or it is of before v1.32.
    pub(super) fn refuses_streamed_lists(&self) -> bool {
        match self {
            Self::Wire(error) => matches!(error.failure(), WireFailure::BadRequest | WireFailure::Invalid),
            _ => false,
        }
    }

    /// The server said no, or could not be reached: no word about lists.
    pub(super) fn is_before_the_list(&self) -> bool {
        // No answer at all may be a proxy that collects answers before it passes them on.
        matches!(self, Self::Wire(error) if error.failure() != WireFailure::TimedOut)
    }

    /// What came is not a list with an end: something between us and the server may drop our parameters.
    pub(super) fn shows_no_list(&self) -> bool {
        matches!(self, Self::Silent(_) | Self::Changes)
    }

    pub(super) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Wire(error) if error.failure() == WireFailure::Forbidden)
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Wire(error) => error.retry_after(),
            _ => None,
        }
    }
}
