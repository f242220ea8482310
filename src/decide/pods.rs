//! Ready, unready, missing, ignored: the class of each pod in one metric.
//!
//! Source: Kubernetes v1.36 `replica_calculator.go`, `groupPods`.

use jiff::{SignedDuration, Timestamp};

use super::Settings;
use super::derivation::{Ignored, PodClass, Unready};
use crate::observe::{ConditionStatus, Pod, PodPhase, Sample};

/// The class of `pod`, with its sample if it has one. Readiness counts only where the metric is of cpu.
pub(super) fn classify(
    pod: &Pod,
    sample: Option<&Sample>,
    is_cpu: bool,
    settings: &Settings,
    now: Timestamp,
) -> PodClass {
    if pod.terminating {
        return PodClass::Ignored(Ignored::Terminating);
    }
    if pod.phase == PodPhase::Failed {
        return PodClass::Ignored(Ignored::Failed);
    }
    if pod.phase == PodPhase::Pending {
        return PodClass::Unready(Unready::Pending);
    }
    let Some(sample) = sample else { return PodClass::Missing };
    match if is_cpu {
        unready(pod, sample, settings, now)
    } else {
        None
    } {
        Some(why) => PodClass::Unready(why),
        None => PodClass::Ready,
    }
}

/// Every comparison is strict: equality makes a pod old, a sample good, a pod ready.
fn unready(pod: &Pod, sample: &Sample, settings: &Settings, now: Timestamp) -> Option<Unready> {
    let (Some(ready), Some(started)) = (pod.ready, pod.started) else {
        return Some(Unready::NoReadiness);
    };
    let since = ready.since.unwrap_or(Timestamp::MIN);
    let not_ready = ready.status == ConditionStatus::False;
    if after(started, settings.cpu_initialization_period) > now.as_nanosecond() {
        if not_ready {
            return Some(Unready::Initializing);
        }
        let taken = sample.at.unwrap_or(Timestamp::MIN);
        return (taken.as_nanosecond() < after(since, sample.window)).then_some(Unready::SampleTooEarly);
    }
    (not_ready && after(started, settings.initial_readiness_delay) > since.as_nanosecond())
        .then_some(Unready::NeverReady)
}

/// `time + duration` in nanoseconds of Unix time, at the edge of [`Timestamp`]s where there is none. As a number, since
/// this is asked of every pod, and a `Timestamp`'s own sum takes ten times as long.
fn after(time: Timestamp, duration: SignedDuration) -> i128 {
    // No sum of two such numbers comes near the edge of 128 bits.
    (time.as_nanosecond() + duration.as_nanos()).clamp(Timestamp::MIN.as_nanosecond(), Timestamp::MAX.as_nanosecond())
}

/// `time - duration`, at the edge of time where there is none.
pub(super) fn before(time: Timestamp, duration: SignedDuration) -> Timestamp {
    time.checked_sub(duration).unwrap_or(if duration.is_negative() {
        Timestamp::MAX
    } else {
        Timestamp::MIN
    })
}

/// Running and ready: what Object and External metrics with a whole value are multiplied by.
pub(super) fn is_running_and_ready(pod: &Pod) -> bool {
    pod.phase == PodPhase::Running && pod.ready.is_some_and(|r| r.status == ConditionStatus::True)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::ReadyCondition;
    use crate::quantity::Milli;

    fn class(age: i64, ready: (ConditionStatus, i64), sample_age: i64) -> PodClass {
        let now = Timestamp::from_second(1_767_600_000).unwrap();
        let ago = |seconds| before(now, SignedDuration::from_secs(seconds));
        let pod = Pod {
            name: "web-1".into(),
            phase: PodPhase::Running,
            terminating: false,
            ready: Some(ReadyCondition {
                status: ready.0,
                since: Some(ago(ready.1)),
            }),
            started: Some(ago(age)),
            requests: Default::default(),
        };
        let sample = Sample {
            value: Milli(1),
            at: Some(ago(sample_age)),
            window: SignedDuration::from_secs(30),
        };
        classify(&pod, Some(&sample), true, &Settings::default(), now)
    }

    /// The table of the specification, section 3.3, produced by running Kubernetes.
    #[test]
    fn readiness_follows_kubernetes_at_each_edge() {
        use ConditionStatus::{False, True, Unknown};
        let unready = PodClass::Unready;
        for (what, age, ready, sample_age, expected) in [
            ("young, window complete", 120, (True, 60), 20, PodClass::Ready),
            ("young, exactly one window", 120, (True, 60), 30, PodClass::Ready),
            (
                "young, one second short",
                120,
                (True, 60),
                31,
                unready(Unready::SampleTooEarly),
            ),
            ("young, not ready", 120, (False, 60), 0, unready(Unready::Initializing)),
            ("young, readiness unknown", 120, (Unknown, 60), 0, PodClass::Ready),
            (
                "exactly 5 min, false since 10 s after start",
                300,
                (False, 290),
                0,
                unready(Unready::NeverReady),
            ),
            (
                "old, false since 10 s after start",
                600,
                (False, 590),
                0,
                unready(Unready::NeverReady),
            ),
            (
                "old, false since 30 s after start",
                600,
                (False, 570),
                0,
                PodClass::Ready,
            ),
            (
                "old, true for 1 s, sample an hour old",
                600,
                (True, 1),
                3600,
                PodClass::Ready,
            ),
        ] {
            assert_eq!(class(age, ready, sample_age), expected, "{what}");
        }
    }
}
