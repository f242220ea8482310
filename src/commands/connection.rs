//! From settings to clients of the API server.

use std::num::{NonZeroU32, NonZeroUsize};

use crate::cluster::client::{ClientSettings, Clients, RequestRate, Source};
use crate::settings::Settings;

use super::Failure;

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
        metrics_concurrency: count(settings.metrics_requests_in_flight),
        rate,
        ..ClientSettings::default()
    }
}
