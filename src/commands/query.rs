//! `trimtab query METRIC`: what trimtab would see of a metric, from whoever answers for it.

mod recorder;
mod show;
mod subject;

use std::sync::Arc;

use clap::{Arg, ArgMatches, Command};

use super::{Exit, Failure, assembly, configuration, flags, output};
use crate::clock::{Clock, SystemClock};
use crate::cluster::client::Clients;
use crate::cluster::discovery::Discovery;
use crate::cluster::pods::PodStore;
use crate::controller::gather::resource_of;
use crate::metrics::resource::Labels;
use crate::metrics::sources::{KnownPods, MetricSources, Participant};
use crate::quantity::Milli;
use crate::selector::Selector;
use crate::settings::{Format, Section, Settings};
use crate::spec::{Key, MetricSpec, MetricTarget, ObjectRef, Spec};
use recorder::recorded;
use show::{Found, as_json, as_text};
use subject::{Question, Subject};

pub(super) fn definition() -> Command {
    let command = Command::new("query")
        .about("Ask for a metric as an autoscaler would")
        .long_about(
            "Ask for a metric as an autoscaler would, and print who answers, what was asked and how, and the values by pod, with what \
             is missing and why.\n\n\
             With --for of a workload, METRIC is a metric of its pods (cpu and memory: a resource); with --for of another object, a \
             metric of that object; with --for hpa/NAME, whatever that autoscaler has under this name, with its selector; without, \
             an external metric. Needs rights to get and list; writes nothing.",
        )
        .arg(Arg::new("metric").value_name("METRIC").help("The metric's name").required(true))
        .arg(
            Arg::new("for")
                .long("for")
                .value_name("KIND/NAME")
                .help("Whose metric: deployment/web, service/web, hpa/web; KIND.GROUP/NAME for other kinds")
                .value_parser(subject::parse),
        )
        .arg(
            Arg::new("selector")
                .long("selector")
                .short('l')
                .value_name("SELECTOR")
                .help("The metric's selector, such as verb=GET; an autoscaler has its own")
                .value_parser(|text: &str| Selector::parse(text).map_err(|error| error.to_string())),
        )
        .arg(
            Arg::new("container")
                .long("container")
                .value_name("NAME")
                .help("The one container whose resource counts")
                .requires("for"),
        );
    flags::add(command, &[Section::Cluster, Section::Metrics, Section::Output])
        .mut_arg("namespace", |namespace| namespace.short('n'))
}

pub(super) async fn execute(matches: &ArgMatches, variables: &[(String, String)]) -> Result<Exit, Failure> {
    let settings = configuration::settings(matches, variables)?.settings;
    let asked = subject::Asked {
        metric: matches.get_one::<String>("metric").expect("it is required").clone(),
        whose: matches.get_one::<subject::Whose>("for").cloned(),
        selector: matches.get_one::<Selector>("selector").cloned(),
        container: matches.get_one::<String>("container").cloned(),
    };
    asked.check().map_err(Failure::unusable)?;
    let mut clients = assembly::connect(&settings).await?;
    let namespace = namespace(&settings, &clients).map_err(Failure::unusable)?;
    let (client, requests) = recorded(clients.metrics.clone());
    clients.metrics = client;

    let sources = assembly::metric_sources(&settings, &clients)?;
    let discovery = Discovery::new(clients.api.clone());
    let subject = subject::resolve(&asked, &namespace, &settings, &clients, &discovery).await?;
    let mut found = Vec::new();
    for question in &subject.questions {
        let answer = ask(question, &subject, &namespace, &sources, &discovery).await;
        found.push(Found {
            requests: requests.taken(),
            ..answer
        });
    }
    let shown = match settings.output {
        Format::Text => found.iter().map(as_text).collect::<Vec<_>>().join("\n"),
        Format::Json => found.iter().map(|found| format!("{}\n", as_json(found))).collect(),
    };
    output::print(&shown)?;
    let failed = found.iter().any(Found::has_failed);
    Ok(if failed { Exit::Failed } else { Exit::Done })
}

/// The one namespace to ask in.
fn namespace(settings: &Settings, clients: &Clients) -> anyhow::Result<Arc<str>> {
    match settings.namespace.as_slice() {
        [] => Ok(clients.default_namespace.as_str().into()),
        [only] => Ok(only.as_str().into()),
        several => anyhow::bail!(
            "a metric is of one namespace: name one of {} with -n",
            several.join(", ")
        ),
    }
}

async fn ask(
    question: &Question,
    subject: &Subject,
    namespace: &Arc<str>,
    sources: &MetricSources,
    discovery: &Discovery,
) -> Found {
    let participant = Participant {
        spec: Arc::new(spec_of(question, namespace)),
        pods: subject.pods.len(),
    };
    let pods = Arc::new(ListedPods(subject.store.clone()));
    let now = SystemClock.now();
    let mut inspection = None;
    if let Some(prometheus) = &sources.prometheus {
        inspection = prometheus
            .inspect(namespace, &question.source, &subject.pods, now)
            .await;
    }
    let reading = match &inspection {
        Some(inspection) => inspection.reading.clone(),
        None => {
            let described = resource_of(discovery, &question.source);
            let pass = sources.pass(&[participant], &pods, now);
            pass.reading(namespace, &question.source, &subject.selector, &subject.pods, described)
                .await
        }
    };
    Found {
        question: question.clone(),
        namespace: namespace.clone(),
        pods: subject.pods.clone(),
        reading,
        inspection,
        requests: Vec::new(),
    }
}

/// An autoscaler that wants nothing but this metric, so that it is asked as an autoscaler asks.
fn spec_of(question: &Question, namespace: &Arc<str>) -> Spec {
    Spec {
        key: Key::new(namespace.clone(), "query"),
        scale_target: ObjectRef {
            api_version: "".into(),
            kind: "".into(),
            name: "".into(),
        },
        min_replicas: 1,
        max_replicas: 1,
        metrics: vec![MetricSpec {
            source: question.source.clone(),
            target: MetricTarget::AverageValue(Milli::from_units(1)),
        }],
        behavior: None,
    }
}

/// The pods of the one namespace.
struct ListedPods(Arc<PodStore>);

impl KnownPods for ListedPods {
    fn count_in(&self, namespace: &str) -> usize {
        self.0.len_of(namespace)
    }

    fn count_in_cluster(&self) -> Option<usize> {
        None
    }

    fn has(&self, namespace: &str, name: &str) -> bool {
        self.0.contains(namespace, name)
    }

    fn each_with_labels(&self, namespace: &str, labels: &Labels, each: &mut dyn FnMut(&str)) {
        self.0.each_with_labels(namespace, labels, each);
    }
}
