//! Standard output and standard error.

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

/// Writes `text` to standard output, without colours where nobody sees them.
///
/// # Errors
///
/// Whatever the other end does; [`is_broken_pipe`] tells whether it just stopped reading.
pub(super) fn print(text: &str) -> Result<(), NotPrinted> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(NotPrinted)
}

/// Writes one line of warning to standard error.
pub(super) fn warn(text: &str) {
    // Where standard error is closed, there is nobody to tell.
    let _ = writeln!(anstream::stderr(), "warning: {text}");
}

/// Writes an error and its causes to standard error, as one line where they are one line each.
pub(super) fn report(error: &anyhow::Error) {
    let _ = writeln!(anstream::stderr(), "error: {}", chain(error));
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
    fn a_chain_names_each_cause_once() {
        let error = Err::<(), _>(anyhow::anyhow!("refused"))
            .context("connect: refused")
            .context("list pods of shop")
            .unwrap_err();
        assert_eq!(chain(&error), "list pods of shop: connect: refused");
    }
}
