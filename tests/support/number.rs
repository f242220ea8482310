//! Numbers that whoever runs a test may set.

use std::env;

/// The variable's number, or `default` where it is not set.
pub fn number(variable: &str, default: u64) -> u64 {
    match env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{variable} is a number, not {text:?}")),
        Err(_) => default,
    }
}
