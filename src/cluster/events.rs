//! Events on autoscalers: recorded without waiting, written by a task of their own.

mod correlate;
mod recent;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::decide::Event;
pub use correlate::{Correlator, Entry, Involved, InvolvedKind, Occurrence};
use write::{Outcome, write};

/// Events that wait to be written: client-go's `maxQueuedEvents`. Beyond it, new ones are dropped.
const QUEUE: usize = 1000;

/// Tries for one Event while the server does not answer: client-go's `maxTriesPerEvent`.
const TRIES: u32 = 12;

/// Between two tries: client-go's `defaultSleepDuration`.
const BETWEEN_TRIES: Duration = Duration::from_secs(10);

/// The time for one request.
const REQUEST_TIME: Duration = Duration::from_secs(5);

/// What became of the Events so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventCounts {
    /// Written, as a new one or as a higher count.
    pub written: u64,
    /// Dropped, since their autoscaler had too many.
    pub spared: u64,
    /// Dropped, since the queue was full or the process stopped.
    pub lost: u64,
    /// Refused by the server, or given up after all tries.
    pub failed: u64,
}

#[derive(Debug, Default)]
struct Counters {
    written: AtomicU64,
    spared: AtomicU64,
    lost: AtomicU64,
    failed: AtomicU64,
}

fn add_one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Takes Events; never waits, so that no sync is delayed by them.
#[derive(Clone, Debug)]
pub struct EventRecorder {
    queue: mpsc::Sender<Occurrence>,
    counters: Arc<Counters>,
}

/// The task that writes what an [`EventRecorder`] takes.
pub struct EventWriter {
    client: Client,
    queue: mpsc::Receiver<Occurrence>,
    correlator: Correlator,
    counters: Arc<Counters>,
}

/// A recorder and the task that writes for it.
pub fn events(client: Client) -> (EventRecorder, EventWriter) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let counters = Arc::<Counters>::default();
    let writer = EventWriter {
        client,
        queue: receiver,
        correlator: Correlator::default(),
        counters: counters.clone(),
    };
    (
        EventRecorder {
            queue: sender,
            counters,
        },
        writer,
    )
}

impl EventRecorder {
    /// Takes an Event that happened to `involved` at `now`. Where the queue is full it is lost, and counted so.
    pub fn record(&self, involved: &Involved, event: &Event, now: Timestamp) {
        let occurrence = Occurrence {
            involved: involved.clone(),
            kind: event.kind,
            reason: event.reason,
            message: event.message.clone(),
            at: now,
        };
        if self.queue.try_send(occurrence).is_err() {
            add_one(&self.counters.lost);
        }
    }

    /// What became of the Events so far.
    pub fn counts(&self) -> EventCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters {
            written,
            spared,
            lost,
            failed,
        } = &*self.counters;
        EventCounts {
            written: read(written),
            spared: read(spared),
            lost: read(lost),
            failed: read(failed),
        }
    }
}

impl EventWriter {
    /// Writes Events until `stop`; then what is queued, within `flush`, and ends. Ends also when all recorders are gone
    /// and everything is written.
    pub async fn run(mut self, stop: CancellationToken, flush: Duration) {
        while let Some(occurrence) = stop.run_until_cancelled(self.queue.recv()).await {
            let Some(occurrence) = occurrence else { return };
            let Some(entry) = self.entry(occurrence) else { continue };
            if stop.run_until_cancelled(self.write_for_sure(&entry)).await.is_none() {
                // Its request may have been under way; a second one raises the same count to the same value.
                self.flush(Some(entry), flush).await;
                return;
            }
        }
        self.flush(None, flush).await;
    }

    async fn flush(mut self, first: Option<Entry>, limit: Duration) {
        let end = Instant::now() + limit;
        self.queue.close();
        let mut next = first;
        loop {
            let entry = match next.take() {
                Some(entry) => entry,
                None => match self.queue.try_recv() {
                    Ok(occurrence) => match self.entry(occurrence) {
                        Some(entry) => entry,
                        None => continue,
                    },
                    Err(_) => return,
                },
            };
            match timeout_at(end, write(&self.client, &entry, REQUEST_TIME)).await {
                Ok(Outcome::Written) => add_one(&self.counters.written),
                Ok(_) => add_one(&self.counters.failed),
                Err(_) => {
                    let lost = 1 + self.queue.len() as u64;
                    self.counters.lost.fetch_add(lost, Ordering::Relaxed);
                    return;
                }
            }
        }
    }

    fn entry(&mut self, occurrence: Occurrence) -> Option<Entry> {
        let entry = self.correlator.correlate(occurrence);
        if entry.is_none() {
            add_one(&self.counters.spared);
        }
        entry
    }

    /// Tries again while the server does not answer. A refusal is final.
    async fn write_for_sure(&self, entry: &Entry) {
        for attempt in 1..=TRIES {
            match write(&self.client, entry, REQUEST_TIME).await {
                Outcome::Written => return add_one(&self.counters.written),
                Outcome::Refused => break,
                Outcome::Unanswered if attempt < TRIES => sleep(BETWEEN_TRIES).await,
                Outcome::Unanswered => {}
            }
        }
        add_one(&self.counters.failed);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http::{Method, Request, Response};
    use http_body_util::{BodyExt, Full};
    use kube::client::Body;
    use parking_lot::Mutex;
    use serde_json::Value;
    use tower::service_fn;

    use super::*;
    use crate::decide::EventKind;
    use crate::spec::Key;

    type Log = Arc<Mutex<Vec<(Method, String, Value)>>>;

    /// A server that keeps what it is sent and answers with the next of these codes, then 201; 0: no answer.
    fn server(codes: &[u16]) -> (Client, Log) {
        let log = Log::default();
        let codes: Arc<Mutex<Vec<u16>>> = Arc::new(Mutex::new(codes.iter().rev().copied().collect()));
        let kept = log.clone();
        let service = service_fn(move |request: Request<Body>| {
            let (log, codes) = (kept.clone(), codes.clone());
            async move {
                let (head, body) = request.into_parts();
                let body = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
                log.lock().push((head.method, head.uri.path().to_owned(), body));
                let code = codes.lock().pop().unwrap_or(201);
                if code == 0 {
                    std::future::pending::<()>().await;
                }
                Ok::<_, Infallible>(
                    Response::builder()
                        .status(code)
                        .body(Full::new(Bytes::from("{}")))
                        .unwrap(),
                )
            }
        });
        (Client::new(service, "default"), log)
    }

    fn web() -> Involved {
        Involved {
            kind: InvolvedKind::Autoscaler,
            key: Key::new("shop", "web"),
            uid: "u-1".into(),
            resource_version: "7".into(),
        }
    }

    fn event(message: &str) -> Event {
        Event {
            kind: EventKind::Normal,
            reason: "SuccessfulRescale",
            message: message.into(),
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_767_600_000 + seconds).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_is_as_kubernetes_writes_it_and_a_repetition_raises_its_count() {
        let (client, log) = server(&[]);
        let (recorder, writer) = events(client);
        recorder.record(&web(), &event("New size: 6; reason: cpu"), at(0));
        recorder.record(&web(), &event("New size: 6; reason: cpu"), at(15));
        drop(recorder);
        writer.run(CancellationToken::new(), Duration::from_secs(1)).await;
        let log = log.lock();
        let (method, path, body) = &log[0];
        assert_eq!(
            (method, path.as_str()),
            (&Method::POST, "/api/v1/namespaces/shop/events")
        );
        let name = body["metadata"]["name"].as_str().unwrap();
        let expected = serde_json::json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": { "name": name, "namespace": "shop" },
            "involvedObject": {
                "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "namespace": "shop", "name": "web",
                "uid": "u-1", "resourceVersion": "7",
            },
            "reason": "SuccessfulRescale", "message": "New size: 6; reason: cpu", "type": "Normal", "count": 1,
            "firstTimestamp": "2026-01-05T08:00:00Z", "lastTimestamp": "2026-01-05T08:00:00Z",
            "source": { "component": "horizontal-pod-autoscaler" }, "reportingComponent": "horizontal-pod-autoscaler",
            "reportingInstance": "",
        });
        let mut body = body.clone();
        body["reportingInstance"] = "".into();
        assert_eq!(body, expected);
        let (method, path, body) = &log[1];
        assert_eq!(
            (method, path),
            (&Method::PATCH, &format!("/api/v1/namespaces/shop/events/{name}"))
        );
        assert_eq!(
            (&body["count"], &body["lastTimestamp"]),
            (&2.into(), &"2026-01-05T08:00:15Z".into())
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_that_the_server_forgot_is_made_anew_with_its_count() {
        let (client, log) = server(&[201, 404, 201]);
        let (recorder, writer) = events(client);
        recorder.record(&web(), &event("a"), at(0));
        recorder.record(&web(), &event("a"), at(15));
        drop(recorder.clone());
        let counts = recorder.clone();
        drop(recorder);
        let stop = CancellationToken::new();
        stop.cancel();
        writer.run(stop, Duration::from_secs(1)).await;
        assert_eq!(log.lock()[2].0, Method::POST);
        assert_eq!(log.lock()[2].2["count"], 2);
        assert_eq!(counts.counts().written, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_server_is_away_events_are_kept_and_tried_again() {
        let (client, log) = server(&[503, 0, 201]);
        let (recorder, writer) = events(client);
        let task = tokio::spawn(writer.run(CancellationToken::new(), Duration::from_secs(1)));
        recorder.record(&web(), &event("a"), at(0));
        sleep(Duration::from_secs(60)).await;
        assert_eq!(log.lock().len(), 3);
        assert_eq!(
            recorder.counts(),
            EventCounts {
                written: 1,
                ..EventCounts::default()
            }
        );
        task.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_final() {
        let (client, log) = server(&[403]);
        let (recorder, writer) = events(client);
        recorder.record(&web(), &event("a"), at(0));
        let counts = recorder.clone();
        drop(recorder);
        let task = tokio::spawn(writer.run(CancellationToken::new(), Duration::from_secs(1)));
        sleep(Duration::from_secs(60)).await;
        assert_eq!((log.lock().len(), counts.counts().failed), (1, 1));
        task.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_flushes_the_queue_within_its_limit() {
        let (client, log) = server(&[201, 201, 0]);
        let (recorder, writer) = events(client);
        (0..5).for_each(|n| recorder.record(&web(), &event(&format!("{n}")), at(n)));
        let stop = CancellationToken::new();
        stop.cancel();
        let began = Instant::now();
        writer.run(stop, Duration::from_millis(500)).await;
        assert_eq!(began.elapsed(), Duration::from_millis(500));
        assert_eq!(log.lock().len(), 3);
        assert_eq!(
            recorder.counts(),
            EventCounts {
                written: 2,
                lost: 3,
                ..EventCounts::default()
            }
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_loses_events_and_delays_nobody() {
        let (client, _) = server(&[]);
        let (recorder, _writer) = events(client);
        (0..1003).for_each(|_| recorder.record(&web(), &event("a"), at(0)));
        assert_eq!(recorder.counts().lost, 3);
    }
}
