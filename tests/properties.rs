//! Laws of the decision, for any spec that validates, any observation, any memory, any time order.

#[path = "properties/worlds.rs"]
mod worlds;

use std::collections::HashMap;

use proptest::prelude::*;
use trimtab::decide::derivation::Branch;
use trimtab::decide::{Settings, Spare, WriteOutcome, conclude, decide, decide_with};
use trimtab::memory::Memory;
use trimtab::observe::Reading;
use trimtab::quantity::Milli;
use trimtab::spec::{MetricSource, MetricTarget};
use worlds::{SyncInput, any_sync, plain_pods, steady_spec};

/// Decides and concludes a row of syncs with one memory, and hands each decision out.
fn live(syncs: Vec<SyncInput>, mut each: impl FnMut(&SyncInput, &trimtab::decide::Decision)) {
    let mut memory = Memory::default();
    for sync in syncs {
        let decision = decide(&sync.spec, &sync.seen, &memory, &sync.settings, sync.now);
        each(&sync, &decision);
        let outcome = match (&decision.write, sync.write_succeeds) {
            (None, _) => WriteOutcome::NotDue,
            (Some(_), true) => WriteOutcome::Written,
            (Some(_), false) => WriteOutcome::Failed("refused".into()),
        };
        let conclusion = conclude(
            &sync.spec,
            &sync.seen,
            &decision,
            &outcome,
            memory,
            &sync.settings,
            sync.now,
        );
        memory = conclusion.memory;
        assert!(memory.entry_bytes() <= 32 * 1024);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// No panic and no overflow, whatever comes; and what is written lies within min and max. (Kubernetes' counts out
    /// of range are those that are *seen*; the first write brings them in.)
    #[test]
    fn whatever_is_written_lies_within_min_and_max(syncs in prop::collection::vec(any_sync(), 1..8)) {
        live(syncs, |sync, decision| {
            if let Some(write) = &decision.write {
                assert!(write.to >= sync.spec.min_replicas, "{write:?}");
                assert!(write.to <= sync.spec.max_replicas, "{write:?}");
                assert_ne!(write.from, write.to);
            }
        });
    }

    /// While any metric fails, metrics never bring the count down. (A count above max still falls to max: there no
    /// metric is asked.)
    #[test]
    fn a_failed_metric_never_lets_the_count_fall(syncs in prop::collection::vec(any_sync(), 1..8)) {
        live(syncs, |sync, decision| {
            let failed = sync.seen.readings.iter().any(|r| matches!(r, Reading::Failed(_)));
            if failed && decision.derivation.branch == Branch::Metrics {
                assert!(decision.write.as_ref().is_none_or(|w| w.to > w.from), "{decision:?}");
            }
        });
    }

    /// A decision is a function of its arguments, whatever was decided before in the same room.
    #[test]
    fn the_same_sight_gives_the_same_decision(sync in any_sync(), before in any_sync()) {
        let (memory, mut spare) = (Memory::default(), Spare::default());
        let once = decide(&sync.spec, &sync.seen, &memory, &sync.settings, sync.now);
        spare.take_back(decide(&before.spec, &before.seen, &memory, &before.settings, before.now));
        let again = decide_with(&mut spare, &sync.spec, &sync.seen, &memory, &sync.settings, sync.now);
        prop_assert_eq!(format!("{once:?}"), format!("{again:?}"));
    }

    /// More load never asks for fewer pods, while all pods are ready and have samples.
    #[test]
    fn the_proposal_is_monotone_in_load(
        loads in prop::collection::vec((0i64..10_000, 0i64..10_000), 1..20),
        target in 1i64..5_000,
        utilization in any::<bool>(),
    ) {
        let target = match utilization {
            true => MetricTarget::Utilization(i32::try_from(target % 200 + 1).unwrap_or(1)),
            false => MetricTarget::AverageValue(Milli(target)),
        };
        let count = loads.len() as i32;
        let spec = steady_spec(MetricSource::Resource { name: "cpu".into() }, target);
        let proposal = |more: bool| {
            let values: Vec<i64> = loads.iter().map(|(load, extra)| load + if more { *extra } else { 0 }).collect();
            let (seen, now) = plain_pods(count, &values.iter().map(|v| Some(*v)).collect::<Vec<_>>());
            let decision = decide(&spec, &seen, &Memory::default(), &Settings::default(), now);
            decision.derivation.metrics[0].proposal.clone()
        };
        prop_assert!(proposal(true).unwrap() >= proposal(false).unwrap());
    }

    /// Pods without a sample are filled in as Kubernetes does it, and in no other way: a literal copy of the
    /// specification's section 3.4 comes to the same proposal.
    #[test]
    fn missing_samples_are_filled_in_as_kubernetes_does(
        samples in prop::collection::vec(prop::option::weighted(0.7, 0i64..3_000), 1..15),
        current in 1i32..20,
        target in 1i64..3_000,
        utilization in any::<bool>(),
    ) {
        let target = match utilization {
            true => MetricTarget::Utilization(i32::try_from(target % 200 + 1).unwrap_or(1)),
            false => MetricTarget::AverageValue(Milli(target)),
        };
        let spec = steady_spec(MetricSource::Resource { name: "cpu".into() }, target);
        let (seen, now) = plain_pods(current, &samples);
        let decision = decide(&spec, &seen, &Memory::default(), &Settings::default(), now);
        let got = decision.derivation.metrics[0].proposal.as_ref().ok().copied();
        prop_assert_eq!(got, literally(current, &samples, target));
    }
}

/// Section 3.4 for ready pods that each request 1 core, some without a sample.
fn literally(current: i32, samples: &[Option<i64>], target: MetricTarget) -> Option<i32> {
    let request = 1000;
    let within = |ratio: f64| (1.0 - 0.1..=1.0 + 0.1).contains(&ratio);
    let ratio_of = |samples: &HashMap<usize, i64>| {
        let sum: i64 = samples.values().sum();
        let count = samples.len() as i64;
        match target {
            MetricTarget::Utilization(percent) => ((sum * 100 / (request * count)) as i32) as f64 / f64::from(percent),
            MetricTarget::AverageValue(Milli(target)) => (sum / count) as f64 / target as f64,
            _ => f64::NAN,
        }
    };
    let mut known: HashMap<usize, i64> = samples
        .iter()
        .enumerate()
        .filter_map(|(i, s)| Some((i, (*s)?)))
        .collect();
    if known.is_empty() {
        return None;
    }
    let ready = known.len();
    let ratio = ratio_of(&known);
    if ready == samples.len() {
        return Some(if within(ratio) {
            current
        } else {
            (ratio * ready as f64).ceil() as i32
        });
    }
    for i in (0..samples.len()).filter(|i| samples[*i].is_none()) {
        if ratio < 1.0 {
            known.insert(
                i,
                match target {
                    MetricTarget::Utilization(percent) => request * i64::from(percent.max(100)) / 100,
                    MetricTarget::AverageValue(Milli(target)) => target,
                    _ => 0,
                },
            );
        } else if ratio > 1.0 {
            known.insert(i, 0);
        }
    }
    let filled = ratio_of(&known);
    let proposal = (filled * known.len() as f64).ceil() as i32;
    let keep = within(filled)
        || ratio < 1.0 && filled > 1.0
        || ratio > 1.0 && filled < 1.0
        || filled < 1.0 && proposal > current
        || filled > 1.0 && proposal < current;
    Some(if keep { current } else { proposal })
}
