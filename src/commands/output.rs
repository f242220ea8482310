//! Standard output and standard error.

use std::borrow::Cow;
use std::io::{self, Write};

/// Standard output does not take what is written.
#[derive(Debug, thiserror::Error)]
#[error("write to standard output")]
pub(super) struct NotPrinted(#[source] io::Error);

impl NotPrinted {
    /// Whether the reader has gone away, as `head` does when it has seen enough.
    pub(super) fn is_broken_pipe(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

/// Writes `text` to standard output, [tamed].
///
/// # Errors
///
/// Whatever the other end does; [`is_broken_pipe`] tells whether it just stopped reading.
pub(super) fn print(text: &str) -> Result<(), NotPrinted> {
    print_exact(&tamed(text))
}

/// Text without what would steer a terminal: names of metrics, messages of adapters and files are written by others, and may hold
/// sequences that move the cursor, hide what stands there, or set the window's title.
pub(super) fn tamed(text: &str) -> Cow<'_, str> {
    let steers = |c: char| c.is_control() && c != '\n' && c != '\t';
    match text.contains(steers) {
        true => text.replace(steers, "\u{fffd}").into(),
        false => text.into(),
    }
}

/// Writes `text` to standard output as it is, without colours where nobody sees them.
///
/// # Errors
///
/// As [`print`].
pub(super) fn print_exact(text: &str) -> Result<(), NotPrinted> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(NotPrinted)
}

/// Writes one line of warning to standard error.
pub(super) fn warn(text: &str) {
    // Where standard error is closed, there is nobody to tell.
    let _ = writeln!(anstream::stderr(), "warning: {}", tamed(text));
}

/// Writes an error and its causes to standard error, as one line where they are one line each.
pub(super) fn report(error: &anyhow::Error) {
    let _ = writeln!(anstream::stderr(), "error: {}", tamed(&chain(error)));
}

/// `a: b: c`, without the causes whose text the line has already: kube's errors repeat theirs.
pub(super) fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Whether the reader of our output has gone away.
pub(super) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<NotPrinted>()
        .is_some_and(NotPrinted::is_broken_pipe)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn what_would_steer_a_terminal_is_not_printed() {
        assert_eq!(tamed("a\tb\né ✓\n"), "a\tb\né ✓\n");
        assert_eq!(
            tamed("\u{1b}]0;title\u{7}\u{9b}2J\u{1b}[2Kshop/web\r\u{8}\u{7f}"),
            "\u{fffd}]0;title\u{fffd}\u{fffd}2J\u{fffd}[2Kshop/web\u{fffd}\u{fffd}\u{fffd}"
        );
    }

    #[test]
    fn a_chain_names_each_cause_once() {
        let error = Err::<(), _>(anyhow::anyhow!("refused"))
            .context("connect: refused")
            .context("list pods of shop")
            .unwrap_err();
        assert_eq!(chain(&error), "list pods of shop: connect: refused");
    }
}
