//! Which autoscaler selects which pods: the one coupling between autoscalers.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

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
    namespaces: HashMap<Arc<str>, Namespace>,
}

/// Names of autoscalers by a label's value.
type ByValue = HashMap<Arc<str>, BTreeSet<Arc<str>>>;

#[derive(Clone, Debug, Default)]
struct Namespace {
    /// `None`: registered, and selecting nothing yet.
    selectors: HashMap<Arc<str>, Option<Selector>>,
    /// Autoscalers by a label that their selectors ask for: key, then value.
    by_label: HashMap<Arc<str>, ByValue>,
    /// Those whose selectors ask for no single value.
    others: BTreeSet<Arc<str>>,
}

impl SelectorTable {
    /// An autoscaler appears; one that is known keeps its selector.
    pub fn register(&mut self, key: &Key) {
        let namespace = self.namespaces.entry(key.namespace.clone()).or_default();
        namespace.selectors.entry(key.name.clone()).or_insert(None);
    }

    /// An autoscaler's selector, as its sync saw it. Nothing happens for one that is not registered (any more).
    pub fn learn(&mut self, key: &Key, selector: &Selector) {
        let Some(namespace) = self.namespaces.get_mut(&key.namespace) else {
            return;
        };
        match namespace.selectors.get(&key.name) {
            Some(Some(known)) if known == selector => return,
            Some(_) => {}
            None => return,
        }
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
        namespace.selectors.insert(key.name.clone(), Some(selector.clone()));
    }

    /// An autoscaler is gone.
    pub fn forget(&mut self, key: &Key) {
        let Some(namespace) = self.namespaces.get_mut(&key.namespace) else {
            return;
        };
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
                .is_some_and(|s| s.matches(labels));
            if selects && !found.contains(name) {
                found.insert(name.clone());
            }
        }
    }
}

impl Namespace {
    fn unlist(&mut self, name: &str) {
        let Some(Some(selector)) = self.selectors.get(name) else {
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
                table.learn(&key, &Selector::parse(selector).unwrap());
            }
        }
        table
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
        table.learn(&Key::new("shop", "a"), &Selector::parse("app=api").unwrap());
        assert_eq!(selecting(&table, &[("app", "web")]), ["b"]);
        table.forget(&Key::new("shop", "b"));
        assert!(selecting(&table, &[("app", "web")]).is_empty());
        table.learn(&Key::new("shop", "b"), &Selector::parse("app=web").unwrap());
        assert!(
            selecting(&table, &[("app", "web")]).is_empty(),
            "one that is gone does not come back"
        );
    }
}
