//! The calculation for metrics of pods: utilization and plain averages, one and the same with two goals.
//!
//! Source: Kubernetes v1.36 `replica_calculator.go`, `GetResourceReplicas` and `calcPlainMetricReplicas`.

use super::Settings;
use super::derivation::{Calculation, PodClass, PodUse, Verdict};
use super::pods::classify;
use super::requests::Requests;
use super::usage::{Band, Goal, Sums, count};
use crate::observe::{FailureKind, MetricFailure, Pod, PodSamples};
use crate::quantity::Milli;
use jiff::Timestamp;

/// What a metric of pods is about.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    /// The resource; `None` for Pods metrics, which know neither readiness nor requests.
    pub resource: Option<&'a str>,
    /// One container of each pod.
    pub container: Option<&'a str>,
    /// What to hold.
    pub goal: Goal,
}

/// Everything a calculation needs beside its subject.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub current: i32,
    pub pods: &'a [Pod],
    pub band: Band,
    pub settings: &'a Settings,
    pub now: Timestamp,
}

/// The count that brings the average back to its goal. `uses` is filled with each pod's part, also on failure.
pub(super) fn propose(
    subject: Subject<'_>,
    samples: &PodSamples,
    cx: Context<'_>,
    uses: &mut Vec<PodUse>,
) -> Result<(i32, Calculation), MetricFailure> {
    if cx.pods.is_empty() {
        return Err(MetricFailure::new(
            FailureKind::NoPods,
            "no pods returned by selector while calculating replica count",
        ));
    }
    let is_cpu = subject.resource == Some("cpu");
    let mut sums = Sums::default();
    let (mut ready, mut unready, mut missing) = (0usize, 0usize, 0usize);
    let mut unusable = samples.unusable.iter().peekable();
    for (i, pod) in cx.pods.iter().enumerate() {
        let sample = samples.of_pods.get(i).copied().flatten();
        let class = classify(pod, sample.as_ref(), is_cpu, cx.settings, cx.now);
        match class {
            PodClass::Ready => ready += 1,
            PodClass::Unready(_) => unready += 1,
            PodClass::Missing => missing += 1,
            PodClass::Ignored(_) | PodClass::Stranger => {}
        }
        let value = sample.map(|s| s.value);
        let counted = value.filter(|_| class == PodClass::Ready);
        uses.push(PodUse {
            pod: pod.name.clone(),
            class,
            sample: value,
            unusable: unusable.next_if(|(name, _)| *name == pod.name).map(|(_, why)| *why),
            request: None,
            counted,
        });
    }
    for (name, sample) in &samples.of_strangers {
        let value = Some(sample.value);
        uses.push(PodUse {
            pod: name.clone(),
            class: PodClass::Stranger,
            sample: value,
            unusable: None,
            request: None,
            counted: value,
        });
    }
    if ready + samples.of_strangers.len() == 0 {
        return Err(MetricFailure::new(
            FailureKind::NoSamples,
            "did not receive metrics for targeted pods (pods might be unready)",
        ));
    }
    if let (Goal::Utilization(_), Some(resource)) = (subject.goal, subject.resource) {
        // Requests are read from every pod, ignored ones too: one without fails the metric.
        let mut requests = Requests::new(resource, subject.container, cx.settings.pod_level_resources);
        for (pod, use_) in cx.pods.iter().zip(uses.iter_mut()) {
            use_.request = Some(requests.of(pod)?);
        }
    }
    add_all(&mut sums, uses, subject.goal);
    let first = sums.usage(subject.goal)?;

    let fills_unready = unready > 0 && first.ratio > 1.0;
    if missing == 0 && !fills_unready {
        let (replicas, verdict) = match cx.band.holds(first.ratio) {
            true => (cx.current, Verdict::WithinTolerance),
            false => (count(first.ratio * ready as f64)?, Verdict::Scaled),
        };
        return Ok((
            replicas,
            Calculation::PerPod {
                first,
                ready,
                filled: None,
                verdict,
            },
        ));
    }

    for use_ in uses.iter_mut() {
        use_.counted = use_.counted.or_else(|| filling(use_, first.ratio, subject.goal));
    }
    let mut sums = Sums::default();
    add_all(&mut sums, uses, subject.goal);
    let filled = sums.usage(subject.goal)?;
    let proposed = count(filled.ratio * sums.samples() as f64)?;
    let (replicas, verdict) = if cx.band.holds(filled.ratio) {
        (cx.current, Verdict::WithinTolerance)
    } else if (first.ratio < 1.0 && filled.ratio > 1.0) || (first.ratio > 1.0 && filled.ratio < 1.0) {
        (cx.current, Verdict::TurnedRound)
    } else if (filled.ratio < 1.0 && proposed > cx.current) || (filled.ratio > 1.0 && proposed < cx.current) {
        (cx.current, Verdict::WrongWay)
    } else {
        (proposed, Verdict::Scaled)
    };
    Ok((
        replicas,
        Calculation::PerPod {
            first,
            ready,
            filled: Some(filled),
            verdict,
        },
    ))
}

fn add_all(sums: &mut Sums, uses: &[PodUse], goal: Goal) {
    for use_ in uses {
        let Some(value) = use_.counted else { continue };
        match use_.class {
            PodClass::Stranger => sums.add_stranger(value, goal),
            _ => sums.add(value, use_.request),
        }
    }
}

/// What a pod that does not count by its sample counts as, against the change: a missing one as idle when the others
/// ask for more, and as at its goal, or at its whole request, when they ask for less; an unready one as idle when the
/// others ask for more.
fn filling(use_: &PodUse, ratio: f64, goal: Goal) -> Option<Milli> {
    match use_.class {
        PodClass::Missing if ratio < 1.0 => Some(match goal {
            Goal::Utilization(target) => {
                Milli(use_.request.unwrap_or_default().0.wrapping_mul(target.max(100).into()) / 100)
            }
            Goal::Average(target) => target,
        }),
        PodClass::Missing | PodClass::Unready(_) if ratio > 1.0 => Some(Milli(0)),
        _ => None,
    }
}
