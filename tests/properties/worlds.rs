//! Made-up autoscalers and what they see, as wide as the types allow.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use trimtab::decide::Settings;
use trimtab::observe::{
    Condition, ConditionStatus, ContainerKind, ContainerRequests, FailureKind, MetricFailure, Observation, Pod,
    PodPhase, PodRequests, PodSamples, Reading, ReadyCondition, ResourceList, Sample, Scale, ScaleFailure,
    SelectorFailure, Status,
};
use trimtab::quantity::Milli;
use trimtab::spec::{
    Behavior, Key, MetricIdentifier, MetricSource, MetricSpec, MetricTarget, ObjectRef, PolicyKind, ScalingPolicy,
    ScalingRules, SelectPolicy, Spec,
};

/// Everything that one sync is a function of, but the memory.
#[derive(Clone, Debug)]
pub struct SyncInput {
    pub spec: Spec,
    pub seen: Observation,
    pub settings: Settings,
    pub now: Timestamp,
    pub write_succeeds: bool,
}

/// Any sync at all.
pub fn any_sync() -> impl Strategy<Value = SyncInput> {
    let pods = prop::collection::vec(any_pod(), 0..6);
    let settings = (0i64..90_000, 0f64..3.0, 0i64..4000, 0i64..4000, any::<bool>()).prop_map(
        |(window, tolerance, young, delay, scale_to_zero)| Settings {
            downscale_stabilization: SignedDuration::from_secs(window),
            tolerance,
            cpu_initialization_period: SignedDuration::from_secs(young),
            initial_readiness_delay: SignedDuration::from_secs(delay),
            scale_to_zero,
            ..Settings::default()
        },
    );
    (
        any_spec(),
        pods,
        any_scale(),
        any_status(),
        settings,
        any_time(),
        any::<bool>(),
    )
        .prop_flat_map(|(spec, pods, scale, status, settings, now, write_succeeds)| {
            let count = pods.len();
            let readings: Vec<_> = spec.metrics.iter().map(|m| any_reading(&m.source, count)).collect();
            let pods = prop_oneof![
                9 => Just(Ok(Arc::from(pods))),
                1 => Just(Err(SelectorFailure::Absent)),
            ];
            (readings, pods).prop_map(move |(readings, pods)| SyncInput {
                spec: spec.clone(),
                seen: Observation {
                    status: status.clone(),
                    scale: scale.clone(),
                    pods,
                    readings,
                },
                settings: settings.clone(),
                now,
                write_succeeds,
            })
        })
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        8 => (0i64..100_000).prop_map(|s| Timestamp::from_second(1_767_600_000 + s).unwrap()),
        1 => Just(Timestamp::MIN),
        1 => Just(Timestamp::MAX),
        1 => any::<i32>().prop_map(|s| Timestamp::from_second(s.into()).unwrap()),
    ]
}

fn any_milli() -> impl Strategy<Value = Milli> {
    prop_oneof![6 => 0i64..100_000, 2 => any::<i64>(), 1 => Just(i64::MAX), 1 => Just(i64::MIN)].prop_map(Milli)
}

fn any_count() -> impl Strategy<Value = i32> {
    prop_oneof![8 => 0i32..40, 1 => Just(i32::MAX), 1 => 0i32..i32::MAX]
}

fn any_spec() -> impl Strategy<Value = Spec> {
    let bounds = (any_count(), any_count()).prop_map(|(a, b)| (a.min(b), a.max(b).max(1)));
    (
        bounds,
        prop::collection::vec(any_metric(), 1..4),
        option::of((any_rules(), any_rules())),
    )
        .prop_map(|((min_replicas, max_replicas), metrics, behavior)| Spec {
            key: Key::new("shop", "web"),
            scale_target: ObjectRef {
                api_version: "apps/v1".into(),
                kind: "Deployment".into(),
                name: "web".into(),
            },
            min_replicas,
            max_replicas,
            metrics,
            behavior: behavior.map(|(scale_up, scale_down)| Behavior { scale_up, scale_down }),
        })
}

fn any_rules() -> impl Strategy<Value = ScalingRules> {
    let policy = (
        any::<bool>(),
        prop_oneof![9 => 1i32..500, 1 => Just(i32::MAX)],
        1i32..=1800,
    )
        .prop_map(|(pods, value, period_seconds)| ScalingPolicy {
            kind: if pods { PolicyKind::Pods } else { PolicyKind::Percent },
            value,
            period_seconds,
        });
    let selects = select(vec![SelectPolicy::Max, SelectPolicy::Min, SelectPolicy::Disabled]);
    (option::of(0i32..=3600), selects, prop::collection::vec(policy, 1..4)).prop_map(
        |(stabilization_window_seconds, select_policy, policies)| ScalingRules {
            stabilization_window_seconds,
            select_policy,
            policies,
            tolerance: None,
        },
    )
}

fn any_metric() -> impl Strategy<Value = MetricSpec> {
    let id = || MetricIdentifier {
        name: "qps".into(),
        written: None,
        selector: Ok(Default::default()),
    };
    let described = ObjectRef {
        api_version: "v1".into(),
        kind: "Service".into(),
        name: "web".into(),
    };
    let positive = || prop_oneof![9 => 1i64..100_000, 1 => 1i64..i64::MAX].prop_map(Milli);
    let utilization = || prop_oneof![1i32..300, Just(i32::MAX)].prop_map(MetricTarget::Utilization);
    let average = move || positive().prop_map(MetricTarget::AverageValue);
    let single = move || {
        prop_oneof![
            average(),
            positive().prop_map(MetricTarget::Value),
            Just(MetricTarget::Mismatched)
        ]
    };
    let of_pods = select(vec![
        MetricSource::Resource { name: "cpu".into() },
        MetricSource::Resource { name: "memory".into() },
        MetricSource::ContainerResource {
            name: "cpu".into(),
            container: "web".into(),
        },
    ]);
    prop_oneof![
        (of_pods, prop_oneof![utilization(), average()]).prop_map(|(source, target)| MetricSpec { source, target }),
        average().prop_map(move |target| MetricSpec {
            source: MetricSource::Pods { metric: id() },
            target
        }),
        single().prop_map(move |target| MetricSpec {
            source: MetricSource::Object {
                described: described.clone(),
                metric: id()
            },
            target
        }),
        single().prop_map(move |target| MetricSpec {
            source: MetricSource::External { metric: id() },
            target
        }),
    ]
}

fn any_scale() -> impl Strategy<Value = Result<Scale, ScaleFailure>> {
    prop_oneof![
        9 => (any_count(), any_count()).prop_map(|(spec_replicas, status_replicas)| Ok(Scale {
            spec_replicas,
            status_replicas,
            selector: "app=web".into()
        })),
        1 => Just(Err(ScaleFailure::NotRead("refused".into()))),
    ]
}

fn any_status() -> impl Strategy<Value = Status> {
    (any::<bool>(), any::<bool>()).prop_map(|(zeroed, old)| {
        let condition = |kind: &str, holds| Condition {
            kind: kind.into(),
            status: if holds {
                ConditionStatus::True
            } else {
                ConditionStatus::False
            },
            reason: "Old".into(),
            message: "".into(),
            last_transition: None,
        };
        let mut conditions = vec![condition("ScaledToZero", zeroed)];
        conditions.extend(old.then(|| condition("AbleToScale", false)));
        Status {
            conditions,
            ..Status::default()
        }
    })
}

fn any_pod() -> impl Strategy<Value = Pod> {
    let phases = vec![
        PodPhase::Running,
        PodPhase::Running,
        PodPhase::Pending,
        PodPhase::Failed,
        PodPhase::Succeeded,
    ];
    let ready = (
        select(vec![ConditionStatus::True, ConditionStatus::False]),
        option::of(any_time()),
    )
        .prop_map(|(status, since)| ReadyCondition { status, since });
    let request = option::weighted(0.9, any_milli());
    (
        select(phases),
        prop::bool::weighted(0.1),
        option::of(ready),
        option::of(any_time()),
        request,
        0u16..999,
    )
        .prop_map(|(phase, terminating, ready, started, request, n)| Pod {
            name: format!("web-{n}").into(),
            phase,
            terminating,
            ready,
            started,
            requests: Arc::new(requests(request)),
        })
}

fn requests(amount: Option<Milli>) -> PodRequests {
    let list = amount
        .map(|a| vec![(Arc::from("cpu"), a), (Arc::from("memory"), a)])
        .unwrap_or_default();
    let container = ContainerRequests {
        name: "web".into(),
        kind: ContainerKind::Main,
        requests: ResourceList(list),
    };
    PodRequests {
        containers: vec![container],
        ..PodRequests::default()
    }
}

fn any_sample() -> impl Strategy<Value = Sample> {
    (any_milli(), option::of(any_time()), 0i64..100).prop_map(|(value, at, window)| Sample {
        value,
        at,
        window: SignedDuration::from_secs(window),
    })
}

fn any_reading(source: &MetricSource, pods: usize) -> BoxedStrategy<Reading> {
    let failed = Just(Reading::Failed(MetricFailure::new(FailureKind::Unavailable, "refused")));
    let answered = match source {
        MetricSource::Object { .. } => any_milli().prop_map(Reading::Single).boxed(),
        MetricSource::External { .. } => prop::collection::vec(any_milli(), 1..4)
            .prop_map(Reading::Several)
            .boxed(),
        _ => (
            prop::collection::vec(option::of(any_sample()), pods),
            prop::collection::vec(any_sample().prop_map(|s| (Arc::from("stranger"), s)), 0..2),
        )
            .prop_map(|(of_pods, of_strangers)| {
                Reading::PerPod(PodSamples {
                    of_pods,
                    of_strangers,
                    unusable: Vec::new(),
                })
            })
            .boxed(),
    };
    prop_oneof![8 => answered, 1 => failed].boxed()
}

/// An autoscaler without limits that matter.
pub fn steady_spec(source: MetricSource, target: MetricTarget) -> Spec {
    Spec {
        key: Key::new("shop", "web"),
        scale_target: ObjectRef {
            api_version: "apps/v1".into(),
            kind: "Deployment".into(),
            name: "web".into(),
        },
        min_replicas: 1,
        max_replicas: i32::MAX,
        metrics: vec![MetricSpec { source, target }],
        behavior: None,
    }
}

/// `current` replicas asked for, and long-ready pods that request a core each, with these samples.
pub fn plain_pods(current: i32, samples: &[Option<i64>]) -> (Observation, Timestamp) {
    let now = Timestamp::from_second(1_767_600_000).unwrap();
    let long_ago = now - SignedDuration::from_hours(1);
    let requests = Arc::new(requests(Some(Milli(1000))));
    let pods: Vec<Pod> = (0..samples.len())
        .map(|i| Pod {
            name: format!("web-{i}").into(),
            phase: PodPhase::Running,
            terminating: false,
            ready: Some(ReadyCondition {
                status: ConditionStatus::True,
                since: Some(long_ago),
            }),
            started: Some(long_ago),
            requests: requests.clone(),
        })
        .collect();
    let sample = |value| Sample {
        value: Milli(value),
        at: Some(now),
        window: SignedDuration::from_secs(30),
    };
    let of_pods = samples.iter().map(|s| s.map(sample)).collect();
    let scale = Scale {
        spec_replicas: current,
        status_replicas: current,
        selector: "app=web".into(),
    };
    let seen = Observation {
        status: Status::default(),
        scale: Ok(scale),
        pods: Ok(pods.into()),
        readings: vec![Reading::PerPod(PodSamples {
            of_pods,
            of_strangers: Vec::new(),
            unusable: Vec::new(),
        })],
    };
    (seen, now)
}
