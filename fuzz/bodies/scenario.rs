//! Any text is a scenario or an error with its place; whatever it says, it is decided without a panic.

use trimtab::sim::replay::replay;

pub fn check(text: &str) {
    match replay(text, |_| {}) {
        Ok(differences) => differences.iter().for_each(|d| assert!(!d.to_string().is_empty())),
        Err(problem) => assert!(problem.to_string().starts_with("line ")),
    }
}
