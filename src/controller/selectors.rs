//! Which autoscaler selects which pods: the one coupling between autoscalers.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::selector::{Labels, Selector};
use crate::spec::Key;

/// The selector last seen for each autoscaler, by namespace.
///
/// An autoscaler is there from the moment it appears, selecting nothing, and learns its selector in its first sync. Two
/// that select the same pod are ambiguous, whatever their targets are.
///
/// Source: Kubernetes v1.36 `horizontal.go`, `hpasControllingPodsUnderSelector`.
#[derive(Clone, Debug, Default)]
pub struct SelectorTable {
    namespaces: FxHashMap<Arc<str>, Namespace>,
    /// How often a selector came, changed or went.
    changes: u64,
}

/// What is known of an autoscaler's selector.
pub(super) struct Known {
    /// The selector.
    pub selector: Selector,
    /// The number of its namespace's labels, where its pods were its alone with these and the selectors that there are.
    pub alone: Option<u64>,
}

/// Names of autoscalers by a label's value.
type ByValue = FxHashMap<Arc<str>, BTreeSet<Arc<str>>>;

#[derive(Clone, Debug, Default)]
struct Namespace {
    /// `None`: registered, and selecting nothing yet.
    selectors: FxHashMap<Arc<str>, Option<Learnt>>,
    /// Autoscalers by a label that their selectors ask for: key, then value.
    by_label: FxHashMap<Arc<str>, ByValue>,
    /// Those whose selectors ask for no single value.
    others: BTreeSet<Arc<str>>,
    /// The table's count when one of these selectors changed last.
    changed: u64,
}

#[derive(Clone, Debug)]
struct Learnt {
    /// As it was written.
    text: Arc<str>,
    selector: Selector,
    /// When it was found that nobody else selects its pods: the selectors' count, and the number of the labels.
    alone: Option<(u64, u64)>,
}

impl SelectorTable {
    /// An autoscaler appears; one that is known keeps its selector.
    pub fn register(&mut self, key: &Key) {
        let namespace = self.namespaces.entry(key.namespace.clone()).or_default();
        namespace.selectors.entry(key.name.clone()).or_insert(None);
    }

    /// What was learnt of an autoscaler from the same text.
    pub(super) fn known(&self, key: &Key, text: &Arc<str>) -> Option<Known> {
        let namespace = self.namespaces.get(&key.namespace)?;
        let learnt = namespace.selectors.get(&key.name)?.as_ref()?;
        let is_same = Arc::ptr_eq(&learnt.text, text) || learnt.text == *text;
        is_same.then(|| Known {
            selector: learnt.selector.clone(),
            alone: learnt
                .alone
                .and_then(|(changed, labels)| (changed == namespace.changed).then_some(labels)),
        })
    }

    /// Nobody else selects an autoscaler's pods, as long as its namespace's labels have this number and no selector changes.
    pub(super) fn found_alone(&mut self, key: &Key, labels: u64) {
        if let Some(namespace) = self.namespaces.get_mut(&key.namespace)
            && let Some(Some(learnt)) = namespace.selectors.get_mut(&key.name)
        {
            learnt.alone = Some((namespace.changed, labels));
        }
    }

    /// An autoscaler's selector, as its sync saw it written. Nothing happens for one that is not registered (any more).
    pub fn learn(&mut self, key: &Key, text: &Arc<str>, selector: &Selector) {
        let Some(namespace) = self.namespaces.get_mut(&key.namespace) else {
            return;
        };
        match namespace.selectors.get_mut(&key.name) {
            Some(Some(known)) if known.selector == *selector => {
                known.text = text.clone();
                return;
            }
            Some(_) => {}
            None => return,
        }
        self.changes += 1;
        namespace.changed = self.changes;
        namespace.unlist(&key.name);
        match selector.exact_label() {
            Some((label, value)) => {
                let values = namespace.by_label.entry(label.clone()).or_default();
                values.entry(value.clone()).or_default().insert(key.name.clone());
            }
            None => {
                namespace.others.insert(key.name.clone());
            }
        }
        let learnt = Learnt {
            text: text.clone(),
            selector: selector.clone(),
            alone: None,
        };
        namespace.selectors.insert(key.name.clone(), Some(learnt));
    }

    /// An autoscaler is gone.
    pub fn forget(&mut self, key: &Key) {
        let Some(namespace) = self.namespaces.get_mut(&key.namespace) else {
            return;
        };
        self.changes += 1;
        namespace.changed = self.changes;
        namespace.unlist(&key.name);
        namespace.selectors.remove(&key.name);
        if namespace.selectors.is_empty() {
            self.namespaces.remove(&key.namespace);
        }
    }

    /// Adds the autoscalers of `namespace` that select a pod with these labels to `found`, each once.
    pub fn add_selecting(&self, namespace: &str, labels: &(impl Labels + ?Sized), found: &mut BTreeSet<Arc<str>>) {
        let Some(namespace) = self.namespaces.get(namespace) else {
            return;
        };
        let listed = namespace
            .by_label
            .iter()
            .filter_map(|(label, values)| values.get(labels.label(label)?))
            .flatten();
        for name in listed.chain(&namespace.others) {
            let selects = namespace
                .selectors
                .get(name)
                .and_then(Option::as_ref)
                .is_some_and(|learnt| learnt.selector.matches(labels));
            if selects && !found.contains(name) {
                found.insert(name.clone());
            }
        }
    }
}

impl Namespace {
    fn unlist(&mut self, name: &str) {
        let Some(Some(Learnt { selector, .. })) = self.selectors.get(name) else {
            return;
        };
        let Some((label, value)) = selector.exact_label() else {
            self.others.remove(name);
            return;
        };
        if let Some(values) = self.by_label.get_mut(label) {
            if let Some(names) = values.get_mut(value) {
                names.remove(name);
                if names.is_empty() {
                    values.remove(value);
                }
            }
            if values.is_empty() {
                self.by_label.remove(label);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn table(selectors: &[(&str, Option<&str>)]) -> SelectorTable {
        let mut table = SelectorTable::default();
        for (name, selector) in selectors {
            let key = Key::new("shop", *name);
            table.register(&key);
            if let Some(selector) = selector {
                learn(&mut table, name, selector);
            }
        }
        table
    }

    fn learn(table: &mut SelectorTable, name: &str, selector: &str) {
        let parsed = Selector::parse(selector).unwrap();
        table.learn(&Key::new("shop", name), &selector.into(), &parsed);
    }

    fn selecting(table: &SelectorTable, labels: &[(&str, &str)]) -> Vec<String> {
        let labels: BTreeMap<Arc<str>, Arc<str>> = labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let mut found = BTreeSet::new();
        table.add_selecting("shop", &labels, &mut found);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn one_that_was_never_synced_selects_nothing() {
        let table = table(&[("web", Some("app=web")), ("new", None)]);
        assert_eq!(selecting(&table, &[("app", "web")]), ["web"]);
    }

    #[test]
    fn all_that_select_a_pod_are_found_by_any_kind_of_selector() {
        let table = table(&[
            ("a", Some("app=web")),
            ("b", Some("tier!=x")),
            ("c", Some("app=api")),
            ("d", Some(" ")),
        ]);
        assert_eq!(selecting(&table, &[("app", "web")]), ["a", "b", "d"]);
    }

    #[test]
    fn a_selector_that_changes_or_goes_is_found_no_more() {
        let mut table = table(&[("a", Some("app=web")), ("b", Some("app=web"))]);
        learn(&mut table, "a", "app=api");
        assert_eq!(selecting(&table, &[("app", "web")]), ["b"]);
        table.forget(&Key::new("shop", "b"));
        assert!(selecting(&table, &[("app", "web")]).is_empty());
        learn(&mut table, "b", "app=web");
        assert!(
            selecting(&table, &[("app", "web")]).is_empty(),
            "one that is gone does not come back"
        );
    }

    #[test]
    fn that_nobody_else_selects_its_pods_holds_until_labels_or_selectors_change() {
        let mut table = table(&[("a", Some("app=a")), ("b", Some("app=b"))]);
        let (a, text) = (Key::new("shop", "a"), "app=a".into());
        let alone = |table: &SelectorTable| table.known(&a, &text).unwrap().alone;
        assert_eq!(alone(&table), None);
        table.found_alone(&a, 7);
        learn(&mut table, "b", "app=b");
        table.register(&Key::new("shop", "new"));
        assert_eq!(alone(&table), Some(7), "nothing has changed");
        learn(&mut table, "b", "app=c");
        assert_eq!(alone(&table), None);
        table.found_alone(&a, 7);
        table.forget(&Key::new("shop", "b"));
        assert_eq!(alone(&table), None);
        assert!(table.known(&a, &"app=other".into()).is_none());
    }
}
