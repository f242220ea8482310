//! Which pod of a StatefulSet comes or goes next.

use super::pod::PodLife;

/// Towards `wanted` pods of this template, called by their numbers. One after the other unless `parallel`: each waits until
/// those before it are ready, the last ones end first, and a new template replaces one pod at a time, from the last on.
///
/// Source: Kubernetes v1.36 `pkg/controller/statefulset/stateful_set_control.go`, `updateStatefulSet`.
pub(super) fn plan(workload: &str, wanted: usize, pods: &[PodLife], template: u64, parallel: bool) -> Ordered {
    let find = |number: usize| pods.iter().position(|pod| pod.name == name(workload, number));
    let mut next = Ordered::default();
    for number in 0..wanted {
        let waits = match find(number) {
            None => {
                next.create.push(number);
                true
            }
            Some(at) => !pods[at].is_ready(),
        };
        if waits && !parallel {
            return next;
        }
    }
    let number_of = |pod: &PodLife| number(workload, &pod.name);
    let mut surplus: Vec<usize> = (0..pods.len())
        .filter(|at| number_of(&pods[*at]).is_none_or(|number| number >= wanted))
        .collect();
    surplus.sort_by_key(|at| std::cmp::Reverse(number_of(&pods[*at])));
    if let Some(last) = surplus.first() {
        let all = if parallel {
            &surplus[..]
        } else {
            std::slice::from_ref(last)
        };
        next.end.extend(all.iter().filter(|at| !pods[**at].is_ending()));
        return next;
    }
    for number in (0..wanted).rev() {
        let Some(at) = find(number) else { break };
        if pods[at].template != template && !pods[at].is_ending() {
            next.end.push(at);
            break;
        }
        if !pods[at].is_ready() {
            break;
        }
    }
    next
}

/// What is to be done now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ordered {
    /// These pods are to end.
    pub(super) end: Vec<usize>,
    /// Pods of these numbers are to come.
    pub(super) create: Vec<usize>,
}

/// The name of a pod.
pub(super) fn name(workload: &str, number: usize) -> String {
    format!("{workload}-{number}")
}

fn number(workload: &str, pod: &str) -> Option<usize> {
    pod.strip_prefix(workload)?.strip_prefix('-')?.parse().ok()
}
