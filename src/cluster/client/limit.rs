//! How many requests at once, and how many a second.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};
use tower::limit::ConcurrencyLimit;
use tower::service_fn;

use crate::wire::NotAfter;

/// A limit of requests a second, as kube-controller-manager's `--kube-api-qps` and `--kube-api-burst`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RequestRate {
    /// Requests a second in the long run.
    pub per_second: NonZeroU32,
    /// Requests at once after a pause.
    pub burst: NonZeroU32,
}

/// A request that has waited longer than it may.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the time is over in which it may be sent")]
struct TooLate;

/// A client that sends through `base`, with at most `concurrency` requests at a time.
///
/// A request counts until its answer begins. Where the place of the last one is taken, requests wait in order.
pub(super) fn limited(base: &Client, concurrency: NonZeroUsize, rate: Option<Arc<Bucket>>) -> Client {
    let namespace = base.default_namespace().to_owned();
    let base = base.clone();
    let send = service_fn(move |request: Request<Body>| {
        let (base, turn) = (base.clone(), rate.as_ref().map(|bucket| bucket.next_turn()));
        async move {
            if let Some(turn) = turn {
                sleep_until(turn).await;
            }
            // It may have waited since it was allowed to go.
            if let Some(NotAfter(end)) = request.extensions().get()
                && Instant::now() >= *end
            {
                return Err(kube::Error::Service(Box::new(TooLate)));
            }
            base.send(request).await as Result<Response<Body>, kube::Error>
        }
    });
    Client::new(ConcurrencyLimit::new(send, concurrency.get()), namespace)
}

/// A token bucket, kept as the time at which it would be full again.
pub(super) struct Bucket {
    /// The time that one request is worth.
    interval: Duration,
    /// How far the bucket may be behind: the worth of all requests of a burst but one.
    slack: Duration,
    full_at: Mutex<Instant>,
}

impl Bucket {
    pub(super) fn shared(rate: RequestRate) -> Arc<Self> {
        let interval = Duration::from_secs(1) / rate.per_second.get();
        let slack = interval.saturating_mul(rate.burst.get() - 1);
        Arc::new(Self {
            interval,
            slack,
            full_at: Mutex::new(Instant::now()),
        })
    }

    /// Takes a token; it is good from the returned time on.
    fn next_turn(&self) -> Instant {
        let now = Instant::now();
        let mut full_at = self.full_at.lock();
        let start = (*full_at).max(now);
        *full_at = start + self.interval;
        // Saturating at `now`: within the burst there is no wait.
        start.checked_sub(self.slack).map_or(now, |turn| turn.max(now))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bytes::Bytes;
    use http_body_util::Full;

    use super::*;

    fn request() -> Request<Body> {
        Request::get("/").body(Body::empty()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_requests_than_allowed_are_under_way() {
        let (under_way, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (now, peak) = (under_way.clone(), most.clone());
        let server = service_fn(move |_: Request<Body>| {
            let (now, peak) = (now.clone(), peak.clone());
            async move {
                peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_secs(1)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
            }
        });
        let base = Client::new(server, "default");
        let client = limited(&base, NonZeroUsize::new(4).unwrap(), None);
        let start = Instant::now();
        futures_util::future::join_all((0..12).map(|_| client.send(request()))).await;
        assert_eq!(most.load(Ordering::SeqCst), 4);
        assert_eq!(start.elapsed().as_secs(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_has_waited_until_it_may_not_be_sent_any_more_is_not_sent() {
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = sent.clone();
        let server = service_fn(move |_: Request<Body>| {
            counted.fetch_add(1, Ordering::SeqCst);
            async {
                tokio::time::sleep(Duration::from_secs(3)).await;
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
            }
        });
        let client = limited(&Client::new(server, "default"), NonZeroUsize::new(1).unwrap(), None);
        let end = Instant::now() + Duration::from_secs(5);
        let sends = (0..4).map(|_| {
            let mut request = request();
            request.extensions_mut().insert(NotAfter(end));
            client.send(request)
        });
        let outcomes = futures_util::future::join_all(sends).await;
        // At 0 and 3 s; at 6 s it is too late.
        assert_eq!(sent.load(Ordering::SeqCst), 2);
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_err()).count(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_free_and_what_follows_waits_its_turn() {
        let rate = RequestRate {
            per_second: NonZeroU32::new(10).unwrap(),
            burst: NonZeroU32::new(3).unwrap(),
        };
        let bucket = Bucket::shared(rate);
        let start = Instant::now();
        let waits = |count| {
            (0..count)
                .map(|_| (bucket.next_turn() - start).as_millis())
                .collect::<Vec<_>>()
        };
        assert_eq!(waits(5), [0, 0, 0, 100, 200]);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(waits(4), [60_000, 60_000, 60_000, 60_100]);
    }
}
