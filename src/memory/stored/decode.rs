//! Bytes as a part. Nothing in them is believed: every length is checked before anything is made room for.

use std::io::Read;

use flate2::read::DeflateDecoder;
use jiff::Timestamp;

use super::bytes::{Malformed, Reader};
use super::encode::{HEAD_BYTES, MAGIC, MOST_BYTES, VERSION, WITH_COUNT, WITH_INTENT, WITH_UNKNOWN};
use super::{Intent, MOST_PARTS, Part, Record};
use crate::memory::slots::Slots;
use crate::memory::{Entry, MOST_RECOMMENDATIONS, MOST_SCALE_EVENTS, Memory};
use crate::spec::Key;

/// The most bytes of a part before compression: 40 times as many as after it, which no part that we write comes near to.
const MOST_PLAIN_BYTES: usize = 16 * 1024 * 1024;
/// A namespace has at most 63 characters, a name 253.
const MOST_NAME_BYTES: usize = 63 + 1 + 253;
/// A writer is a host's name and a UUID.
const MOST_WRITER_BYTES: usize = 512;
/// The fewest bytes of a record: a name of three, a mark, flags, and three empty lists.
const LEAST_RECORD_BYTES: usize = 2 + 4 + 1 + 3;

/// Why stored memory cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It does not begin as stored memory does.
    #[error("it is no memory of trimtab")]
    Foreign,
    /// A later trimtab stored it.
    #[error("it has version {0:?}, and only version '2' is known")]
    Version(char),
    /// It is larger than stored memory can be.
    #[error("it is larger than stored memory can be")]
    TooLarge,
    /// It has been changed or cut off since it was stored.
    #[error("its checksum is wrong")]
    Checksum,
    /// It does not say what stored memory says, though its checksum is right.
    #[error("it does not follow the format")]
    Malformed,
}

impl From<Malformed> for Unreadable {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// The part that `bytes` are.
///
/// Takes at most some 20 MB of room, whatever the bytes say.
///
/// # Errors
///
/// An [`Unreadable`] where they are none.
pub fn decode(bytes: &[u8]) -> Result<Part, Unreadable> {
    let mut head = Reader(bytes);
    if head.take(MAGIC.len()) != Ok(MAGIC) {
        return Err(Unreadable::Foreign);
    }
    let version = head.byte().map_err(|_| Unreadable::Foreign)?;
    if version != VERSION {
        return Err(Unreadable::Version(char::from(version)));
    }
    if bytes.len() > MOST_BYTES {
        return Err(Unreadable::TooLarge);
    }
    let sum = head.take(4).map_err(|_| Unreadable::Checksum)?;
    if sum != crc32fast::hash(&bytes[HEAD_BYTES..]).to_le_bytes() {
        return Err(Unreadable::Checksum);
    }
    part(&mut Reader(&inflated(head.0)?))
}

fn inflated(bytes: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let mut plain = Vec::new();
    let most = u64::try_from(MOST_PLAIN_BYTES).unwrap_or(u64::MAX);
    DeflateDecoder::new(bytes)
        .take(most + 1)
        .read_to_end(&mut plain)
        .map_err(|_| Unreadable::Malformed)?;
    if plain.len() > MOST_PLAIN_BYTES {
        return Err(Unreadable::TooLarge);
    }
    Ok(plain)
}

fn part(reader: &mut Reader<'_>) -> Result<Part, Unreadable> {
    let saved_at = timestamp(reader.signed()?)?;
    let writer = reader.text(MOST_WRITER_BYTES)?.to_owned();
    let number = reader.up_to(MOST_PARTS - 1)?;
    let parts = reader.up_to(MOST_PARTS)?;
    let count = reader.up_to(reader.0.len() / LEAST_RECORD_BYTES)?;
    let mut records = Vec::with_capacity(count);
    let mut name = String::new();
    for _ in 0..count {
        next_name(reader, &mut name)?;
        records.push(record(reader, &name, saved_at)?);
    }
    if !reader.0.is_empty() {
        return Err(Unreadable::Malformed);
    }
    Ok(Part {
        writer,
        saved_at,
        number,
        parts,
        records,
    })
}

/// Makes the name before into the next one.
fn next_name(reader: &mut Reader<'_>, name: &mut String) -> Result<(), Malformed> {
    let shared = reader.up_to(name.len())?;
    if !name.is_char_boundary(shared) {
        return Err(Malformed);
    }
    name.truncate(shared);
    name.push_str(reader.text(MOST_NAME_BYTES - shared)?);
    Ok(())
}

fn record(reader: &mut Reader<'_>, name: &str, saved_at: Timestamp) -> Result<Record, Malformed> {
    let (namespace, name) = name.split_once('/').ok_or(Malformed)?;
    let uid = reader.take(4)?.try_into().map_err(|_| Malformed)?;
    let flags = reader.byte()?;
    let mut intent = None;
    if flags & WITH_INTENT != 0 {
        intent = Some(Intent {
            from: reader.replicas()?,
            to: reader.replicas()?,
            at: time(reader, saved_at)?,
        });
    }
    let mut unknown_until = None;
    if flags & WITH_UNKNOWN != 0 {
        unknown_until = Some(time(reader, saved_at)?);
    }
    let mut count = None;
    if flags & WITH_COUNT != 0 {
        count = Some(reader.replicas()?);
    }
    let memory = Memory {
        recommendations: Slots::from_entries(&entries(reader, saved_at, MOST_RECOMMENDATIONS)?),
        scale_ups: Slots::from_entries(&entries(reader, saved_at, MOST_SCALE_EVENTS)?),
        scale_downs: Slots::from_entries(&entries(reader, saved_at, MOST_SCALE_EVENTS)?),
    };
    Ok(Record {
        key: Key::new(namespace, name),
        uid: u32::from_le_bytes(uid),
        memory,
        count,
        intent,
        unknown_until,
    })
}

fn entries(reader: &mut Reader<'_>, saved_at: Timestamp, most: usize) -> Result<Vec<Entry>, Malformed> {
    // Each takes two bytes at least.
    let count = reader.up_to(most.min(reader.0.len() / 2))?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let at = time(reader, saved_at)?;
        let flagged = reader.number()?;
        entries.push(Entry::Live {
            at,
            replicas: i32::try_from(flagged >> 1).map_err(|_| Malformed)?,
            outdated: flagged & 1 == 1,
        });
    }
    Ok(entries)
}

fn time(reader: &mut Reader<'_>, saved_at: Timestamp) -> Result<Timestamp, Malformed> {
    let before = reader.signed()?;
    timestamp(saved_at.as_millisecond().checked_sub(before).ok_or(Malformed)?)
}

fn timestamp(milliseconds: i64) -> Result<Timestamp, Malformed> {
    Timestamp::from_millisecond(milliseconds).map_err(|_| Malformed)
}
