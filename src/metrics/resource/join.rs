//! Usages + an autoscaler's pods -> its reading.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::usages::{NamespaceUsages, PodUsage};
use crate::observe::{FailureKind, MetricFailure, Pod, PodSamples, Reading, Sample};
use crate::selector::Selector;

/// One Resource (`container` absent) or ContainerResource metric's reading for the autoscaler that has these `pods`.
///
/// `usages` are those of the autoscaler's namespace, `selector` is its scale's, and `pods` those that the selector
/// picks. As in Kubernetes the selector is held against the labels that the *usages* carry, so a usage may belong to none of the
/// pods. A pod's sample is the sum over its containers; a container that lacks the resource, or having no
/// containers, leaves the pod without a sample. Sums saturate.
///
/// Fails with [`FailureKind::Empty`] where the selector picks no usage at all.
///
/// Source: Kubernetes v1.36 `podautoscaler/metrics/client.go`, `GetResourceMetric`.
pub fn reading(
    usages: &NamespaceUsages,
    selector: &Selector,
    pods: &[Pod],
    resource: &str,
    container: Option<&str>,
) -> Reading {
    let question = Question {
        selector,
        resource,
        container,
        last: Cell::new(None),
        places: RefCell::default(),
    };
    let mut any = false;
    let mut finder = usages.finder();
    let of_pods = pods
        .iter()
        .map(|pod| {
            let mut picked = finder
                .named(&pod.name)
                .filter(|usage| question.picks(*usage))
                .inspect(|_| any = true);
            picked.find_map(|usage| question.sample(usage))
        })
        .collect();
    let (strangers_seen, of_strangers) = question.strangers(usages, pods);
    if !any && !strangers_seen {
        return Reading::Failed(MetricFailure::new(
            FailureKind::Empty,
            "no metrics returned from resource metrics API",
        ));
    }
    Reading::PerPod(PodSamples {
        of_pods,
        of_strangers,
        unusable: Vec::new(),
    })
}

struct Question<'a> {
    selector: &'a Selector,
    resource: &'a str,
    container: Option<&'a str>,
    /// The labels that the selector was compared with last, and whether it picks them: pods of one template have the same.
    last: Cell<Option<(u32, bool)>>,
    /// The shape of the last sample, and where its amounts are: pods of one template have the same here too.
    places: RefCell<Option<OfShape>>,
}

/// Where the wanted amounts are in usages of a shape; `None` where there are none.
struct OfShape {
    shape: u32,
    places: Option<Box<[u32]>>,
}

impl Question<'_> {
    fn picks(&self, usage: PodUsage<'_>) -> bool {
        let labels = usage.labels_place();
        match self.last.get() {
            Some((last, picked)) if last == labels => picked,
            _ => {
                let picked = self.selector.matches(usage.labels());
                self.last.set(Some((labels, picked)));
                picked
            }
        }
    }

    /// What the usage says about the resource.
    fn sample(&self, usage: PodUsage<'_>) -> Option<Sample> {
        let shape = usage.shape_place();
        let mut known = self.places.borrow_mut();
        let OfShape { places, .. } = match &mut *known {
            Some(last) if last.shape == shape => last,
            other => other.insert(OfShape {
                shape,
                places: usage.places(self.resource, self.container),
            }),
        };
        Some(Sample {
            value: usage.sum(places.as_deref()?),
            at: usage.at(),
            window: usage.window(),
        })
    }

    /// Whether the selector picks usages of none of the pods, and their samples, sorted by name.
    fn strangers(&self, usages: &NamespaceUsages, pods: &[Pod]) -> (bool, Vec<(Arc<str>, Sample)>) {
        let picked: Vec<PodUsage<'_>> = usages.possible_strangers().filter(|usage| self.picks(*usage)).collect();
        if picked.is_empty() {
            return (false, Vec::new());
        }
        let of_pods: FxHashSet<&str> = pods.iter().map(|pod| &*pod.name).collect();
        let mut seen = false;
        let mut samples: FxHashMap<&str, Sample> = FxHashMap::default();
        for usage in picked.into_iter().filter(|usage| !of_pods.contains(usage.name())) {
            seen = true;
            if let Some(sample) = self.sample(usage) {
                samples.insert(usage.name(), sample);
            }
        }
        let mut samples: Vec<(Arc<str>, Sample)> = samples
            .into_iter()
            .map(|(name, sample)| (name.into(), sample))
            .collect();
        samples.sort_by(|(a, _), (b, _)| a.cmp(b));
        (seen, samples)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Usages;
    use super::*;
    use crate::observe::PodPhase;

    fn pod(name: &str) -> Pod {
        Pod {
            name: name.into(),
            phase: PodPhase::Running,
            terminating: false,
            ready: None,
            started: None,
            requests: Arc::default(),
        }
    }

    /// A list of pods in the namespace shop, each with name, labels and containers as JSON.
    fn usages(items: &[(&str, &str, &str)]) -> Usages {
        let items: Vec<String> = items
            .iter()
            .map(|(name, labels, containers)| {
                format!(
                    r#"{{"metadata":{{"name":"{name}","namespace":"shop","labels":{labels}}},
                        "timestamp":"2026-01-05T08:00:00Z","window":"30s","containers":{containers}}}"#
                )
            })
            .collect();
        Usages::decode(&format!(
            r#"{{"kind":"PodMetricsList","apiVersion":"metrics.k8s.io/v1beta1","items":[{}]}}"#,
            items.join(",")
        ))
        .unwrap()
    }

    const WEB: &str = r#"{"app":"web"}"#;
    const ONE: &str = r#"[{"name":"app","usage":{"cpu":"100m"}}]"#;
    const TWO: &str =
        r#"[{"name":"app","usage":{"cpu":"1500u"}},{"name":"log","usage":{"cpu":"1500u","memory":"1Ki"}}]"#;

    /// Milli of the pods, then of strangers.
    type Values = (Vec<Option<i64>>, Vec<(String, i64)>);

    /// The reading of `app=web` with pods a and b.
    fn check(usages: &Usages, resource: &str, container: Option<&str>) -> Option<Values> {
        let selector = Selector::parse("app=web").unwrap();
        match reading(
            &usages.of("shop"),
            &selector,
            &[pod("a"), pod("b")],
            resource,
            container,
        ) {
            Reading::PerPod(samples) => Some((
                samples.of_pods.iter().map(|s| s.map(|s| s.value.0)).collect(),
                samples
                    .of_strangers
                    .iter()
                    .map(|(name, s)| (name.to_string(), s.value.0))
                    .collect(),
            )),
            Reading::Failed(failure) => {
                assert_eq!(failure.kind, FailureKind::Empty);
                None
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_container_is_rounded_by_itself_and_then_summed() {
        assert_eq!(
            check(&usages(&[("a", WEB, TWO)]), "cpu", None),
            Some((vec![Some(4), None], vec![]))
        );
    }

    #[test]
    fn a_container_without_the_resource_leaves_its_pod_without_a_sample() {
        assert_eq!(
            check(&usages(&[("a", WEB, TWO)]), "memory", None),
            Some((vec![None, None], vec![]))
        );
    }

    #[test]
    fn a_pod_without_containers_has_no_sample() {
        assert_eq!(
            check(&usages(&[("a", WEB, "[]")]), "cpu", None),
            Some((vec![None, None], vec![]))
        );
    }

    #[test]
    fn a_container_metric_reads_the_named_container_only() {
        let usages = usages(&[("a", WEB, TWO), ("b", WEB, ONE)]);
        assert_eq!(check(&usages, "cpu", Some("log")), Some((vec![Some(2), None], vec![])));
        assert_eq!(
            check(&usages, "memory", Some("log")),
            Some((vec![Some(1_024_000), None], vec![]))
        );
    }

    #[test]
    fn usages_are_picked_by_the_labels_that_they_carry() {
        let usages = usages(&[("a", r#"{"app":"db"}"#, ONE), ("b", WEB, ONE)]);
        assert_eq!(check(&usages, "cpu", None), Some((vec![None, Some(100)], vec![])));
    }

    #[test]
    fn no_picked_usage_is_a_failure() {
        assert_eq!(check(&usages(&[]), "cpu", None), None);
        assert_eq!(check(&usages(&[("a", r#"{"app":"db"}"#, ONE)]), "cpu", None), None);
    }

    #[test]
    fn usages_of_unknown_pods_are_strangers_by_name() {
        let usages = usages(&[("z", WEB, ONE), ("c", WEB, TWO), ("d", "{}", ONE)]);
        assert_eq!(
            check(&usages, "cpu", None),
            Some((vec![None, None], vec![("c".into(), 4), ("z".into(), 100)]))
        );
    }

    #[test]
    fn of_two_usages_of_one_name_the_last_sample_counts() {
        let twice = usages(&[("a", WEB, ONE), ("a", WEB, TWO), ("z", WEB, ONE), ("z", WEB, TWO)]);
        assert_eq!(
            check(&twice, "cpu", None),
            Some((vec![Some(4), None], vec![("z".into(), 4)]))
        );
        let last_is_empty = usages(&[("a", WEB, ONE), ("a", WEB, "[]"), ("b", WEB, ONE), ("b", "{}", TWO)]);
        assert_eq!(
            check(&last_is_empty, "cpu", None),
            Some((vec![Some(100), Some(100)], vec![]))
        );
    }

    #[test]
    fn marking_strangers_beforehand_changes_no_result() {
        let plain = usages(&[
            ("a", WEB, ONE),
            ("b", "{}", ONE),
            ("c", WEB, TWO),
            ("gone", WEB, ONE),
            ("other", "{}", ONE),
        ]);
        // c is known, but its pod has other labels by now: a stranger to app=web all the same.
        let known = [("a", "web"), ("b", ""), ("c", "db"), ("other", "")];
        let mut marked = plain.clone();
        marked.mark_strangers(|namespace, labels, each| {
            let app = labels
                .iter()
                .find(|(key, _)| &**key == "app")
                .map_or("", |(_, value)| value);
            let known = known.iter().filter(|(_, label)| namespace == "shop" && *label == app);
            known.for_each(|(name, _)| each(name));
        });
        assert_eq!(marked.of("shop").possible_strangers().count(), 2);
        assert_eq!(check(&marked, "cpu", None), check(&plain, "cpu", None));
        assert_eq!(
            check(&marked, "cpu", None),
            Some((vec![Some(100), None], vec![("c".into(), 4), ("gone".into(), 100)]))
        );
    }

    #[test]
    fn sums_saturate() {
        let huge = r#"[{"name":"a","usage":{"cpu":"9e15"}},{"name":"b","usage":{"cpu":"9e15"}}]"#;
        assert_eq!(
            check(&usages(&[("a", WEB, huge)]), "cpu", None),
            Some((vec![Some(i64::MAX), None], vec![]))
        );
    }

    /// Kubernetes' way, word for word: what the selector picks, by name, the last one counting.
    fn naive(items: &[(u8, bool, &str)]) -> Option<Values> {
        let picked: Vec<_> = items.iter().filter(|(_, web, _)| *web).collect();
        let mut samples = std::collections::BTreeMap::new();
        for (name, _, containers) in &picked {
            match *containers {
                ONE => drop(samples.insert(*name, 100)),
                TWO => drop(samples.insert(*name, 4)),
                _ => {}
            }
        }
        let of_pods = [b'a', b'b'].map(|name| samples.remove(&name)).to_vec();
        let strangers = samples
            .into_iter()
            .map(|(name, value)| ((name as char).to_string(), value));
        (!picked.is_empty()).then(|| (of_pods, strangers.collect()))
    }

    proptest::proptest! {
        #[test]
        fn a_join_is_what_kubernetes_would_find(
            items in proptest::collection::vec(
                (b'a'..=b'd', proptest::bool::ANY, proptest::sample::select(vec![ONE, TWO, "[]"])), 0..8,
            ),
            known in proptest::collection::btree_map(b'a'..=b'd', proptest::bool::ANY, 0..4),
        ) {
            // The autoscaler's pods are a and b; of the others that are known, none has its label.
            let label = |web: bool| if web { WEB } else { "{}" };
            let named: Vec<(String, &str, &str)> =
                items.iter().map(|(name, web, cs)| ((*name as char).to_string(), label(*web), *cs)).collect();
            let named: Vec<(&str, &str, &str)> = named.iter().map(|(name, labels, cs)| (&**name, *labels, *cs)).collect();
            let plain = usages(&named);
            let expected = naive(&items);
            proptest::prop_assert_eq!(check(&plain, "cpu", None), expected.clone());
            let mut marked = plain;
            marked.mark_strangers(|_, labels, each| {
                let web = labels.iter().any(|(key, value)| &**key == "app" && &**value == "web");
                let others = known.keys().filter(|name| **name > b'b').map(|name| (*name as char).to_string());
                match web {
                    true => ["a", "b"].into_iter().for_each(each),
                    false => others.for_each(|name| each(&name)),
                }
            });
            proptest::prop_assert_eq!(check(&marked, "cpu", None), expected);
        }
    }
}
