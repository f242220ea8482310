//! A body as lines: a watch in JSON.

use bytes::{Buf, BytesMut};

use super::pieces::{Split, StreamError};

/// The longest line that is read. etcd holds 1.5 MiB an object; as JSON it may be a few times that.
pub(super) const LINE_BYTES: usize = 16 * 1024 * 1024;

/// Splits a body at its newlines.
#[derive(Default)]
pub(super) struct Lines {
    /// This much of what has come holds no newline.
    searched: usize,
}

impl Split for Lines {
    type Piece = String;

    fn take(&mut self, come: &mut BytesMut) -> Result<Option<String>, StreamError> {
        while let Some(found) = come[self.searched..].iter().position(|byte| *byte == b'\n') {
            let line = come[..self.searched + found].to_vec();
            come.advance(line.len() + 1);
            self.searched = 0;
            if !line.is_empty() {
                return String::from_utf8(line).map(Some).map_err(|_| StreamError::NotUtf8);
            }
        }
        self.searched = come.len();
        if come.len() > LINE_BYTES {
            return Err(StreamError::TooLong);
        }
        Ok(None)
    }
}
