//! Signals that end the process.

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Cancels `stop` on the first SIGTERM or SIGINT, and ends the process at once, with exit code 1, on the second.
///
/// # Errors
///
/// The system gives no signals.
pub(super) fn cancel(stop: &CancellationToken) -> anyhow::Result<()> {
    cancel_and(stop, || {})
}

/// As [`cancel`]; does `at_once` before it ends the process on the second signal.
///
/// # Errors
///
/// As [`cancel`].
pub(super) fn cancel_and(stop: &CancellationToken, at_once: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("wait for SIGINT")?;
    let stop = stop.clone();
    // Ends with the process: a second signal must count until the very end.
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        };
        let name = next().await;
        info!(signal = name, "Stopping");
        stop.cancel();
        let name = next().await;
        warn!(signal = name, "Ending at once");
        at_once();
        std::process::exit(1);
    });
    Ok(())
}
