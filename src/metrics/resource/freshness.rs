//! From when on new values can be read: a few pods are looked at in each answer, and between passes on their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::NamespaceUsages;
use crate::selector::Selector;

/// The pods of one autoscaler, by which it is told whether the source has something new.
///
/// An autoscaler's, since the API server knows no other selection of a few pods; all of them and not one, since one that is just
/// being replaced says nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    pub(super) namespace: Arc<str>,
    pub(super) selector: Selector,
}

/// What a pass has seen of the subject.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// When it was asked.
    pub asked: Instant,
    /// When it was answered.
    pub answered: Instant,
    /// The newest sample's time; `None` where there is no sample, or it has no time.
    pub newest: Option<Timestamp>,
}

/// What a pass finds out beside its readings.
#[derive(Debug)]
pub(super) struct Notes {
    subject: Mutex<Option<Subject>>,
    shown: Mutex<Option<Shown>>,
    /// Whose pods could be looked at instead: the fewest.
    candidate: Mutex<Option<Subject>>,
    fewest: AtomicUsize,
}

impl Default for Notes {
    fn default() -> Self {
        Self {
            subject: Mutex::default(),
            shown: Mutex::default(),
            candidate: Mutex::default(),
            fewest: AtomicUsize::new(usize::MAX),
        }
    }
}

impl Notes {
    pub(super) fn watch(&self, subject: Option<Subject>) {
        *self.subject.lock() = subject;
    }

    /// An answer has come: of `namespace` alone, or of the whole cluster.
    pub(super) fn answered(
        &self,
        asked: Instant,
        namespace: Option<&str>,
        usages_of: impl Fn(&str) -> Arc<NamespaceUsages>,
    ) {
        let subject = self.subject.lock();
        let Some(subject) = subject.as_ref() else { return };
        if namespace.is_none_or(|namespace| *namespace == *subject.namespace) {
            let newest = newest(&usages_of(&subject.namespace), &subject.selector);
            *self.shown.lock() = Some(Shown {
                asked,
                answered: Instant::now(),
                newest,
            });
        }
    }

    pub(super) fn shown(&self) -> Option<Shown> {
        *self.shown.lock()
    }

    /// An autoscaler with so many pods has got its usages.
    pub(super) fn consider(&self, namespace: &Arc<str>, selector: &Selector, pods: usize) {
        // Nearly always this is all that is done.
        if pods == 0 || pods >= self.fewest.load(Ordering::Relaxed) {
            return;
        }
        let mut candidate = self.candidate.lock();
        if pods < self.fewest.load(Ordering::Relaxed) {
            self.fewest.store(pods, Ordering::Relaxed);
            *candidate = Some(Subject {
                namespace: namespace.clone(),
                selector: selector.clone(),
            });
        }
    }

    pub(super) fn candidate(&self) -> Option<Subject> {
        self.candidate.lock().clone()
    }
}

/// The time of the newest sample among the pods that the selector picks.
pub(super) fn newest(usages: &NamespaceUsages, selector: &Selector) -> Option<Timestamp> {
    let picked = usages.all().filter(|usage| selector.matches(usage.labels()));
    picked.filter_map(|usage| usage.at()).max()
}

#[cfg(test)]
mod tests {
    use super::super::Usages;
    use super::*;

    fn usages() -> Usages {
        let pod = |name: &str, app: &str, second: u8| {
            format!(
                r#"{{"metadata":{{"name":"{name}","namespace":"shop","labels":{{"app":"{app}"}}}},
                    "timestamp":"2026-01-05T08:00:{second:02}Z","containers":[]}}"#
            )
        };
        let items = [pod("web-1", "web", 3), pod("web-2", "web", 7), pod("db-1", "db", 9)].join(",");
        let text = format!(r#"{{"kind":"PodMetricsList","apiVersion":"metrics.k8s.io/v1beta1","items":[{items}]}}"#);
        Usages::decode(&text).unwrap()
    }

    fn web() -> Subject {
        Subject {
            namespace: "shop".into(),
            selector: Selector::parse("app=web").unwrap(),
        }
    }

    #[test]
    fn the_newest_sample_is_that_of_the_subjects_pods() {
        let newest = newest(&usages().of("shop"), &web().selector);
        assert_eq!(newest, Some("2026-01-05T08:00:07Z".parse().unwrap()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_about_another_namespace_says_nothing() {
        let (notes, usages) = (Notes::default(), usages());
        notes.watch(Some(web()));
        notes.answered(Instant::now(), Some("bank"), |namespace| usages.of(namespace));
        assert!(notes.shown().is_none());
        notes.answered(Instant::now(), None, |namespace| usages.of(namespace));
        assert!(notes.shown().unwrap().newest.is_some());
    }

    #[test]
    fn the_autoscaler_with_the_fewest_pods_is_the_next_subject() {
        let notes = Notes::default();
        let shop: Arc<str> = "shop".into();
        for (app, pods) in [("none", 0), ("a", 9), ("b", 2), ("c", 2), ("d", 5)] {
            notes.consider(&shop, &Selector::parse(&format!("app={app}")).unwrap(), pods);
        }
        assert_eq!(notes.candidate().unwrap().selector.to_string(), "app=b");
    }
}
