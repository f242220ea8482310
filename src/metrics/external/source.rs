//! `external.metrics.k8s.io` of a cluster: each question once a pass.

use std::sync::Arc;

use bytes::Bytes;
use kube::Client;

use super::{ExternalValue, LIST, decode, reading};
use crate::metrics::allowance::Allowance;
use crate::metrics::api::{Answers, Api, PASS_BYTES};
use crate::metrics::decode::{DecodeError, text};
use crate::metrics::failure::{MetricsApi, SourceError};
use crate::metrics::guard::{Guard, GuardSettings};
use crate::observe::{FailureKind, MetricFailure, Reading};
use crate::spec::MetricIdentifier;
use crate::wire::path_segment;

/// The largest answer: some 80 000 series of 200 bytes, all of which would be added up.
const ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// The one version that there is.
const ROOT: &str = "/apis/external.metrics.k8s.io/v1beta1";

/// The external metrics of a cluster.
#[derive(Clone)]
pub struct ExternalMetricsSource {
    api: Api,
}

impl ExternalMetricsSource {
    /// The source behind `client`, asked within the bounds of `settings`. `seed` varies how long it rests after failures.
    pub fn new(client: Client, settings: GuardSettings, seed: u64) -> Self {
        Self {
            api: Api::new(client, MetricsApi::External, settings, ANSWER_BYTES, seed),
        }
    }

    /// Begins a pass. Nothing is asked before someone waits for an answer.
    pub fn pass(&self) -> ExternalPass {
        ExternalPass {
            source: self.clone(),
            answers: Answers::default(),
            allowance: Allowance::new(PASS_BYTES),
        }
    }

    /// What stands before the API.
    pub fn guard(&self) -> &Guard {
        self.api.guard()
    }

    async fn ask(
        self,
        path: String,
        selector: String,
        allowance: Allowance,
    ) -> Result<Arc<Vec<ExternalValue>>, SourceError> {
        let query = [("labelSelector", selector.as_str())];
        let question = self.api.get(&path, &query, &allowance, read);
        self.api.guard().ask(question).await.map(Arc::new)
    }
}

/// The answers of one pass: each is asked for once, and all who wait for it get the same one.
pub struct ExternalPass {
    source: ExternalMetricsSource,
    /// By path and selector.
    answers: Answers<(String, String), Arc<Vec<ExternalValue>>>,
    allowance: Allowance,
}

impl ExternalPass {
    /// An External metric, for an autoscaler of `namespace`.
    pub async fn reading(&self, namespace: &str, metric: &MetricIdentifier) -> Reading {
        let selector = match &metric.selector {
            Ok(selector) => selector.to_string(),
            // Kubernetes asks nothing then.
            Err(problem) => return Reading::Failed(MetricFailure::new(FailureKind::BadSelector, problem.clone())),
        };
        let path = format!(
            "{ROOT}/namespaces/{}/{}",
            path_segment(namespace),
            path_segment(&metric.name)
        );
        let ask = || {
            self.source
                .clone()
                .ask(path.clone(), selector.clone(), self.allowance.clone())
        };
        match self.answers.get((path.clone(), selector.clone()), ask).await {
            Ok(values) => reading(values.iter()),
            Err(error) => Reading::Failed(error.failure()),
        }
    }
}

fn read(body: &Bytes) -> Result<Vec<ExternalValue>, DecodeError> {
    decode(text(body, LIST)?)
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use serde_json::{Value, json};

    use super::*;
    use crate::metrics::script::server;
    use crate::quantity::Milli;

    const LIST: &str = r#"{"kind":"ExternalMetricValueList","apiVersion":"external.metrics.k8s.io/v1beta1","items":[
        {"metricName":"queue","value":"42"},{"metricName":"queue","value":"-2"}]}"#;

    fn begin(
        answer: impl Fn(&str) -> (u16, String) + Clone + Send + 'static,
    ) -> (ExternalPass, Arc<parking_lot::Mutex<Vec<String>>>) {
        let (client, asked) = server(answer);
        let source = ExternalMetricsSource::new(client, GuardSettings::default(), 1);
        (source.pass(), asked)
    }

    fn metric(selector: Option<Value>) -> MetricIdentifier {
        MetricIdentifier::new("queue", selector)
    }

    #[tokio::test(start_paused = true)]
    async fn kubernetes_paths_are_asked_for_each_once() {
        let (pass, asked) = begin(|_| (200, LIST.to_owned()));
        let selectors = [
            None,
            Some(json!({})),
            Some(json!({ "matchLabels": { "q": "x", "a": "y" } })),
        ];
        for selector in selectors {
            let metric = metric(selector);
            let readings = join_all((0..10).map(|_| pass.reading("shop", &metric))).await;
            let all = Reading::Several(vec![Milli(42_000), Milli(-2_000)]);
            assert!(readings.iter().all(|reading| *reading == all));
        }
        let bad = metric(Some(json!({ "matchExpressions": [{ "key": "a", "operator": "In" }] })));
        let failed = pass.reading("shop", &bad).await;
        assert!(matches!(failed, Reading::Failed(failure) if failure.kind == FailureKind::BadSelector));
        assert_eq!(
            *asked.lock(),
            [
                "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/queue",
                "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/queue?labelSelector=a%3Dy%2Cq%3Dx",
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_are_too_much_together_fail_and_the_next_pass_begins_anew() {
        let (mut pass, _) = begin(|_| (200, LIST.to_owned()));
        pass.allowance = Allowance::new(2 * LIST.len() + 10);
        let mut kinds = Vec::new();
        for name in ["a", "b", "c", "d"] {
            kinds.push(match pass.reading("shop", &MetricIdentifier::new(name, None)).await {
                Reading::Failed(failure) => Some(failure.kind),
                _ => None,
            });
        }
        let over = Some(FailureKind::OverBudget);
        assert_eq!(kinds, [None, None, over, over]);
        assert!(pass.source.guard().health().trouble.is_none(), "the API is well");
        let next = pass
            .source
            .pass()
            .reading("shop", &MetricIdentifier::new("c", None))
            .await;
        assert!(matches!(next, Reading::Several(_)), "{next:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn each_failure_has_its_kind_and_says_what_to_look_at() {
        let status = |code, message: &str| (code, json!({ "kind": "Status", "message": message }).to_string());
        for (answer, kind, part) in [
            (
                (404, "404 page not found".to_owned()),
                FailureKind::Unavailable,
                "external.metrics.k8s.io",
            ),
            (status(404, "no metric queue"), FailureKind::Empty, "no metric queue"),
            (
                status(503, "no backend"),
                FailureKind::Unavailable,
                "is a metrics adapter installed",
            ),
            ((0, String::new()), FailureKind::TimedOut, "no answer within 10s"),
            (
                (200, "{}".to_owned()),
                FailureKind::BadAnswer,
                "decode the ExternalMetricValueList",
            ),
            (
                (200, LIST.replace("value", "v")),
                FailureKind::BadAnswer,
                "missing field",
            ),
            (
                (200, " ".repeat(ANSWER_BYTES + 1)),
                FailureKind::BadAnswer,
                "larger than",
            ),
        ] {
            let (pass, _) = begin(move |_| answer.clone());
            let Reading::Failed(failure) = pass.reading("shop", &metric(None)).await else {
                panic!("{part}")
            };
            let message = failure.message;
            assert!(
                message.starts_with("unable to fetch metrics from external metrics API: "),
                "{message}"
            );
            assert_eq!(failure.kind, kind, "{message}");
            assert!(message.contains(part), "{message}");
        }
    }
}
