//! When the controller runs: as long as it leads, where that is elected.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::work::Work;
use crate::controller::Listener;

/// How often a process that waits says that it is alive.
const BEAT: Duration = Duration::from_secs(1);

/// Runs a controller in each term of leadership, until `stop`. Each term begins with what the store remembers, as a new process
/// does: what was decided between two terms is another's.
pub(super) async fn run(work: &Work, stop: &CancellationToken) {
    while stop.run_until_cancelled(begin(work)).await.is_some() {
        let term = stop.child_token();
        let Some(controller) = stop.run_until_cancelled(work.controller()).await else {
            return;
        };
        let over = async {
            over(work).await;
            term.cancel();
            // The controller ends by itself now.
            std::future::pending().await
        };
        tokio::select! {
            () = controller.run(term.clone()) => {}
            () = over => {}
        }
        // A term that ended by itself, since another process saves memory, is not begun anew at once.
        if stop.run_until_cancelled(sleep(BEAT)).await.is_none() {
            return;
        }
    }
}

/// Waits until all caches are full and we lead.
async fn begin(work: &Work) {
    let mut leadership = work.leadership.clone();
    loop {
        work.telemetry.beat();
        let leads = leadership
            .as_ref()
            .is_none_or(|leadership| leadership.borrow().leads(Instant::now()));
        if leads && work.cluster.is_ready() {
            return;
        }
        let changed = async {
            match &mut leadership {
                // An election that has ended cannot make us lead; that it has ended is somebody else's to tell.
                Some(leadership) => match leadership.changed().await {
                    Ok(()) => {}
                    Err(_) => std::future::pending().await,
                },
                None => std::future::pending().await,
            }
        };
        let ready = async {
            match leads {
                true => work.cluster.ready().await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            () = changed => {}
            () = ready => {}
            () = sleep(BEAT) => {}
        }
    }
}

/// Waits until we lead no more.
async fn over(work: &Work) {
    let Some(mut leadership) = work.leadership.clone() else {
        return std::future::pending().await;
    };
    while leadership.borrow_and_update().leads(Instant::now()) {
        // The election is gone where its sender is: nobody renews the Lease then.
        if leadership.changed().await.is_err() {
            return;
        }
    }
}
