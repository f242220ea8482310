//! The right word for a mistyped one.

/// The candidate most like `word`, where one is like it at all. Letter case, `-`, `_` and `.` count for nothing.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = plain(word);
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&word, &plain(candidate)), candidate))
        // Below 0.8 Jaro-Winkler takes words for alike that share little but their beginning.
        .filter(|(likeness, _)| *likeness >= 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

fn plain(word: &str) -> String {
    word.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["sync-period", "tolerance", "namespace"];

    #[test]
    fn a_slip_of_the_finger_finds_its_word() {
        assert_eq!(nearest("sync-perid", NAMES), Some("sync-period"));
        assert_eq!(nearest("syncPeriod", NAMES), Some("sync-period"));
        assert_eq!(nearest("tolerence", NAMES), Some("tolerance"));
    }

    #[test]
    fn a_strange_word_finds_none() {
        assert_eq!(nearest("colour", NAMES), None);
        assert_eq!(nearest("", NAMES), None);
    }
}
