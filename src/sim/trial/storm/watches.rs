//! Watches that break, tell late, or tell twice.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Response;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::Value;
use tokio::time::sleep;

use super::Storm;
use super::answers::PIECE;
use crate::sim::api::AnswerBody;
use crate::sim::random::Random;
use crate::sim::time::VirtualClock;
use crate::sim::trial::Mutation;
use crate::sim::trial::plan::{Event, What};

/// How a line ends that tells of a deletion.
const DELETION: &[u8] = b"\"type\":\"DELETED\"}\n";

/// One watch on its way through the storm.
struct Passing {
    body: AnswerBody,
    seed: u64,
    name: String,
    clock: Arc<VirtualClock>,
    events: Arc<[Event]>,
    mutation: Option<Mutation>,
    again: VecDeque<Bytes>,
    /// When it breaks, at the latest.
    breaks: Option<Duration>,
    over: bool,
    /// The line that it is at never ends.
    endless: bool,
}

/// What becomes of a watch.
pub(super) fn through(storm: &Storm, answer: Response<AnswerBody>, name: &str) -> Response<AnswerBody> {
    let (head, body) = answer.into_parts();
    let now = storm.clock.elapsed();
    let events = storm.events();
    let name = &format!("{} {name}", storm.process);
    let breaks = events.iter().filter_map(|event| {
        let breaks = matches!(event.what, What::WatchesCut | What::Compacted);
        let mut random = Random::named(storm.seed, &format!("{} {name}", event.at.as_millis()));
        // While such a time lasts, new watches break again and again.
        match breaks && event.at + event.lasts >= now {
            true if event.at > now => Some(event.at),
            true if event.lasts.is_zero() => None,
            true => Some(now + Duration::from_secs_f64(random.between(0.5, 20.0))),
            false => None,
        }
    });
    let passing = Passing {
        breaks: breaks.min(),
        body,
        seed: storm.seed,
        name: name.to_owned(),
        clock: storm.clock.clone(),
        events,
        mutation: storm
            .mutation
            .filter(|mutation| *mutation == Mutation::MissesDeletions || name.ends_with("/horizontalpodautoscalers")),
        again: VecDeque::new(),
        over: false,
        endless: false,
    };
    let frames = stream::unfold(passing, |mut passing| async move {
        let frame = passing.next().await?;
        Some((frame.map(Frame::data), passing))
    });
    Response::from_parts(head, StreamBody::new(frames.boxed()))
}

impl Passing {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        if self.over {
            return None;
        }
        if self.endless {
            return Some(Ok(Bytes::from_static(PIECE)));
        }
        if let Some(again) = self.again.pop_front() {
            return Some(Ok(again));
        }
        let clock = self.clock.clone();
        let breaks = self.breaks;
        let broken = async {
            match breaks {
                Some(at) => sleep(at.saturating_sub(clock.elapsed())).await,
                None => std::future::pending().await,
            }
        };
        let frame = tokio::select! {
            biased;
            frame = self.body.frame() => frame,
            () = broken => {
                self.over = true;
                return Some(Err(io::Error::new(io::ErrorKind::ConnectionReset, "connection reset by peer")));
            }
        };
        let bytes = match frame? {
            Ok(frame) => frame.into_data().unwrap_or_default(),
            Err(error) => return Some(Err(error)),
        };
        let bytes = match self.mutation {
            Some(mutation) if mutation.is_of_specs() => misread_line(mutation, &bytes),
            Some(Mutation::MissesDeletions) if bytes.ends_with(DELETION) => Bytes::new(),
            _ => bytes,
        };
        let now = self.clock.elapsed();
        let met = |event: &&Event| {
            let lasts = event.at <= now && now < event.at + event.lasts;
            let drawn = || format!("{} {} {}", event.at.as_millis(), self.name, now.as_millis());
            lasts && Random::named(self.seed, &drawn()).chance(event.share)
        };
        let (mut late, mut twice, mut oversized) = (Duration::ZERO, false, false);
        for event in self.events.iter().filter(met) {
            match event.what {
                What::WatchesLate(by) => late = late.max(by),
                What::WatchesTwice => twice = true,
                What::Oversized => oversized = true,
                _ => {}
            }
        }
        sleep(late).await;
        if oversized {
            self.endless = true;
            // Without the end of its line.
            return Some(Ok(bytes.slice(..bytes.len().saturating_sub(1))));
        }
        if twice {
            self.again.push_back(bytes.clone());
        }
        Some(Ok(bytes))
    }
}

/// A line of a watch of autoscalers, as a mutant reads it.
fn misread_line(mutation: Mutation, line: &Bytes) -> Bytes {
    match serde_json::from_slice::<Value>(line) {
        Ok(mut event) => {
            mutation.misread(&mut event["object"]["spec"]);
            Bytes::from(format!("{event}\n"))
        }
        Err(_) => line.clone(),
    }
}

/// A list of autoscalers, as a mutant reads it.
pub(super) fn misread_list(mutation: Option<Mutation>, body: &Bytes) -> Bytes {
    let (Some(mutation), Ok(mut list)) = (mutation, serde_json::from_slice::<Value>(body)) else {
        return body.clone();
    };
    for item in list["items"].as_array_mut().into_iter().flatten() {
        mutation.misread(&mut item["spec"]);
    }
    Bytes::from(list.to_string())
}
