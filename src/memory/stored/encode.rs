//! A part as bytes.
//!
//! Four bytes `TTM2`, of which the last is the version; a CRC-32 of all that follows, least byte first; the rest compressed
//! (raw DEFLATE). Times are milliseconds before the part was saved, names share their beginning with the one before.

use std::io::Write;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use jiff::Timestamp;

use super::bytes::{put_number, put_signed, put_size, put_text};
use super::{Part, Record};
use crate::memory::{Entry, Memory};

/// What stored memory begins with; the version follows.
pub(super) const MAGIC: &[u8] = b"TTM";
/// The version that is written, and the only one that is read.
pub(super) const VERSION: u8 = b'2';
/// Magic, version and checksum.
pub(super) const HEAD_BYTES: usize = 8;

/// The most bytes of a part: with them in base64, and 5 KiB of metadata, its object has less than 512 KiB, half of what an object
/// of the Kubernetes API may have.
pub const MOST_BYTES: usize = 380 * 1024;

pub(super) const WITH_INTENT: u8 = 1;
pub(super) const WITH_UNKNOWN: u8 = 2;
pub(super) const WITH_COUNT: u8 = 4;

/// The bytes of `part`, whose records must be sorted by name.
pub fn encode(part: &Part) -> Vec<u8> {
    let mut plain = Vec::with_capacity(64 * part.records.len() + 256);
    put_signed(&mut plain, part.saved_at.as_millisecond());
    put_text(&mut plain, &part.writer);
    put_size(&mut plain, part.number);
    put_size(&mut plain, part.parts);
    put_size(&mut plain, part.records.len());
    let mut former = String::new();
    for record in &part.records {
        let name = record.key.to_string();
        put_name(&mut plain, &former, &name);
        former = name;
        put_record(&mut plain, part, record);
    }
    let mut out = [MAGIC, &[VERSION], &[0; 4]].concat();
    let mut compressor = DeflateEncoder::new(&mut out, Compression::fast());
    compressor.write_all(&plain).expect("a Vec takes everything");
    compressor.finish().expect("a Vec takes everything");
    let sum = crc32fast::hash(&out[HEAD_BYTES..]);
    out[HEAD_BYTES - 4..HEAD_BYTES].copy_from_slice(&sum.to_le_bytes());
    out
}

/// How many bytes it shares with the one before, and the rest.
fn put_name(out: &mut Vec<u8>, former: &str, name: &str) {
    let mut shared = former
        .bytes()
        .zip(name.bytes())
        .take_while(|(former, name)| former == name)
        .count();
    while !name.is_char_boundary(shared) {
        shared -= 1;
    }
    put_size(out, shared);
    put_text(out, &name[shared..]);
}

fn put_record(out: &mut Vec<u8>, part: &Part, record: &Record) {
    out.extend_from_slice(&record.uid.to_le_bytes());
    let mut flags = 0;
    if record.intent.is_some() {
        flags |= WITH_INTENT;
    }
    if record.unknown_until.is_some() {
        flags |= WITH_UNKNOWN;
    }
    if record.count.is_some() {
        flags |= WITH_COUNT;
    }
    out.push(flags);
    if let Some(intent) = record.intent {
        put_replicas(out, intent.from);
        put_replicas(out, intent.to);
        put_time(out, part, intent.at);
    }
    if let Some(until) = record.unknown_until {
        put_time(out, part, until);
    }
    if let Some(count) = record.count {
        put_replicas(out, count);
    }
    let Memory {
        recommendations,
        scale_ups,
        scale_downs,
    } = &record.memory;
    put_entries(out, part, recommendations.entries());
    put_entries(out, part, scale_ups.entries());
    put_entries(out, part, scale_downs.entries());
}

/// How many, then of each how long before the part was saved, and the count with the flag as its lowest bit. Spent slots are
/// left out.
fn put_entries(out: &mut Vec<u8>, part: &Part, entries: impl Iterator<Item = Entry>) {
    let live: Vec<(Timestamp, i32, bool)> = entries
        .filter_map(|entry| match entry {
            Entry::Live { at, replicas, outdated } => Some((at, replicas, outdated)),
            Entry::Spent { .. } => None,
        })
        .collect();
    put_size(out, live.len());
    for (at, replicas, outdated) in live {
        put_time(out, part, at);
        put_number(
            out,
            u64::from(replicas.max(0).unsigned_abs()) << 1 | u64::from(outdated),
        );
    }
}

fn put_time(out: &mut Vec<u8>, part: &Part, at: Timestamp) {
    put_signed(out, part.saved_at.as_millisecond() - at.as_millisecond());
}

fn put_replicas(out: &mut Vec<u8>, replicas: i32) {
    put_number(out, replicas.max(0).unsigned_abs().into());
}
