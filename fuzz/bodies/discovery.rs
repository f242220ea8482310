//! Any text is a document of an API group, or a list of what a version of it has, or an error whose message has a bound.

use trimtab::cluster::outside::discovered;

pub fn check(text: &str) {
    let [versions, kinds] = discovered(text.as_bytes());
    assert!(versions.as_ref().is_ok_and(|count| *count <= 16) || versions.is_err());
    assert!(kinds.as_ref().is_ok_and(|count| *count <= 2_000) || kinds.is_err());
    for error in [versions.err(), kinds.err()].into_iter().flatten() {
        assert!(error.chars().count() < 1200, "{error}");
    }
}
