//! Any text is a duration or none, and what is printed reads back as the same, to the millisecond.

use trimtab::duration::{parse, print};

pub fn check(text: &str) {
    let Some(duration) = parse(text) else { return };
    let printed = print(duration);
    let again = parse(&printed).map(|again| again.as_millis());
    assert_eq!(again, Some(duration.as_millis()), "{text:?} printed as {printed:?}");
}
