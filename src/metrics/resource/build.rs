//! The items of an answer, one by one -> [`Usages`].

use std::borrow::Cow;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rustc_hash::FxHashMap;
use thiserror::Error;

use super::Usages;
use super::usages::{ContainerShape, NamespaceUsages, NewUsage, Shape, Shared};
use crate::metrics::words::Words;
use crate::quantity::Milli;

/// The most parts (pods, containers, amounts, labels) that an answer may have; each takes less than 100 bytes. 150,000 pods, which is
/// Kubernetes' own limit, of two containers with two amounts have 750,000 and their labels.
const PARTS: usize = 6_000_000;

/// The answer has more parts than any cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it has more than {PARTS} pods, containers, amounts and labels")]
pub(super) struct TooManyParts;

/// Collects pods by namespace; what many pods have in common is kept once.
#[derive(Default)]
pub(super) struct Builder {
    namespaces: FxHashMap<Arc<str>, NamespaceUsages>,
    words: Words,
    labels_by_bytes: FxHashMap<Box<[u8]>, u32>,
    shapes_by_bytes: FxHashMap<Box<[u8]>, u32>,
    shared: Shared,
    parts: usize,
    pod: Pod,
}

/// The containers of the pod that comes next; its buffers are used again for each.
#[derive(Default)]
struct Pod {
    /// The shape, in a form in which equal shapes are equal bytes.
    shape: Vec<u8>,
    amounts: Vec<Milli>,
}

/// Labels as they stand in an answer.
pub(super) type RawLabels<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

impl Builder {
    /// Adds a container to the pod that comes next, with its amounts sorted by resource, each resource once.
    pub(super) fn container<R: AsRef<str>>(&mut self, name: &str, usage: &[(R, Milli)]) {
        let shape = &mut self.pod.shape;
        let mut part = |bytes: &[u8]| {
            shape.extend_from_slice(&bytes.len().to_ne_bytes());
            shape.extend_from_slice(bytes);
        };
        part(name.as_bytes());
        part(&usage.len().to_ne_bytes());
        for (resource, amount) in usage {
            part(resource.as_ref().as_bytes());
            self.pod.amounts.push(*amount);
        }
    }

    /// Drops the containers added since the last pod.
    pub(super) fn clear(&mut self) {
        self.pod.shape.clear();
        self.pod.amounts.clear();
    }

    /// Adds a pod with the containers added since the last one. `labels` is what [`Self::labels`] gave.
    pub(super) fn pod(
        &mut self,
        namespace: &str,
        name: &str,
        labels: u32,
        at: Option<Timestamp>,
        window: SignedDuration,
    ) -> Result<(), TooManyParts> {
        self.spend(1 + self.pod.amounts.len())?;
        let shape = match self.shapes_by_bytes.get(&*self.pod.shape) {
            Some(shape) => *shape,
            None => self.new_shape()?,
        };
        let usage = NewUsage {
            name,
            labels,
            shape,
            amounts: &self.pod.amounts,
            at,
            window,
        };
        match self.namespaces.get_mut(namespace) {
            Some(usages) => usages.push(usage),
            None => self.namespaces.entry(namespace.into()).or_default().push(usage),
        }
        self.clear();
        Ok(())
    }

    /// The place of the labels that stand as `bytes` in the answer: equal bytes are read once, by `read`, which gives them
    /// sorted by key.
    pub(super) fn labels<'a, E: From<TooManyParts>>(
        &mut self,
        bytes: &[u8],
        read: impl FnOnce() -> Result<RawLabels<'a>, E>,
    ) -> Result<u32, E> {
        if let Some(labels) = self.labels_by_bytes.get(bytes) {
            return Ok(*labels);
        }
        let pairs = read()?;
        self.spend(1 + pairs.len())?;
        let labels = pairs
            .into_iter()
            .map(|(key, value)| (self.words.share(&key), self.words.share(&value)))
            .collect();
        self.shared.labels.push(labels);
        let place = last_place(&self.shared.labels);
        self.labels_by_bytes.insert(bytes.into(), place);
        Ok(place)
    }

    /// What was added, ready to be read.
    pub(super) fn finish(self) -> Usages {
        let shared = Arc::new(self.shared);
        let by_namespace = self.namespaces.into_iter().map(|(name, mut usages)| {
            usages.finish(shared.clone());
            (name, Arc::new(usages))
        });
        Usages {
            by_namespace: by_namespace.collect(),
        }
    }

    fn new_shape(&mut self) -> Result<u32, TooManyParts> {
        let bytes: Box<[u8]> = self.pod.shape.as_slice().into();
        let mut shape = Vec::new();
        let mut parts = Parts(&bytes);
        while let Some(name) = parts.next() {
            let count = parts
                .next()
                .and_then(|count| count.try_into().ok())
                .map_or(0, usize::from_ne_bytes);
            self.spend(1 + count)?;
            let resources = parts
                .by_ref()
                .take(count)
                .map(|resource| self.word_of(resource))
                .collect();
            let name = self.word_of(name);
            shape.push(ContainerShape { name, resources });
        }
        self.shared.shapes.push(Shape::from(shape));
        let place = last_place(&self.shared.shapes);
        self.shapes_by_bytes.insert(bytes, place);
        Ok(place)
    }

    fn spend(&mut self, parts: usize) -> Result<(), TooManyParts> {
        self.parts = self.parts.saturating_add(parts);
        if self.parts > PARTS { Err(TooManyParts) } else { Ok(()) }
    }

    fn word_of(&mut self, text: &[u8]) -> Arc<str> {
        self.words.share(&String::from_utf8_lossy(text))
    }
}

/// The place of the last of these, of which there are fewer than [`PARTS`].
fn last_place<T>(list: &[T]) -> u32 {
    u32::try_from(list.len() - 1).expect("fewer than PARTS")
}

/// What [`Builder::container`] wrote, piece by piece.
struct Parts<'a>(&'a [u8]);

impl<'a> Iterator for Parts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk()?;
        let (part, rest) = rest.split_at_checked(usize::from_ne_bytes(*length))?;
        self.0 = rest;
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_with_the_same_labels_and_containers_share_them() {
        let mut builder = Builder::default();
        for (name, container, count) in [("a", "app", 2), ("b", "app", 2), ("c", "app", 1), ("d", "log", 2)] {
            let labels = builder.labels(b"x", || Ok::<_, TooManyParts>(vec![("app".into(), "web".into())]));
            builder.container(container, &[("cpu", Milli(1)), ("memory", Milli(2))][..count]);
            builder
                .pod("shop", name, labels.unwrap(), None, SignedDuration::ZERO)
                .unwrap();
        }
        assert_eq!((builder.shared.labels.len(), builder.shared.shapes.len()), (1, 3));
        let shop = builder.finish().of("shop");
        let amounts = |name, container| {
            let usage = shop.named(name).next().unwrap();
            (usage.amount("cpu", container), usage.amount("memory", container))
        };
        assert_eq!(amounts("b", "app"), (Some(Milli(1)), Some(Milli(2))));
        assert_eq!(amounts("c", "app"), (Some(Milli(1)), None));
        assert_eq!(amounts("d", "log"), (Some(Milli(1)), Some(Milli(2))));
        assert_eq!(amounts("d", "app"), (None, None));
    }

    #[test]
    fn more_than_any_cluster_has_is_refused() {
        let mut builder = Builder {
            parts: PARTS - 4,
            ..Builder::default()
        };
        builder.container("app", &[("cpu", Milli(1))]);
        assert_eq!(builder.pod("shop", "a", 0, None, SignedDuration::ZERO), Ok(()));
        builder.container("app", &[("cpu", Milli(1))]);
        assert_eq!(
            builder.pod("shop", "b", 0, None, SignedDuration::ZERO),
            Err(TooManyParts)
        );
    }
}
