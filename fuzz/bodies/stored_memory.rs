//! Any bytes, and any bytes with a head and checksum that are right, are a part of stored memory that is stored alike again,
//! or an error.

use std::io::Write;

use trimtab::memory::stored::{MOST_BYTES, decode, encode, recollect};

pub fn check(bytes: &[u8]) {
    one(bytes);
    one(&sealed(bytes));
}

fn one(bytes: &[u8]) {
    match decode(bytes) {
        Ok(part) => {
            let again = encode(&part);
            if again.len() <= MOST_BYTES {
                assert_eq!(decode(&again).map(|again| again.records.len()), Ok(part.records.len()));
            }
            let now = part.saved_at;
            for (_, record) in recollect(vec![part], |number, _| number == 0, now, now) {
                let (memory, _) = record.inherited(5, None, now);
                let _ = memory.largest_from(now);
            }
        }
        Err(problem) => assert!(problem.to_string().len() < 100),
    }
}

/// As someone would write it who means harm.
pub fn sealed(plain: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    let mut compressor = flate2::write::DeflateEncoder::new(&mut body, flate2::Compression::fast());
    compressor.write_all(plain).expect("a Vec takes everything");
    compressor.finish().expect("a Vec takes everything");
    [b"TTM2".as_slice(), &crc32fast::hash(&body).to_le_bytes(), &body].concat()
}
