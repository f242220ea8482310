//! A body in pieces, as it comes: the events of a watch.

use bytes::BytesMut;
use http_body_util::BodyExt;
use kube::client::Body;
use thiserror::Error;

use super::frames::FRAME_BYTES;
use super::lines::LINE_BYTES;
use crate::wire;

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

/// How pieces are told apart.
pub(super) trait Split: Default {
    type Piece;

    /// Takes the first piece off what has come so far; `None` where it is not whole yet. Empty ones are passed over.
    fn take(&mut self, come: &mut BytesMut) -> Result<Option<Self::Piece>, StreamError>;
}

/// The pieces of a body.
pub(super) struct Pieces<S> {
    body: Body,
    come: BytesMut,
    split: S,
}

impl<S: Split> Pieces<S> {
    pub(super) fn of(body: Body) -> Self {
        Self {
            body,
            come: BytesMut::new(),
            split: S::default(),
        }
    }

    /// The next piece; `None` at the end. What is not whole at the end is no piece: it was cut off.
    ///
    /// Nothing is lost when the future is dropped before it is done.
    pub(super) async fn next(&mut self) -> Result<Option<S::Piece>, StreamError> {
        loop {
            if let Some(piece) = self.split.take(&mut self.come)? {
                return Ok(Some(piece));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(StreamError::Broken(error)),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.come.extend_from_slice(data);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::super::frames::Frames;
    use super::super::lines::Lines;
    use super::*;

    /// The pieces of a body that comes all at once.
    async fn pieces<S: Split>(body: &[u8]) -> Result<Vec<S::Piece>, StreamError> {
        let mut pieces = Pieces::<S>::of(Body::from(body.to_vec()));
        let mut all = Vec::new();
        while let Some(piece) = pieces.next().await? {
            all.push(piece);
        }
        Ok(all)
    }

    async fn check<S: Split<Piece: Debug + PartialEq<&'static str>>>(body: &[u8], expected: &[&'static str]) {
        assert_eq!(pieces::<S>(body).await.unwrap(), expected, "{body:?}");
        let (mut split, mut come, mut all) = (S::default(), BytesMut::new(), Vec::new());
        for byte in body {
            come.extend_from_slice(&[*byte]);
            all.extend(split.take(&mut come).unwrap());
        }
        assert_eq!(all, expected, "{body:?}, byte by byte");
    }

    #[tokio::test]
    async fn what_is_whole_is_given_empty_ones_are_passed_over_and_what_is_cut_off_is_dropped() {
        check::<Lines>(b"a\nbc\n\nd\n", &["a", "bc", "d"]).await;
        check::<Lines>(b"a\ncut off", &["a"]).await;
        check::<Frames>(b"\0\0\0\x01a\0\0\0\0\0\0\0\x02bc", &["a", "bc"]).await;
        check::<Frames>(b"\0\0\0\x01a\0\0\0\x02b", &["a"]).await;
        check::<Frames>(b"\0\0\0\x01a\0\0", &["a"]).await;
        check::<Lines>(b"", &[]).await;
        check::<Frames>(b"", &[]).await;
    }

    #[tokio::test]
    async fn an_endless_one_is_refused() {
        let line = vec![b'x'; LINE_BYTES + 1];
        assert!(matches!(pieces::<Lines>(&line).await, Err(StreamError::TooLong)));
        assert!(matches!(
            pieces::<Frames>(b"\x7f\0\0\0").await,
            Err(StreamError::TooLong)
        ));
    }

    #[tokio::test]
    async fn a_line_that_is_no_text_is_refused() {
        assert!(matches!(pieces::<Lines>(b"\xff\n").await, Err(StreamError::NotUtf8)));
    }
}
