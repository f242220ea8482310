//! What a watch sends, in the form that the server has chosen.

use bytes::Bytes;
use http::Response;
use kube::client::Body;

use super::frames::Frames;
use super::lines::Lines;
use super::pieces::{Pieces, StreamError};
use crate::wire::{self, protobuf};

/// The events of a watch, as they come.
pub(super) enum Messages {
    Json(Pieces<Lines>),
    Protobuf(Pieces<Frames>),
}

/// One event, unread.
pub(super) enum Message {
    Json(String),
    Protobuf(Bytes),
}

impl Messages {
    pub(super) fn of(answer: Response<Body>) -> Self {
        let (head, body) = answer.into_parts();
        if wire::is_of_type(&head.headers, protobuf::MEDIA_TYPE) {
            Self::Protobuf(Pieces::of(body))
        } else {
            Self::Json(Pieces::of(body))
        }
    }

    /// The next event; `None` at the end.
    ///
    /// Nothing is lost when the future is dropped before it is done.
    pub(super) async fn next(&mut self) -> Result<Option<Message>, StreamError> {
        match self {
            Self::Json(lines) => Ok(lines.next().await?.map(Message::Json)),
            Self::Protobuf(frames) => Ok(frames.next().await?.map(Message::Protobuf)),
        }
    }
}
