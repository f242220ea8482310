//! The usages of a namespace's pods, slim: some 100 bytes a pod, of which a join touches its own pods' only.
//!
//! There are as many as pods in the cluster, anew each pass. So no pod has an allocation of its own: names stand in one
//! text and amounts in one list; labels, and which containers have which resources, are kept once for all pods that
//! have the same.

use std::ops::Range;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::Labels;
use crate::quantity::Milli;

/// The usages of one namespace's pods, found by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NamespaceUsages {
    /// The pods' names, one behind another.
    names: String,
    /// Sorted by name; those of one name in the answer's order.
    items: Vec<Item>,
    amounts: Vec<Milli>,
    shared: Arc<Shared>,
    /// The items that may belong to no pod of an autoscaler though its selector picks them; see
    /// [`Usages::mark_strangers`](super::Usages::mark_strangers).
    possible_strangers: Vec<u32>,
}

/// What one pod used. Places, since references would need a lifetime or a count.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Item {
    name: u32,
    name_length: u32,
    labels: u32,
    shape: u32,
    /// The first amount of its first container.
    amounts: u32,
    at: Option<Timestamp>,
    window: SignedDuration,
}

/// What many pods of an answer have in common.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Shared {
    pub labels: Vec<Arc<Labels>>,
    pub shapes: Vec<Shape>,
}

/// Which containers a pod's usage has, in the answer's order.
pub(super) type Shape = Box<[ContainerShape]>;

/// Which resources a container's usage has.
#[derive(Debug, PartialEq)]
pub(super) struct ContainerShape {
    pub name: Arc<str>,
    /// Sorted, each once.
    pub resources: Box<[Arc<str>]>,
}

/// A pod's usage on its way in.
pub(super) struct NewUsage<'a> {
    pub name: &'a str,
    /// A place in [`Shared::labels`].
    pub labels: u32,
    /// A place in [`Shared::shapes`].
    pub shape: u32,
    /// The shape's resources, container by container.
    pub amounts: &'a [Milli],
    pub at: Option<Timestamp>,
    pub window: SignedDuration,
}

/// What one pod used.
#[derive(Clone, Copy)]
pub(super) struct PodUsage<'a> {
    usages: &'a NamespaceUsages,
    item: &'a Item,
}

/// What one container used.
#[derive(Clone, Copy)]
pub(super) struct ContainerUsage<'a> {
    pub name: &'a Arc<str>,
    resources: &'a [Arc<str>],
    amounts: &'a [Milli],
}

impl NamespaceUsages {
    /// Puts a usage behind the others. The places of text and amounts must fit into 32 bits, which the bounds of an
    /// answer see to.
    pub(super) fn push(&mut self, usage: NewUsage<'_>) {
        let place = |length: usize| u32::try_from(length).expect("an answer is far smaller than 4 GB");
        self.items.push(Item {
            name: place(self.names.len()),
            name_length: place(usage.name.len()),
            labels: usage.labels,
            shape: usage.shape,
            amounts: place(self.amounts.len()),
            at: usage.at,
            window: usage.window,
        });
        self.names.push_str(usage.name);
        self.amounts.extend_from_slice(usage.amounts);
    }

    /// Makes it ready to be read, when all are in.
    pub(super) fn finish(&mut self, shared: Arc<Shared>) {
        let names = &self.names;
        let name = |item: &Item| name_of(names, item);
        // Metrics servers sort, most of them, and then there is nothing to do.
        if !self.items.is_sorted_by_key(name) {
            self.items.sort_by(|a, b| name(a).cmp(name(b)));
        }
        self.items.shrink_to_fit();
        self.names.shrink_to_fit();
        self.amounts.shrink_to_fit();
        self.shared = shared;
        self.mark_strangers(|_, _| false);
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn mark_strangers(&mut self, is_known_pod: impl Fn(&str, &Labels) -> bool) {
        let mut strangers = std::mem::take(&mut self.possible_strangers);
        strangers.clear();
        strangers.extend((0..).zip(self.all()).filter_map(|(place, usage): (u32, _)| {
            let known = is_known_pod(usage.name(), usage.labels());
            (!known).then_some(place)
        }));
        self.possible_strangers = strangers;
    }

    /// All usages that [`mark_strangers`](Self::mark_strangers) found to be of no known pod, by name, those of one name in
    /// the answer's order.
    pub(super) fn possible_strangers(&self) -> impl Iterator<Item = PodUsage<'_>> {
        let items = self.possible_strangers.iter().map(|place| &self.items[*place as usize]);
        items.map(|item| PodUsage { usages: self, item })
    }

    /// The usages under a name, the last one of the answer first.
    #[cfg(test)]
    pub(super) fn named(&self, name: &str) -> impl Iterator<Item = PodUsage<'_>> {
        self.finder().named(name)
    }

    /// Finds usages by name, fastest where the names that are looked for come sorted.
    pub(super) fn finder(&self) -> Finder<'_> {
        Finder { usages: self, next: 0 }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = PodUsage<'_>> {
        self.items.iter().map(|item| PodUsage { usages: self, item })
    }

    fn name(&self, item: &Item) -> &str {
        name_of(&self.names, item)
    }
}

fn name_of<'a>(names: &'a str, item: &Item) -> &'a str {
    &names[item.name as usize..][..item.name_length as usize]
}

/// A walk over usages, name by name.
pub(super) struct Finder<'a> {
    usages: &'a NamespaceUsages,
    /// Behind what was found last.
    next: usize,
}

impl<'a> Finder<'a> {
    /// The usages under a name, the last one of the answer first.
    pub(super) fn named(&mut self, name: &str) -> impl Iterator<Item = PodUsage<'a>> + use<'a> {
        let usages = self.usages;
        usages.items[self.find(name)]
            .iter()
            .rev()
            .map(move |item| PodUsage { usages, item })
    }

    fn find(&mut self, name: &str) -> Range<usize> {
        let (usages, items) = (self.usages, &self.usages.items);
        let is = |place: usize| items.get(place).is_some_and(|item| usages.name(item) == name);
        // The pods of an autoscaler stand side by side, in most cases.
        let begin = match self.next {
            next if is(next) && !(next > 0 && is(next - 1)) => next,
            _ => items.partition_point(|item| usages.name(item) < name),
        };
        let end = (begin..).find(|place| !is(*place)).unwrap_or(begin);
        self.next = end;
        begin..end
    }
}

impl<'a> PodUsage<'a> {
    /// The pod's name.
    pub(super) fn name(self) -> &'a str {
        self.usages.name(self.item)
    }

    /// The pod's labels as the metrics server last saw them. Kubernetes selects by these.
    pub(super) fn labels(self) -> &'a Labels {
        &self.usages.shared.labels[self.labels_place() as usize]
    }

    /// Equal for pods with the same labels, in most cases.
    pub(super) fn labels_place(self) -> u32 {
        self.item.labels
    }

    /// When it was measured; `None` where the answer does not say.
    pub(super) fn at(self) -> Option<Timestamp> {
        self.item.at
    }

    /// The time before `at` that was measured.
    pub(super) fn window(self) -> SignedDuration {
        self.item.window
    }

    /// What each container used, each amount rounded up to milli by itself; may be empty.
    pub(super) fn containers(self) -> impl ExactSizeIterator<Item = ContainerUsage<'a>> {
        let mut amounts = &self.usages.amounts[self.item.amounts as usize..];
        let shape = &self.usages.shared.shapes[self.item.shape as usize];
        shape.iter().map(move |container| {
            let own;
            (own, amounts) = amounts.split_at(container.resources.len());
            ContainerUsage {
                name: &container.name,
                resources: &container.resources,
                amounts: own,
            }
        })
    }
}

impl ContainerUsage<'_> {
    /// The amount of `resource`, where there is one.
    pub(super) fn get(self, resource: &str) -> Option<Milli> {
        let place = self.resources.iter().position(|name| &**name == resource)?;
        Some(self.amounts[place])
    }
}
