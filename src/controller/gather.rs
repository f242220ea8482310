//! What one sync sees, put together from caches and answers.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::selectors::SelectorTable;
use crate::cluster::pods::PodStore;
use crate::observe::{Pod, SelectorFailure};
use crate::selector::Selector;
use crate::spec::Key;

/// The pods that an autoscaler's scale selects, with the selector; `selectors` learns it.
///
/// # Errors
/// No selector, one that does not parse, or pods that another autoscaler selects too.
///
/// Source: Kubernetes v1.36 `horizontal.go`, `validateAndParseSelector`.
pub fn select_pods(
    key: &Key,
    selector: &str,
    pods: &PodStore,
    selectors: &mut SelectorTable,
) -> Result<(Selector, Arc<[Pod]>), SelectorFailure> {
    if selector.is_empty() {
        return Err(SelectorFailure::Absent);
    }
    let parsed = Selector::parse(selector).map_err(|e| SelectorFailure::Invalid(e.to_string()))?;
    selectors.learn(key, parsed.clone());
    let mut names = BTreeSet::new();
    pods.for_each_labels(&key.namespace, &parsed, |labels| {
        selectors.add_selecting(&key.namespace, &labels, &mut names)
    });
    if names.len() > 1 {
        let autoscalers = names
            .into_iter()
            .map(|name| Key::new(key.namespace.clone(), name))
            .collect();
        return Err(SelectorFailure::Ambiguous {
            selector: parsed.to_string(),
            autoscalers,
        });
    }
    let picked = pods.select(&key.namespace, &parsed);
    Ok((parsed, picked))
}
