//! Waiting for something to become true, with a limit, and with the last thing seen in the failure's message.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::{Instant, sleep};

pub const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Looks every 200 ms until `look` gives `Ok`; an `Err` says what it saw instead. Panics at the limit.
pub async fn wait_until<T, E: Display>(what: &str, limit: Duration, look: impl AsyncFn() -> Result<T, E>) -> T {
    match eventually(limit, look).await {
        Ok(value) => value,
        Err(seen) => panic!("not within {limit:?}: {what}; last seen: {seen}"),
    }
}

/// Like [`wait_until`], but what was seen at the limit is an answer too.
pub async fn eventually<T, E>(limit: Duration, look: impl AsyncFn() -> Result<T, E>) -> Result<T, E> {
    let end = Instant::now() + limit;
    loop {
        match look().await {
            Err(_) if Instant::now() < end => sleep(Duration::from_millis(200)).await,
            seen => return seen,
        }
    }
}
