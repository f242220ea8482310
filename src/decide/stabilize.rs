//! The stabilization windows.

use jiff::{SignedDuration, Timestamp};

use super::Settings;
use super::derivation::{Stabilization, Stabilized};
use super::pods::before;
use crate::memory::Memory;
use crate::spec::{Behavior, Spec};

/// What the recommendations of the windows make of a new one. `recommendation` is not below 0.
pub(super) fn stabilize(
    spec: &Spec,
    recommendation: i32,
    current: i32,
    memory: &Memory,
    settings: &Settings,
    now: Timestamp,
) -> Stabilization {
    match &spec.behavior {
        None => by_one_window(recommendation, memory, settings, now),
        Some(behavior) => by_behavior(behavior, recommendation, current, memory, settings, now),
    }
}

/// The highest recommendation of the window; its edge counts. It may raise the count, even above what there is.
///
/// Source: Kubernetes v1.36 `horizontal.go`, `stabilizeRecommendation`.
fn by_one_window(recommendation: i32, memory: &Memory, settings: &Settings, now: Timestamp) -> Stabilization {
    let from = before(now, settings.downscale_stabilization);
    let highest = memory
        .largest_from(from)
        .map_or(recommendation, |m| m.max(recommendation));
    Stabilization {
        recommendation,
        up_window_seconds: None,
        down_window_seconds: settings.downscale_stabilization.as_secs(),
        lowest: recommendation,
        highest,
        stabilized: highest,
        held: (highest != recommendation).then_some(Stabilized::Down),
    }
}

/// The present count, brought between the lowest recommendation of the scale-up window and the highest of the
/// scale-down window; edges do not count.
///
/// Source: Kubernetes v1.36 `horizontal.go`, `stabilizeRecommendationWithBehaviors`.
fn by_behavior(
    behavior: &Behavior,
    recommendation: i32,
    current: i32,
    memory: &Memory,
    settings: &Settings,
    now: Timestamp,
) -> Stabilization {
    let (up, down) = windows(behavior, settings);
    let lowest = memory
        .smallest_after(before(now, up))
        .map_or(recommendation, |m| m.min(recommendation));
    let highest = memory
        .largest_after(before(now, down))
        .map_or(recommendation, |m| m.max(recommendation));
    let stabilized = current.max(lowest).min(highest);
    let held = if recommendation >= current {
        Stabilized::Up
    } else {
        Stabilized::Down
    };
    Stabilization {
        recommendation,
        up_window_seconds: Some(up.as_secs()),
        down_window_seconds: down.as_secs(),
        lowest,
        highest,
        stabilized,
        held: (stabilized != recommendation).then_some(held),
    }
}

/// The windows of both directions, in whole seconds.
fn windows(behavior: &Behavior, settings: &Settings) -> (SignedDuration, SignedDuration) {
    let own = |seconds: Option<i32>| seconds.map(|s| SignedDuration::from_secs(s.into()));
    let fallback = SignedDuration::from_secs(settings.downscale_stabilization.as_secs());
    (
        own(behavior.scale_up.stabilization_window_seconds).unwrap_or(SignedDuration::ZERO),
        own(behavior.scale_down.stabilization_window_seconds).unwrap_or(fallback),
    )
}

/// Recommendations older than this may be overwritten.
pub(super) fn old_before(spec: &Spec, settings: &Settings, now: Timestamp) -> Timestamp {
    let longest = match &spec.behavior {
        None => settings.downscale_stabilization,
        Some(behavior) => {
            let (up, down) = windows(behavior, settings);
            up.max(down)
        }
    };
    before(now, longest)
}
