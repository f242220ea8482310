//! What a decision allocates does not grow with its pods. In a process of its own, since whoever counts is the allocator.

use std::sync::Arc;

use allocation_counter::{AllocationInfo, measure};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use trimtab::decide::{Settings, Spare, decide, decide_with};
use trimtab::memory::Memory;
use trimtab::observe::{
    ConditionStatus, ContainerKind, ContainerRequests, Observation, Pod, PodPhase, PodRequests, PodSamples, Reading,
    ReadyCondition, ResourceList, Sample, Scale, Status,
};
use trimtab::quantity::Milli;
use trimtab::spec::Spec;

const NOW: Timestamp = Timestamp::constant(1_767_600_000, 0);

fn spec() -> Spec {
    let resource = |name: &str, target| json!({"type": "Resource", "resource": {"name": name, "target": target}});
    let object = json!({
        "metadata": {"namespace": "shop", "name": "web"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "maxReplicas": 100_000,
            "metrics": [
                resource("cpu", json!({"type": "Utilization", "averageUtilization": 60})),
                resource("memory", json!({"type": "AverageValue", "averageValue": "200"})),
            ],
        },
    });
    Spec::from_stored(&object).expect("a valid autoscaler")
}

/// Pods of every class: ready, not ready, pending, without a sample, being deleted; and as many strangers.
fn seen(pods: usize) -> Observation {
    let requests = |amount| {
        Arc::new(PodRequests {
            containers: vec![ContainerRequests {
                name: "app".into(),
                kind: ContainerKind::Main,
                requests: ResourceList(vec![("cpu".into(), Milli(amount))]),
            }],
            ..PodRequests::default()
        })
    };
    let templates = [requests(100), requests(200)];
    let since = NOW - SignedDuration::from_hours(1);
    let pod = |n: usize| Pod {
        name: format!("web-{n}").into(),
        phase: if n.is_multiple_of(7) {
            PodPhase::Pending
        } else {
            PodPhase::Running
        },
        terminating: n.is_multiple_of(11),
        ready: Some(ReadyCondition {
            status: if n.is_multiple_of(5) {
                ConditionStatus::False
            } else {
                ConditionStatus::True
            },
            since: Some(since),
        }),
        started: Some(since),
        requests: templates[n % 2].clone(),
    };
    let sample = |n: usize| Sample {
        value: Milli(200 + (n % 9) as i64),
        at: Some(NOW),
        window: SignedDuration::from_secs(15),
    };
    let samples = PodSamples {
        of_pods: (0..pods).map(|n| (!n.is_multiple_of(3)).then(|| sample(n))).collect(),
        of_strangers: (0..pods).map(|n| (format!("old-{n}").into(), sample(n))).collect(),
        unusable: Vec::new(),
    };
    Observation {
        status: Status::default(),
        scale: Ok(Scale {
            spec_replicas: 5,
            status_replicas: 5,
            selector: "app=web".into(),
        }),
        pods: Ok(Arc::new((0..pods).map(pod).collect())),
        readings: vec![Reading::PerPod(samples.clone()), Reading::PerPod(samples)],
    }
}

/// What one decision allocates once others have left their room.
fn in_the_steady_state(pods: usize) -> AllocationInfo {
    let (spec, seen, settings) = (spec(), seen(pods), Settings::default());
    let mut memory = Memory::default();
    memory.recommend(5, NOW, NOW, settings.downscale_stabilization);
    let mut spare = Spare::default();
    let mut once = || {
        let decision = decide_with(&mut spare, &spec, &seen, &memory, &settings, NOW);
        assert_eq!(decision, decide(&spec, &seen, &memory, &settings, NOW));
        assert!(
            decision
                .derivation
                .metrics
                .iter()
                .all(|m| m.proposal.is_ok() && m.pods.len() == 2 * pods)
        );
        spare.take_back(decision);
    };
    once();
    once();
    measure(|| {
        let decision = decide_with(&mut spare, &spec, &seen, &memory, &settings, NOW);
        spare.take_back(decision);
    })
}

#[test]
fn a_decision_allocates_nothing_for_its_pods() {
    let (few, many) = (in_the_steady_state(20), in_the_steady_state(2_000));
    assert_eq!((many.count_total, many.bytes_total), (few.count_total, few.bytes_total));
    assert!(few.count_total <= 8, "{few:?}");
}
