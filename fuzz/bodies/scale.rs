//! Any text is a scale, as it is read or as a write is answered, or an error whose message has a bound.

use trimtab::cluster::outside::scales;

pub fn check(text: &str) {
    for outcome in scales(text.as_bytes()) {
        match outcome {
            Ok((_, said)) => assert!(said.len() <= 8 * text.len(), "{said}"),
            Err(error) => assert!(error.chars().count() < 1200, "{error}"),
        }
    }
}
