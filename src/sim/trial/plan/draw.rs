//! Plans from seeds.

use std::time::Duration;

use serde_json::json;

use super::{Asking, CALM, Event, Plan, Planned, Point, RATE, REQUEST, What};
use crate::sim::fleet::{Behaviour, WorkloadMetric};
use crate::sim::load::Load;
use crate::sim::random::Random;
use crate::spec::Key;

/// A clock is set by one of these many seconds: what an administrator or a wrong time server does, an hour most of all.
const CLOCK_STEPS: [i64; 8] = [-3600, -300, -60, -5, 5, 60, 300, 3600];

/// The share of plans in which autoscalers take metrics from Prometheus.
const ASK_PROMETHEUS: f64 = 0.25;

impl Plan {
    /// The plan of a seed.
    pub fn new(seed: u64) -> Self {
        let plan = Self::without_prometheus(seed);
        // Numbers of its own, so that all other plans stay what they are.
        let mut random = Random::named(seed, "prometheus");
        match random.chance(ASK_PROMETHEUS) {
            true => plan.asking_prometheus(&mut random),
            false => plan,
        }
    }

    /// The same where no cluster has a Prometheus.
    pub(in crate::sim::trial) fn without_prometheus(seed: u64) -> Self {
        let mut random = Random::named(seed, "plan");
        let count = 1 + usize::try_from(random.below(3)).unwrap_or(0);
        let processes = if random.chance(0.25) { 2 } else { 1 };
        let workloads: Vec<Planned> = (0..count).map(|number| planned(number, &mut random)).collect();
        let faults = 3 + random.below(10);
        let mut events: Vec<Event> = (0..faults).map(|_| event(&workloads, processes, &mut random)).collect();
        events.sort_by_key(|event| event.at);
        Self {
            seed,
            processes,
            workloads,
            events,
            configuration: None,
        }
    }
}

/// Whole milliseconds print as they are.
pub(super) fn seconds(seconds: f64) -> Duration {
    Duration::from_millis((seconds * 1000.0) as u64)
}

fn planned(number: usize, random: &mut Random) -> Planned {
    let name = ["web", "api", "batch"][number % 3];
    let namespace = if random.chance(0.7) { "shop" } else { "bank" };
    let by_rate = random.chance(0.3);
    let target_percent = 40 + i32::try_from(random.below(50)).unwrap_or(0);
    let rate_target = random.between(10.0, 60.0).round();
    let target = match by_rate {
        true => rate_target,
        false => f64::from(REQUEST) * f64::from(target_percent) / 100.0,
    };
    let min = 1 + i32::try_from(random.below(3)).unwrap_or(0);
    let max = min + 4 + i32::try_from(random.below(12)).unwrap_or(0);
    let most = target * f64::from(max);
    let load = load(most, random);
    let last_load = load.at(CALM);
    let load = Load::Until(CALM, Box::new(load));
    let metrics = match by_rate {
        true => vec![WorkloadMetric::Pods {
            name: RATE.to_owned(),
            load: load.clone(),
        }],
        false => Vec::new(),
    };
    let behaviour = Behaviour {
        cpu: if by_rate { Load::Steady(0.0) } else { load },
        cpu_of_pod_at_most: 4.0 * f64::from(REQUEST),
        metrics,
        cpu_while_starting: target.min(f64::from(REQUEST)) * 0.5,
        starts_after: seconds(random.between(1.0, 5.0))..seconds(random.between(5.0, 30.0)),
        ready_after: seconds(1.0)..seconds(random.between(2.0, 20.0)),
        ..Behaviour::default()
    };
    let metric = match by_rate {
        true => json!({ "type": "Pods", "pods": { "metric": { "name": RATE },
            "target": { "type": "AverageValue", "averageValue": rate_target.to_string() } } }),
        false => json!({ "type": "Resource", "resource": { "name": "cpu",
            "target": { "type": "Utilization", "averageUtilization": target_percent } } }),
    };
    let rules = |windows: &[u32], random: &mut Random| {
        let policy = match random.chance(0.5) {
            true => json!({ "type": "Pods", "value": 1 + random.below(4), "periodSeconds": 15 + random.below(60) }),
            false => {
                json!({ "type": "Percent", "value": 20 + random.below(180), "periodSeconds": 15 + random.below(60) })
            }
        };
        json!({ "stabilizationWindowSeconds": random.pick(windows), "policies": [policy] })
    };
    let mut autoscaler = json!({ "minReplicas": min, "maxReplicas": max, "metrics": [metric] });
    if random.chance(0.7) {
        let down = rules(&[30, 60, 120, 300], random);
        let down_pods = json!({ "type": "Percent", "value": 100, "periodSeconds": 15 });
        autoscaler["behavior"] = json!({ "scaleUp": rules(&[0, 0, 30], random), "scaleDown": down });
        // At one pod a minute an hour would not be enough to come down.
        if random.chance(0.6) {
            autoscaler["behavior"]["scaleDown"]["policies"] = json!([down_pods]);
        }
    }
    Planned {
        key: Key::new(namespace, name),
        replicas: min + i32::try_from(random.below(3)).unwrap_or(0),
        behaviour,
        autoscaler,
        target,
        last_load,
    }
}

fn load(most: f64, random: &mut Random) -> Load {
    match random.below(5) {
        0 => Load::Steady(random.between(0.1, 1.1) * most),
        1 => Load::Wave {
            low: 0.1 * most,
            high: random.between(0.5, 1.1) * most,
            period: seconds(random.between(900.0, 3600.0)),
            crest: seconds(random.between(0.0, 1800.0)),
        },
        2 => Load::Spikes {
            base: 0.15 * most,
            peak: random.between(0.4, 1.2) * most,
            first: seconds(random.between(300.0, 900.0)),
            every: seconds(random.between(600.0, 1800.0)),
            half_life: seconds(random.between(60.0, 300.0)),
        },
        3 => Load::Walk {
            seed: random.bits(),
            low: 0.05 * most,
            high: most,
            pace: seconds(random.between(300.0, 1200.0)),
        },
        _ => Load::Steps {
            steps: (0..6)
                .map(|n| (seconds(f64::from(n) * 400.0), random.between(0.05, 1.1) * most))
                .collect(),
            every: None,
        },
    }
}

fn event(workloads: &[Planned], processes: usize, random: &mut Random) -> Event {
    let workload = usize::try_from(random.below(workloads.len() as u64)).unwrap_or(0);
    let max = workloads[workload].autoscaler["maxReplicas"].as_i64().unwrap_or(10);
    let some = |random: &mut Random| i32::try_from(1 + random.below(max.unsigned_abs())).unwrap_or(1);
    let groups = [
        "/apis/metrics.k8s.io",
        "/apis/custom.metrics.k8s.io",
        "/apis/apps",
        "/apis/autoscaling",
        "/api/v1/events",
    ];
    let down = |random: &mut Random| seconds(random.between(0.0, 60.0));
    let what = match random.below(28) {
        0 => What::Refused(429),
        1 => What::Refused(500),
        2 => What::Refused(503),
        3 => What::Conflicts,
        4 => What::Slow(seconds(random.between(0.5, 20.0))),
        5 => What::Unanswered,
        6 => What::AnswersLost,
        7 => What::HalfAnswers,
        8 => What::Garbage,
        9 => What::WatchesCut,
        10 => What::WatchesLate(seconds(random.between(1.0, 30.0))),
        11 => What::WatchesTwice,
        12 => What::Forbidden(random.pick::<&str>(&groups).to_string()),
        13 => What::MetricsMissing,
        14 => What::MetricsOld,
        15 => What::MetricsOdd,
        16 => What::MetricsContradictory,
        17 => What::Raced,
        18 => What::Killed(down(random)),
        19 | 20 => What::KilledAt(point(random), down(random)),
        21 => match random.below(2) {
            0 => What::LeaseCut,
            _ => What::LeadTakenAt(point(random)),
        },
        22 => What::ClockSet(*random.pick(&CLOCK_STEPS)),
        23 => What::Stale(seconds(random.between(5.0, 60.0))),
        24 => match random.below(2) {
            0 => What::Compacted,
            _ => What::RolledOut(workload),
        },
        25 => match random.below(3) {
            0 => What::Oversized,
            1 => What::Stopped(down(random)),
            _ => What::NamespaceDeleted(workload, seconds(random.between(1.0, 120.0))),
        },
        _ => match random.below(3) {
            0 => What::MaxEdited(workload, some(random).max(4)),
            _ => What::Scaled(workload, some(random)),
        },
    };
    let lasts = match what {
        _ if what.is_at_once() => Duration::ZERO,
        // Megabytes are read for each request that it meets.
        What::Oversized => seconds(random.between(5.0, 30.0)),
        _ => seconds(random.between(5.0, 400.0)),
    };
    let at = seconds(random.between(60.0, CALM.as_secs_f64() - 120.0));
    let one = usize::try_from(random.below(processes as u64)).unwrap_or(0);
    let of_one = matches!(
        what,
        What::Killed(_) | What::KilledAt(..) | What::Stopped(_) | What::ClockSet(_)
    );
    Event {
        at,
        lasts: lasts.min(CALM.saturating_sub(at)),
        share: *random.pick(&[0.1, 0.5, 1.0]),
        process: (processes > 1 && (of_one || random.chance(0.5))).then_some(one),
        what,
    }
}

fn point(random: &mut Random) -> Point {
    let requests = [
        Asking::Scale,
        Asking::Scale,
        Asking::Status,
        Asking::Memory,
        Asking::Stored,
        Asking::Lease,
        Asking::Metrics,
    ];
    Point {
        request: *random.pick(&requests),
        done: random.chance(0.5),
    }
}
