//! Usage ratios and the tolerance around 1.

use crate::decide::Settings;
use crate::decide::derivation::Usage;
use crate::observe::{FailureKind, MetricFailure};
use crate::quantity::Milli;
use crate::spec::Spec;

/// The band around a usage ratio of 1 in which the count stays, both ends included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Band {
    lowest: f64,
    highest: f64,
}

impl Band {
    /// The tolerance of each direction: the autoscaler's own, else the controller's.
    pub(super) fn of(spec: &Spec, settings: &Settings) -> Self {
        let own = spec.behavior.as_ref().filter(|_| settings.configurable_tolerance);
        let up = own
            .and_then(|b| b.scale_up.tolerance.as_ref())
            .map_or(settings.tolerance, |t| t.fraction());
        let down = own
            .and_then(|b| b.scale_down.tolerance.as_ref())
            .map_or(settings.tolerance, |t| t.fraction());
        // In this form: `|ratio - 1| <= tolerance` is not the same in floating point, 1.1 at 0.1 for one.
        Self {
            lowest: 1.0 - down,
            highest: 1.0 + up,
        }
    }

    pub(super) fn holds(self, ratio: f64) -> bool {
        self.lowest <= ratio && ratio <= self.highest
    }
}

/// What a usage is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Goal {
    /// Percent of the requests.
    Utilization(i32),
    /// An average.
    Average(Milli),
}

/// Sums over samples, from which a usage comes.
///
/// They wrap around as Kubernetes' do (64 bits; the sum times 100 does from 92 TB of memory over all pods on): it is not
/// among what the README says differs, and the oracle's scenarios have it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    used: i64,
    asked: i64,
    /// Samples that are in `used`.
    added: usize,
    /// All samples, also those of pods without a known request.
    samples: usize,
}

impl Sums {
    /// A sample whose pod's request is known, or does not matter.
    pub(super) fn add(&mut self, value: Milli, request: Option<Milli>) {
        self.used = self.used.wrapping_add(value.0);
        self.asked = self.asked.wrapping_add(request.unwrap_or_default().0);
        self.added += 1;
        self.samples += 1;
    }

    /// A sample of an unknown pod: it has no request, so that utilization leaves it out and still counts it.
    pub(super) fn add_stranger(&mut self, value: Milli, goal: Goal) {
        match goal {
            Goal::Utilization(_) => self.samples += 1,
            Goal::Average(_) => self.add(value, None),
        }
    }

    pub(super) fn samples(&self) -> usize {
        self.samples
    }

    /// The usage of what was added. Utilization is truncated to whole percent, an average to whole milli, before the
    /// ratio is taken.
    ///
    /// Source: Kubernetes v1.36 `metrics/utilization.go`.
    pub(super) fn usage(&self, goal: Goal) -> Result<Usage, MetricFailure> {
        let average = |added: usize| Milli(self.used / i64::try_from(added.max(1)).unwrap_or(i64::MAX));
        match goal {
            Goal::Utilization(target) => {
                if self.asked == 0 {
                    return Err(MetricFailure::new(
                        FailureKind::ZeroRequests,
                        "no metrics returned matched known pods with a request above zero",
                    ));
                }
                let percent = self.used.wrapping_mul(100).wrapping_div(self.asked);
                let percent = percent.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
                Ok(Usage {
                    samples: self.samples,
                    ratio: f64::from(percent) / f64::from(target),
                    utilization_percent: Some(percent),
                    average: average(self.added),
                })
            }
            Goal::Average(target) => {
                let average = average(self.added);
                Ok(Usage {
                    samples: self.samples,
                    ratio: average.0 as f64 / target.0 as f64,
                    utilization_percent: None,
                    average,
                })
            }
        }
    }
}

/// A count from a float: rounded up, saturating. Kubernetes on amd64 turns what does not fit into −2147483648.
///
/// # Errors
/// Not a number.
pub(super) fn count(replicas: f64) -> Result<i32, MetricFailure> {
    if replicas.is_nan() {
        return Err(MetricFailure::new(
            FailureKind::NotANumber,
            "the proposed replica count is not a number",
        ));
    }
    Ok(replicas.ceil() as i32)
}
