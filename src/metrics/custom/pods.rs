//! The values of one Pods metric, and who gets which of them.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{CustomValue, LIST};
use crate::metrics::decode::{DecodeError, each_item};
use crate::observe::{FailureKind, MetricFailure, Pod, PodSamples, Reading, Sample};

/// One answer about pods, found by pod name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodValues {
    by_name: FxHashMap<Arc<str>, Sample>,
    /// Values under names that no pod of the namespace has; see [`mark_unknown`](Self::mark_unknown).
    unknown: Vec<(Arc<str>, Sample)>,
}

impl PodValues {
    /// Reads a `MetricValueList` about pods.
    ///
    /// # Errors
    /// As [`decode`](super::decode).
    pub fn decode(text: &str) -> Result<Self, DecodeError> {
        let mut values = Self::default();
        each_item(text, LIST, |value: CustomValue| values.put(&value))?;
        Ok(values)
    }

    /// Notes which values belong to no pod: `is_known(name)` says whether the namespace has a pod of this name.
    pub fn mark_unknown(&mut self, is_known: impl Fn(&str) -> bool) {
        let unknown = self.by_name.iter().filter(|(name, _)| !is_known(name));
        self.unknown = unknown.map(|(name, sample)| (name.clone(), *sample)).collect();
        self.unknown.sort_by(|(a, _), (b, _)| a.cmp(b));
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The reading of an autoscaler that has these `pods`, where the answer is about these pods alone: values under other
    /// names are those of strangers.
    pub fn reading(&self, pods: &[Pod]) -> Reading {
        let own: FxHashSet<&str> = pods.iter().map(|pod| &*pod.name).collect();
        let strangers = self.by_name.iter().filter(|(name, _)| !own.contains(&***name));
        let mut strangers: Vec<_> = strangers.map(|(name, sample)| (name.clone(), *sample)).collect();
        strangers.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.joined(pods, strangers)
    }

    /// The reading of an autoscaler that has these `pods`, where the answer is about all pods of the namespace.
    ///
    /// Other pods' values are left out, as the API would have done had it been asked with the autoscaler's selector. Where
    /// a name is nobody's, the pod came or went a moment ago and its labels are not known; it is taken for the
    /// autoscaler's where one of `pods` has the same owner by its name: what an owner makes is alike up to the last dash.
    pub fn reading_among_all(&self, pods: &[Pod]) -> Reading {
        let mut strangers = Vec::new();
        if !self.unknown.is_empty() {
            let owners: FxHashSet<&str> = pods.iter().filter_map(|pod| owner(&pod.name)).collect();
            let is_own = |name: &str| owner(name).is_some_and(|owner| owners.contains(owner));
            strangers.extend(self.unknown.iter().filter(|(name, _)| is_own(name)).cloned());
        }
        self.joined(pods, strangers)
    }

    /// Of two values for one pod the last counts.
    fn put(&mut self, value: &CustomValue) {
        let sample = Sample {
            value: value.value,
            at: value.at,
            window: value.window,
        };
        self.by_name.insert(value.name.clone(), sample);
    }

    fn joined(&self, pods: &[Pod], of_strangers: Vec<(Arc<str>, Sample)>) -> Reading {
        let of_pods: Vec<Option<Sample>> = pods.iter().map(|pod| self.by_name.get(&pod.name).copied()).collect();
        if of_strangers.is_empty() && of_pods.iter().all(Option::is_none) {
            return Reading::Failed(MetricFailure::new(
                FailureKind::Empty,
                "no metrics returned from custom metrics API",
            ));
        }
        Reading::PerPod(PodSamples {
            of_pods,
            of_strangers,
            unusable: Vec::new(),
        })
    }
}

impl<'a> FromIterator<&'a CustomValue> for PodValues {
    fn from_iter<I: IntoIterator<Item = &'a CustomValue>>(values: I) -> Self {
        let mut all = Self::default();
        values.into_iter().for_each(|value| all.put(value));
        all
    }
}

/// What the names of one owner's pods begin with: `web-6d4f` of `web-6d4f-x7k2p`.
fn owner(pod: &str) -> Option<&str> {
    pod.rsplit_once('-').map(|(owner, _)| owner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::custom::tests::{pod, value};

    fn names(reading: &Reading) -> (Vec<Option<i64>>, Vec<&str>) {
        let Reading::PerPod(samples) = reading else {
            panic!("{reading:?}")
        };
        let of_pods = samples.of_pods.iter().map(|s| s.map(|s| s.value.0)).collect();
        (of_pods, samples.of_strangers.iter().map(|(name, _)| &**name).collect())
    }

    #[test]
    fn values_are_joined_by_name_and_the_last_wins() {
        let values = [value("z", 5), value("b", 1), value("b", 2), value("c", 3)];
        let values: PodValues = values.iter().collect();
        let reading = values.reading(&[pod("a"), pod("b")]);
        assert_eq!(names(&reading), (vec![None, Some(2)], vec!["c", "z"]));
    }

    #[test]
    fn an_answer_for_all_pods_is_split_by_those_that_each_selects() {
        let values = [
            value("web-1-a", 1),
            value("web-1-b", 2),
            value("api-1-a", 3),
            value("odd", 9),
        ];
        let mut values: PodValues = values.iter().collect();
        values.mark_unknown(|_| true);
        let web = values.reading_among_all(&[pod("web-1-a"), pod("web-1-b"), pod("web-1-c")]);
        assert_eq!(names(&web), (vec![Some(1), Some(2), None], vec![]));
        let api = values.reading_among_all(&[pod("api-1-a")]);
        assert_eq!(names(&api), (vec![Some(3)], vec![]));
    }

    #[test]
    fn a_pod_that_nobody_knows_goes_to_those_of_its_owner() {
        let values = [
            value("web-1-a", 1),
            value("web-1-x", 7),
            value("new-1-x", 8),
            value("odd", 9),
        ];
        let mut values: PodValues = values.iter().collect();
        values.mark_unknown(|name| name == "web-1-a");
        let web = values.reading_among_all(&[pod("web-1-a")]);
        assert_eq!(names(&web), (vec![Some(1)], vec!["web-1-x"]));
        assert!(matches!(
            values.reading_among_all(&[pod("api-1-a")]),
            Reading::Failed(_)
        ));
    }

    #[test]
    fn where_no_value_is_the_autoscalers_the_metric_fails() {
        let values = [value("api-1-a", 3)];
        let mut values: PodValues = values.iter().collect();
        values.mark_unknown(|_| true);
        for reading in [
            values.reading_among_all(&[pod("web-1-a")]),
            PodValues::default().reading(&[pod("web-1-a")]),
        ] {
            assert!(
                matches!(&reading, Reading::Failed(failure) if failure.kind == FailureKind::Empty),
                "{reading:?}"
            );
        }
    }
}
