//! A `PodMetricsList` as text -> [`Usages`].

use std::borrow::Cow;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rustc_hash::{FxHashMap, FxHashSet};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{ContainerUsage, Labels, NamespaceUsages, PodUsage, Usages};
use crate::metrics::decode::{DecodeError, GoDuration, ListKind, Pairs, Text, each_item};
use crate::observe::ResourceList;
use crate::quantity::Quantity;

const LIST: ListKind = ListKind {
    kind: "PodMetricsList",
    versions: &["metrics.k8s.io/v1beta1"],
};

/// An item as it stands in the text.
#[derive(Deserialize)]
struct RawPod<'a> {
    #[serde(borrow)]
    metadata: RawMetadata<'a>,
    #[serde(default)]
    timestamp: Option<Timestamp>,
    #[serde(default)]
    window: Option<GoDuration>,
    #[serde(borrow, default)]
    containers: Option<Vec<RawContainer<'a>>>,
}

#[derive(Deserialize)]
struct RawMetadata<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    namespace: Cow<'a, str>,
    /// Unread: most pods of a template have the same text here, which is read once.
    #[serde(borrow, default)]
    labels: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawContainer<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    usage: Option<Pairs<'a, Quantity>>,
}

/// The text of an answer.
pub(super) fn text(body: &[u8]) -> Result<&str, DecodeError> {
    crate::metrics::decode::text(body, LIST)
}

pub(super) fn pod_metrics_list(text: &str) -> Result<Usages, DecodeError> {
    let mut builder = Builder::default();
    let mut bad_labels = None;
    each_item::<RawPod<'_>>(text, LIST, |pod| {
        if let Err(error) = builder.push(pod) {
            bad_labels.get_or_insert(error);
        }
    })?;
    match bad_labels {
        None => Ok(builder.finish()),
        Some(source) => Err(DecodeError::Json {
            kind: LIST.kind,
            source,
        }),
    }
}

/// Collects pods by namespace; what many pods have in common is kept once.
#[derive(Default)]
struct Builder<'a> {
    namespaces: FxHashMap<Arc<str>, NamespaceUsages>,
    words: FxHashSet<Arc<str>>,
    labels: FxHashMap<&'a str, Arc<Labels>>,
}

impl<'a> Builder<'a> {
    fn push(&mut self, raw: RawPod<'a>) -> Result<(), serde_json::Error> {
        let usage = PodUsage {
            name: raw.metadata.name.into(),
            labels: self.labels(raw.metadata.labels.map_or("{}", RawValue::get))?,
            at: raw.timestamp,
            window: raw.window.map_or(SignedDuration::ZERO, |window| window.0),
            containers: raw
                .containers
                .unwrap_or_default()
                .into_iter()
                .map(|c| self.container(c))
                .collect(),
        };
        let namespace = self.word(&raw.metadata.namespace);
        self.namespaces.entry(namespace).or_default().push(usage);
        Ok(())
    }

    fn container(&mut self, raw: RawContainer<'a>) -> ContainerUsage {
        let usage = raw.usage.map_or(Vec::new(), Pairs::sorted);
        let amounts = usage
            .into_iter()
            .map(|(resource, amount)| (self.word(&resource), amount.milli()))
            .collect();
        ContainerUsage {
            name: self.word(&raw.name),
            usage: ResourceList(amounts),
        }
    }

    fn labels(&mut self, text: &'a str) -> Result<Arc<Labels>, serde_json::Error> {
        if let Some(labels) = self.labels.get(text) {
            return Ok(labels.clone());
        }
        let raw: Option<Pairs<'a, Text<'a>>> = serde_json::from_str(text)?;
        let labels = raw.map_or(Vec::new(), Pairs::sorted);
        let labels: Arc<Labels> = labels
            .into_iter()
            .map(|(key, value)| (self.word(&key), self.word(&value.0)))
            .collect();
        self.labels.insert(text, labels.clone());
        Ok(labels)
    }

    fn word(&mut self, text: &str) -> Arc<str> {
        if let Some(word) = self.words.get(text) {
            return word.clone();
        }
        let word: Arc<str> = text.into();
        self.words.insert(word.clone());
        word
    }

    fn finish(self) -> Usages {
        Usages {
            by_namespace: self
                .namespaces
                .into_iter()
                .map(|(name, usages)| (name, Arc::new(usages)))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantity::Milli;

    fn item(rest: &str) -> String {
        format!(r#"{{"kind":"PodMetricsList","apiVersion":"metrics.k8s.io/v1beta1","metadata":{{}},"items":[{rest}]}}"#)
    }

    #[test]
    fn a_list_as_the_metrics_server_writes_it() {
        let text = item(
            r#"{"metadata":{"name":"web-1","namespace":"shop","creationTimestamp":"2026-01-05T08:00:09Z",
                "labels":{"tier":"front","app":"web"}},
                "timestamp":"2026-01-05T08:00:00Z","window":"17.23s",
                "containers":[{"name":"app","usage":{"memory":"1234Ki","cpu":"123456789n"}}]}"#,
        );
        let usages = pod_metrics_list(&text).unwrap();
        assert_eq!(usages.len(), 1);
        let shop = usages.of("shop");
        let web = shop.named("web-1").next().unwrap();
        assert_eq!(web.at, Some("2026-01-05T08:00:00Z".parse().unwrap()));
        assert_eq!(web.window, SignedDuration::from_millis(17_230));
        let labels: Vec<(&str, &str)> = web.labels.iter().map(|(k, v)| (&**k, &**v)).collect();
        assert_eq!(labels, [("app", "web"), ("tier", "front")]);
        assert_eq!(web.containers[0].usage.get("cpu"), Some(Milli(124)));
        assert_eq!(web.containers[0].usage.get("memory"), Some(Milli(1234 * 1024 * 1000)));
    }

    #[test]
    fn what_is_null_or_absent_is_empty() {
        assert!(pod_metrics_list(&item("")).unwrap().is_empty());
        let null = r#"{"items":null,"apiVersion":"metrics.k8s.io/v1beta1","kind":"PodMetricsList"}"#;
        assert!(pod_metrics_list(null).unwrap().is_empty());
        let bare =
            r#"{"metadata":{"name":"a","labels":null},"timestamp":null,"containers":[{"name":"b","usage":null}]}"#;
        let usages = pod_metrics_list(&item(bare)).unwrap();
        assert_eq!(usages.of("").named("a").next().unwrap().window, SignedDuration::ZERO);
    }

    #[test]
    fn equal_labels_are_kept_once() {
        let pod = |name| format!(r#"{{"metadata":{{"name":"{name}","labels":{{"app":"web"}}}},"containers":[]}}"#);
        let usages = pod_metrics_list(&item(&format!("{},{}", pod("a"), pod("b"))))
            .unwrap()
            .of("");
        let labels = |name| usages.named(name).next().unwrap().labels.clone();
        assert!(Arc::ptr_eq(&labels("a"), &labels("b")));
    }

    #[test]
    fn escapes_are_read() {
        let usages = pod_metrics_list(&item(r#"{"metadata":{"name":"web-1","l\u0061bels":{"a\u0062":"c"}}}"#)).unwrap();
        let labels = usages.of("").named("web-1").next().unwrap().labels.clone();
        assert_eq!((&*labels[0].0, &*labels[0].1), ("ab", "c"));
    }

    #[test]
    fn what_is_not_such_a_list_is_refused() {
        let cases = [
            "",
            "[]",
            "{}",
            r#"{"kind":"Status","apiVersion":"v1"}"#,
            r#"{"kind":"PodMetricsList","apiVersion":"metrics.k8s.io/v1","items":[]}"#,
            &item(r#"{"metadata":{"name":"a","labels":{"x":1}}}"#),
            &item(r#"{"metadata":{"name":"a"},"window":"soon"}"#),
            &item(r#"{"metadata":{"name":"a"},"timestamp":"today"}"#),
            &item(r#"{"metadata":{"name":"a"},"containers":[{"name":"b","usage":{"cpu":"many"}}]}"#),
            &format!("{} trailing", item("")),
        ];
        for case in cases {
            assert!(pod_metrics_list(case).is_err(), "{case}");
        }
    }
}
