//! One pod's life, and the object that shows it.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::behaviour::{Behaviour, within};
use crate::sim::api::seconds;
use crate::sim::random::Random;

/// From the wish that a pod ends to its end.
const ENDS_AFTER: Duration = Duration::from_secs(2);

/// Where a pod is in its life. Times count from the beginning of the simulation.
#[derive(Clone, Debug)]
pub(super) struct PodLife {
    pub(super) name: String,
    /// Of the template that it was made from.
    pub(super) template: u64,
    pub(super) created: Duration,
    pub(super) stage: Stage,
    /// When it runs; `None`: never.
    runs_at: Option<Duration>,
    ready_at: Duration,
    fails_at: Option<Duration>,
    pub(super) ends_at: Option<Duration>,
    pub(super) restarts: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Pending,
    /// Since then.
    Starting(Duration),
    /// Ready; running since then.
    Ready(Duration),
}

impl PodLife {
    pub(super) fn new(name: String, template: u64, now: Duration, behaviour: &Behaviour, random: &mut Random) -> Self {
        let runs_at = now + within(&behaviour.starts_after, random);
        let ready_at = runs_at + within(&behaviour.ready_after, random);
        Self {
            name,
            template,
            created: now,
            stage: Stage::Pending,
            runs_at: (!random.chance(behaviour.stuck)).then_some(runs_at),
            ready_at,
            fails_at: failure(behaviour, ready_at, random),
            ends_at: None,
            restarts: 0,
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        matches!(self.stage, Stage::Ready(_)) && self.ends_at.is_none()
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ends_at.is_some()
    }

    /// Since when it runs, if it does.
    pub(super) fn runs_since(&self) -> Option<Duration> {
        match self.stage {
            Stage::Pending => None,
            Stage::Starting(since) | Stage::Ready(since) => Some(since),
        }
    }

    pub(super) fn end(&mut self, now: Duration) {
        self.ends_at.get_or_insert(now + ENDS_AFTER);
    }

    /// When it moves on next by itself; `None`: never.
    pub(super) fn moves_at(&self) -> Option<Duration> {
        let next = match self.stage {
            Stage::Pending => self.runs_at,
            Stage::Starting(_) => Some(self.ready_at),
            Stage::Ready(_) => self.fails_at,
        };
        next.into_iter().chain(self.ends_at).min()
    }

    /// Moves on to where it is at `now`; gives whether its object looks otherwise since.
    pub(super) fn advance(&mut self, now: Duration, behaviour: &Behaviour, random: &mut Random) -> bool {
        let stage = match self.stage {
            Stage::Pending => match self.runs_at {
                Some(at) if at <= now => Stage::Starting(at),
                _ => return false,
            },
            Stage::Starting(since) if self.ready_at <= now => Stage::Ready(since),
            Stage::Starting(_) => return false,
            Stage::Ready(_) => {
                if self.fails_at.is_none_or(|at| at > now) {
                    return false;
                }
                self.restarts += 1;
                self.ready_at = now + within(&behaviour.starts_after, random) + within(&behaviour.ready_after, random);
                self.fails_at = failure(behaviour, self.ready_at, random);
                Stage::Starting(now)
            }
        };
        self.stage = stage;
        true
    }

    /// Its status, which has last looked otherwise at `now`.
    pub(super) fn status(&self, pod: &Value, now: Timestamp) -> Value {
        let now = seconds(now);
        let ready = matches!(self.stage, Stage::Ready(_));
        let containers = pod["spec"]["containers"].as_array().map_or(&[][..], Vec::as_slice);
        let state = match self.stage {
            Stage::Pending if self.runs_at.is_none() => json!({ "waiting": { "reason": "ImagePullBackOff" } }),
            Stage::Pending => json!({ "waiting": { "reason": "ContainerCreating" } }),
            _ => json!({ "running": { "startedAt": now } }),
        };
        let container = |container: &Value| {
            json!({ "name": container["name"], "image": container["image"], "imageID": "", "ready": ready,
                "started": ready, "restartCount": self.restarts, "state": state })
        };
        let condition = |kind: &str, holds: bool| {
            let before = pod["status"]["conditions"].as_array().into_iter().flatten();
            let before = before.into_iter().find(|condition| condition["type"] == kind);
            let status = if holds { "True" } else { "False" };
            let since = match before {
                Some(before) if before["status"] == status => before["lastTransitionTime"].clone(),
                _ => now.as_str().into(),
            };
            json!({ "type": kind, "status": status, "lastTransitionTime": since })
        };
        let started = match &pod["status"]["startTime"] {
            Value::Null => now.as_str().into(),
            started => started.clone(),
        };
        json!({
            "phase": if self.stage == Stage::Pending { "Pending" } else { "Running" },
            "startTime": started,
            "qosClass": "Burstable",
            "conditions": [
                condition("PodScheduled", true), condition("Initialized", true),
                condition("ContainersReady", ready), condition("Ready", ready),
            ],
            "containerStatuses": containers.iter().map(container).collect::<Vec<_>>(),
        })
    }
}

fn failure(behaviour: &Behaviour, from: Duration, random: &mut Random) -> Option<Duration> {
    // Exponential, as of things that fail without a memory of how long they ran.
    let mean = behaviour.fails_every?.as_secs_f64();
    Some(from + Duration::from_secs_f64(-mean * (1.0 - random.unit()).ln()))
}
