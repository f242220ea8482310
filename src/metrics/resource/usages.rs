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
    /// Several items have the same name.
    has_twins: bool,
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
        let is_strictly_sorted = |items: &[Item]| items.is_sorted_by(|a, b| name(a) < name(b));
        // Metrics servers sort, most of them, and then there is nothing to do.
        self.has_twins = !is_strictly_sorted(&self.items) && {
            self.items.sort_by(|a, b| name(a).cmp(name(b)));
            !is_strictly_sorted(&self.items)
        };
        self.items.shrink_to_fit();
        self.names.shrink_to_fit();
        self.amounts.shrink_to_fit();
        self.shared = shared;
        self.possible_strangers = (0..).zip(&self.items).map(|(place, _)| place).collect();
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn mark_strangers(&mut self, known: impl Fn(&Labels, &mut dyn FnMut(&str))) {
        let mut strangers = std::mem::take(&mut self.possible_strangers);
        strangers.clear();
        let item = |place: &u32| &self.items[*place as usize];
        let mut places: Vec<u32> = (0..).zip(&self.items).map(|(place, _)| place).collect();
        // Within the same labels they stay sorted by name. Pods of one template stand side by side, mostly.
        places.sort_by_key(|place| item(place).labels);
        for alike in places.chunk_by(|a, b| item(a).labels == item(b).labels) {
            let labels = &self.shared.labels[item(&alike[0]).labels as usize];
            let mut left = alike.iter().copied().peekable();
            known(labels, &mut |name| {
                while let Some(place) = left.next_if(|place| self.name(item(place)) <= name) {
                    if self.name(item(&place)) != name {
                        strangers.push(place);
                    }
                }
            });
            strangers.extend(left);
        }
        strangers.sort_unstable();
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
        let (next, has_twins) = (self.next, usages.has_twins);
        // The pods of an autoscaler stand side by side, in most cases.
        let is_next = is(next) && !(has_twins && next > 0 && is(next - 1));
        let begin = match is_next {
            true => next,
            false => items.partition_point(|item| usages.name(item) < name),
        };
        let end = match has_twins {
            true => (begin..).find(|place| !is(*place)).unwrap_or(begin),
            false => begin + usize::from(is_next || is(begin)),
        };
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

    /// Equal for pods whose containers have the same names and resources, in most cases.
    pub(super) fn shape_place(self) -> u32 {
        self.item.shape
    }

    /// Where the amounts of a resource are, for all pods of the same [shape](Self::shape_place): of all containers, or of one.
    /// `None` where one of them has none, or there are no containers.
    pub(super) fn places(self, resource: &str, container: Option<&str>) -> Option<Box<[u32]>> {
        let shape = &self.usages.shared.shapes[self.item.shape as usize];
        let mut before = 0;
        let mut places = Vec::with_capacity(shape.len());
        for ContainerShape { name, resources } in shape {
            if container.is_none_or(|wanted| **name == *wanted) {
                let place = resources.iter().position(|name| **name == *resource)?;
                places.push(u32::try_from(before + place).ok()?);
                if container.is_some() {
                    break;
                }
            }
            before += resources.len();
        }
        (!places.is_empty()).then(|| places.into())
    }

    #[cfg(test)]
    pub(super) fn amount(self, resource: &str, container: &str) -> Option<Milli> {
        Some(self.sum(&self.places(resource, Some(container))?))
    }

    /// The sum of the amounts at these places, which are those of its shape. Saturates.
    pub(super) fn sum(self, places: &[u32]) -> Milli {
        let amounts = &self.usages.amounts[self.item.amounts as usize..];
        let amounts = places.iter().map(|place| amounts[*place as usize]);
        amounts.fold(Milli::ZERO, Milli::saturating_add)
    }
}
