//! The pods of one namespace, grouped by their labels, and an index from a label to the groups that have it.
//!
//! Pods of one template share their labels, so a selector is compared with each set of labels, not with each pod; and
//! of those only with the ones that have the rarest label that the selector names.

use std::hash::BuildHasher;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};

use super::list::List;
use super::slim::SlimPod;
use super::symbols::{Symbol, Symbols};
use crate::observe::{Pod, PodRequests, Pods};
use crate::selector::{Labels, Selector};

/// A place in [`Namespace::groups`].
type GroupId = u32;

/// The pods of one namespace.
#[derive(Default)]
pub(super) struct Namespace {
    symbols: Symbols,
    requests: FxHashSet<Arc<PodRequests>>,
    /// At this many distinct requests, those that no pod has any more are looked for.
    sweep_requests_at: usize,
    groups: Vec<Group>,
    free: Vec<GroupId>,
    by_label: FxHashMap<(Symbol, Symbol), Posting>,
    /// The group of the pods without labels, which no label leads to.
    unlabelled: Option<GroupId>,
    by_name: FxHashMap<Arc<str>, GroupId>,
    /// The groups by a hash of their labels, from when a pod comes each of whose labels many groups have: with templates one of
    /// them is rare, and this would be memory for nothing.
    by_hash: Option<FxHashMap<u64, Vec<GroupId>>>,
    /// Another one whenever there are other groups.
    labels_number: Number,
}

/// Groups that are looked through, where so many have the rarest of a pod's labels.
const FEW: usize = 64;

/// Pods with the same labels; without pods where the place is free.
#[derive(Default)]
struct Group {
    /// Sorted by symbol.
    labels: Box<[(Symbol, Symbol)]>,
    pods: List,
}

/// A number that no namespace has had before.
#[derive(Debug)]
struct Number(u64);

impl Default for Number {
    fn default() -> Self {
        // 0 is that of a namespace without pods.
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// The groups that have a label. Most labels that are unique to a pod lead to one group: no list for those.
enum Posting {
    One(GroupId),
    Several(Vec<GroupId>),
}

impl Posting {
    fn groups(&self) -> &[GroupId] {
        match self {
            Self::One(group) => std::slice::from_ref(group),
            Self::Several(groups) => groups,
        }
    }

    fn add(&mut self, group: GroupId) {
        match self {
            Self::One(first) => *self = Self::Several(vec![*first, group]),
            Self::Several(groups) => groups.push(group),
        }
    }
}

/// The labels that some pods share.
#[derive(Clone, Copy)]
pub struct PodLabels<'a> {
    symbols: &'a Symbols,
    pairs: &'a [(Symbol, Symbol)],
}

impl Labels for PodLabels<'_> {
    fn label(&self, key: &str) -> Option<&str> {
        let key = self.symbols.find(key)?;
        let (_, value) = self.pairs.iter().find(|(k, _)| *k == key)?;
        Some(self.symbols.text(*value))
    }
}

impl Namespace {
    /// Puts a pod in, in the place of the one that has its name.
    pub(super) fn apply(&mut self, pod: SlimPod) {
        let SlimPod { labels, mut facts, .. } = pod;
        facts.requests = self.share_requests(facts.requests);
        // Held before the old pod goes, so that strings and group stay where they are when only facts change.
        let pairs = self.hold_labels(&labels);
        let group = match self.find_group(&pairs) {
            Some(group) => {
                self.release_labels(&pairs);
                group
            }
            None => self.add_group(pairs),
        };
        if self.by_name.get(&facts.name).is_some_and(|former| *former != group) {
            self.remove(&facts.name);
        }
        let pods = &mut self.groups[group as usize].pods;
        match pods.find(&facts.name) {
            Ok(place) => {
                let known = pods.at_mut(place);
                facts.name = known.name.clone();
                *known = facts;
            }
            Err(place) => {
                if let Some(symbol) = self.symbols.find(&facts.name) {
                    facts.name = self.symbols.text(symbol).clone();
                }
                self.by_name.insert(facts.name.clone(), group);
                pods.insert(place, facts);
            }
        }
    }

    /// Takes a pod out; whether it was there.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let Some(id) = self.by_name.remove(name) else {
            return false;
        };
        let pods = &mut self.groups[id as usize].pods;
        let place = pods.find(name).expect("by_name leads to the group that holds the pod");
        pods.remove(place);
        if pods.is_empty() {
            self.remove_group(id);
        }
        true
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// The pods with these labels and no others, sorted by name.
    pub(super) fn with_labels(&self, labels: &[(Arc<str>, Arc<str>)]) -> &[Pod] {
        let pair = |(key, value): &(Arc<str>, Arc<str>)| Some((self.symbols.find(key)?, self.symbols.find(value)?));
        let Some(mut pairs) = labels.iter().map(pair).collect::<Option<Vec<_>>>() else {
            return &[];
        };
        pairs.sort_unstable();
        let group = self.find_group(&pairs);
        group.map_or(&[], |group| self.groups[group as usize].pods.as_slice())
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// The pods that the selector picks, sorted by name.
    pub(super) fn select(&self, selector: &Selector) -> Pods {
        let mut groups = self.matching(selector);
        let Some(first) = groups.next() else {
            return Pods::default();
        };
        let Some(second) = groups.next() else {
            return first.pods.share();
        };
        let mut pods = first.pods.as_slice().to_vec();
        for group in std::iter::once(second).chain(groups) {
            pods.extend_from_slice(group.pods.as_slice());
        }
        // Stable, because it is the one of the two sorts that merges runs which are in order already.
        pods.sort_by(|a, b| a.name.cmp(&b.name));
        Arc::new(pods)
    }

    /// See [`PodStore::select_with_labels`](super::PodStore::select_with_labels).
    pub(super) fn labels_number(&self) -> u64 {
        self.labels_number.0
    }

    /// Each set of labels that the selector picks and that at least one pod has.
    pub(super) fn for_each_labels(&self, selector: &Selector, mut each: impl FnMut(PodLabels<'_>) -> ControlFlow<()>) {
        let _ = self.matching(selector).try_for_each(|group| each(self.labels(group)));
    }

    /// Gives spare memory back, after many pods were put in.
    pub(super) fn shrink(&mut self) {
        self.symbols.shrink();
        self.requests.shrink_to_fit();
        for group in &mut self.groups {
            group.pods.shrink();
        }
        self.groups.shrink_to_fit();
        self.by_label.shrink_to_fit();
        self.by_name.shrink_to_fit();
    }

    fn labels<'a>(&'a self, group: &'a Group) -> PodLabels<'a> {
        PodLabels {
            symbols: &self.symbols,
            pairs: &group.labels,
        }
    }

    fn matching<'a>(&'a self, selector: &'a Selector) -> impl Iterator<Item = &'a Group> {
        let (candidates, all) = match self.candidates(selector) {
            Some(candidates) => (candidates, &[][..]),
            None => (&[][..], &self.groups[..]),
        };
        let candidates = candidates.iter().map(|id| &self.groups[*id as usize]);
        candidates
            .chain(all)
            .filter(|group| !group.pods.is_empty() && selector.matches(&self.labels(group)))
    }

    /// The groups that have the rarest of the labels that the selector names; `None` where it names none.
    fn candidates(&self, selector: &Selector) -> Option<&[GroupId]> {
        let groups = |(key, value): (&Arc<str>, &Arc<str>)| {
            let label = (self.symbols.find(key)?, self.symbols.find(value)?);
            self.by_label.get(&label).map(Posting::groups)
        };
        selector
            .exact_labels()
            .map(|label| groups(label).unwrap_or_default())
            .min_by_key(|groups| groups.len())
    }

    fn hold_labels(&mut self, labels: &[(String, String)]) -> Box<[(Symbol, Symbol)]> {
        let hold = |(key, value): &(String, String)| (self.symbols.hold(key), self.symbols.hold(value));
        let mut pairs: Box<[_]> = labels.iter().map(hold).collect();
        pairs.sort_unstable();
        pairs
    }

    fn release_labels(&mut self, pairs: &[(Symbol, Symbol)]) {
        for &(key, value) in pairs {
            self.symbols.release(key);
            self.symbols.release(value);
        }
    }

    fn find_group(&self, pairs: &[(Symbol, Symbol)]) -> Option<GroupId> {
        if pairs.is_empty() {
            return self.unlabelled;
        }
        let groups = |label| self.by_label.get(label).map(Posting::groups).unwrap_or_default();
        let rarest = pairs.iter().map(groups).min_by_key(|groups| groups.len())?;
        let listed = match &self.by_hash {
            Some(by_hash) if rarest.len() > FEW => by_hash.get(&hash(pairs)).map(Vec::as_slice).unwrap_or_default(),
            _ => rarest,
        };
        let mut listed = listed.iter().copied();
        listed.find(|id| *self.groups[*id as usize].labels == *pairs)
    }

    /// Begins to keep groups by the hash of their labels, where the labels of this new one are all in many.
    fn index_by_hash(&mut self, pairs: &[(Symbol, Symbol)]) {
        let groups = |label| self.by_label.get(label).map_or(0, |posting| posting.groups().len());
        if self.by_hash.is_some() || pairs.iter().map(groups).min().is_none_or(|rarest| rarest <= FEW) {
            return;
        }
        let mut by_hash: FxHashMap<u64, Vec<GroupId>> = FxHashMap::default();
        for (id, group) in (0..).zip(&self.groups) {
            if !group.pods.is_empty() {
                by_hash.entry(hash(&group.labels)).or_default().push(id);
            }
        }
        self.by_hash = Some(by_hash);
    }

    fn add_group(&mut self, labels: Box<[(Symbol, Symbol)]>) -> GroupId {
        self.labels_number = Number::default();
        let id = self.free.pop().unwrap_or_else(|| {
            self.groups.push(Group::default());
            GroupId::try_from(self.groups.len() - 1).expect("fewer than 2^32 groups fit into memory")
        });
        if labels.is_empty() {
            self.unlabelled = Some(id);
        }
        self.index_by_hash(&labels);
        if let Some(by_hash) = &mut self.by_hash {
            by_hash.entry(hash(&labels)).or_default().push(id);
        }
        for label in &labels {
            self.by_label
                .entry(*label)
                .and_modify(|posting| posting.add(id))
                .or_insert(Posting::One(id));
        }
        self.groups[id as usize].labels = labels;
        id
    }

    fn remove_group(&mut self, id: GroupId) {
        self.labels_number = Number::default();
        let Group { labels, .. } = std::mem::take(&mut self.groups[id as usize]);
        if labels.is_empty() {
            self.unlabelled = None;
        }
        if let Some(by_hash) = &mut self.by_hash {
            let hash = hash(&labels);
            if let Some(groups) = by_hash.get_mut(&hash) {
                groups.retain(|group| *group != id);
                if groups.is_empty() {
                    by_hash.remove(&hash);
                }
            }
            if by_hash.is_empty() {
                self.by_hash = None;
            }
        }
        for label in &labels {
            let left = match self.by_label.get_mut(label) {
                Some(Posting::Several(groups)) => {
                    groups.retain(|group| *group != id);
                    groups.len()
                }
                _ => 0,
            };
            if left == 0 {
                self.by_label.remove(label);
            }
        }
        self.release_labels(&labels);
        self.free.push(id);
    }

    /// The one copy of these requests.
    ///
    /// What no pod has any more goes when the number has doubled since the last look: at most twice what is in use is
    /// kept, at a constant cost for each pod.
    fn share_requests(&mut self, requests: Arc<PodRequests>) -> Arc<PodRequests> {
        if let Some(shared) = self.requests.get(&requests) {
            return shared.clone();
        }
        if self.requests.len() >= self.sweep_requests_at {
            self.requests.retain(|requests| Arc::strong_count(requests) > 1);
            self.sweep_requests_at = (2 * self.requests.len()).max(16);
        }
        self.requests.insert(requests.clone());
        requests
    }

    /// How many strings, requests and groups are held.
    #[cfg(test)]
    pub(super) fn held(&self) -> (usize, usize, usize) {
        (
            self.symbols.len(),
            self.requests.len(),
            self.groups.len() - self.free.len(),
        )
    }
}

fn hash(pairs: &[(Symbol, Symbol)]) -> u64 {
    FxBuildHasher.hash_one(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, labels: &[(&str, &str)], cpu: i64) -> SlimPod {
        let labels: serde_json::Map<String, serde_json::Value> = labels
            .iter()
            .map(|(key, value)| (key.to_string(), (*value).into()))
            .collect();
        let pod = serde_json::json!({
            "metadata": {"name": name, "namespace": "shop", "labels": labels},
            "spec": {"containers": [{"name": "app", "resources": {"requests": {"cpu": format!("{cpu}m")}}}]},
        });
        serde_json::from_value(pod).unwrap()
    }

    fn names(namespace: &Namespace, selector: &str) -> String {
        let selector = Selector::parse(selector).unwrap();
        namespace
            .select(&selector)
            .iter()
            .map(|pod| pod.name.to_string())
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn shop() -> Namespace {
        let mut namespace = Namespace::default();
        for (name, labels) in [
            ("web-2", &[("app", "web"), ("hash", "1")][..]),
            ("web-1", &[("hash", "1"), ("app", "web")]),
            ("web-3", &[("app", "web"), ("hash", "2")]),
            ("db-0", &[("app", "db"), ("pod-name", "db-0")]),
            ("bare", &[]),
        ] {
            namespace.apply(pod(name, labels, 100));
        }
        namespace
    }

    #[test]
    fn pods_whose_labels_are_all_common_are_found_by_a_hash_and_others_need_none() {
        let keys: Vec<String> = (0..9).map(|bit| format!("bit-{bit}")).collect();
        let labelled = |n: usize, cpu: i64| {
            let value = |bit: usize| if n >> bit & 1 == 0 { "no" } else { "yes" };
            let labels: Vec<(&str, &str)> = keys.iter().enumerate().map(|(bit, key)| (&**key, value(bit))).collect();
            pod(&format!("many-{n}"), &labels, cpu)
        };
        let mut namespace = shop();
        assert!(namespace.by_hash.is_none());
        for cpu in [100, 200] {
            (0..512).for_each(|n| namespace.apply(labelled(n, cpu)));
            assert_eq!(namespace.held().2, 4 + 512, "each set of labels has one group");
        }
        assert!(namespace.by_hash.is_some());
        let all: Vec<String> = keys.iter().map(|key| format!("{key}=yes")).collect();
        assert_eq!(names(&namespace, &all.join(",")), "many-511");
        assert_eq!(names(&namespace, "bit-8=no").split(' ').count(), 256);
        for name in (0..512)
            .map(|n| format!("many-{n}"))
            .chain(["bare", "db-0", "web-1", "web-2", "web-3"].map(str::to_owned))
        {
            namespace.remove(&name);
        }
        assert_eq!((namespace.held().2, namespace.by_hash.is_none()), (0, true));
    }

    #[test]
    fn a_selector_picks_pods_of_several_groups_sorted_by_name() {
        let shop = shop();
        for (selector, expected) in [
            ("app=web", "web-1 web-2 web-3"),
            ("app=web,hash=1", "web-1 web-2"),
            ("app=web,hash!=1", "web-3"),
            ("app in (web,db)", "db-0 web-1 web-2 web-3"),
            ("!app", "bare"),
            (" ", "bare db-0 web-1 web-2 web-3"),
            ("app=gone", ""),
            ("app=web,other=x", ""),
        ] {
            assert_eq!(names(&shop, selector), expected, "{selector}");
        }
    }

    #[test]
    fn labels_are_handed_out_once_for_all_pods_that_share_them() {
        let mut seen = Vec::new();
        shop().for_each_labels(&Selector::parse("app=web").unwrap(), |labels| {
            assert_eq!((labels.label("app"), labels.label("tier")), (Some("web"), None));
            seen.push(labels.label("hash").unwrap().to_owned());
            ControlFlow::Continue(())
        });
        seen.sort();
        assert_eq!(seen, ["1", "2"]);
    }

    #[test]
    fn a_pod_whose_labels_change_is_found_under_the_new_ones_only() {
        let mut shop = shop();
        shop.apply(pod("web-1", &[("app", "db")], 100));
        assert_eq!(
            (names(&shop, "app=web"), names(&shop, "app=db")),
            ("web-2 web-3".into(), "db-0 web-1".into())
        );
        assert_eq!(shop.len(), 5);
        shop.apply(pod("web-1", &[], 100));
        assert_eq!(
            (names(&shop, "app=db"), names(&shop, "!app")),
            ("db-0".into(), "bare web-1".into())
        );
    }

    #[test]
    fn what_is_no_longer_used_is_forgotten() {
        let mut shop = shop();
        let before = shop.held();
        for n in 0..1000 {
            let name = format!("job-{n}");
            shop.apply(pod(&name, &[("job", &name)], n));
            assert!(shop.contains(&name) && shop.remove(&name) && !shop.remove(&name));
        }
        let (strings, requests, groups) = shop.held();
        assert_eq!((strings, groups), (before.0, before.2));
        assert!(requests <= 16, "{requests} distinct requests are kept");
        for name in ["web-1", "web-2", "web-3", "db-0", "bare"] {
            assert!(shop.remove(name));
        }
        assert_eq!((shop.held().0, shop.held().2, shop.len()), (0, 0, 0));
        assert_eq!(names(&shop, " "), "");
    }

    #[test]
    fn pods_are_known_by_all_of_their_labels() {
        let shop = shop();
        for (labels, expected) in [
            (&[("app", "web"), ("hash", "1")][..], "web-1 web-2"),
            (&[("app", "web"), ("hash", "2")], "web-3"),
            (&[("app", "web")], ""),
            (&[("app", "web"), ("hash", "3")], ""),
            (&[("app", "web"), ("hash", "1"), ("pod-name", "db-0")], ""),
            (&[], "bare"),
        ] {
            let labels: Vec<_> = labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
            let names: Vec<_> = shop.with_labels(&labels).iter().map(|pod| &*pod.name).collect();
            assert_eq!(names.join(" "), expected);
        }
    }

    #[test]
    fn another_set_of_labels_is_another_number_and_another_pod_is_not() {
        let mut shop = shop();
        let mut last = shop.labels_number();
        let mut is_other = |shop: &Namespace| std::mem::replace(&mut last, shop.labels_number()) != last;
        shop.apply(pod("web-4", &[("app", "web"), ("hash", "1")], 100));
        shop.apply(pod("web-4", &[("app", "web"), ("hash", "1")], 200));
        assert!(shop.remove("web-4") && !is_other(&shop));
        shop.apply(pod("web-5", &[("app", "web"), ("hash", "3")], 100));
        assert!(is_other(&shop));
        assert!(shop.remove("web-5") && is_other(&shop));
        assert!(Namespace::default().labels_number() != 0);
    }

    #[test]
    fn whoever_looks_at_pods_sees_what_they_were() {
        let mut shop = shop();
        let seen = shop.select(&Selector::parse("app=db").unwrap());
        shop.apply(pod("db-0", &[("app", "db"), ("pod-name", "db-0")], 700));
        assert!(shop.remove("db-0"));
        assert_eq!(seen.len(), 1);
        assert_eq!(
            seen[0].requests.containers[0].requests.get("cpu"),
            Some(crate::quantity::Milli(100))
        );
    }

    #[test]
    fn equal_requests_are_one() {
        let shop = shop();
        let pods = shop.select(&Selector::parse("app in (web,db)").unwrap());
        assert!(
            pods.windows(2)
                .all(|two| Arc::ptr_eq(&two[0].requests, &two[1].requests))
        );
    }
}
