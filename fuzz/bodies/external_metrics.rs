//! Any text is an answer of the external metrics API or an error whose message has a bound.

use trimtab::metrics::external::{decode, reading};
use trimtab::observe::Reading;

pub fn check(text: &str) {
    match decode(text) {
        Ok(values) => assert_eq!(values.is_empty(), matches!(reading(&values), Reading::Failed(_))),
        Err(error) => super::bounded(&error),
    }
}
