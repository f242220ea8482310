//! From settings to the parts that a command is made of.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use jiff::SignedDuration;
use kube::Client;

use super::Failure;
use crate::cluster::ClusterOptions;
use crate::cluster::claims::lease_of_shard;
use crate::cluster::client::{ClientSettings, Clients, RequestRate, Source};
use crate::cluster::lease::{LeaseSettings, identity};
use crate::cluster::stored::MemoryStore;
use crate::cluster::watch::WatchOptions;
use crate::cluster::watches::Scope;
use crate::controller::ControllerSettings;
use crate::manifests::ReadOptions;
use crate::manifests::folder::Folder;
use crate::metrics::custom::CustomMetricsSource;
use crate::metrics::external::ExternalMetricsSource;
use crate::metrics::guard::{BreakerSettings, GuardSettings};
use crate::metrics::prometheus::Prometheus;
use crate::metrics::resource::ResourceMetricsSource;
use crate::metrics::sources::MetricSources;
use crate::settings::Settings;
use crate::spec::ManifestOptions;

/// Where a pod finds its own namespace.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// The metrics APIs, each of which has as many places for requests as the settings say: one that hangs takes none of another's.
const METRICS_APIS: NonZeroUsize = NonZeroUsize::new(3).expect("3 is not 0");

/// The time that syncs have when the process is told to stop: with the rest of the shutdown it stays below 2 s.
const GRACE: Duration = Duration::from_millis(800);

/// The time for each read and write of stored memory: scale writes wait for it.
const MEMORY_TIME: Duration = Duration::from_secs(2);

/// Clients as the settings say; nothing is sent yet.
///
/// # Errors
///
/// A kubeconfig, context or credential that cannot be used: exit code 2.
pub(super) async fn connect(settings: &Settings) -> Result<Clients, Failure> {
    Clients::connect(&client_settings(settings))
        .await
        .map_err(Failure::unusable)
}

fn client_settings(settings: &Settings) -> ClientSettings {
    let count = |count| NonZeroUsize::try_from(count).unwrap_or(NonZeroUsize::MAX);
    let rate = NonZeroU32::new(settings.kube_api_qps).map(|per_second| RequestRate {
        per_second,
        burst: settings.kube_api_burst,
    });
    ClientSettings {
        source: Source {
            kubeconfig: settings.kubeconfig.clone(),
            context: settings.context.clone(),
        },
        concurrency: count(settings.requests_in_flight),
        metrics_concurrency: count(settings.metrics_requests_in_flight).saturating_mul(METRICS_APIS),
        rate,
        ..ClientSettings::default()
    }
}

/// What is watched, and how.
pub(super) fn cluster_options(settings: &Settings) -> ClusterOptions {
    ClusterOptions {
        scope: Scope::of(settings.namespace.iter().map(String::as_str)),
        watch: WatchOptions {
            streamed_lists: settings.streamed_lists,
            seed: seed(),
        },
        scale_time: settings.request_timeout,
    }
}

/// The folder of manifests, if there is to be one, as it is now; whatever is wrong with it.
pub(super) fn folder(settings: &Settings, clients: &Clients) -> Option<Folder> {
    let mut folder = Folder::new(&settings.autoscalers.as_ref()?.0, read_options(settings, clients));
    folder.look();
    Some(folder)
}

/// The folder of manifests, if there is to be one.
///
/// # Errors
///
/// Anything that is wrong with it: exit code 2.
pub(super) fn sound_folder(settings: &Settings, clients: &Clients) -> Result<Option<Folder>, Failure> {
    let Some(path) = &settings.autoscalers else {
        return Ok(None);
    };
    let folder = Folder::open(&path.0, read_options(settings, clients));
    folder.map(Some).map_err(Failure::unusable)
}

/// As kubectl does it: a manifest that names no namespace is of the one namespace that the setting names, or else of that
/// which the credentials name.
fn read_options(settings: &Settings, clients: &Clients) -> ReadOptions {
    let default_namespace = match settings.namespace.as_slice() {
        [only] => only.clone(),
        _ => clients.default_namespace.clone(),
    };
    ReadOptions {
        manifest: ManifestOptions {
            scale_to_zero: settings.feature_gates.scale_to_zero,
            default_namespace,
        },
        namespaces: settings.namespace.clone(),
    }
}

/// Everything that metrics can be asked of.
///
/// # Errors
///
/// A Prometheus whose address, certificates or headers cannot be used: exit code 2.
pub(super) fn metric_sources(settings: &Settings, clients: &Clients) -> Result<MetricSources, Failure> {
    let guard = GuardSettings {
        time: settings.resource_metrics_timeout,
        concurrency: count(settings.metrics_requests_in_flight),
        breaker: BreakerSettings::for_passes(settings.sync_period),
    };
    let client = || clients.metrics.clone();
    let prometheus = match settings.sources.prometheus.is_empty() {
        true => None,
        false => Some(Prometheus::new(&settings.sources, guard.breaker, seed()).map_err(Failure::unusable)?),
    };
    Ok(MetricSources {
        resource: ResourceMetricsSource::new(client(), guard, seed()),
        custom: CustomMetricsSource::new(client(), guard, settings.sync_period, seed()),
        external: ExternalMetricsSource::new(client(), guard, seed()),
        prometheus,
    })
}

/// How the controller works.
pub(super) fn controller_settings(settings: &Settings) -> ControllerSettings {
    ControllerSettings {
        decide: settings.decide(),
        sync_period: settings.sync_period,
        sync_timeout: settings.sync_timeout,
        concurrent_syncs: count(settings.concurrent_syncs),
        grace: GRACE,
    }
}

/// The Lease that the leader holds.
pub(super) fn lease_settings(settings: &Settings) -> LeaseSettings {
    let own = || {
        std::fs::read_to_string(NAMESPACE_FILE)
            .ok()
            .map(|text| text.trim().to_owned())
    };
    let namespace = settings.leader_elect_resource_namespace.clone().or_else(own);
    LeaseSettings {
        namespace: namespace.unwrap_or_else(|| "kube-system".to_owned()),
        name: settings.leader_elect_resource_name.clone(),
        identity: identity(),
        lease_duration: settings.leader_elect_lease_duration,
        renew_deadline: settings.leader_elect_renew_deadline,
        retry_period: settings.leader_elect_retry_period,
        labels: BTreeMap::new(),
    }
}

/// The Lease of a shard, beside the one that all have in common.
pub(super) fn lease_of(lease: &LeaseSettings, shard: u16) -> LeaseSettings {
    LeaseSettings {
        name: lease_of_shard(&lease.name, shard),
        ..lease.clone()
    }
}

/// Where memory is kept: beside the Lease.
pub(super) fn memory_store(client: Client, lease: &LeaseSettings, settings: &Settings) -> MemoryStore {
    let time = settings.request_timeout.min(MEMORY_TIME);
    MemoryStore::new(client, &lease.namespace, &lease.name, &lease.identity, time)
}

/// The duration as the core measures it.
pub(super) fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

fn count(count: NonZeroU32) -> usize {
    usize::try_from(count.get()).unwrap_or(usize::MAX)
}

/// Something else in each process, so that many of them do not wait in step.
fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}
