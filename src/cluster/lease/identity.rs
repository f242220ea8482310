//! Who we are among the candidates.

use std::fs;

/// An identity that no other process has: the host's name, which in a pod is the pod's, and a random UUID.
///
/// Falls back to what there is: the process's id where the system gives no UUID.
pub fn identity() -> String {
    let read = |path: &str| {
        fs::read_to_string(path)
            .ok()
            .map(|text| text.trim().to_owned())
            .filter(|t| !t.is_empty())
    };
    let host = read("/proc/sys/kernel/hostname").unwrap_or_else(|| "trimtab".to_owned());
    let unique = read("/proc/sys/kernel/random/uuid").unwrap_or_else(|| std::process::id().to_string());
    format!("{host}_{unique}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_identities_differ() {
        assert_ne!(identity(), identity());
        assert!(identity().contains('_'));
    }
}
