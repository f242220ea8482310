//! A list that comes in pieces.

use super::{Field, ITEM_BYTES, MAGIC, ProtobufError, field, length, tag};

/// What a list says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListHead {
    /// Its apiVersion.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
}

/// Reads a list that comes in pieces, of any size.
///
/// What is kept between two pieces is one item that is not whole yet.
#[derive(Debug, Default)]
pub struct ListReader {
    /// Read, and not yet used.
    rest: Vec<u8>,
    stage: Stage,
    head: ListHead,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Magic,
    /// Among the fields of the envelope.
    Envelope,
    /// Among the fields of the list, with so many bytes of it to come.
    List(usize),
}

/// A part of a list that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// Its `ListMeta`: resource version 2, continue 3.
    Metadata(&'a [u8]),
    /// An item.
    Item(&'a [u8]),
}

impl ListReader {
    /// Takes the next piece of the body, and hands each part that is whole to `each`, in order.
    ///
    /// # Errors
    /// Where the body is no list, or `each` fails. Nothing sensible comes of the reader from then on.
    pub fn push<E: From<ProtobufError>>(
        &mut self,
        piece: &[u8],
        mut each: impl FnMut(Part<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = std::mem::take(&mut self.rest);
        if rest.is_empty() {
            let used = self.consume(piece, &mut each)?;
            rest.extend_from_slice(&piece[used..]);
        } else {
            rest.extend_from_slice(piece);
            let used = self.consume(&rest, &mut each)?;
            rest.drain(..used);
        }
        self.rest = rest;
        Ok(())
    }

    /// The body is at its end.
    ///
    /// # Errors
    /// Where it was cut off.
    pub fn finish(self) -> Result<ListHead, ProtobufError> {
        match self.stage {
            Stage::Envelope if self.rest.is_empty() => Ok(self.head),
            Stage::Magic => Err(ProtobufError::NoMagic),
            _ => Err(ProtobufError::CutOff),
        }
    }

    /// Gives how many bytes were used.
    fn consume<E: From<ProtobufError>>(
        &mut self,
        bytes: &[u8],
        each: &mut impl FnMut(Part<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let mut ahead = bytes;
        loop {
            let mut next = ahead;
            match self.step(&mut next, each) {
                Ok(true) => ahead = next,
                Ok(false) => return Ok(bytes.len() - ahead.len()),
                Err(error) => return Err(error),
            }
        }
    }

    /// One field further; `false` where there are not enough bytes for it.
    fn step<E: From<ProtobufError>>(
        &mut self,
        ahead: &mut &[u8],
        each: &mut impl FnMut(Part<'_>) -> Result<(), E>,
    ) -> Result<bool, E> {
        match self.stage {
            Stage::Magic => {
                if ahead.len() < MAGIC.len() {
                    return Ok(false);
                }
                *ahead = ahead.strip_prefix(MAGIC).ok_or(ProtobufError::NoMagic)?;
                self.stage = Stage::Envelope;
            }
            Stage::List(0) => self.stage = Stage::Envelope,
            Stage::List(left) => {
                let before = ahead.len();
                // What lies behind the list is none of its fields.
                let mut within = &ahead[..before.min(left)];
                let whole = before >= left;
                let Some(field) = enough(field(&mut within, ITEM_BYTES), !whole)? else {
                    return Ok(false);
                };
                *ahead = &ahead[before.min(left) - within.len()..];
                self.stage = Stage::List(left - (before - ahead.len()));
                match field.number {
                    1 => each(Part::Metadata(field.bytes()?))?,
                    2 => each(Part::Item(field.bytes()?))?,
                    _ => {}
                }
            }
            Stage::Envelope => {
                let mut begun = *ahead;
                match enough(tag(&mut begun), true)? {
                    None => return Ok(false),
                    Some((2, 2)) => {
                        let Some(length) = enough(length(&mut begun), true)? else {
                            return Ok(false);
                        };
                        *ahead = begun;
                        self.stage = Stage::List(length);
                    }
                    Some(_) => {
                        let Some(field) = enough(field(ahead, ITEM_BYTES), true)? else {
                            return Ok(false);
                        };
                        if field.number == 1 {
                            self.read_head(field)?;
                        }
                    }
                }
            }
        }
        Ok(true)
    }

    fn read_head(&mut self, type_meta: Field<'_>) -> Result<(), ProtobufError> {
        for field in type_meta.message()? {
            let field = field?;
            match field.number {
                1 => field.text()?.clone_into(&mut self.head.api_version),
                2 => field.text()?.clone_into(&mut self.head.kind),
                _ => {}
            }
        }
        Ok(())
    }
}

/// `None` where more bytes may come and are needed.
fn enough<T>(read: Result<T, ProtobufError>, more_may_come: bool) -> Result<Option<T>, ProtobufError> {
    match read {
        Err(ProtobufError::CutOff) if more_may_come => Ok(None),
        read => read.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::put_bytes;
    use super::*;

    /// A field with bytes in it.
    fn bytes(number: u32, bytes: &[u8]) -> Vec<u8> {
        let mut field = Vec::new();
        put_bytes(&mut field, number, bytes);
        field
    }

    fn list(items: &[Vec<u8>]) -> Vec<u8> {
        let mut list = bytes(1, &bytes(2, b"42"));
        list.extend(items.iter().flat_map(|item| bytes(2, item)));
        let head = bytes(1, &[bytes(1, b"v1"), bytes(2, b"PodList")].concat());
        [b"k8s\0".to_vec(), head, bytes(2, &list), bytes(3, b""), bytes(4, b"")].concat()
    }

    /// What is read of a body that is cut at these places.
    fn read(body: &[u8], cuts: &[usize]) -> Result<(Vec<Vec<u8>>, ListHead, usize), ProtobufError> {
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut % (body.len() + 1)).collect();
        places.extend([0, body.len()]);
        places.sort_unstable();
        let (mut reader, mut items, mut most) = (ListReader::default(), Vec::new(), 0);
        for piece in places.windows(2) {
            reader.push(&body[piece[0]..piece[1]], |part| {
                if let Part::Item(item) = part {
                    items.push(item.to_vec());
                }
                Ok::<_, ProtobufError>(())
            })?;
            most = most.max(reader.rest.len());
        }
        Ok((items, reader.finish()?, most))
    }

    #[test]
    fn a_list_says_what_it_is() {
        let (items, head, _) = read(&list(&[b"a".to_vec(), b"".to_vec()]), &[]).unwrap();
        assert_eq!(items, [b"a".to_vec(), b"".to_vec()]);
        assert_eq!((head.api_version.as_str(), head.kind.as_str()), ("v1", "PodList"));
    }

    #[test]
    fn a_list_without_items_may_have_no_bytes_at_all() {
        assert_eq!(
            read(&[b"k8s\0".to_vec(), bytes(2, b"")].concat(), &[]).unwrap().0.len(),
            0
        );
        assert_eq!(read(b"k8s\0", &[]).unwrap().0.len(), 0);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let too_large = [b"k8s\0\x12\xff\xff\xff\x7f\x12".to_vec(), vec![0xff, 0xff, 0xff, 0x7f]].concat();
        for (body, expected) in [
            (b"".to_vec(), ProtobufError::NoMagic),
            (b"k8s".to_vec(), ProtobufError::NoMagic),
            (b"{\"kind\":".to_vec(), ProtobufError::NoMagic),
            (b"k8s\0\x12\x05\x12".to_vec(), ProtobufError::CutOff),
            // An item that reaches beyond its list.
            (b"k8s\0\x12\x03\x12\x05hello".to_vec(), ProtobufError::CutOff),
            (b"k8s\0\x12\x02\x18\x01\x0a".to_vec(), ProtobufError::CutOff),
            (b"k8s\0\x12\x02\x10\x01".to_vec(), ProtobufError::FieldType(2)),
            (too_large, ProtobufError::TooLarge),
        ] {
            assert_eq!(read(&body, &[]).unwrap_err(), expected, "{body:?}");
        }
    }

    #[test]
    fn what_takes_the_items_may_refuse_one() {
        let refused = ListReader::default().push(&list(&[b"a".to_vec()]), |part| match part {
            Part::Item(_) => Err(ProtobufError::NotText),
            Part::Metadata(_) => Ok(()),
        });
        assert_eq!(refused, Err(ProtobufError::NotText));
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_give_the_same_items(
            items in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..8),
            cuts in proptest::collection::vec(any::<usize>(), 0..40),
        ) {
            let body = list(&items);
            let (whole, head, _) = read(&body, &[]).unwrap();
            prop_assert_eq!(&whole, &items);
            prop_assert_eq!(&head.kind, "PodList");
            let (pieces, _, most) = read(&body, &cuts).unwrap();
            prop_assert_eq!(whole, pieces);
            prop_assert!(most <= items.iter().map(Vec::len).max().unwrap_or(0) + 20, "{} bytes are kept", most);
        }

        #[test]
        fn bytes_that_lie_are_refused_or_read_and_nothing_panics(
            items in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..4),
            lies in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..4),
            cuts in proptest::collection::vec(any::<usize>(), 0..8),
        ) {
            let mut body = list(&items);
            let length = body.len();
            for (place, byte) in lies {
                body[place % length] = byte;
            }
            let whole = read(&body, &[]).map(|read| read.0);
            prop_assert_eq!(read(&body, &cuts).map(|read| read.0), whole);
        }
    }
}
