//! Any bytes are the events of a watch, in JSON or protobuf, the same however they are cut, or a page of a list; what is said of those
//! that cannot be read has a bound.

use trimtab::cluster::outside::{Said, list, watch};

pub fn check(bytes: &[u8]) {
    let whole = watch(bytes, bytes.len());
    assert_eq!(whole, watch(bytes, 1));
    assert_eq!(whole, watch(bytes, 1 + bytes.len() / 3));
    bounded(&whole);
    bounded(&list(bytes));
}

fn bounded(all: &[Said]) {
    for wrong in all.iter().flatten().filter_map(|said| said.as_ref().err()) {
        assert!(wrong.chars().count() < 1200, "{wrong}");
    }
}
