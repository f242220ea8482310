//! Which pods to make and which to end, so that a workload comes to its count and its template.

use super::pod::{PodLife, Stage};

/// What is to be done now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// So many new pods.
    pub(super) create: usize,
    /// These are to end.
    pub(super) end: Vec<usize>,
}

/// How pods of a former template give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strategy {
    /// At most a quarter more pods than wanted exist, and at most a quarter of them is missing: what a Deployment does by
    /// default.
    Rolling,
    /// All end first, and are gone before the first new one is made.
    Recreate,
}

/// Towards `wanted` pods of this template.
///
/// Source: Kubernetes v1.36 `pkg/controller/deployment/rolling.go` and `recreate.go`.
pub(super) fn plan(wanted: usize, pods: &[PodLife], template: u64, strategy: Strategy) -> Plan {
    let living = |of_template: bool| {
        let pods = pods.iter().enumerate();
        pods.filter(move |(_, pod)| !pod.is_ending() && (pod.template == template) == of_template)
            .map(|(at, _)| at)
            .collect::<Vec<_>>()
    };
    let (new, mut old) = (living(true), living(false));
    if strategy == Strategy::Recreate && pods.iter().any(|pod| pod.template != template) {
        return Plan { create: 0, end: old };
    }
    if old.is_empty() {
        return towards(wanted, pods, new);
    }
    let (surge, missing) = (wanted.div_ceil(4), wanted / 4);
    let ready = new.iter().chain(&old).filter(|at| pods[**at].is_ready()).count();
    let unready_old = old.iter().filter(|at| !pods[**at].is_ready()).count();
    let spare = ready.saturating_sub(wanted.saturating_sub(missing));
    let all = new.len() + old.len();
    let keep = old.len().saturating_sub(unready_old + spare);
    Plan {
        create: wanted
            .saturating_sub(new.len())
            .min((wanted + surge).saturating_sub(all)),
        end: surplus(pods, &mut old, keep),
    }
}

/// Towards `wanted` pods of whatever template.
pub(super) fn fill(wanted: usize, pods: &[PodLife]) -> Plan {
    let living = (0..pods.len()).filter(|at| !pods[*at].is_ending());
    towards(wanted, pods, living.collect())
}

fn towards(wanted: usize, pods: &[PodLife], mut living: Vec<usize>) -> Plan {
    Plan {
        create: wanted.saturating_sub(living.len()),
        end: surplus(pods, &mut living, wanted),
    }
}

/// Those that serve least are ended first: not ready, then the youngest.
fn surplus(pods: &[PodLife], of: &mut Vec<usize>, keep: usize) -> Vec<usize> {
    of.sort_by_key(|at| {
        let pod = &pods[*at];
        let stage = match pod.stage {
            Stage::Ready(_) => 0,
            Stage::Starting(_) => 1,
            Stage::Pending => 2,
        };
        (stage, pod.created)
    });
    of.split_off(keep.min(of.len()))
}

/// How many pods there are.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) all: usize,
    pub(super) updated: usize,
    pub(super) ready: usize,
}

impl Counts {
    /// Pods that end do not count, as in a Deployment's status.
    pub(super) fn of(pods: &[PodLife], template: u64) -> Self {
        let mut counts = Self::default();
        for pod in pods.iter().filter(|pod| !pod.is_ending()) {
            counts.add(pod, pod.template == template);
        }
        counts
    }

    /// Of the pods of one template alone.
    pub(super) fn of_template(pods: &[PodLife], template: u64) -> Self {
        let mut counts = Self::default();
        let of_template = |pod: &&PodLife| !pod.is_ending() && pod.template == template;
        pods.iter().filter(of_template).for_each(|pod| counts.add(pod, true));
        counts
    }

    fn add(&mut self, pod: &PodLife, updated: bool) {
        self.all += 1;
        self.updated += usize::from(updated);
        self.ready += usize::from(pod.is_ready());
    }
}
