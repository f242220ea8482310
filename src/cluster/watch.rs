//! One watch: a list, then every change, for as long as the process runs.
//!
//! Not kube's `watcher`, for four reasons: that has no bound for a line, none for the time of a list, keeps bookmarks to
//! itself (so that a watch that is up cannot be told from one that is dead), and never falls back from streamed lists.

mod backoff;
mod event;
mod frames;
mod health;
mod lines;
mod messages;
mod pieces;
mod place;
pub(super) mod reread;
mod trouble;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, header};
use kube::Client;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, warn};

use super::resource::Collection;
use crate::wire::protobuf::ProtobufError;
use crate::wire::{self, Limits, WireFailure};
use backoff::Backoff;
use event::{Event, Unreadable, read_message, read_page};
pub(super) use health::CURRENT;
use health::Monitor;
pub use health::{WatchHandle, WatchHealth, WatchTrouble};
use messages::Messages;
pub use place::{Part, Place};
use trouble::Trouble;

/// From the request for a watch to its first byte.
const OPEN_PATIENCE: Duration = Duration::from_secs(30);

/// A watch that says nothing for so long is asked for again, at the same place: API servers send a bookmark a minute, but
/// for a resource that never had an object. Whether the server is there shows in its answer to that.
const SILENCE: Duration = Duration::from_secs(90);

/// The same while the list is streamed: the server has everything at hand then.
const LIST_SILENCE: Duration = Duration::from_secs(15);

/// The most time for a streamed list: 100,000 pods take some 15 s.
const LIST_PATIENCE: Duration = Duration::from_secs(180);

/// A right that is not needed may be granted some day: it is looked for at this distance...
const FORBIDDEN_WAIT: Duration = Duration::from_secs(300);

/// ... once the server has said no so often: one that has just started may do so by mistake.
const FORBIDDEN_FOR_GOOD: u32 = 5;

/// So many streamed lists may break off before pages are tried: something between us and the server may cut them.
const BROKEN_LISTS: u32 = 3;

/// A server ends each watch after five to ten minutes, as client-go asks it to: clients spread over servers again.
const WATCH_SECONDS: (f64, f64) = (300.0, 600.0);

/// A watch that ends sooner is a failure: to begin again at once would be a busy loop.
const SHORTEST_WATCH: Duration = Duration::from_secs(1);

/// How a watch is asked for where its objects can be read as protobuf: servers have it for all kinds but custom ones.
const ACCEPTED: &str = "application/vnd.kubernetes.protobuf;stream=watch, application/json;q=0.9";

/// The annotation of the bookmark that ends a streamed list.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// Objects a page, as in client-go.
const PAGE: usize = 500;

/// One page of a list: 500 pods are 4 MB, 500 objects of etcd's largest size would be 750 MB. On "too large" the page is halved.
const PAGE_LIMITS: Limits = Limits {
    time: Duration::from_secs(60),
    bytes: 128 * 1024 * 1024,
};

/// A kind of object that can be watched.
///
/// Its `Deserialize` should be lenient: an object that cannot be read is missing from the cache.
pub trait Watched: DeserializeOwned + Send + 'static {
    /// Where the API has objects of this kind.
    const COLLECTION: Collection;

    /// Reads an object of this kind from protobuf, as leniently; `None`: JSON is asked for.
    const READ_PROTOBUF: Option<ReadProtobuf<Self>> = None;

    /// `metadata.resourceVersion`.
    fn resource_version(&self) -> &str;
}

/// Reads an object from protobuf.
pub type ReadProtobuf<T> = fn(&[u8]) -> Result<T, ProtobufError>;

/// What a watch fills. All calls come from one task, in order; none may block for long.
pub trait Store: Send + Sync + 'static {
    /// What is watched.
    type Object: Watched;
    /// A list on its way in.
    type Relist: Default + Send;

    /// Puts an object into a list.
    fn add(&self, relist: &mut Self::Relist, object: Self::Object);

    /// Puts a whole list in the place of what was known of `namespace` (`None`: of the whole cluster).
    fn replace(&self, namespace: Option<&str>, relist: Self::Relist);

    /// An object is new, or has changed.
    fn apply(&self, object: Self::Object);

    /// An object is gone; this was its last state.
    fn delete(&self, object: Self::Object);
}

/// How to watch.
#[derive(Clone, Copy, Debug)]
pub struct WatchOptions {
    /// Ask for the list as a stream, which costs the API server far less; pages where it cannot do that.
    pub streamed_lists: bool,
    /// Where the jitter of waits comes from; the same seed gives the same waits.
    pub seed: u64,
}

/// Whether a watch must work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing can be decided without it.
    Required,
    /// There is another, slower way to know; the right to watch may be missing.
    Optional,
}

/// One watch, of one kind in one namespace or in the whole cluster.
pub struct Watch<S: Store> {
    client: Client,
    store: Arc<S>,
    place: Place,
    need: Need,
    monitor: Arc<Monitor>,
    backoff: Backoff,
    listing: Listing,
    /// The server has not refused to stream lists.
    may_stream: bool,
    broken_lists: u32,
    /// How often in a row the server has said that we may not.
    forbidden: u32,
    page: usize,
    /// How long the server is asked to keep each watch up.
    seconds: String,
    /// The resource version up to which the store knows everything; `None`: nothing is known.
    position: Option<String>,
}

/// How the list is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Listing {
    Streamed,
    Paged,
}

impl<S: Store> Watch<S> {
    /// A watch that fills `store`; nothing happens before [`run`](Self::run).
    pub fn new(client: Client, store: Arc<S>, place: Place, need: Need, options: WatchOptions) -> (Self, WatchHandle) {
        let resource = S::Object::COLLECTION.to_string();
        let seed = resource.bytes().chain(place.namespace.iter().flat_map(|n| n.bytes()));
        let seed = seed.fold(options.seed, |seed, byte| {
            (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let monitor = Arc::new(Monitor::new(resource, place.clone(), need));
        let mut backoff = Backoff::new(seed);
        let (least, most) = WATCH_SECONDS;
        let seconds = (least + (most - least) * backoff.random()).floor().to_string();
        let watch = Self {
            client,
            store,
            place,
            need,
            monitor: monitor.clone(),
            backoff,
            seconds,
            listing: if options.streamed_lists {
                Listing::Streamed
            } else {
                Listing::Paged
            },
            may_stream: options.streamed_lists,
            broken_lists: 0,
            forbidden: 0,
            page: PAGE,
            position: None,
        };
        (watch, WatchHandle { monitor })
    }

    /// Watches until it is dropped. Whatever fails is tried again, after a wait.
    pub async fn run(mut self) {
        loop {
            let Err(trouble) = self.turn().await else {
                continue;
            };
            self.report(&trouble);
            if self.position.is_some() && trouble.needs_a_list() {
                self.position = None;
                // The server is there, and a list is the way out.
                self.backoff.reset();
            }
            let wait = self.backoff.wait(trouble.retry_after());
            self.forbidden = if trouble.is_forbidden() { self.forbidden + 1 } else { 0 };
            let given_up = self.need == Need::Optional && self.forbidden >= FORBIDDEN_FOR_GOOD;
            sleep(if given_up { FORBIDDEN_WAIT } else { wait }).await;
        }
    }

    /// A list where one is needed, then all changes until the server ends the watch.
    async fn turn(&mut self) -> Result<(), Trouble> {
        let messages = match (&self.position, self.listing) {
            (Some(position), _) => self.open(&[("resourceVersion", position)]).await?,
            (None, Listing::Streamed) => match self.streamed_list().await {
                Ok(messages) => messages,
                Err(trouble) => return self.fall_back(trouble),
            },
            (None, Listing::Paged) => {
                let position = self.paged_list().await?;
                let messages = self.open(&[("resourceVersion", &position)]).await;
                self.position = Some(position);
                messages?
            }
        };
        self.follow(messages).await
    }

    /// Where streamed lists do not work, the next list is asked for in pages: for good where the server says that it has
    /// none, else once.
    fn fall_back(&mut self, trouble: Trouble) -> Result<(), Trouble> {
        if trouble.refuses_streamed_lists() {
            self.may_stream = false;
        } else if trouble.is_before_the_list() {
            return Err(trouble);
        } else {
            self.broken_lists += 1;
            if !trouble.shows_no_list() && self.broken_lists < BROKEN_LISTS {
                return Err(trouble);
            }
        }
        debug!(resource = %S::Object::COLLECTION, error = %trouble, "The list is read in pages");
        self.listing = Listing::Paged;
        Ok(())
    }

    async fn open(&self, more: &[(&str, &str)]) -> Result<Messages, Trouble> {
        let mut query = vec![
            ("watch", "1"),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", &self.seconds),
        ];
        query.extend_from_slice(more);
        let target = wire::path_and_query(&S::Object::COLLECTION.path(self.place.namespace.as_deref()), &query);
        let mut request = wire::request(Method::GET, &target, Vec::new())?;
        // Servers from v1.37 on compress each event by itself, of which tower-http would read the first only.
        request
            .headers_mut()
            .insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if S::Object::READ_PROTOBUF.is_some() {
            request
                .headers_mut()
                .insert(header::ACCEPT, HeaderValue::from_static(ACCEPTED));
        }
        Ok(Messages::of(wire::open(&self.client, request, OPEN_PATIENCE).await?))
    }

    /// Reads a list that comes as the beginning of a watch; the watch goes on behind it.
    async fn streamed_list(&mut self) -> Result<Messages, Trouble> {
        let deadline = Instant::now() + LIST_PATIENCE;
        let streamed = [("sendInitialEvents", "true"), ("resourceVersionMatch", "NotOlderThan")];
        let mut messages = self.open(&streamed).await?;
        let mut relist = S::Relist::default();
        loop {
            let until = deadline.min(Instant::now() + LIST_SILENCE);
            let message = timeout_at(until, messages.next())
                .await
                .map_err(|_| Trouble::Silent(LIST_SILENCE))?;
            match read_message(&message?.ok_or(Trouble::Ended)?, self.place.part.as_deref()) {
                Ok(Event::Applied(object)) => self.store.add(&mut relist, object),
                Ok(Event::Bookmark {
                    resource_version,
                    ends_the_list: true,
                }) => {
                    self.replace(relist);
                    self.position = Some(resource_version);
                    return Ok(messages);
                }
                Ok(Event::Bookmark { .. } | Event::Dropped { .. }) => {}
                Ok(Event::Deleted(_)) => return Err(Trouble::Changes),
                Ok(Event::Refused(status)) => return Err(Trouble::Refused(status)),
                Err(error) => self.skip(&error),
            }
        }
    }

    /// Reads a list page by page; gives its resource version.
    async fn paged_list(&mut self) -> Result<String, Trouble> {
        let path = S::Object::COLLECTION.path(self.place.namespace.as_deref());
        let mut relist = S::Relist::default();
        let mut rest = String::new();
        loop {
            let limit = self.page.to_string();
            let query = [("limit", limit.as_str()), ("continue", &rest)];
            let body = match wire::get(&self.client, &path, &query, PAGE_LIMITS).await {
                Err(error) if error.failure() == WireFailure::TooLarge && self.page > 1 => {
                    self.page /= 2;
                    continue;
                }
                body => body?,
            };
            let page = read_page(&body, self.place.part.as_deref()).map_err(Trouble::NoList)?;
            for item in page.items {
                match item {
                    Ok(object) => self.store.add(&mut relist, object),
                    Err(error) => self.skip(&error),
                }
            }
            rest = page.rest;
            if rest.is_empty() {
                if page.resource_version.is_empty() {
                    return Err(Trouble::NoVersion);
                }
                self.replace(relist);
                return Ok(page.resource_version);
            }
        }
    }

    fn replace(&mut self, relist: S::Relist) {
        self.store.replace(self.place.namespace.as_deref(), relist);
        self.monitor.listed();
        self.backoff.reset();
        self.broken_lists = 0;
        if self.may_stream {
            self.listing = Listing::Streamed;
        }
    }

    /// Takes in every change until the server ends the watch in time.
    async fn follow(&mut self, mut messages: Messages) -> Result<(), Trouble> {
        let begun = Instant::now();
        loop {
            let Ok(message) = timeout(SILENCE, messages.next()).await else {
                debug!(resource = %S::Object::COLLECTION, "Silent for long: watching anew");
                return Ok(());
            };
            let Some(message) = message? else {
                let early = begun.elapsed() < SHORTEST_WATCH;
                return if early { Err(Trouble::Ended) } else { Ok(()) };
            };
            match read_message::<S::Object>(&message, self.place.part.as_deref()) {
                Ok(Event::Applied(object)) => {
                    self.advance(object.resource_version());
                    self.store.apply(object);
                }
                Ok(Event::Deleted(object)) => {
                    self.advance(object.resource_version());
                    self.store.delete(object);
                }
                Ok(Event::Bookmark { resource_version, .. } | Event::Dropped { resource_version }) => {
                    self.advance(&resource_version);
                }
                Ok(Event::Refused(status)) => return Err(Trouble::Refused(status)),
                Err(error) => self.skip(&error),
            }
            self.monitor.heard();
            self.backoff.reset();
        }
    }

    fn advance(&mut self, resource_version: &str) {
        if !resource_version.is_empty() {
            let position = self.position.get_or_insert_default();
            position.clear();
            position.push_str(resource_version);
        }
    }

    fn skip(&self, error: &Unreadable) {
        let unreadable = self.monitor.unreadable();
        warn!(
            resource = %S::Object::COLLECTION,
            namespace = self.place.namespace.as_deref(),
            unreadable,
            error = error as &dyn Error,
            "An object cannot be read and is left out"
        );
    }

    fn report(&self, trouble: &Trouble) {
        let resource = S::Object::COLLECTION;
        let mut message = trouble.to_string();
        if trouble.is_forbidden() {
            let place = match &self.place.namespace {
                Some(namespace) => format!("in namespace {namespace} (by a Role there)"),
                None => "in all namespaces (by a ClusterRole)".to_owned(),
            };
            message.push_str(&format!("; grant the verbs list and watch on {resource} {place}"));
        }
        // Too old a resource version is in the nature of watches, a right that is not needed in that of roles.
        let expected = trouble.needs_a_list() || (self.need == Need::Optional && trouble.is_forbidden());
        if self.monitor.failed(trouble.reason(), message.clone()) && !expected {
            warn!(%resource, namespace = self.place.namespace.as_deref(), error = message, "Watch failed, trying again");
        } else {
            debug!(%resource, namespace = self.place.namespace.as_deref(), error = message, "Watch failed, trying again");
        }
    }
}

#[cfg(test)]
mod tests;
