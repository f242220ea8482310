//! How the pods of a workload behave, and what they have to do.

use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::sim::load::Load;
use crate::sim::random::Random;

/// What drives one workload, and how its pods start, work and fail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Behaviour {
    /// The CPU that its work needs, in milli-CPUs, over all pods.
    pub cpu: Load,
    /// The most that one pod can use, in milli-CPUs: its limit.
    pub cpu_of_pod_at_most: f64,
    /// The memory of each pod, in MiB.
    pub memory: Load,
    /// Its metrics beside these.
    pub metrics: Vec<WorkloadMetric>,
    /// From a pod's creation to its running: scheduling, pulling, starting.
    pub starts_after: Range<Duration>,
    /// From running to ready.
    pub ready_after: Range<Duration>,
    /// What a pod uses while it is not ready yet, in milli-CPUs.
    pub cpu_while_starting: f64,
    /// The share of pods that never get beyond Pending.
    pub stuck: f64,
    /// How often a ready pod fails, on average; `None`: never. It is back after as long as it took to start.
    pub fails_every: Option<Duration>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            cpu: Load::Steady(0.0),
            cpu_of_pod_at_most: 1_000.0,
            memory: Load::Steady(64.0),
            metrics: Vec::new(),
            starts_after: Duration::from_secs(2)..Duration::from_secs(6),
            ready_after: Duration::from_secs(3)..Duration::from_secs(10),
            cpu_while_starting: 50.0,
            stuck: 0.0,
            fails_every: None,
        }
    }
}

/// A metric of a workload beside CPU and memory: an adapter gives it, and where the cluster has a Prometheus, that has it
/// under the same name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum WorkloadMetric {
    /// Of each pod: the load over all pods, shared among those that are ready.
    Pods {
        /// Its name.
        name: String,
        /// The load of all pods.
        load: Load,
    },
    /// Of the Service that has the workload's name: the whole load.
    Service {
        /// Its name.
        name: String,
        /// The load.
        load: Load,
    },
    /// Of a queue outside of the cluster: what has come in and was not worked off by the pods that are ready. Its series
    /// has a label `queue` with the workload's name.
    Queue {
        /// Its name.
        name: String,
        /// What comes in, a second.
        arrivals: Load,
        /// What each ready pod works off, a second.
        served_by_pod: f64,
    },
    /// Of each pod, for Prometheus alone: how much of the load it has served since it started, which only grows until the
    /// pod is started again.
    Counter {
        /// Its name.
        name: String,
        /// The load of all pods, a second.
        load: Load,
    },
}

/// A time within a range.
pub(super) fn within(range: &Range<Duration>, random: &mut Random) -> Duration {
    let (least, most) = (range.start.as_secs_f64(), range.end.as_secs_f64());
    Duration::from_secs_f64(random.between(least, most.max(least)))
}
