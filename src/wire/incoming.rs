//! An answer that is read as it comes, within the bounds of its request.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::BodyExt;
use kube::client::Body;
use tokio::time::{Instant, timeout_at};

use super::{Limits, WireError, WireFailure, is_of_type};

/// The body of an answer that says yes.
pub struct Incoming {
    attempted: String,
    headers: HeaderMap,
    body: Body,
    limits: Limits,
    deadline: Instant,
    taken: usize,
}

impl Incoming {
    /// `began` is when the request was sent: its time goes on running.
    pub(super) fn new(attempted: String, headers: HeaderMap, body: Body, limits: Limits, began: Instant) -> Self {
        Self {
            attempted,
            headers,
            body,
            limits,
            deadline: began + limits.time,
            taken: 0,
        }
    }

    /// Whether the server says that it is of this media type.
    pub fn is(&self, media_type: &str) -> bool {
        is_of_type(&self.headers, media_type)
    }

    /// How many bytes were taken so far, after decompression.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// The next piece, as large as it comes; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`WireFailure::TimedOut`] and [`WireFailure::TooLarge`] beyond the request's limits, [`WireFailure::Connection`] where
    /// the connection breaks.
    pub async fn next(&mut self) -> Result<Option<Bytes>, WireError> {
        loop {
            let Ok(frame) = timeout_at(self.deadline, self.body.frame()).await else {
                return Err(WireError::timed_out(self.attempted.clone(), self.limits.time));
            };
            let Some(frame) = frame else {
                return Ok(None);
            };
            let frame = frame.map_err(|error| WireError::unsent(&self.attempted, error))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            self.taken = self.taken.saturating_add(data.len());
            if self.taken > self.limits.bytes {
                let message = format!("the answer is larger than {} bytes", self.limits.bytes);
                return Err(WireError::new(self.attempted.clone(), WireFailure::TooLarge, message));
            }
            return Ok(Some(data));
        }
    }

    /// All that is still to come.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub async fn whole(mut self) -> Result<Bytes, WireError> {
        let mut whole = BytesMut::new();
        while let Some(piece) = self.next().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }
}
