//! Any bytes are a list of PodMetrics in protobuf or an error whose message has a bound, the same however they are cut.

use trimtab::metrics::resource::{DecodeError, PodMetricsReader, Usages};

pub fn check(bytes: &[u8]) {
    let whole = read(bytes, bytes.len().max(1));
    let pieces = read(bytes, 1 + bytes.len() / 3);
    let single = read(bytes, 1);
    match (whole, pieces, single) {
        (Ok(whole), Ok(pieces), Ok(single)) => assert!(whole == pieces && whole == single),
        (Err(whole), Err(pieces), Err(single)) => {
            let words = whole.to_string();
            assert!(words.chars().count() < 600, "{words}");
            assert_eq!(words, pieces.to_string());
            assert_eq!(words, single.to_string());
        }
        outcomes => panic!("read otherwise in pieces: {outcomes:?}"),
    }
}

fn read(bytes: &[u8], size: usize) -> Result<Usages, DecodeError> {
    let mut reader = PodMetricsReader::default();
    for piece in bytes.chunks(size) {
        reader.push(piece)?;
    }
    reader.finish()
}
