//! A named metric that a Prometheus answers for.

use std::sync::Arc;
use std::time::Duration;

use super::{NotLimitable, Template};
use crate::quantity::Milli;

/// The freshness limit where none is said: some scrapes may be lost, and a count still follows within minutes.
pub const DEFAULT_FRESHNESS: Duration = Duration::from_secs(120);

/// The range of the default CPU query's `rate`. It needs two samples: with the usual scrape interval of 30 s, that is with
/// two lost in a row; with the largest usual one, a minute, with none lost. A longer one is slower to see load.
pub const DEFAULT_WINDOW: Duration = Duration::from_secs(120);

/// A metric by name, and how to ask a Prometheus for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// The name by which autoscalers ask for it: `metric.name`, or the resource's name.
    pub name: Arc<str>,
    /// What it answers for.
    pub answers: Answers,
    /// The Prometheus to ask: a name of the `prometheus:` block.
    pub endpoint: Arc<str>,
    /// The query.
    pub template: Template,
    /// The evaluation time is rounded down to a multiple of this, so that all passes within one step share one answer.
    /// Zero: each pass asks at its own time.
    pub step: Duration,
    /// Values count only where the series that they are computed from have a sample that is not older than this.
    /// `None`: Prometheus' own lookback alone decides.
    pub freshness: Option<Duration>,
    /// What stands for a value that is not there.
    pub missing: Missing,
}

impl Definition {
    /// Why the query cannot answer for this, a sentence each: placeholders that stand for nothing here, results that could
    /// not be told apart, a freshness limit that cannot be put into it.
    pub fn problems(&self) -> Vec<String> {
        let kind = self.answers.type_name();
        let foreign: &[&str] = match &self.answers {
            Answers::Pods { .. } => &["$object"],
            Answers::Object { .. } => &["$pods"],
            Answers::External => &["$pods", "$object"],
            Answers::Resource { .. } => &["$object", "$selector"],
        };
        let template = &self.template;
        let named = [
            ("$pods", template.names_pods()),
            ("$object", template.names_object()),
            ("$selector", template.names_selector()),
        ];
        let foreign = named.iter().filter(|(name, there)| *there && foreign.contains(name));
        let foreign = foreign.map(|(name, _)| format!("{name} stands for nothing with type {kind}"));
        let lost = self.answers.pod_label().filter(|label| template.drops(label));
        let lost =
            lost.map(|label| format!("the results have no label {label}: add it to their by (…), or set pod-label"));
        foreign
            .chain(lost)
            .chain(self.not_limitable().map(|error| error.to_string()))
            .collect()
    }

    /// Why the age of its values cannot be limited as it is to be.
    pub(super) fn not_limitable(&self) -> Option<NotLimitable> {
        self.template.can_be_limited(self.freshness?).err()
    }

    /// Whether both would answer for one question of an autoscaler.
    pub fn overlaps(&self, other: &Self) -> bool {
        if self.name != other.name {
            return false;
        }
        match (&self.answers, &other.answers) {
            (Answers::Pods { .. }, Answers::Pods { .. })
            | (Answers::External, Answers::External)
            | (Answers::Resource { .. }, Answers::Resource { .. }) => true,
            (Answers::Object { kind: Some(one) }, Answers::Object { kind: Some(other) }) => one.overlaps(other),
            (Answers::Object { .. }, Answers::Object { .. }) => true,
            _ => false,
        }
    }
}

/// The query for `resource` where none is given: of what the kubelet's cAdvisor tells of containers. `None` for other
/// resources than cpu and memory.
///
/// The container `POD` is the sandbox, and series without a container are sums of a pod or of a node. Of memory the largest
/// counts where a container has several series: those of one that was restarted stand beside the new ones for a while.
pub fn default_query(resource: &str, window: Duration) -> Option<String> {
    let selector = r#"{namespace="$namespace",pod=~"$pods",container!="",container!="POD"}"#;
    match resource {
        "cpu" => Some(format!(
            "sum by (namespace, pod, container) (rate(container_cpu_usage_seconds_total{selector}[{}]))",
            range(window)
        )),
        "memory" => Some(format!(
            "max by (namespace, pod, container) (container_memory_working_set_bytes{selector})"
        )),
        _ => None,
    }
}

/// What a metric answers for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answers {
    /// Pods metrics.
    Pods {
        /// The label that names the pod.
        pod_label: Arc<str>,
    },
    /// Object metrics.
    Object {
        /// The kind of object that it is for; `None`: any.
        kind: Option<ObjectKind>,
    },
    /// External metrics.
    External,
    /// A resource of containers, in place of metrics.k8s.io.
    Resource {
        /// The label that names the pod.
        pod_label: Arc<str>,
        /// The label that names the container.
        container_label: Arc<str>,
        /// The label that names the namespace.
        namespace_label: Arc<str>,
        /// The time that a value covers: the window of the query's `rate`.
        window: Duration,
    },
}

/// A kind of object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectKind {
    /// The API group; empty for the core group; `None`: whichever has it.
    pub group: Option<Arc<str>>,
    /// The kind, such as `Ingress`; compared without regard to case.
    pub kind: Arc<str>,
}

/// The longest range that a query reads, of those that are written as a plain duration: `[2m]`.
pub fn longest_range(query: &str) -> Option<Duration> {
    let ranges = query.split('[').skip(1).filter_map(|rest| rest.split_once(']'));
    ranges
        .filter_map(|(range, _)| promql_duration(range.split(':').next().unwrap_or(range).trim()))
        .max()
}

/// A duration as Prometheus reads it: units from the largest to the smallest, each once, and no fractions.
pub fn promql_duration(text: &str) -> Option<Duration> {
    // Prometheus' `model.ParseDuration`: a year has 365 days.
    const UNITS: [(&str, u64); 7] = [
        ("y", 31_536_000_000),
        ("w", 604_800_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut millis, mut rest, mut units) = (0u64, text, UNITS.as_slice());
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let at = units.iter().position(|(name, _)| *name == unit)?;
        let amount = number.parse::<u64>().ok()?.checked_mul(units[at].1)?;
        millis = millis.checked_add(amount)?;
        (rest, units) = (after, &units[at + 1..]);
    }
    Some(Duration::from_millis(millis))
}

/// A duration as PromQL writes it, to the millisecond.
pub(super) fn range(duration: Duration) -> String {
    match duration.as_millis() {
        millis if millis % 60_000 == 0 => format!("{}m", millis / 60_000),
        millis if millis % 1_000 == 0 => format!("{}s", millis / 1_000),
        millis => format!("{millis}ms"),
    }
}

impl ObjectKind {
    fn overlaps(&self, other: &Self) -> bool {
        let groups_differ = matches!((&self.group, &other.group), (Some(one), Some(other)) if one != other);
        self.kind.eq_ignore_ascii_case(&other.kind) && !groups_differ
    }
}

impl Answers {
    /// The label that names the pod, where the results are told apart by it.
    pub fn pod_label(&self) -> Option<&Arc<str>> {
        match self {
            Self::Pods { pod_label } | Self::Resource { pod_label, .. } => Some(pod_label),
            Self::Object { .. } | Self::External => None,
        }
    }

    /// The name that autoscalers give the type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Pods { .. } => "Pods",
            Self::Object { .. } => "Object",
            Self::External => "External",
            Self::Resource { .. } => "Resource",
        }
    }
}

/// What stands for a value that is not there: a pod without a series, or an answer without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missing {
    /// Nothing: the pod has no sample, or the metric fails. Kubernetes' rules for missing pods then apply.
    #[default]
    Fails,
    /// This value.
    Is(Milli),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(answers: Answers, query: &str) -> Definition {
        Definition {
            name: "qps".into(),
            answers,
            endpoint: "main".into(),
            template: Template::parse(query).expect("it is a template"),
            step: Duration::ZERO,
            freshness: Some(DEFAULT_FRESHNESS),
            missing: Missing::Fails,
        }
    }

    fn object(kind: Option<(&str, Option<&str>)>) -> Definition {
        let kind = kind.map(|(kind, group)| ObjectKind {
            group: group.map(Arc::from),
            kind: kind.into(),
        });
        definition(Answers::Object { kind }, "x")
    }

    #[test]
    fn two_answer_for_one_question_where_their_kinds_may_be_one() {
        let ingress = object(Some(("Ingress", Some("networking.k8s.io"))));
        assert!(ingress.overlaps(&object(None)));
        assert!(ingress.overlaps(&object(Some(("ingress", None)))));
        assert!(!ingress.overlaps(&object(Some(("Ingress", Some("extensions"))))));
        assert!(!ingress.overlaps(&object(Some(("Service", None)))));
        assert!(!ingress.overlaps(&definition(Answers::External, "x")));
    }

    #[test]
    fn placeholders_have_to_fit_the_type() {
        let query = r#"x{namespace="$namespace",pod=~"$pods",a="$$object",$selector}"#;
        let pods = Answers::Pods {
            pod_label: "pod".into(),
        };
        assert_eq!(definition(pods.clone(), query).problems(), [""; 0]);
        let sum = definition(pods.clone(), "(sum by (instance) (x)) * 2");
        assert_eq!(
            sum.problems(),
            ["the results have no label pod: add it to their by (…), or set pod-label"]
        );
        assert_eq!(
            definition(Answers::External, query).problems(),
            ["$pods stands for nothing with type External"]
        );
    }

    #[test]
    fn prometheus_durations_go_from_large_to_small() {
        for (text, seconds) in [
            ("5m", 300.0),
            ("1h30m", 5400.0),
            ("1d", 86_400.0),
            ("1500ms", 1.5),
            ("0", 0.0),
        ] {
            assert_eq!(promql_duration(text), Some(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in ["", "5", "m", "1.5h", "1m1h", "1m1m", "-1m", "99999999999999999999y"] {
            assert_eq!(promql_duration(text), None, "{text}");
        }
        assert_eq!(
            longest_range("rate(a[1m]) + max_over_time(b[2m:10s])"),
            promql_duration("2m")
        );
        assert_eq!(longest_range("a"), None);
    }

    #[test]
    fn ranges_are_written_as_promql_reads_them() {
        for (millis, text) in [
            (120_000, "2m"),
            (90_000, "90s"),
            (1_500, "1500ms"),
            (86_400_000, "1440m"),
        ] {
            assert_eq!(range(Duration::from_millis(millis)), text);
        }
        assert_eq!(default_query("nvidia.com/gpu", DEFAULT_WINDOW), None);
    }
}
