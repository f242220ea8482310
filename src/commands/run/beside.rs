//! The tasks beside the controller: they go on until it has ended.

use std::collections::HashMap;
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// The time that they have to end: the Lease is given back within a second.
const END: Duration = Duration::from_millis(1100);

/// Tasks with their names.
#[derive(Default)]
pub(super) struct Beside {
    end: CancellationToken,
    tasks: JoinSet<()>,
    names: HashMap<Id, &'static str>,
}

impl Beside {
    /// Starts a task, which ends when the token that it is given is cancelled.
    pub(super) fn start<F>(&mut self, name: &'static str, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let handle = self.tasks.spawn(task(self.end.clone()));
        self.names.insert(handle.id(), name);
    }

    /// Waits until one of them has ended without having been told to; says which. None should.
    pub(super) async fn lost(&mut self) -> &'static str {
        match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => self.names[&id],
            Some(Err(error)) => self.names[&error.id()],
            None => std::future::pending().await,
        }
    }

    /// Tells all of them to end, and waits for it a second.
    pub(super) async fn end(mut self) {
        self.end.cancel();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(END, ended).await.is_err() {
            warn!("Not everything has ended in time");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ends_unasked_is_named() {
        let mut beside = Beside::default();
        beside.start("the patient one", |end| async move { end.cancelled().await });
        beside.start("the hasty one", |_| async {});
        assert_eq!(beside.lost().await, "the hasty one");
        beside.end().await;
    }
}
