//! Strings as small numbers, counted.

use std::sync::Arc;

use rustc_hash::FxHashMap;

/// A string of a [`Symbols`] table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Symbol(u32);

/// Each distinct string once, for as long as it is referred to.
///
/// References are counted, since some labels are unique to a pod (`statefulset.kubernetes.io/pod-name`): a table that
/// only grows would keep every name that there ever was.
#[derive(Default)]
pub(super) struct Symbols {
    by_text: FxHashMap<Arc<str>, Symbol>,
    texts: Vec<Counted>,
    free: Vec<Symbol>,
}

struct Counted {
    text: Arc<str>,
    references: u32,
}

impl Symbols {
    /// The symbol of `text`, with one reference more.
    pub(super) fn hold(&mut self, text: &str) -> Symbol {
        if let Some(&symbol) = self.by_text.get(text) {
            self.texts[symbol.0 as usize].references += 1;
            return symbol;
        }
        let text: Arc<str> = text.into();
        let counted = Counted {
            text: text.clone(),
            references: 1,
        };
        let symbol = match self.free.pop() {
            Some(symbol) => {
                self.texts[symbol.0 as usize] = counted;
                symbol
            }
            None => {
                let next = u32::try_from(self.texts.len()).expect("fewer than 2^32 strings fit into memory");
                self.texts.push(counted);
                Symbol(next)
            }
        };
        self.by_text.insert(text, symbol);
        symbol
    }

    /// Gives back one reference of [`hold`](Self::hold).
    pub(super) fn release(&mut self, symbol: Symbol) {
        let counted = &mut self.texts[symbol.0 as usize];
        counted.references = counted
            .references
            .checked_sub(1)
            .expect("a symbol is released as often as it is held");
        if counted.references == 0 {
            let text = std::mem::replace(&mut counted.text, Arc::from(""));
            self.by_text.remove(&text);
            self.free.push(symbol);
        }
    }

    /// The symbol of `text`, where something holds it.
    pub(super) fn find(&self, text: &str) -> Option<Symbol> {
        self.by_text.get(text).copied()
    }

    /// The text of a symbol that is held.
    pub(super) fn text(&self, symbol: Symbol) -> &Arc<str> {
        &self.texts[symbol.0 as usize].text
    }

    /// How many strings are held.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_text.len()
    }

    /// Gives spare memory back.
    pub(super) fn shrink(&mut self) {
        self.by_text.shrink_to_fit();
        self.texts.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_lives_as_long_as_it_is_held() {
        let mut symbols = Symbols::default();
        let (first, again, other) = (symbols.hold("app"), symbols.hold("app"), symbols.hold("web"));
        assert_eq!(first, again);
        assert_eq!((&**symbols.text(first), &**symbols.text(other)), ("app", "web"));
        symbols.release(first);
        assert_eq!(symbols.find("app"), Some(again));
        symbols.release(again);
        assert_eq!((symbols.find("app"), symbols.len()), (None, 1));
        assert_eq!(symbols.hold("tier"), first, "the number is used again");
    }
}
