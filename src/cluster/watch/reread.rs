//! What the body of a watch says, or a page of a list, where it is at hand: for the fuzz targets.

use bytes::BytesMut;

use super::event::{Event, Unreadable, read_message, read_page};
use super::frames::Frames;
use super::lines::Lines;
use super::messages::Message;
use super::pieces::Split;
use super::{Part, Watched};

/// What each event says, with the resource version or code that it has; what is wrong with those that cannot be read.
pub(in crate::cluster) type Said = Vec<Result<String, String>>;

/// What the events of a watch in JSON say, where its body comes in pieces of `size` bytes.
pub(in crate::cluster) fn lines<T: Watched>(body: &[u8], size: usize, part: Option<&Part>) -> Said {
    all::<Lines, T>(body, size, part, Message::Json)
}

/// The same of a watch in protobuf.
pub(in crate::cluster) fn frames<T: Watched>(body: &[u8], size: usize, part: Option<&Part>) -> Said {
    all::<Frames, T>(body, size, part, Message::Protobuf)
}

/// What the objects of a page say.
pub(in crate::cluster) fn page<T: Watched>(body: &[u8], part: Option<&Part>) -> Said {
    match read_page::<T>(body, part) {
        Err(error) => vec![Err(error.to_string())],
        Ok(page) => {
            let said = |item: Result<T, Unreadable>| match item {
                Ok(object) => Ok(object.resource_version().to_owned()),
                Err(error) => Err(error.to_string()),
            };
            page.items.into_iter().map(said).collect()
        }
    }
}

fn all<S: Split, T: Watched>(body: &[u8], size: usize, part: Option<&Part>, message: fn(S::Piece) -> Message) -> Said {
    let (mut split, mut come, mut said) = (S::default(), BytesMut::new(), Said::new());
    for piece in body.chunks(size.max(1)) {
        come.extend_from_slice(piece);
        loop {
            match split.take(&mut come) {
                Ok(Some(piece)) => said.push(one::<T>(&message(piece), part)),
                Ok(None) => break,
                Err(error) => {
                    said.push(Err(error.to_string()));
                    return said;
                }
            }
        }
    }
    said
}

fn one<T: Watched>(message: &Message, part: Option<&Part>) -> Result<String, String> {
    let event = read_message::<T>(message, part).map_err(|error| error.to_string())?;
    Ok(match event {
        Event::Applied(object) => format!("applied {}", object.resource_version()),
        Event::Deleted(object) => format!("deleted {}", object.resource_version()),
        Event::Bookmark {
            resource_version,
            ends_the_list,
        } => format!("bookmark {resource_version} {ends_the_list}"),
        Event::Dropped { resource_version } => format!("dropped {resource_version}"),
        Event::Refused(status) => format!("refused {}", status.code),
    })
}
