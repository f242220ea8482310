//! Any text is a file of manifests, or has problems with their places in it.

use trimtab::manifests::{ReadOptions, read};

pub fn check(text: &str) {
    let content = read("t", text, &ReadOptions::default());
    // YAML 1.1 knows more line breaks than most.
    let breaks = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];
    let lines = text.matches(breaks).count() as u64 + 1;
    let positions = content.problems.iter().filter_map(|problem| problem.place.position);
    for position in positions.chain(content.manifests.iter().filter_map(|manifest| manifest.place.position)) {
        assert!(
            (1..=lines).contains(&position.line) && position.column >= 1,
            "{position:?} of {lines} lines"
        );
    }
    for manifest in &content.manifests {
        assert!(manifest.spec.max_replicas >= 1 && !manifest.spec.metrics.is_empty());
    }
}
