//! How a watch is doing.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Need, Place};

/// With a watch down for so long, what it knew counts as old: longer than an API server takes to restart on its own.
pub(in crate::cluster) const CURRENT: Duration = Duration::from_secs(10);

/// How a watch is doing, at the moment of asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchHealth {
    /// What is watched, as `kubectl` calls it: `pods`, `deployments.apps`.
    pub resource: String,
    /// Where; `None` is the whole cluster.
    pub namespace: Option<Arc<str>>,
    /// Whether anything works without it.
    pub need: Need,
    /// Everything has been read at least once, this long ago; `None`: not yet.
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
    /// Whether the cache is filled, or not needed. It may be old: see [`trouble`](Self::trouble).
    pub fn is_ready(&self) -> bool {
        self.ready_for.is_some() || self.need == Need::Optional
    }
}

/// Sees how a watch is doing, from outside of its task.
#[derive(Clone)]
pub struct WatchHandle {
    pub(super) monitor: Arc<Monitor>,
}

impl WatchHandle {
    /// How the watch is doing now.
    pub fn health(&self) -> WatchHealth {
        self.monitor.health()
    }

    /// Whether this is the watch of `namespace`.
    pub fn covers(&self, namespace: &str) -> bool {
        self.monitor.covers(namespace)
    }

    /// Everything has been read once, and the watch is up but for short interruptions.
    pub fn is_current(&self) -> bool {
        self.monitor.is_current(CURRENT)
    }

    /// Everything has been read once or, where the watch is not required, a first try has failed.
    pub fn is_settled(&self) -> bool {
        self.monitor.progress().borrow().is_enough_for(self.monitor.need())
    }

    /// Waits until the watch [is settled](Self::is_settled).
    pub async fn settled(&self) {
        let need = self.monitor.need();
        // An error would mean that the sender is gone, but the monitor that owns it is ours.
        let _ = self
            .monitor
            .progress()
            .wait_for(|progress| progress.is_enough_for(need))
            .await;
    }

    /// Says that the watch's task is gone, which it never is of itself.
    pub(in crate::cluster) fn ended(&self, message: String) {
        self.monitor.failed("Ended", message);
    }
}

/// The health of one watch, written by its task and read by everybody.
pub(super) struct Monitor {
    resource: String,
    place: Place,
    need: Need,
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

impl Progress {
    fn is_enough_for(self, need: Need) -> bool {
        self.ready || (self.tried && need == Need::Optional)
    }
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
    pub(super) fn new(resource: String, place: Place, need: Need) -> Self {
        let progress = watch::Sender::new(Progress::default());
        Self {
            resource,
            place,
            need,
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

    fn need(&self) -> Need {
        self.need
    }

    fn covers(&self, namespace: &str) -> bool {
        self.place.covers(namespace)
    }

    /// Everything has been read, and nothing has been wrong for longer than `patience`.
    fn is_current(&self, patience: Duration) -> bool {
        let state = self.state.lock();
        let trouble = state.trouble.as_ref().map(|(_, _, since)| since.elapsed());
        state.ready_at.is_some() && trouble.is_none_or(|lasts| lasts <= patience)
    }

    fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    fn health(&self) -> WatchHealth {
        let state = self.state.lock();
        WatchHealth {
            resource: self.resource.clone(),
            namespace: self.place.namespace.clone(),
            need: self.need,
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
