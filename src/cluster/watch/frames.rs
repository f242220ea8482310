//! A body as frames: a watch in protobuf.

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use kube::client::Body;

use super::lines::StreamError;

/// The largest frame that is read. etcd holds 1.5 MiB an object, in this form.
pub(super) const FRAME_BYTES: usize = 4 * 1024 * 1024;

/// What the length of a frame takes.
const LENGTH_BYTES: usize = 4;

/// Splits a body into frames, each behind its length in four bytes, the highest first.
///
/// Source: apimachinery `util/framer/framer.go`.
pub(super) struct Frames {
    body: Body,
    buffer: BytesMut,
}

impl Frames {
    pub(super) fn new(body: Body) -> Self {
        Self {
            body,
            buffer: BytesMut::new(),
        }
    }

    /// The next frame that is not empty; `None` at the end. What is not whole at the end is no frame: it was cut off.
    ///
    /// Nothing is lost when the future is dropped before it is done.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, StreamError> {
        loop {
            match self.take_frame()? {
                Some(frame) if frame.is_empty() => continue,
                Some(frame) => return Ok(Some(frame)),
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

    fn take_frame(&mut self) -> Result<Option<Bytes>, StreamError> {
        let Some((length, rest)) = self.buffer.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > FRAME_BYTES {
            return Err(StreamError::TooLong);
        }
        if rest.len() < length {
            return Ok(None);
        }
        self.buffer.advance(LENGTH_BYTES);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn frames(body: &[u8]) -> Vec<Bytes> {
        let mut frames = Frames::new(Body::from(body.to_vec()));
        let mut all = Vec::new();
        while let Some(frame) = frames.next().await.unwrap() {
            all.push(frame);
        }
        all
    }

    #[tokio::test]
    async fn a_body_is_split_into_frames_and_one_that_is_cut_off_is_dropped() {
        assert_eq!(frames(b"\0\0\0\x01a\0\0\0\0\0\0\0\x02bc").await, ["a", "bc"]);
        assert_eq!(frames(b"\0\0\0\x01a\0\0\0\x02b").await, ["a"]);
        assert_eq!(frames(b"\0\0\0\x01a\0\0").await, ["a"]);
        assert!(frames(b"").await.is_empty());
    }

    #[tokio::test]
    async fn an_endless_frame_is_refused() {
        let mut frames = Frames::new(Body::from(b"\x7f\0\0\0".to_vec()));
        assert!(matches!(frames.next().await, Err(StreamError::TooLong)));
    }
}
