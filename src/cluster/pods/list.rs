//! A few pods, or many, sorted by name and given out without a copy.

use std::sync::Arc;

use crate::observe::{Pod, Pods};

/// Pods sorted by name. One alone, such as each of a StatefulSet's, whose labels are its own, takes no room beside this.
#[derive(Default)]
pub(super) enum List {
    #[default]
    Empty,
    One(Pod),
    /// Copied where it changes while somebody still looks at it.
    Many(Pods),
}

impl List {
    pub(super) fn as_slice(&self) -> &[Pod] {
        match self {
            Self::Empty => &[],
            Self::One(pod) => std::slice::from_ref(pod),
            Self::Many(pods) => pods,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// All of them, as they are now.
    pub(super) fn share(&self) -> Pods {
        match self {
            Self::Many(pods) => pods.clone(),
            few => Arc::new(few.as_slice().to_vec()),
        }
    }

    /// Where the pod of this name is, or would have to be.
    pub(super) fn find(&self, name: &str) -> Result<usize, usize> {
        let pods = self.as_slice();
        // A list arrives in the order of names, so the end is the likeliest place.
        if pods.last().is_some_and(|last| &*last.name < name) {
            return Err(pods.len());
        }
        pods.binary_search_by(|pod| (*pod.name).cmp(name))
    }

    /// The pod at a place that [`find`](Self::find) gave.
    pub(super) fn at_mut(&mut self, place: usize) -> &mut Pod {
        match self {
            Self::Empty => unreachable!("nothing is found in an empty list"),
            Self::One(pod) => pod,
            Self::Many(pods) => &mut Arc::make_mut(pods)[place],
        }
    }

    /// Puts a pod where [`find`](Self::find) said.
    pub(super) fn insert(&mut self, place: usize, pod: Pod) {
        *self = match std::mem::take(self) {
            Self::Empty => Self::One(pod),
            Self::One(first) => {
                let mut pods = vec![first];
                pods.insert(place, pod);
                Self::Many(Arc::new(pods))
            }
            Self::Many(mut pods) => {
                Arc::make_mut(&mut pods).insert(place, pod);
                Self::Many(pods)
            }
        };
    }

    /// Takes out the pod at a place that [`find`](Self::find) gave.
    pub(super) fn remove(&mut self, place: usize) {
        *self = match std::mem::take(self) {
            Self::Empty | Self::One(_) => Self::Empty,
            Self::Many(mut pods) => {
                let left = Arc::make_mut(&mut pods);
                left.remove(place);
                match left.len() {
                    1 => Self::One(left.remove(0)),
                    _ => Self::Many(pods),
                }
            }
        };
    }

    /// Gives spare memory back.
    pub(super) fn shrink(&mut self) {
        if let Self::Many(pods) = self {
            Arc::make_mut(pods).shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::PodPhase;

    fn put(list: &mut List, name: &str) {
        let pod = Pod {
            name: name.into(),
            phase: PodPhase::Running,
            terminating: false,
            ready: None,
            started: None,
            requests: Arc::default(),
        };
        match list.find(name) {
            Ok(place) => *list.at_mut(place) = pod,
            Err(place) => list.insert(place, pod),
        }
    }

    fn names(pods: &[Pod]) -> String {
        pods.iter().map(|pod| &*pod.name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn it_stays_sorted_from_none_to_many_and_back() {
        let mut list = List::default();
        let mut seen = Vec::new();
        for name in ["b", "a", "c", "a"] {
            put(&mut list, name);
            seen.push(names(list.as_slice()));
        }
        for name in ["b", "c", "a"] {
            let place = list.find(name).unwrap();
            list.remove(place);
            seen.push(names(list.as_slice()));
        }
        assert_eq!(seen, ["b", "a b", "a b c", "a b c", "a c", "a", ""]);
        assert!(list.is_empty());
    }

    #[test]
    fn what_was_given_out_stays_what_it_was() {
        let mut list = List::default();
        let mut shared = Vec::new();
        for name in ["a", "b", "c"] {
            put(&mut list, name);
            shared.push(list.share());
        }
        list.remove(0);
        list.remove(0);
        let seen: Vec<_> = shared.iter().map(|pods| names(pods)).collect();
        assert_eq!(seen, ["a", "a b", "a b c"]);
        let List::One(pod) = &list else { panic!("one is left") };
        assert_eq!(&*pod.name, "c");
    }

    #[test]
    fn many_are_given_out_without_a_copy() {
        let mut list = List::default();
        ["a", "b"].iter().for_each(|name| put(&mut list, name));
        assert!(Arc::ptr_eq(&list.share(), &list.share()));
    }
}
