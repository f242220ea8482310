//! One metrics API of Kubernetes: how it is asked, and questions that many wait for.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use http::{HeaderValue, Method, header};
use kube::Client;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::allowance::Allowance;
use super::decode::DecodeError;
use super::failure::{MetricsApi, SourceError};
use super::guard::{Guard, GuardSettings};
use crate::observe::FailureKind;
use crate::wire::{self, Incoming, Limits, WireError, WireFailure};

/// Larger answers are decoded beside the event loop: 1 MiB takes about 1.5 ms.
const DECODE_ASIDE_BYTES: usize = 1024 * 1024;

/// What all answers of a metrics API within one pass may have together: three times the usages of 150,000 pods. Questions that
/// are under way when it is used up may each still bring what was left when they began.
pub(super) const PASS_BYTES: usize = 256 * 1024 * 1024;

/// A metrics API behind a guard.
#[derive(Clone)]
pub(super) struct Api {
    client: Client,
    name: MetricsApi,
    guard: Arc<Guard>,
    time: Duration,
    /// The largest answer that is read.
    bytes: usize,
}

impl Api {
    /// The API `name` behind `client`, asked within the bounds of `settings`, for answers of at most `bytes`. `seed` varies how
    /// long it rests after failures.
    pub(super) fn new(client: Client, name: MetricsApi, settings: GuardSettings, bytes: usize, seed: u64) -> Self {
        Self {
            client,
            name,
            guard: Arc::new(Guard::new(name, settings, seed)),
            time: settings.time,
            bytes,
        }
    }

    pub(super) fn guard(&self) -> &Guard {
        &self.guard
    }

    /// One request, read by `read`, whose answer counts against `allowance`; to be asked within [`Guard::ask`].
    pub(super) async fn get<T: Send + 'static>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        allowance: &Allowance,
        read: impl FnOnce(&Bytes) -> Result<T, DecodeError> + Send + 'static,
    ) -> Result<T, SourceError> {
        let limits = self.limits(allowance)?;
        let body = wire::get(&self.client, path, query, limits).await;
        let body = body.map_err(|error| self.failed(limits, error))?;
        allowance.spend(body.len());
        self.decode(body.len(), move || read(&body)).await
    }

    /// One request whose answer is read as it comes, in one of the media types that `accept` lists; to be asked within
    /// [`Guard::ask`]. Whoever reads it has `allowance` pay for what came.
    pub(super) async fn begin(
        &self,
        path: &str,
        accept: &'static str,
        allowance: &Allowance,
    ) -> Result<Incoming, SourceError> {
        let limits = self.limits(allowance)?;
        let begun = async {
            let mut request = wire::request(Method::GET, path, Vec::new())?;
            let headers = request.headers_mut();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            // Packing and unpacking take more of everyone's time than the bytes that they save.
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            wire::begin(&self.client, request, limits).await
        };
        begun.await.map_err(|error| self.failed(limits, error))
    }

    /// The next piece of what was begun; `None` at the end.
    pub(super) async fn next(&self, incoming: &mut Incoming) -> Result<Option<Bytes>, SourceError> {
        let piece = incoming.next().await;
        piece.map_err(|error| SourceError::wire(self.name, error))
    }

    /// All that is still to come.
    pub(super) async fn whole(&self, incoming: Incoming) -> Result<Bytes, SourceError> {
        let whole = incoming.whole().await;
        whole.map_err(|error| SourceError::wire(self.name, error))
    }

    /// Decodes an answer of so many bytes, or what is left to do of one.
    pub(super) async fn decode<T: Send + 'static>(
        &self,
        bytes: usize,
        decode: impl FnOnce() -> Result<T, DecodeError> + Send + 'static,
    ) -> Result<T, SourceError> {
        let answer = if bytes < DECODE_ASIDE_BYTES {
            decode()
        } else {
            let aside = tokio::task::spawn_blocking(decode);
            aside.await.map_err(|_| SourceError::broken_off(self.name))?
        };
        answer.map_err(|error| self.unreadable(error))
    }

    /// The answer is not what the API promises.
    pub(super) fn unreadable(&self, error: DecodeError) -> SourceError {
        SourceError::unreadable(self.name, error)
    }

    fn limits(&self, allowance: &Allowance) -> Result<Limits, SourceError> {
        match allowance.left() {
            0 => Err(self.over_budget()),
            left => Ok(Limits {
                time: self.time,
                bytes: self.bytes.min(left),
            }),
        }
    }

    fn failed(&self, limits: Limits, error: WireError) -> SourceError {
        if error.failure() == WireFailure::TooLarge && limits.bytes < self.bytes {
            return self.over_budget();
        }
        SourceError::wire(self.name, error)
    }

    fn over_budget(&self) -> SourceError {
        let message = format!("its answers of this pass are larger than {PASS_BYTES} bytes together");
        SourceError::of_question(self.name, FailureKind::OverBudget, message)
    }
}

/// A question that is asked once, for all who wait for it.
///
/// A future that nobody polls any more does not move on; dropping the last of them gives up what is under way.
pub(super) type Answer<V> = Shared<BoxFuture<'static, Result<V, SourceError>>>;

/// The questions of one pass: each is asked once, and all who ask it get the same answer.
pub(super) struct Answers<K, V>(Mutex<FxHashMap<K, Answer<V>>>);

impl<K, V> Default for Answers<K, V> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::default()))
    }
}

impl<K: Hash + Eq, V: Clone + Send + Sync + 'static> Answers<K, V> {
    /// The answer to `question`; `ask` is called where nobody has asked it yet.
    pub(super) fn get<F>(&self, question: K, ask: impl FnOnce() -> F) -> Answer<V>
    where
        F: Future<Output = Result<V, SourceError>> + Send + 'static,
    {
        let mut answers = self.0.lock();
        answers
            .entry(question)
            .or_insert_with(|| ask().boxed().shared())
            .clone()
    }
}
