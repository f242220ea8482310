//! Watches: what changes, for as long as the client stays or asked for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::lists;
use super::refusal::Refusal;
use super::resources::Resource;
use super::selection::Selection;
use super::store::{Change, Store};
use super::table;
use super::target::Parameters;

/// Between two bookmarks, as API servers send them.
const BOOKMARKS: Duration = Duration::from_secs(60);

/// A watch ends after this where the client names no time. API servers take from 30 to 60 minutes, which in a demo that
/// runs sixty times as fast would end `kubectl get --watch` within a minute.
const LONGEST: Duration = Duration::from_secs(48 * 60 * 60);

/// One watch.
pub(super) struct Watching {
    store: Arc<Store>,
    resource: &'static Resource,
    selection: Selection,
    /// Everything up to this version was sent.
    position: u64,
    versions: watch::Receiver<u64>,
    ends: Instant,
    bookmark: Option<Instant>,
    as_table: bool,
    /// What is to be sent first.
    first: VecDeque<Bytes>,
    over: bool,
}

impl Watching {
    /// # Errors
    ///
    /// 410 for a version that is no longer known, 400 for parameters that do not go together.
    pub(super) fn begin(
        store: Arc<Store>,
        resource: &'static Resource,
        selection: Selection,
        parameters: &Parameters,
        as_table: bool,
    ) -> Result<Self, Refusal> {
        let versions = store.versions();
        let bookmarks = parameters.is_true("allowWatchBookmarks");
        let asked = parameters.number("resourceVersion")?;
        let initial = parameters.is_true("sendInitialEvents");
        let (not_older, given) = (
            parameters.get("resourceVersionMatch"),
            parameters.get("sendInitialEvents"),
        );
        if given.is_empty() != not_older.is_empty()
            || (initial && !bookmarks)
            || !matches!(not_older, "" | "NotOlderThan")
        {
            let message = "sendInitialEvents needs resourceVersionMatch=NotOlderThan and allowWatchBookmarks";
            return Err(Refusal::new(422, "Invalid", message));
        }
        let now = Instant::now();
        let longest = parameters
            .number("timeoutSeconds")?
            .map_or(LONGEST, Duration::from_secs);
        let mut watching = Self {
            position: 0,
            versions,
            ends: now + longest,
            bookmark: bookmarks.then(|| now + BOOKMARKS),
            as_table,
            first: VecDeque::new(),
            over: false,
            store,
            resource,
            selection,
        };
        match asked {
            Some(version) if version != 0 && !initial => {
                // A version that is too old is refused within the watch, as API servers do it.
                if version > *watching.versions.borrow() {
                    let message = format!("Too large resource version: {version}");
                    return Err(Refusal::new(504, "Timeout", message));
                }
                watching.position = version;
            }
            _ => watching.send_all(initial),
        }
        Ok(watching)
    }

    /// What there is, as if it had been made just now.
    fn send_all(&mut self, with_end: bool) {
        let (objects, version) = self.store.list(self.resource, None);
        for object in objects.iter().filter(|object| self.selection.picks(object)) {
            self.first.push_back(self.line("ADDED", object));
        }
        self.position = version;
        if with_end {
            let mut end = self.bookmark_object();
            end["metadata"]["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
            self.first.push_back(lists::line("BOOKMARK", &end).into());
        }
    }

    /// The lines of the answer, some at a time.
    pub(super) fn into_stream(self) -> impl Stream<Item = Bytes> + Send {
        stream::unfold(self, |mut watching| async move {
            let bytes = watching.next().await?;
            Some((bytes, watching))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(first) = self.first.pop_front() {
                return Some(first);
            }
            if self.over {
                return None;
            }
            self.versions.mark_unchanged();
            match self.store.changes_after(self.resource, self.position) {
                Ok((changes, version)) => {
                    self.position = version;
                    let lines = changes.iter().filter_map(|change| self.event(change));
                    let lines: VecDeque<Bytes> = lines.collect();
                    self.first = lines;
                }
                Err(refusal) => {
                    self.over = true;
                    return Some(lists::line("ERROR", &refusal.status()).into());
                }
            }
            if !self.first.is_empty() {
                continue;
            }
            let bookmark = self.bookmark.unwrap_or(self.ends).min(self.ends);
            tokio::select! {
                biased;
                // The sender lives in the store, and that with us.
                _ = self.versions.changed() => {}
                () = sleep_until(bookmark) => {
                    if Instant::now() >= self.ends {
                        return None;
                    }
                    self.bookmark = Some(Instant::now() + BOOKMARKS);
                    return Some(lists::line("BOOKMARK", &self.bookmark_object()).into());
                }
            }
        }
    }

    /// An object that comes into the selection is new to the watch, one that leaves it is gone.
    fn event(&self, change: &Change) -> Option<Bytes> {
        let picked = |object: &Option<Arc<Value>>| object.as_ref().is_some_and(|object| self.selection.picks(object));
        match (picked(&change.before), picked(&change.after)) {
            (false, false) => None,
            (false, true) => Some(self.line("ADDED", &change.object)),
            (true, true) => Some(self.line("MODIFIED", &change.object)),
            (true, false) => Some(self.line("DELETED", &change.object)),
        }
    }

    fn line(&self, kind: &str, object: &Arc<Value>) -> Bytes {
        if self.as_table {
            let table = table::of(self.resource, std::slice::from_ref(object), self.store.now());
            return lists::line(kind, &table).into();
        }
        lists::line(kind, object).into()
    }

    fn bookmark_object(&self) -> Value {
        json!({ "kind": self.resource.kind, "apiVersion": self.resource.api_version(),
            "metadata": { "resourceVersion": self.position.to_string() } })
    }
}
