//! A body as frames: a watch in protobuf.

use bytes::{Buf, Bytes, BytesMut};

use super::pieces::{Split, StreamError};

/// The largest frame that is read. etcd holds 1.5 MiB an object, in this form.
pub(super) const FRAME_BYTES: usize = 4 * 1024 * 1024;

/// What the length of a frame takes.
const LENGTH_BYTES: usize = 4;

/// Splits a body into frames, each behind its length in four bytes, the highest first.
///
/// Source: apimachinery `util/framer/framer.go`.
#[derive(Default)]
pub(super) struct Frames;

impl Split for Frames {
    type Piece = Bytes;

    fn take(&mut self, come: &mut BytesMut) -> Result<Option<Bytes>, StreamError> {
        while let Some((length, rest)) = come.split_first_chunk::<LENGTH_BYTES>() {
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            if length > FRAME_BYTES {
                return Err(StreamError::TooLong);
            }
            if rest.len() < length {
                break;
            }
            come.advance(LENGTH_BYTES);
            if length > 0 {
                return Ok(Some(come.split_to(length).freeze()));
            }
        }
        Ok(None)
    }
}
