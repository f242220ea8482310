//! Texts that an answer repeats for each pod or series, kept once.

use std::sync::Arc;

use rustc_hash::FxHashSet;

/// The texts seen so far in one answer.
#[derive(Debug, Default)]
pub(super) struct Words(FxHashSet<Arc<str>>);

impl Words {
    /// The text, shared with all who have the same one.
    pub fn share(&mut self, text: &str) -> Arc<str> {
        if let Some(word) = self.0.get(text) {
            return word.clone();
        }
        let word: Arc<str> = text.into();
        self.0.insert(word.clone());
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one() {
        let mut words = Words::default();
        let [one, other, same] = ["pod", "node", "pod"].map(|text| words.share(text));
        assert!(Arc::ptr_eq(&one, &same));
        assert_eq!((&*one, &*other), ("pod", "node"));
    }
}
