//! Any text is a selector or an error, and canonical text reads back as the same selector.

use trimtab::selector::Selector;

pub fn check(text: &str) {
    let Ok(selector) = Selector::parse(text) else { return };
    let canonical = selector.to_string();
    assert_eq!(
        Selector::parse(&canonical).as_ref(),
        Ok(&selector),
        "{text:?} printed as {canonical:?}"
    );
}
