//! How a watch is doing.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

/// How a watch is doing, at the moment of asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchHealth {
    /// What is watched, as `kubectl` calls it: `pods`, `deployments.apps`.
    pub resource: String,
    /// Where; `None` is the whole cluster.
    pub namespace: Option<Arc<str>>,
    /// Everything has been read at least once, at this long ago; `None`: not yet.
    pub ready_for: Option<Duration>,
    /// When the server last sent anything, bookmarks (one a minute) included; `None`: never.
    pub heard_ago: Option<Duration>,
    /// What is wrong now, and what would help; `None` while the watch is up.
    pub trouble: Option<WatchTrouble>,
    /// Objects that could not be read, since the start. They are missing from the cache.
    pub unreadable: u64,
    /// How often everything was read anew, since the start.
    pub lists: u64,
}

/// What is wrong with a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchTrouble {
    /// A short name, from the list of [`WireFailure`](crate::wire::WireFailure), `Unreadable`, `Silent` or `Ended`.
    pub reason: &'static str,
    /// What happened, and what would help.
    pub message: String,
    /// For how long.
    pub lasts: Duration,
}

impl WatchHealth {
    /// Whether the cache is filled. It may be old: see [`trouble`](Self::trouble).
    pub fn is_ready(&self) -> bool {
        self.ready_for.is_some()
    }
}

/// The health of one watch, written by its task and read by everybody.
pub(super) struct Monitor {
    resource: String,
    namespace: Option<Arc<str>>,
    state: Mutex<State>,
    /// Changes when the watch becomes ready, or is in trouble for the first time.
    progress: watch::Sender<Progress>,
}

/// How far a watch has come since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) ready: bool,
    /// At least one try has failed.
    pub(super) tried: bool,
}

#[derive(Default)]
struct State {
    ready_at: Option<Instant>,
    heard_at: Option<Instant>,
    trouble: Option<(&'static str, String, Instant)>,
    unreadable: u64,
    lists: u64,
}

impl Monitor {
    pub(super) fn new(resource: String, namespace: Option<Arc<str>>) -> Self {
        let progress = watch::Sender::new(Progress::default());
        Self {
            resource,
            namespace,
            state: Mutex::default(),
            progress,
        }
    }

    /// The server has sent something: the watch is up.
    pub(super) fn heard(&self) {
        let mut state = self.state.lock();
        state.heard_at = Some(Instant::now());
        state.trouble = None;
    }

    /// Everything has been read.
    pub(super) fn listed(&self) {
        let now = Instant::now();
        let mut state = self.state.lock();
        state.ready_at.get_or_insert(now);
        state.heard_at = Some(now);
        state.trouble = None;
        state.lists += 1;
        drop(state);
        self.progress
            .send_if_modified(|progress| !std::mem::replace(&mut progress.ready, true));
    }

    /// Something is wrong; whether it is news.
    pub(super) fn failed(&self, reason: &'static str, message: String) -> bool {
        let mut state = self.state.lock();
        let news = !matches!(&state.trouble, Some((former, _, _)) if *former == reason);
        let since = state.trouble.as_ref().map_or_else(Instant::now, |(_, _, since)| *since);
        state.trouble = Some((reason, message, since));
        drop(state);
        self.progress
            .send_if_modified(|progress| !std::mem::replace(&mut progress.tried, true));
        news
    }

    /// An object could not be read; how many there were.
    pub(super) fn unreadable(&self) -> u64 {
        let mut state = self.state.lock();
        state.unreadable += 1;
        state.unreadable
    }

    pub(super) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    pub(super) fn health(&self) -> WatchHealth {
        let state = self.state.lock();
        WatchHealth {
            resource: self.resource.clone(),
            namespace: self.namespace.clone(),
            ready_for: state.ready_at.map(|at| at.elapsed()),
            heard_ago: state.heard_at.map(|at| at.elapsed()),
            trouble: state.trouble.as_ref().map(|(reason, message, since)| WatchTrouble {
                reason,
                message: message.clone(),
                lasts: since.elapsed(),
            }),
            unreadable: state.unreadable,
            lists: state.lists,
        }
    }
}
