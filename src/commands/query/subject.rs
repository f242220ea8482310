//! Whose metric is asked for: `--for KIND/NAME`.

use std::sync::Arc;

use anyhow::{Context, bail, ensure};

use crate::cluster::client::Clients;
use crate::cluster::discovery::Discovery;
use crate::cluster::pods::{PodRelist, PodStore, SlimPod};
use crate::commands::{name, snapshot};
use crate::observe::Pods;
use crate::selector::Selector;
use crate::settings::Settings;
use crate::spec::{Key, MetricIdentifier, MetricSource, ObjectRef, Spec};
use snapshot::read;

/// What was typed.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub metric: String,
    pub whose: Option<Whose>,
    pub selector: Option<Selector>,
    pub container: Option<String>,
}

/// `KIND/NAME`, or `KIND.GROUP/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Whose {
    /// As typed, but for short names.
    pub kind: String,
    pub group: String,
    pub name: String,
}

/// One metric to ask for.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub source: MetricSource,
    /// Whose metric: `Deployment/web`; empty for an external one.
    pub whose: String,
}

/// What is asked, and the pods that it is about.
pub(super) struct Subject {
    pub questions: Vec<Question>,
    /// The pods' selector; everything where there are none.
    pub selector: Selector,
    pub pods: Pods,
    /// All pods of the namespace.
    pub store: Arc<PodStore>,
}

/// Short names and plurals, as kubectl knows them, and the groups of kinds that are named without one.
const KINDS: &[(&[&str], &str, &str)] = &[
    (&["deployment", "deployments", "deploy"], "Deployment", "apps"),
    (&["statefulset", "statefulsets", "sts"], "StatefulSet", "apps"),
    (&["replicaset", "replicasets", "rs"], "ReplicaSet", "apps"),
    (
        &["replicationcontroller", "replicationcontrollers", "rc"],
        "ReplicationController",
        "",
    ),
    (
        &["horizontalpodautoscaler", "horizontalpodautoscalers", "hpa"],
        HPA,
        "autoscaling",
    ),
    (&["service", "services", "svc"], "Service", ""),
    (&["namespace", "namespaces", "ns"], "Namespace", ""),
    (&["pod", "pods", "po"], "Pod", ""),
    (&["ingress", "ingresses", "ing"], "Ingress", "networking.k8s.io"),
];

const HPA: &str = "HorizontalPodAutoscaler";

/// Reads `KIND/NAME` or `KIND.GROUP/NAME`.
pub(super) fn parse(text: &str) -> Result<Whose, String> {
    let (kind, object) = text
        .split_once('/')
        .ok_or("a kind and a name are wanted, as in deployment/web")?;
    if !name::is_name(object) {
        return Err(format!("{object:?} is not the name of an object"));
    }
    let known = KINDS.iter().find(|(names, ..)| names.contains(&&*kind.to_lowercase()));
    let (kind, group) = match (known, kind.split_once('.')) {
        (Some((_, kind, group)), _) => (*kind, *group),
        (None, Some((kind, group))) if !group.is_empty() => (kind, group),
        (None, _) => (kind, ""),
    };
    let is_kind = !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !is_kind || !(group.is_empty() || name::is_name(group)) {
        return Err(format!("{kind:?} is not a kind"));
    }
    Ok(Whose {
        kind: kind.to_owned(),
        group: group.to_owned(),
        name: object.to_owned(),
    })
}

impl Asked {
    /// What does not go together.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let metric = &self.metric;
        ensure!(
            self.whose.is_some() || !is_resource(metric),
            "{metric} is a resource of pods: say whose, as in --for deployment/web"
        );
        let of_autoscaler = self.whose.as_ref().is_some_and(|whose| whose.kind == HPA);
        ensure!(
            !of_autoscaler || (self.selector.is_none() && self.container.is_none()),
            "an autoscaler says itself which selector and container its metrics have"
        );
        ensure!(
            self.container.is_none() || is_resource(metric),
            "only cpu and memory are resources of containers, and {metric} is none"
        );
        ensure!(
            self.selector.is_none() || !is_resource(metric),
            "{metric} is a resource, and has no selector"
        );
        Ok(())
    }

    fn identifier(&self) -> MetricIdentifier {
        MetricIdentifier {
            name: self.metric.as_str().into(),
            written: None,
            selector: Ok(self.selector.clone().unwrap_or_else(Selector::everything)),
        }
    }

    /// The metric of a workload's pods.
    fn of_pods(&self) -> MetricSource {
        let resource: Arc<str> = self.metric.as_str().into();
        match (&self.container, is_resource(&self.metric)) {
            (Some(container), _) => MetricSource::ContainerResource {
                name: resource,
                container: container.as_str().into(),
            },
            (None, true) => MetricSource::Resource { name: resource },
            (None, false) => MetricSource::Pods {
                metric: self.identifier(),
            },
        }
    }
}

fn is_resource(metric: &str) -> bool {
    matches!(metric, "cpu" | "memory")
}

/// Finds out what is to be asked.
///
/// # Errors
/// No such object, no such metric in it, or pods that cannot be listed.
pub(super) async fn resolve(
    asked: &Asked,
    namespace: &Arc<str>,
    settings: &Settings,
    clients: &Clients,
    discovery: &Discovery,
) -> anyhow::Result<Subject> {
    let Some(whose) = &asked.whose else {
        return Ok(without_pods(
            MetricSource::External {
                metric: asked.identifier(),
            },
            String::new(),
        ));
    };
    let key = Key::new(namespace.clone(), whose.name.as_str());
    if whose.kind == HPA {
        return of_autoscaler(&asked.metric, &key, settings, clients).await;
    }
    let known = discovery.resolve(&whose.group, &whose.kind).await?;
    let api_version = match whose.group.as_str() {
        "" => known.version.to_string(),
        group => format!("{group}/{}", known.version),
    };
    let object = ObjectRef {
        api_version: api_version.into(),
        kind: known.kind.clone(),
        name: whose.name.as_str().into(),
    };
    let shown = format!("{}/{}", object.kind, object.name);
    if known.has_scale {
        let question = Question {
            source: asked.of_pods(),
            whose: shown,
        };
        return of_workload(vec![question], &object, &key, settings, clients).await;
    }
    ensure!(
        !is_resource(&asked.metric),
        "{} is a resource of pods, and {shown} has none: it has no scale",
        asked.metric
    );
    let source = MetricSource::Object {
        described: object,
        metric: asked.identifier(),
    };
    Ok(without_pods(source, shown))
}

fn without_pods(source: MetricSource, whose: String) -> Subject {
    Subject {
        questions: vec![Question { source, whose }],
        selector: Selector::everything(),
        pods: Pods::default(),
        store: Arc::default(),
    }
}

async fn of_autoscaler(metric: &str, key: &Key, settings: &Settings, clients: &Clients) -> anyhow::Result<Subject> {
    let filed = snapshot::filed(key, settings, clients).map(|(place, spec)| (place, spec.to_v2()));
    let object = read::read_autoscaler(&clients.api, key, filed, read::limits(settings))
        .await
        .with_context(|| format!("read autoscaler {key}"))?;
    let spec = Spec::from_stored(&object)?;
    let sources = spec.metrics.iter().map(|metric| &metric.source);
    let questions: Vec<Question> = sources
        .clone()
        .filter(|source| name_of(source) == metric)
        .map(|source| Question {
            source: source.clone(),
            whose: format!("{HPA}/{}", key.name),
        })
        .collect();
    if questions.is_empty() {
        let names: Vec<&str> = sources.map(name_of).collect();
        bail!("autoscaler {key} has no metric {metric}, only {}", names.join(", "));
    }
    of_workload(questions, &spec.scale_target, key, settings, clients).await
}

fn name_of(source: &MetricSource) -> &str {
    match source {
        MetricSource::Resource { name } | MetricSource::ContainerResource { name, .. } => name,
        MetricSource::Pods { metric } | MetricSource::Object { metric, .. } | MetricSource::External { metric } => {
            &metric.name
        }
    }
}

async fn of_workload(
    questions: Vec<Question>,
    target: &ObjectRef,
    key: &Key,
    settings: &Settings,
    clients: &Clients,
) -> anyhow::Result<Subject> {
    let limits = read::limits(settings);
    let shown = format!("{} {}/{}", target.kind, key.namespace, target.name);
    let scale = read::read_scale(&clients.api, key, target, limits)
        .await
        .with_context(|| format!("read the scale of {shown}"))?;
    let selector = scale["status"]["selector"].as_str().unwrap_or_default();
    ensure!(
        !selector.is_empty(),
        "the scale of {shown} has no selector, so that its pods cannot be told"
    );
    let selector = Selector::parse(selector).with_context(|| format!("read the selector of {shown}"))?;
    // All of the namespace: whoever answers for all at once has to be told pods of others from pods that are gone.
    let listed = read::list_pods(&clients.api, &key.namespace, "", limits).await?;
    let mut relist = PodRelist::default();
    for pod in listed {
        // From text: what is read borrows from it.
        let pod = serde_json::from_str::<SlimPod>(&pod.to_string());
        relist.add(pod.context("read the pods of the namespace")?);
    }
    let store = PodStore::default();
    store.replace(Some(&key.namespace), relist);
    Ok(Subject {
        questions,
        pods: store.select(&key.namespace, &selector),
        selector,
        store: Arc::new(store),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whose(kind: &str, group: &str, name: &str) -> Whose {
        let [kind, group, name] = [kind, group, name].map(str::to_owned);
        Whose { kind, group, name }
    }

    #[test]
    fn kinds_are_named_as_kubectl_names_them() {
        assert_eq!(parse("deploy/web"), Ok(whose("Deployment", "apps", "web")));
        assert_eq!(parse("Deployment/web"), Ok(whose("Deployment", "apps", "web")));
        assert_eq!(parse("hpa/web"), Ok(whose(HPA, "autoscaling", "web")));
        assert_eq!(parse("svc/web"), Ok(whose("Service", "", "web")));
        assert_eq!(
            parse("Rollout.argoproj.io/web"),
            Ok(whose("Rollout", "argoproj.io", "web"))
        );
        assert_eq!(parse("Endpoints/web"), Ok(whose("Endpoints", "", "web")));
        for text in [
            "web",
            "deployment/",
            "/web",
            "a b/web",
            "deployment/../x",
            "x./y",
            "deployment/a/b",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    fn asked(metric: &str, of: Option<&str>) -> Asked {
        Asked {
            metric: metric.to_owned(),
            whose: of.map(|of| parse(of).unwrap()),
            selector: None,
            container: None,
        }
    }

    #[test]
    fn cpu_and_memory_are_resources_of_pods_and_all_else_a_custom_metric() {
        assert_eq!(asked("cpu", Some("deploy/web")).of_pods().type_name(), "Resource");
        assert_eq!(asked("qps", Some("deploy/web")).of_pods().type_name(), "Pods");
        let one = Asked {
            container: Some("main".into()),
            ..asked("cpu", Some("deploy/web"))
        };
        assert_eq!(
            (one.of_pods().type_name(), one.check().is_ok()),
            ("ContainerResource", true)
        );
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let with_selector = |asked: Asked| Asked {
            selector: Some(Selector::everything()),
            ..asked
        };
        assert!(asked("cpu", None).check().is_err());
        assert!(asked("qps", None).check().is_ok());
        assert!(with_selector(asked("cpu", Some("deploy/web"))).check().is_err());
        assert!(with_selector(asked("qps", Some("hpa/web"))).check().is_err());
        assert!(with_selector(asked("qps", Some("svc/web"))).check().is_ok());
    }
}
