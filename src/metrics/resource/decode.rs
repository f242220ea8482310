//! A `PodMetricsList` as JSON -> [`Usages`].

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Usages;
use super::build::{Builder, RawLabels};
use crate::metrics::decode::{DecodeError, GoDuration, ListKind, Pairs, Text, each_item, not_json};
use crate::quantity::{Milli, Quantity};

pub(super) const LIST: ListKind = ListKind {
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
    let mut added = Ok(());
    each_item::<RawPod<'_>>(text, LIST, |pod| {
        if added.is_ok() {
            added = add(&mut builder, pod);
        }
    })?;
    added.map(|()| builder.finish())
}

fn add(builder: &mut Builder, raw: RawPod<'_>) -> Result<(), DecodeError> {
    for container in raw.containers.unwrap_or_default() {
        let usage = container.usage.map_or(Vec::new(), Pairs::sorted);
        let usage: Vec<(_, Milli)> = usage.into_iter().map(|(name, amount)| (name, amount.milli())).collect();
        builder.container(&container.name, &usage);
    }
    let text = raw.metadata.labels.map_or("{}", RawValue::get);
    let labels = builder.labels(text.as_bytes(), || labels(text))?;
    let window = raw.window.map_or(SignedDuration::ZERO, |window| window.0);
    builder.pod(
        &raw.metadata.namespace,
        &raw.metadata.name,
        labels,
        raw.timestamp,
        window,
    )?;
    Ok(())
}

fn labels(text: &str) -> Result<RawLabels<'_>, DecodeError> {
    let raw: Result<Option<Pairs<'_, Text<'_>>>, _> = serde_json::from_str(text);
    let pairs = raw.map_err(|error| not_json(LIST.kind, &error))?;
    let pairs = pairs.map_or(Vec::new(), Pairs::sorted);
    Ok(pairs.into_iter().map(|(key, value)| (key, value.0)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(web.at(), Some("2026-01-05T08:00:00Z".parse().unwrap()));
        assert_eq!(web.window(), SignedDuration::from_millis(17_230));
        let labels: Vec<(&str, &str)> = web.labels().iter().map(|(k, v)| (&**k, &**v)).collect();
        assert_eq!(labels, [("app", "web"), ("tier", "front")]);
        assert_eq!(web.amount("cpu", "app"), Some(Milli(124)));
        assert_eq!(web.amount("memory", "app"), Some(Milli(1234 * 1024 * 1000)));
    }

    #[test]
    fn what_is_null_or_absent_is_empty() {
        assert!(pod_metrics_list(&item("")).unwrap().is_empty());
        let null = r#"{"items":null,"apiVersion":"metrics.k8s.io/v1beta1","kind":"PodMetricsList"}"#;
        assert!(pod_metrics_list(null).unwrap().is_empty());
        let bare =
            r#"{"metadata":{"name":"a","labels":null},"timestamp":null,"containers":[{"name":"b","usage":null}]}"#;
        let usages = pod_metrics_list(&item(bare)).unwrap();
        assert_eq!(usages.of("").named("a").next().unwrap().window(), SignedDuration::ZERO);
    }

    #[test]
    fn equal_labels_are_kept_once() {
        let pod = |name| format!(r#"{{"metadata":{{"name":"{name}","labels":{{"app":"web"}}}},"containers":[]}}"#);
        let usages = pod_metrics_list(&item(&format!("{},{}", pod("a"), pod("b"))))
            .unwrap()
            .of("");
        let labels = |name| usages.named(name).next().unwrap().labels_place();
        assert_eq!(labels("a"), labels("b"));
    }

    #[test]
    fn escapes_are_read() {
        let usages = pod_metrics_list(&item(r#"{"metadata":{"name":"web-1","l\u0061bels":{"a\u0062":"c"}}}"#)).unwrap();
        let usages = usages.of("");
        let labels = usages.named("web-1").next().unwrap().labels();
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
