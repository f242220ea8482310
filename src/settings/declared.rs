//! Every setting, declared once: name, type, default, what is allowed, kube-controller-manager's name, and what it is.
//!
//! The struct [`Settings`], the flags, the environment variables, the configuration file's keys, the help texts, the
//! page `docs/settings.md` and `config/default.yaml` all come from the table at the end of this file.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;

use super::declaration::{Declaration, Section, ascii, flag_name, variable_name};
use super::gates::FeatureGates;
use super::layers::Layers;
use super::mistake::Mistakes;
use super::sources::{Sources, Url};
use super::value::{Folder, Format, Limit, Listen, LogFilter, Value};
use crate::decide;
use crate::shards::Sharding;

const fn any<T: Value>() -> Limit<T> {
    Limit {
        allowed: T::ALLOWED,
        holds: |_| true,
    }
}

const ABOVE_ZERO: Limit<Duration> = Limit {
    allowed: "a duration longer than 0s",
    holds: |d| !d.is_zero(),
};
const WHOLE_SECONDS: Limit<Duration> = Limit {
    allowed: "whole seconds, at least 1s",
    holds: |d| d.as_secs() >= 1 && d.subsec_nanos() == 0,
};
const SHARDS: Limit<NonZeroU32> = Limit {
    allowed: "a number from 1 to 64",
    holds: |n| u16::try_from(n.get()).is_ok_and(|n| Sharding::new(n).is_some()),
};
const NOT_NEGATIVE: Limit<f64> = Limit {
    allowed: "a number of at least 0",
    holds: |n| *n >= 0.0,
};

macro_rules! settings {
    ($(
        $section:ident {
            $(
                $(#[doc = $help:literal])+
                $field:ident: $type:ty = $default:literal, $limit:expr $(, also $alias:literal)*;
            )+
        }
    )+) => {
        /// The process's settings, each within what is allowed for it, and all together in order.
        ///
        /// Made by [`resolve`](super::resolve); `Settings::default()` is what stands where nothing is set.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Settings {
            $($( $(#[doc = $help])+ pub $field: $type, )+)+
            /// What the file's blocks `prometheus:` and `metrics:` say.
            pub sources: Sources,
        }

        /// All settings, in the order of the help.
        pub static DECLARATIONS: &[Declaration] = &[
            $($({
                const NAME: [u8; stringify!($field).len()] = flag_name(stringify!($field));
                const VARIABLE: [u8; stringify!($field).len() + 8] = variable_name(stringify!($field));
                const LIMIT: Limit<$type> = $limit;
                Declaration {
                    name: ascii(&NAME),
                    environment: ascii(&VARIABLE),
                    aliases: &[$($alias),*],
                    section: Section::$section,
                    shape: <$type as Value>::SHAPE,
                    default: $default,
                    placeholder: <$type as Value>::PLACEHOLDER,
                    allowed: LIMIT.allowed,
                    help: &[$($help),+],
                }
            },)+)+
        ];

        impl Settings {
            /// Takes each setting from the strongest layer that gives it; `None` where one cannot be read.
            pub(super) fn from_layers(layers: &Layers, mistakes: &mut Mistakes) -> Option<Self> {
                let mut declarations = DECLARATIONS.iter();
                $($(
                    let declaration = declarations.next().expect("the table has a row for each field");
                    let $field = layers.read::<$type>(declaration, &$limit, mistakes);
                )+)+
                Some(Self { $($( $field: $field?, )+)+ sources: Sources::default() })
            }

            /// Each setting's declaration and value, in the order of the help.
            pub fn shown(&self) -> Vec<(&'static Declaration, serde_json::Value)> {
                let values = [$($( self.$field.shown(), )+)+];
                DECLARATIONS.iter().zip(values).collect()
            }
        }
    };
}

settings! {
    Decisions {
        /// Time between two syncs of an autoscaler.
        ///
        /// One that is new or edited is decided at once.
        sync_period: Duration = "15s", ABOVE_ZERO, also "horizontal-pod-autoscaler-sync-period";

        /// How far back the highest recommendation holds the count up, for autoscalers that do not set
        /// `behavior.scaleDown.stabilizationWindowSeconds` themselves.
        downscale_stabilization: Duration = "5m", any(), also "horizontal-pod-autoscaler-downscale-stabilization";

        /// How far usage over target may be from 1.0 without a change of the count, for autoscalers that do not set a
        /// `tolerance` themselves.
        tolerance: f64 = "0.1", NOT_NEGATIVE, also "horizontal-pod-autoscaler-tolerance";

        /// Time after a pod's start in which its CPU samples count only while it is ready and the sample was taken after it
        /// became so.
        cpu_initialization_period: Duration = "5m", any(), also "horizontal-pod-autoscaler-cpu-initialization-period";

        /// Time after a pod's start in which becoming unready counts as not having been ready yet.
        initial_readiness_delay: Duration = "30s", any(), also "horizontal-pod-autoscaler-initial-readiness-delay";

        /// Kubernetes' feature gates that touch an autoscaler.
        ///
        /// Set them as they are set on the API server, which drops or refuses what its own gates switch off.
        feature_gates: FeatureGates =
            "HPAScaleToZero=false,HPAConfigurableTolerance=true,PodLevelResources=true", any();
    }
    Cluster {
        /// The kubeconfig file to use instead of `$KUBECONFIG`, `~/.kube/config` or a pod's service account.
        kubeconfig: Option<PathBuf> = "", any();

        /// The kubeconfig's context to use instead of its current one.
        context: Option<String> = "", any();

        /// The namespaces to serve; all of them where none is named.
        ///
        /// With names, a Role in each is enough instead of a ClusterRole.
        namespace: Vec<String> = "", any();

        /// A folder of autoscalers' manifests, which are served as if they were objects of the cluster.
        ///
        /// HorizontalPodAutoscalers of autoscaling/v2, v1, v2beta2 and v2beta1, in files `*.yaml`, `*.yml` and `*.json` of the
        /// folder and of its sub-folders. Looked at every 5 s, so that files may come, change and go while trimtab runs.
        autoscalers: Option<Folder> = "", any();

        /// Ask for the lists that watches begin with as streams, which costs the API server far less.
        ///
        /// Where the API server cannot do that, trimtab finds out and asks for pages.
        streamed_lists: bool = "true", any();

        /// Time after which a request to the Kubernetes API counts as failed; watches may last.
        request_timeout: Duration = "10s", ABOVE_ZERO;

        /// Time after which a question to one of the metrics APIs counts as failed.
        ///
        /// To all three: metrics.k8s.io, custom.metrics.k8s.io and external.metrics.k8s.io. One that takes 10 s is still
        /// answered within a pass of 15 s. A Prometheus has a time-out of its own, in the block `prometheus`.
        resource_metrics_timeout: Duration = "12s", ABOVE_ZERO;

        /// How many requests to the Kubernetes API may be under way at the same time; watches not counted.
        requests_in_flight: NonZeroU32 = "24", any();

        /// How many requests to each of the metrics APIs may be under way at the same time.
        ///
        /// They are counted apart, so that a metrics API that hangs holds up neither the other two nor reads and writes.
        metrics_requests_in_flight: NonZeroU32 = "8", any();

        /// How many requests a second may be sent to the API server over a longer time; 0 for no limit.
        ///
        /// kube-controller-manager's limit is 20. trimtab needs few requests and has none unless it is asked for one.
        kube_api_qps: u32 = "0", any();

        /// How many requests may be sent at once before `kube-api-qps` holds them back.
        kube_api_burst: NonZeroU32 = "30", any();
    }
    Metrics {
        /// A Prometheus, or what speaks its HTTP API: short for the endpoint `default` of the block `prometheus`.
        ///
        /// The block can say how trimtab proves who it is, and how much it may ask.
        prometheus_url: Option<Url> = "", any();

        /// Prometheus Adapter's configuration file, or a ConfigMap that holds it: its rules then answer here, without the
        /// adapter.
        adapter_rules: Option<PathBuf> = "", any();

        /// The endpoint of the block `prometheus` that the adapter's rules ask; the only one where none is named.
        adapter_rules_prometheus: Option<String> = "", any();

        /// Time between two looks at which series there are for the adapter's rules.
        ///
        /// A series that is new can be asked for after the next look. Only names are read, and nothing where each rule
        /// names its one series.
        adapter_rules_relist_interval: Duration = "1m", ABOVE_ZERO;
    }
    Controller {
        /// How many autoscalers are acted on at the same time.
        concurrent_syncs: NonZeroU32 = "16", any(), also "concurrent-horizontal-pod-autoscaler-syncs";

        /// Time after which one autoscaler's sync is given up until the next pass.
        sync_timeout: Duration = "30s", ABOVE_ZERO;

        /// How many statuses a second are written of which only metric values changed a little, on average.
        ///
        /// A status with another count or condition is always written at once, and one with a value that moved by more than a
        /// tenth of its target soon.
        status_writes_per_second: f64 = "10", NOT_NEGATIVE;

        /// Keep what is remembered in ConfigMaps beside the Lease, so that stabilization windows and scaling policies hold
        /// through a restart and a change of leaders.
        ///
        /// Without it, each leader begins as Kubernetes' own does. Needs `leader-elect`, and rights to list, create and update
        /// ConfigMaps in the Lease's namespace.
        store_memory: bool = "true", any();

        /// Decide, print what would be written, and write nothing.
        ///
        /// Rights to get, list and watch are enough.
        dry_run: bool = "false", any();

        /// With `dry-run`: count and print where the autoscaler in charge decides otherwise.
        compare: bool = "false", any();

        /// Where `/metrics`, `/healthz` and `/readyz` are served.
        listen: Listen = "0.0.0.0:8080", any();

        /// A file with a token, which whoever asks for `/metrics` and for what `explain --controller` reads then has to show.
        ///
        /// As `Authorization: Bearer TOKEN`. `/healthz` and `/readyz` answer the kubelet without it, and then only say whether
        /// all is well. The file is read again while trimtab runs.
        listen_token_file: Option<PathBuf> = "", any();
    }
    LeaderElection {
        /// Decide only while holding the Lease, so that one of several replicas does.
        leader_elect: bool = "true", any();

        /// Time without a renewal after which another replica takes the Lease over.
        leader_elect_lease_duration: Duration = "8s", WHOLE_SECONDS;

        /// Time without a successful renewal after which the leader stops deciding; shorter than the lease duration.
        leader_elect_renew_deadline: Duration = "5s", ABOVE_ZERO;

        /// Time between two renewals of the Lease; the renew deadline is longer than 1.2 of it. A replica that waits looks each
        /// half second.
        leader_elect_retry_period: Duration = "2s", ABOVE_ZERO;

        /// How many shards the namespaces are spread over, each with a Lease of its own, so that several replicas decide at
        /// the same time.
        ///
        /// Replicas share the shards out among them, take those of a dead one over within the lease duration, and keep in
        /// memory what belongs to their own. With 1, one replica decides for all. Each replica must have the same number: one
        /// with another waits until the others have ended. Without effect in a dry run. Needs rights to list Leases and to
        /// list and watch namespaces: see `manifests/shards`.
        shards: NonZeroU32 = "1", SHARDS;

        /// The Lease's name.
        leader_elect_resource_name: String = "trimtab", any();

        /// The Lease's namespace; the pod's own where none is named, and `kube-system` outside of a pod.
        leader_elect_resource_namespace: Option<String> = "", any();
    }
    Output {
        /// How results are printed on standard output.
        output: Format = "text", any();
    }
    Logs {
        /// How log lines are written on standard error.
        log_format: Format = "text", any();

        /// Which log lines are written.
        log_filter: LogFilter = "info", any(), also "log-level";
    }
}

impl Settings {
    /// The endpoint that Prometheus Adapter's rules ask; there is one wherever `adapter_rules` is set.
    pub fn adapter_rules_endpoint(&self) -> Option<Arc<str>> {
        let endpoints = &self.sources.prometheus;
        let name = match &self.adapter_rules_prometheus {
            Some(name) => endpoints.get_key_value(name.as_str())?.0,
            None => endpoints.keys().next()?,
        };
        Some(name.clone())
    }

    /// The shards that this process takes part in; `None` where one process decides for all.
    pub fn sharding(&self) -> Option<Sharding> {
        let shards = u16::try_from(self.shards.get()).ok().filter(|shards| *shards > 1)?;
        (self.leader_elect && !self.dry_run).then(|| Sharding::new(shards))?
    }

    /// The part that decisions are made by.
    pub fn decide(&self) -> decide::Settings {
        // Nothing shorter than 292 billion years fails to convert.
        let signed = |duration| SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
        decide::Settings {
            downscale_stabilization: signed(self.downscale_stabilization),
            tolerance: self.tolerance,
            cpu_initialization_period: signed(self.cpu_initialization_period),
            initial_readiness_delay: signed(self.initial_readiness_delay),
            scale_to_zero: self.feature_gates.scale_to_zero,
            configurable_tolerance: self.feature_gates.configurable_tolerance,
            pod_level_resources: self.feature_gates.pod_level_resources,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::from_layers(&Layers::default(), &mut Mistakes::default()).expect("a test reads every default")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_reads_and_shows_as_declared() {
        for (declaration, value) in Settings::default().shown() {
            let shown = match value {
                serde_json::Value::Null => String::new(),
                serde_json::Value::String(text) => text,
                serde_json::Value::Array(items) if items.is_empty() => String::new(),
                serde_json::Value::Object(gates) => {
                    let gates: Vec<String> = gates.iter().map(|(gate, on)| format!("{gate}={on}")).collect();
                    let mut declared: Vec<&str> = declaration.default.split(',').collect();
                    declared.sort_unstable();
                    assert_eq!(gates, declared);
                    continue;
                }
                other => other.to_string(),
            };
            assert_eq!(shown, declaration.default, "{}", declaration.name);
        }
    }

    #[test]
    fn decisions_have_kubernetes_defaults() {
        assert_eq!(Settings::default().decide(), decide::Settings::default());
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = DECLARATIONS.iter().flat_map(Declaration::names).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
