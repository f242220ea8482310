//! A body as lines: a watch in JSON.

use bytes::{Buf, BytesMut};
use http_body_util::BodyExt;
use kube::client::Body;
use thiserror::Error;

use super::frames::FRAME_BYTES;
use crate::wire;

/// The longest line that is read. etcd holds 1.5 MiB an object; as JSON it may be a few times that.
pub(super) const LINE_BYTES: usize = 16 * 1024 * 1024;

/// Why there is no next event.
#[derive(Debug, Error)]
pub(super) enum StreamError {
    #[error("the connection broke: {}", wire::causes(.0))]
    Broken(kube::Error),
    #[error("an event is longer than {FRAME_BYTES} bytes of protobuf, or {LINE_BYTES} of JSON")]
    TooLong,
    #[error("an event is not UTF-8")]
    NotUtf8,
}

/// Splits a body at its newlines.
pub(super) struct Lines {
    body: Body,
    buffer: BytesMut,
    /// This much of the buffer holds no newline.
    searched: usize,
}

impl Lines {
    pub(super) fn new(body: Body) -> Self {
        Self {
            body,
            buffer: BytesMut::new(),
            searched: 0,
        }
    }

    /// The next line that is not empty; `None` at the end. What follows the last newline is no line: it was cut off.
    ///
    /// Nothing is lost when the future is dropped before it is done.
    pub(super) async fn next(&mut self) -> Result<Option<String>, StreamError> {
        loop {
            match self.take_line() {
                Some(line) if line.is_empty() => continue,
                Some(line) => {
                    return String::from_utf8(line).map(Some).map_err(|_| StreamError::NotUtf8);
                }
                None if self.buffer.len() > LINE_BYTES => return Err(StreamError::TooLong),
                None => {}
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(StreamError::Broken(error)),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
            }
        }
    }

    fn take_line(&mut self) -> Option<Vec<u8>> {
        let Some(found) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') else {
            self.searched = self.buffer.len();
            return None;
        };
        let end = self.searched + found;
        let line = self.buffer[..end].to_vec();
        self.buffer.advance(end + 1);
        self.searched = 0;
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(text: &[u8]) -> Vec<String> {
        let mut lines = Lines::new(Body::from(text.to_vec()));
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            all.push(line);
        }
        all
    }

    #[tokio::test]
    async fn a_body_is_split_at_newlines_and_a_last_line_without_one_is_dropped() {
        assert_eq!(lines(b"a\nbc\n\nd\n").await, ["a", "bc", "d"]);
        assert_eq!(lines(b"a\ncut off").await, ["a"]);
        assert!(lines(b"").await.is_empty());
    }

    #[tokio::test]
    async fn an_endless_line_is_refused() {
        let mut lines = Lines::new(Body::from(vec![b'x'; LINE_BYTES + 1]));
        assert!(matches!(lines.next().await, Err(StreamError::TooLong)));
    }

    #[tokio::test]
    async fn bytes_that_are_no_text_are_refused() {
        let mut lines = Lines::new(Body::from(b"\xff\n".to_vec()));
        assert!(matches!(lines.next().await, Err(StreamError::NotUtf8)));
    }
}
