//! An answer for people, and for machines.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};

use super::recorder::Sent;
use super::subject::Question;
use crate::duration;
use crate::metrics::prometheus::Inspection;
use crate::observe::{MetricFailure, PodSamples, Pods, Reading, Sample, Unusable};
use crate::promql::{Definition, Missing, Series};
use crate::quantity::Milli;
use crate::selector::Selector;
use crate::spec::{MetricIdentifier, MetricSource};

/// The most pods or values that are printed for people.
const LINES: usize = 200;

/// A question with its answer.
#[derive(Debug)]
pub(super) struct Found {
    pub question: Question,
    pub namespace: Arc<str>,
    /// The pods that the reading is about.
    pub pods: Pods,
    pub reading: Reading,
    /// What a Prometheus was asked, where one answers.
    pub inspection: Option<Inspection>,
    /// What was sent to the metrics APIs.
    pub requests: Vec<Sent>,
}

/// A pod's value, or why there is none.
struct Row<'f> {
    pod: &'f str,
    value: Result<&'f Sample, String>,
    /// It is no pod of the workload.
    stranger: bool,
}

impl Found {
    /// Whether there is nothing to decide by.
    pub(super) fn has_failed(&self) -> bool {
        match &self.reading {
            Reading::Failed(_) => true,
            Reading::PerPod(samples) => self.rows(samples).iter().all(|row| row.value.is_err()),
            Reading::Single(_) | Reading::Several(_) => false,
        }
    }

    /// Each pod in order, then whatever else has a value.
    fn rows<'f>(&'f self, samples: &'f PodSamples) -> Vec<Row<'f>> {
        let of_pods = self.pods.iter().zip(&samples.of_pods).map(|(pod, sample)| {
            let unusable = samples.unusable.iter().find(|(name, _)| *name == pod.name);
            let why = || match unusable {
                Some((_, why)) => words(*why).to_owned(),
                None => self.silence(),
            };
            Row {
                pod: &pod.name,
                value: sample.as_ref().ok_or_else(why),
                stranger: false,
            }
        });
        let of_strangers = samples.of_strangers.iter().map(|(name, sample)| Row {
            pod: name,
            value: Ok(sample),
            stranger: true,
        });
        of_pods.chain(of_strangers).collect()
    }

    /// Why a pod has no value at all.
    fn silence(&self) -> String {
        let definition = self
            .inspection
            .as_ref()
            .map(|inspection| inspection.definition.as_ref());
        match definition {
            None => format!("{} has no value of it", self.api()),
            Some(definition) => match definition.and_then(|definition| definition.freshness) {
                None => "no series of it".to_owned(),
                Some(limit) => format!(
                    "no series of it with samples of the last {}",
                    humantime::format_duration(limit)
                ),
            },
        }
    }

    /// The API that answers where no Prometheus does.
    fn api(&self) -> &'static str {
        match &self.question.source {
            MetricSource::Resource { .. } | MetricSource::ContainerResource { .. } => "metrics.k8s.io",
            MetricSource::Pods { .. } | MetricSource::Object { .. } => "custom.metrics.k8s.io",
            MetricSource::External { .. } => "external.metrics.k8s.io",
        }
    }
}

fn words(why: Unusable) -> &'static str {
    match why {
        Unusable::NotANumber => "its value is NaN",
        Unusable::Infinite => "its value is infinite",
        Unusable::Several => "it has several values where one is needed",
    }
}

/// The name and selector of the metric, or the resource and its container.
fn metric(source: &MetricSource) -> (&str, Option<&MetricIdentifier>, Option<&str>) {
    match source {
        MetricSource::Resource { name } => (name, None, None),
        MetricSource::ContainerResource { name, container } => (name, None, Some(container)),
        MetricSource::Pods { metric } | MetricSource::Object { metric, .. } | MetricSource::External { metric } => {
            (&metric.name, Some(metric), None)
        }
    }
}

/// The metric's selector as text; `None` where it picks everything.
fn selector(identifier: Option<&MetricIdentifier>) -> Option<String> {
    match &identifier?.selector {
        Ok(selector) => (!Selector::is_everything(selector)).then(|| selector.to_string()),
        Err(problem) => Some(problem.clone()),
    }
}

/// For people: a paragraph.
pub(super) fn as_text(found: &Found) -> String {
    let source = &found.question.source;
    let (name, identifier, container) = metric(source);
    let mut text = String::new();
    let mut line = |label: &str, value: &str| {
        let _ = writeln!(text, "{}", format!("{label:<16} {value}").trim_end());
    };
    let whose = match found.question.whose.as_str() {
        "" => String::new(),
        whose => format!(" of {whose}"),
    };
    let container = container.map_or_else(String::new, |container| format!(", container {container}"));
    let kind = source.type_name();
    line(
        name,
        &format!("{kind} metric{whose}{container} in namespace {}", found.namespace),
    );
    if let Some(selector) = selector(identifier) {
        line("selector", &selector);
    }
    match &found.inspection {
        None => line("answered by", found.api()),
        Some(inspection) => tell(inspection, &mut line),
    }
    for (place, Sent { path, status }) in found.requests.iter().enumerate() {
        let status = status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        line(
            if place == 0 { "asked" } else { "" },
            &format!("GET {path} -> {status}"),
        );
    }
    match &found.reading {
        Reading::Failed(MetricFailure { message, .. }) => line("failed", message),
        Reading::Single(value) => line("value", &value.to_string()),
        Reading::Several(values) => {
            let sum = Milli::saturating_sum(values.iter().copied());
            line("values", &format!("{}, together {sum}", values.len()));
            values.iter().take(LINES).for_each(|value| line("", &value.to_string()));
            line("", &left_out(values.len()));
        }
        Reading::PerPod(samples) => {
            let rows = found.rows(samples);
            line("values by pod", &summary(&rows, found.pods.len()));
            rows.iter()
                .take(LINES)
                .for_each(|row| line(&format!("  {}", row.pod), &shown(row)));
            line("", &left_out(rows.len()));
        }
    }
    // Lines that had nothing to say.
    text.lines()
        .filter(|line| !line.is_empty())
        .map(|line| format!("{line}\n"))
        .collect()
}

/// What a Prometheus was asked, and its series.
fn tell(inspection: &Inspection, line: &mut impl FnMut(&str, &str)) {
    let Inspection {
        endpoint,
        definition,
        by_rule,
        query,
        series,
        warnings,
        ..
    } = inspection;
    let by = match by_rule {
        true => "by a rule of Prometheus Adapter's",
        false => "by the metrics of the configuration",
    };
    line("answered by", &format!("prometheus {endpoint}, {by}"));
    if let Some(definition) = definition {
        line("", &conditions_of(definition));
    }
    let Some((query, at)) = query else {
        return line("query", "none was sent");
    };
    for (place, part) in query.lines().enumerate() {
        line(if place == 0 { "query" } else { "" }, part);
    }
    line("evaluated at", &at.to_string());
    warnings.iter().for_each(|warning| line("warning", warning));
    line("series", &series.len().to_string());
    for Series { labels, value } in series.iter().take(LINES) {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        line("", &format!("{{{}}}  {}", labels.join(", "), number(*value)));
    }
    line("", &left_out(series.len()));
}

/// What counts as a value, and what stands for one that is missing; empty where nothing is said.
fn conditions_of(definition: &Definition) -> String {
    let mut said = Vec::new();
    if let Some(limit) = definition.freshness {
        said.push(format!(
            "samples older than {} do not count",
            humantime::format_duration(limit)
        ));
    }
    if let Missing::Is(value) = definition.missing {
        said.push(format!("what is missing counts as {value}"));
    }
    said.join("; ")
}

/// As Prometheus writes it.
fn number(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        value => value.to_string(),
    }
}

fn left_out(count: usize) -> String {
    match count.checked_sub(LINES) {
        None | Some(0) => String::new(),
        Some(more) => format!("and {more} more, which --output=json has"),
    }
}

fn summary(rows: &[Row<'_>], pods: usize) -> String {
    let values: Vec<Milli> = rows
        .iter()
        .filter_map(|row| Some(row.value.as_ref().ok()?.value))
        .collect();
    let strangers = rows.iter().filter(|row| row.stranger).count();
    let of_pods = values.len() - strangers;
    let mut summary = format!("{of_pods} of {pods} pods");
    if strangers > 0 {
        let _ = write!(summary, ", {strangers} of none of them");
    }
    if let Ok(count @ 1..) = i64::try_from(values.len()) {
        let average = Milli::saturating_sum(values).0 / count;
        let _ = write!(summary, ", {} on average", Milli(average));
    }
    summary
}

fn shown(row: &Row<'_>) -> String {
    match &row.value {
        Err(why) => format!("missing: {why}"),
        Ok(Sample { value, at, window }) => {
            let mut shown = value.to_string();
            if let Some(at) = at {
                let _ = write!(shown, "  at {at:.0}");
            }
            if !window.is_zero() {
                let _ = write!(shown, "  over {}", duration::print(*window));
            }
            if row.stranger {
                shown.push_str("  (no pod of it, and counts all the same, as in Kubernetes)");
            }
            shown
        }
    }
}

/// For machines: an object.
pub(super) fn as_json(found: &Found) -> Value {
    let source = &found.question.source;
    let (name, identifier, container) = metric(source);
    let mut object = json!({
        "metric": name,
        "type": source.type_name(),
        "namespace": found.namespace,
        "answeredBy": { "api": found.api() },
        "requests": found.requests,
    });
    if let Some(inspection) = &found.inspection {
        object["answeredBy"] = json!({ "prometheus": inspection.endpoint, "adapterRule": inspection.by_rule });
        object["query"] = inspection
            .query
            .as_ref()
            .map_or(Value::Null, |(query, _)| query.as_str().into());
        object["at"] = inspection
            .query
            .as_ref()
            .map_or(Value::Null, |(_, at)| at.to_string().into());
        object["series"] = inspection.series.iter().map(series_as_json).collect();
        object["warnings"] = json!(inspection.warnings);
    }
    let mut set = |field: &str, value: Value| {
        if !value.is_null() {
            object[field] = value;
        }
    };
    let whose = Some(found.question.whose.as_str()).filter(|whose| !whose.is_empty());
    set("for", whose.into());
    set("container", container.into());
    set("selector", selector(identifier).into());
    match &found.reading {
        Reading::Failed(failure) => set("failed", json!(failure)),
        Reading::Single(value) => set("value", value.to_string().into()),
        Reading::Several(values) => {
            let values: Vec<String> = values.iter().map(Milli::to_string).collect();
            set("values", values.into());
        }
        Reading::PerPod(samples) => {
            let rows = found.rows(samples);
            set("pods", rows.iter().map(row_as_json).collect());
        }
    }
    object
}

/// A value is text, as in Prometheus' own answers: JSON has no NaN.
fn series_as_json(Series { labels, value }: &Series) -> Value {
    let labels = labels
        .iter()
        .map(|(name, value)| (name.to_string(), Value::from(&**value)));
    json!({ "labels": labels.collect::<serde_json::Map<_, _>>(), "value": number(*value) })
}

fn row_as_json(row: &Row<'_>) -> Value {
    let mut object = match &row.value {
        Err(why) => json!({ "pod": row.pod, "missing": why }),
        Ok(Sample { value, at, window }) => {
            let mut object = json!({ "pod": row.pod, "value": value.to_string() });
            if let Some(at) = at {
                object["at"] = at.to_string().into();
            }
            if !window.is_zero() {
                object["window"] = duration::print(*window).into();
            }
            object
        }
    };
    if row.stranger {
        object["stranger"] = true.into();
    }
    object
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::SignedDuration;

    use super::*;
    use crate::observe::{FailureKind, Pod, PodPhase};
    use crate::promql::{Answers, Template};

    fn pods(names: &[&str]) -> Pods {
        let pod = |name: &&str| Pod {
            name: (*name).into(),
            phase: PodPhase::Running,
            terminating: false,
            ready: None,
            started: None,
            requests: Arc::default(),
        };
        Arc::new(names.iter().map(pod).collect())
    }

    fn sample(milli: i64) -> Sample {
        Sample {
            value: Milli(milli),
            at: Some("2026-01-05T08:00:30.5Z".parse().unwrap()),
            window: SignedDuration::from_secs(30),
        }
    }

    fn found(source: MetricSource, whose: &str, reading: Reading) -> Found {
        Found {
            question: Question {
                source,
                whose: whose.to_owned(),
            },
            namespace: "shop".into(),
            pods: pods(&["web-1", "web-2", "web-3"]),
            reading,
            inspection: None,
            requests: vec![Sent {
                path: "/apis/x".to_owned(),
                status: Some(200),
            }],
        }
    }

    fn qps(selector: &str) -> MetricIdentifier {
        MetricIdentifier {
            name: "qps".into(),
            written: None,
            selector: Ok(Selector::parse(selector).unwrap()),
        }
    }

    fn of_pods() -> Found {
        let samples = PodSamples {
            of_pods: vec![Some(sample(12_500)), None, None],
            of_strangers: vec![("gone-1".into(), sample(7_500))],
            unusable: vec![("web-2".into(), Unusable::NotANumber)],
        };
        let source = MetricSource::Pods {
            metric: qps("verb=GET"),
        };
        found(source, "Deployment/web", Reading::PerPod(samples))
    }

    #[test]
    fn each_pod_has_a_line_with_its_value_or_what_is_missing() {
        let expected = "\
qps              Pods metric of Deployment/web in namespace shop
selector         verb=GET
answered by      custom.metrics.k8s.io
asked            GET /apis/x -> 200
values by pod    1 of 3 pods, 1 of none of them, 10 on average
  web-1          12500m  at 2026-01-05T08:00:30Z  over 30s
  web-2          missing: its value is NaN
  web-3          missing: custom.metrics.k8s.io has no value of it
  gone-1         7500m  at 2026-01-05T08:00:30Z  over 30s  (no pod of it, and counts all the same, as in Kubernetes)
";
        assert_eq!(as_text(&of_pods()), expected);
        assert!(!of_pods().has_failed());
        let none = PodSamples {
            of_pods: vec![None, None, None],
            ..PodSamples::default()
        };
        assert!(found(of_pods().question.source, "", Reading::PerPod(none)).has_failed());
    }

    #[test]
    fn names_longer_than_their_column_stand_apart_from_what_is_said_of_them() {
        let metric = MetricIdentifier {
            name: "http_requests_per_second".into(),
            ..qps("")
        };
        let samples = PodSamples {
            of_pods: vec![Some(sample(12_500))],
            ..PodSamples::default()
        };
        let found = Found {
            pods: pods(&["storefront-5d8f7c9b6-x2x4z"]),
            ..found(
                MetricSource::Pods { metric },
                "Deployment/storefront",
                Reading::PerPod(samples),
            )
        };
        let text = as_text(&found);
        assert!(text.starts_with("http_requests_per_second Pods metric"), "{text}");
        assert!(text.contains("\n  storefront-5d8f7c9b6-x2x4z 12500m  at"), "{text}");
    }

    #[test]
    fn machines_get_the_same() {
        let expected = json!({
            "metric": "qps", "type": "Pods", "namespace": "shop", "for": "Deployment/web", "selector": "verb=GET",
            "answeredBy": { "api": "custom.metrics.k8s.io" }, "requests": [{ "path": "/apis/x", "status": 200 }],
            "pods": [
                { "pod": "web-1", "value": "12500m", "at": "2026-01-05T08:00:30.5Z", "window": "30s" },
                { "pod": "web-2", "missing": "its value is NaN" },
                { "pod": "web-3", "missing": "custom.metrics.k8s.io has no value of it" },
                { "pod": "gone-1", "value": "7500m", "at": "2026-01-05T08:00:30.5Z", "window": "30s", "stranger": true },
            ],
        });
        assert_eq!(as_json(&of_pods()), expected);
    }

    #[test]
    fn an_external_metric_has_values_and_a_failure_its_words() {
        let source = MetricSource::External { metric: qps("") };
        let several = found(source.clone(), "", Reading::Several(vec![Milli(1000), Milli(-2500)]));
        let text = as_text(&several);
        assert!(
            text.starts_with("qps              External metric in namespace shop\nanswered by      external."),
            "{text}"
        );
        assert!(
            text.ends_with("values           2, together -1500m\n                 1\n                 -2500m\n"),
            "{text}"
        );
        let failed = found(
            source,
            "",
            Reading::Failed(MetricFailure::new(FailureKind::Empty, "nothing")),
        );
        assert!(failed.has_failed() && as_text(&failed).ends_with("failed           nothing\n"));
        assert_eq!(
            as_json(&failed)["failed"],
            json!({ "kind": "empty", "message": "nothing" })
        );
    }

    #[test]
    fn what_a_prometheus_was_asked_is_told_with_every_series() {
        let samples = PodSamples {
            of_pods: vec![Some(sample(12_500)), None, None],
            unusable: vec![("web-2".into(), Unusable::NotANumber)],
            ..PodSamples::default()
        };
        let reading = Reading::PerPod(samples);
        let definition = Definition {
            name: "qps".into(),
            answers: Answers::Pods {
                pod_label: "pod".into(),
            },
            endpoint: "main".into(),
            template: Template::parse("sum by (pod) (x)").unwrap(),
            step: Duration::ZERO,
            freshness: Some(Duration::from_secs(120)),
            missing: Missing::Fails,
        };
        let series = |pod: &str, value| Series {
            labels: [("pod".into(), pod.into())].into(),
            value,
        };
        let inspection = Inspection {
            endpoint: "main".into(),
            definition: Some(Arc::new(definition)),
            by_rule: false,
            query: Some((
                "sum by (pod) (\n  x\n)".to_owned(),
                "2026-01-05T08:00:30Z".parse().unwrap(),
            )),
            series: vec![series("web-1", 12.5), series("web-2", f64::NAN)],
            warnings: Vec::new(),
            reading: reading.clone(),
        };
        let source = MetricSource::Pods { metric: qps("") };
        let found = Found {
            inspection: Some(inspection),
            requests: Vec::new(),
            ..found(source, "Deployment/web", reading)
        };
        let expected = "\
qps              Pods metric of Deployment/web in namespace shop
answered by      prometheus main, by the metrics of the configuration
                 samples older than 2m do not count
query            sum by (pod) (
                   x
                 )
evaluated at     2026-01-05T08:00:30Z
series           2
                 {pod=\"web-1\"}  12.5
                 {pod=\"web-2\"}  NaN
values by pod    1 of 3 pods, 12500m on average
  web-1          12500m  at 2026-01-05T08:00:30Z  over 30s
  web-2          missing: its value is NaN
  web-3          missing: no series of it with samples of the last 2m
";
        assert_eq!(as_text(&found), expected);
        let json = as_json(&found);
        assert_eq!(
            json["answeredBy"],
            json!({ "prometheus": "main", "adapterRule": false })
        );
        assert_eq!(
            json["series"][1],
            json!({ "labels": { "pod": "web-2" }, "value": "NaN" })
        );
        assert_eq!(json["pods"][0]["value"], "12500m");
    }
}
