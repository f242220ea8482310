//! The decision: cpu at a utilization, a steady state, memory of five minutes.

use std::hint::black_box;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use trimtab::decide::{Conclusion, Decision, Settings, Spare, WriteOutcome, conclude, decide_with};
use trimtab::memory::Memory;
use trimtab::observe::{
    ConditionStatus, ContainerKind, ContainerRequests, Observation, Pod, PodPhase, PodRequests, PodSamples, Reading,
    ReadyCondition, ResourceList, Sample, Scale, Status,
};
use trimtab::quantity::Milli;
use trimtab::render::status::{Stored, Unset};
use trimtab::spec::Spec;

use super::{Case, Named, counted};

pub fn cases() -> Vec<Named> {
    vec![
        counted("decision, 20 pods", || Deciding::of(20)),
        counted("decision, 200 pods", || Deciding::of(200)),
        counted("decision, 1000 pods", || Deciding::of(1000)),
        counted("decision, 1000 pods, half not ready", || Deciding::half_ready(1000)),
        counted("conclusion, 20 pods", || Concluding(Deciding::of(20), None)),
        counted("status as JSON", Rendering::new),
    ]
}

/// One autoscaler and what it sees.
pub struct Deciding {
    spec: Spec,
    seen: Observation,
    memory: Memory,
    settings: Settings,
    now: Timestamp,
    decision: Option<Decision>,
    spare: Spare,
}

impl Deciding {
    /// Every pod ready and about at its target.
    fn of(pods: usize) -> Self {
        let now = Timestamp::from_second(1_767_600_000).expect("a time");
        let spec = Spec::from_stored(&json!({
            "metadata": {"namespace": "shop", "name": "web"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                "minReplicas": 2, "maxReplicas": 10_000,
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}}],
            },
        }));
        let requests = Arc::new(PodRequests {
            containers: vec![container("app", 400), container("proxy", 100)],
            ..PodRequests::default()
        });
        let since = now - SignedDuration::from_hours(1);
        let pod = |n| Pod {
            name: format!("web-5d4f8c7b9-{n:05x}").into(),
            phase: PodPhase::Running,
            terminating: false,
            ready: Some(ReadyCondition {
                status: ConditionStatus::True,
                since: Some(since),
            }),
            started: Some(since),
            requests: requests.clone(),
        };
        let sample = |n: usize| Sample {
            value: Milli(300 + (n % 7) as i64 - 3),
            at: Some(now - SignedDuration::from_secs(20)),
            window: SignedDuration::from_secs(15),
        };
        let replicas = i32::try_from(pods).expect("a count of pods");
        let seen = Observation {
            status: Status::default(),
            scale: Ok(Scale {
                spec_replicas: replicas,
                status_replicas: replicas,
                selector: "app=web".into(),
            }),
            pods: Ok(Arc::new((0..pods).map(pod).collect())),
            readings: vec![Reading::PerPod(PodSamples {
                of_pods: (0..pods).map(|n| Some(sample(n))).collect(),
                ..PodSamples::default()
            })],
        };
        let mut deciding = Self {
            spec: spec.expect("a valid autoscaler"),
            seen,
            memory: Memory::default(),
            settings: Settings::default(),
            now: now - SignedDuration::from_mins(6),
            decision: None,
            spare: Spare::default(),
        };
        // Until the memory is as full as it will be, and the status as it will stay.
        while deciding.now < now {
            deciding.run();
            let conclusion = deciding.conclude();
            (deciding.memory, deciding.seen.status) = (conclusion.memory, conclusion.status);
            deciding.now += SignedDuration::from_secs(15);
        }
        deciding
    }

    /// Half of them just started, the others high above the target: the second calculation is made too.
    fn half_ready(pods: usize) -> Self {
        let mut deciding = Self::of(pods);
        let Ok(pods) = &mut deciding.seen.pods else {
            unreachable!("pods were made")
        };
        let starting = pods.iter().enumerate().map(|(n, pod)| Pod {
            phase: if n.is_multiple_of(2) {
                PodPhase::Pending
            } else {
                PodPhase::Running
            },
            ..pod.clone()
        });
        *pods = Arc::new(starting.collect());
        let Reading::PerPod(samples) = &mut deciding.seen.readings[0] else {
            unreachable!("samples were made")
        };
        samples
            .of_pods
            .iter_mut()
            .flatten()
            .for_each(|sample| sample.value.0 *= 3);
        deciding
    }

    fn conclude(&self) -> Conclusion {
        let decision = self.decision.as_ref().expect("decided before");
        let memory = self.memory.clone();
        conclude(
            &self.spec,
            &self.seen,
            decision,
            &WriteOutcome::NotDue,
            memory,
            &self.settings,
            self.now,
        )
    }
}

fn container(name: &str, cpu: i64) -> ContainerRequests {
    ContainerRequests {
        name: name.into(),
        kind: ContainerKind::Main,
        requests: ResourceList(vec![("cpu".into(), Milli(cpu)), ("memory".into(), Milli(256 << 20))]),
    }
}

impl Case for Deciding {
    /// With what becomes of the last decision, as in the loop.
    fn run(&mut self) {
        if let Some(last) = self.decision.take() {
            self.spare.take_back(last);
        }
        let decision = decide_with(
            &mut self.spare,
            &self.spec,
            &self.seen,
            &self.memory,
            &self.settings,
            self.now,
        );
        self.decision = Some(black_box(decision));
    }
}

struct Concluding(Deciding, Option<Conclusion>);

impl Case for Concluding {
    fn prepare(&mut self) {
        self.0.run();
        self.1 = None;
    }

    fn run(&mut self) {
        self.1 = Some(black_box(self.0.conclude()));
    }
}

struct Rendering(Status);

impl Rendering {
    fn new() -> Self {
        Self(Deciding::of(20).seen.status)
    }
}

impl Case for Rendering {
    fn run(&mut self) {
        let stored = Stored {
            status: &self.0,
            unset: Unset::Null,
        };
        black_box(serde_json::to_vec(&stored).expect("it becomes JSON"));
    }
}
