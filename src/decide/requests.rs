//! What a pod requests of a resource, as utilization counts it.
//!
//! Source: Kubernetes v1.36 `replica_calculator.go`, `calculateRequests`; KEP-2837 for requests of a whole pod, whose
//! aggregate of containers is that of `k8s.io/component-helpers/resource`.

use std::sync::Arc;

use crate::observe::{ContainerKind, ContainerRequests, FailureKind, MetricFailure, Pod, PodRequests};
use crate::quantity::Milli;

/// The requests of an autoscaler's pods for one resource, of one container where it is named.
pub(super) struct Requests<'a> {
    resource: &'a str,
    container: Option<&'a str>,
    pod_level: bool,
    last: Option<(&'a Arc<PodRequests>, Milli)>,
}

impl<'a> Requests<'a> {
    pub(super) fn new(resource: &'a str, container: Option<&'a str>, pod_level: bool) -> Self {
        Self {
            resource,
            container,
            pod_level,
            last: None,
        }
    }

    /// The request of `pod`. Where it shares its requests with the pod before it, as pods of one template do, they are
    /// not added up again.
    ///
    /// # Errors
    /// A container, or the pod as a whole, that has no such request; or no such container.
    pub(super) fn of(&mut self, pod: &'a Pod) -> Result<Milli, MetricFailure> {
        if let Some((requests, amount)) = self.last
            && Arc::ptr_eq(requests, &pod.requests)
        {
            return Ok(amount);
        }
        let amount = request(pod, self.resource, self.container, self.pod_level)?;
        self.last = Some((&pod.requests, amount));
        Ok(amount)
    }
}

fn request(pod: &Pod, resource: &str, container: Option<&str>, pod_level: bool) -> Result<Milli, MetricFailure> {
    let requests = &*pod.requests;
    let missing = |of: String| {
        MetricFailure::new(
            FailureKind::NoRequest,
            format!("missing request for {resource} in {of} of Pod {}", pod.name),
        )
    };
    if let Some(name) = container {
        let Some(found) = long_running(requests).find(|c| &*c.name == name) else {
            return Err(MetricFailure::new(
                FailureKind::NoRequest,
                format!("container {name} not found in Pod {}", pod.name),
            ));
        };
        return found
            .requests
            .get(resource)
            .ok_or_else(|| missing(format!("container {name}")));
    }
    if pod_level && sets_pod_level_requests(requests) {
        return pod_level_request(requests, resource).ok_or_else(|| {
            MetricFailure::new(
                FailureKind::NoRequest,
                format!("missing pod-level request for {resource} in Pod {}", pod.name),
            )
        });
    }
    long_running(requests).try_fold(Milli(0), |sum, c| match c.requests.get(resource) {
        Some(amount) => Ok(Milli(sum.0.saturating_add(amount.0))),
        None => Err(missing(format!("container {}", c.name))),
    })
}

fn long_running(requests: &PodRequests) -> impl Iterator<Item = &ContainerRequests> {
    requests.containers.iter().filter(|c| c.kind != ContainerKind::Init)
}

/// Only these resources can be requested for a whole pod; others there do not count.
fn sets_pod_level_requests(requests: &PodRequests) -> bool {
    requests.pod_level.0.iter().any(|(name, _)| is_pod_level_resource(name))
}

fn is_pod_level_resource(name: &str) -> bool {
    name == "cpu" || name == "memory" || name.starts_with("hugepages-")
}

/// The pod's own request, else the aggregate of its containers; with the overhead.
fn pod_level_request(requests: &PodRequests, resource: &str) -> Option<Milli> {
    let own = if is_pod_level_resource(resource) {
        requests.pod_level.get(resource)
    } else {
        None
    };
    let of_containers = own.or_else(|| aggregate(requests, resource));
    let overhead = requests.overhead.get(resource);
    match (of_containers, overhead) {
        (None, None) => None,
        (a, b) => Some(Milli(a.unwrap_or_default().0.saturating_add(b.unwrap_or_default().0))),
    }
}

/// What the scheduler reserves: containers and sidecars together, but at least what the largest init step needs
/// beside the sidecars that were started before it.
fn aggregate(requests: &PodRequests, resource: &str) -> Option<Milli> {
    let of = |c: &ContainerRequests| c.requests.get(resource).map(|m| m.0);
    let (mut sum, mut sidecars, mut largest_init) = (None::<i64>, 0i64, None::<i64>);
    let add = |to: &mut Option<i64>, amount: i64| *to = Some(to.unwrap_or(0).saturating_add(amount));
    for container in &requests.containers {
        let Some(amount) = of(container) else { continue };
        match container.kind {
            ContainerKind::Main => add(&mut sum, amount),
            ContainerKind::Sidecar => {
                add(&mut sum, amount);
                sidecars = sidecars.saturating_add(amount);
                largest_init = Some(largest_init.unwrap_or(0).max(sidecars));
            }
            ContainerKind::Init => {
                largest_init = Some(largest_init.unwrap_or(0).max(sidecars.saturating_add(amount)));
            }
        }
    }
    match (sum, largest_init) {
        (None, None) => None,
        (a, b) => Some(Milli(a.unwrap_or(0).max(b.unwrap_or(0)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::{PodPhase, ResourceList};
    use ContainerKind::{Init, Main, Sidecar};

    fn list(amounts: &[(&str, i64)]) -> ResourceList {
        ResourceList(
            amounts
                .iter()
                .map(|(name, amount)| ((*name).into(), Milli(*amount)))
                .collect(),
        )
    }

    type Containers<'a> = &'a [(&'a str, ContainerKind, Option<i64>)];

    fn cpu(containers: Containers<'_>, whole: &[(&str, i64)], overhead: i64, container: Option<&str>) -> Option<i64> {
        let requests = PodRequests {
            containers: containers
                .iter()
                .map(|(name, kind, amount)| ContainerRequests {
                    name: (*name).into(),
                    kind: *kind,
                    requests: amount.map(|a| list(&[("cpu", a)])).unwrap_or_default(),
                })
                .collect(),
            pod_level: list(whole),
            overhead: if overhead > 0 {
                list(&[("cpu", overhead)])
            } else {
                ResourceList::default()
            },
        };
        let pod = Pod {
            name: "web-1".into(),
            phase: PodPhase::Running,
            terminating: false,
            ready: None,
            started: None,
            requests: requests.into(),
        };
        request(&pod, "cpu", container, true).ok().map(|m| m.0)
    }

    #[test]
    fn pods_of_two_templates_each_have_their_own_request() {
        let of = |name: &str, amount| PodRequests {
            containers: vec![ContainerRequests {
                name: name.into(),
                kind: Main,
                requests: list(&[("cpu", amount)]),
            }],
            ..PodRequests::default()
        };
        let (old, new, without) = (Arc::new(of("a", 100)), Arc::new(of("a", 300)), Arc::default());
        let pod = |requests: &Arc<PodRequests>| Pod {
            name: "web-1".into(),
            phase: PodPhase::Running,
            terminating: false,
            ready: None,
            started: None,
            requests: requests.clone(),
        };
        let pods = [&old, &old, &new, &without, &new, &old].map(pod);
        let mut requests = Requests::new("cpu", Some("a"), true);
        let found: Vec<_> = pods.iter().map(|pod| requests.of(pod).ok().map(|m| m.0)).collect();
        assert_eq!(found, [Some(100), Some(100), Some(300), None, Some(300), Some(100)]);
    }

    /// The table of the specification, section 3.5, produced by running Kubernetes.
    #[test]
    fn requests_are_those_of_kubernetes() {
        let two: Containers<'_> = &[("a", Main, Some(100)), ("b", Main, Some(250))];
        let half: Containers<'_> = &[("a", Main, Some(100)), ("b", Main, None)];
        let sidecar: Containers<'_> = &[
            ("a", Main, Some(100)),
            ("s", Sidecar, Some(50)),
            ("i", Init, Some(2000)),
        ];
        let init: Containers<'_> = &[("a", Main, Some(100)), ("b", Main, None), ("i", Init, Some(2000))];
        let nothing: Containers<'_> = &[("a", Main, None)];
        assert_eq!(cpu(two, &[], 0, None), Some(350));
        assert_eq!(cpu(sidecar, &[], 0, None), Some(150));
        assert_eq!(cpu(&[("a", Main, Some(100)), ("s", Sidecar, None)], &[], 0, None), None);
        assert_eq!(cpu(sidecar, &[], 0, Some("s")), Some(50));
        assert_eq!(cpu(sidecar, &[], 0, Some("i")), None);
        assert_eq!(cpu(half, &[], 0, Some("a")), Some(100));
        assert_eq!(cpu(half, &[], 0, None), None);
        assert_eq!(cpu(half, &[("cpu", 500)], 0, None), Some(500));
        assert_eq!(cpu(half, &[("cpu", 500)], 0, Some("a")), Some(100));
        assert_eq!(cpu(half, &[("cpu", 500)], 50, None), Some(550));
        assert_eq!(
            cpu(&[("a", Main, Some(100)), ("b", Main, Some(100))], &[], 50, None),
            Some(200)
        );
        assert_eq!(cpu(init, &[("memory", 1)], 0, None), Some(2000));
        assert_eq!(cpu(nothing, &[("memory", 1)], 0, None), None);
    }
}
