//! Which version of `custom.metrics.k8s.io` is asked.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::time::Instant;

use crate::metrics::allowance::Allowance;
use crate::metrics::api::{Answer, Api, PASS_BYTES};
use crate::metrics::decode::{DecodeError, not_json};
use crate::metrics::failure::{MetricsApi, SourceError};
use crate::observe::FailureKind;

/// The group's document, which has the versions and nothing of what is in them.
const GROUP: &str = "/apis/custom.metrics.k8s.io";

/// A lookup that failed, or that nobody waited for to its end, is begun anew after this: all questions of a pass share one.
const RETRY: Duration = Duration::from_secs(3);

/// A version that trimtab, as Kubernetes, can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1Beta2,
    V1Beta1,
}

impl Version {
    fn of(name: &str) -> Option<Self> {
        match name {
            "custom.metrics.k8s.io/v1beta2" => Some(Self::V1Beta2),
            "custom.metrics.k8s.io/v1beta1" => Some(Self::V1Beta1),
            _ => None,
        }
    }

    /// The path of everything in this version.
    pub(super) fn root(self) -> &'static str {
        match self {
            Self::V1Beta2 => "/apis/custom.metrics.k8s.io/v1beta2",
            Self::V1Beta1 => "/apis/custom.metrics.k8s.io/v1beta1",
        }
    }
}

/// The version to ask, looked up once in a while.
///
/// Source: Kubernetes v1.36 `metrics/pkg/client/custom_metrics/discovery.go`, `apiVersionsFromDiscovery`.
pub(super) struct VersionChoice {
    api: Api,
    /// How long a choice holds.
    period: Duration,
    current: Mutex<Option<Lookup>>,
}

struct Lookup {
    begun: Instant,
    answer: Answer<Version>,
}

impl Lookup {
    fn is_fresh(&self, now: Instant, period: Duration) -> bool {
        let holds = match self.answer.peek() {
            Some(Ok(_)) => period,
            Some(Err(_)) | None => RETRY,
        };
        now.duration_since(self.begun) < holds
    }
}

impl VersionChoice {
    /// Asks `api`, again after each `period`.
    pub(super) fn new(api: Api, period: Duration) -> Self {
        Self {
            api,
            period,
            current: Mutex::default(),
        }
    }

    /// The version that holds now.
    ///
    /// While the API server does not answer, the one that held before; where the group is gone, none.
    pub(super) fn now(&self) -> Answer<Version> {
        let now = Instant::now();
        let mut current = self.current.lock();
        if let Some(lookup) = &*current
            && lookup.is_fresh(now, self.period)
        {
            return lookup.answer.clone();
        }
        let known = current.as_ref().and_then(|lookup| lookup.answer.peek()?.clone().ok());
        let answer = look_up(self.api.clone(), known).boxed().shared();
        *current = Some(Lookup {
            begun: now,
            answer: answer.clone(),
        });
        answer
    }
}

async fn look_up(api: Api, known: Option<Version>) -> Result<Version, SourceError> {
    let group = match (api.get(GROUP, &[], &Allowance::new(PASS_BYTES), read).await, known) {
        (Ok(group), _) => group,
        (Err(error), _) if error.is_not_found() => {
            let missing = "no custom metrics API (custom.metrics.k8s.io) registered";
            return Err(SourceError::not_served(MetricsApi::Custom, missing));
        }
        (Err(_), Some(known)) => return Ok(known),
        (Err(error), None) => return Err(error),
    };
    group.choose().ok_or_else(|| {
        let offered: Vec<&str> = group.versions.iter().map(|version| &*version.group_version).collect();
        let message = format!(
            "no known available metric versions found: v1beta2 and v1beta1 are known, the API server offers [{}]",
            offered.join(", ")
        );
        SourceError::of_question(MetricsApi::Custom, FailureKind::Unavailable, message)
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    #[serde(default)]
    versions: Vec<GroupVersion>,
    preferred_version: Option<GroupVersion>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct GroupVersion {
    #[serde(default)]
    group_version: Arc<str>,
}

impl Group {
    /// The version that the group prefers, where it can be read; else the first one that can be.
    fn choose(&self) -> Option<Version> {
        self.preferred_version
            .iter()
            .chain(&self.versions)
            .find_map(|version| Version::of(&version.group_version))
    }
}

fn read(body: &Bytes) -> Result<Group, DecodeError> {
    serde_json::from_slice(body).map_err(|error| not_json("APIGroup", &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(preferred: &str, versions: &[&str]) -> Option<Version> {
        let version = |version: &str| serde_json::json!({ "groupVersion": format!("custom.metrics.k8s.io/{version}") });
        let group = serde_json::json!({
            "kind": "APIGroup",
            "preferredVersion": version(preferred),
            "versions": versions.iter().map(|v| version(v)).collect::<Vec<_>>(),
        });
        read(&Bytes::from(group.to_string())).unwrap().choose()
    }

    #[test]
    fn the_preferred_version_is_taken_where_it_is_known_and_else_the_first_known_one() {
        use Version::{V1Beta1, V1Beta2};
        for (preferred, versions, expected) in [
            ("v1beta2", &["v1beta2", "v1beta1"][..], Some(V1Beta2)),
            ("v1beta1", &["v1beta2", "v1beta1"], Some(V1Beta1)),
            ("v1", &["v1", "v1beta1", "v1beta2"], Some(V1Beta1)),
            ("v1", &["v1", "v1beta2", "v1beta1"], Some(V1Beta2)),
            ("v1", &["v1", "v2"], None),
            ("", &[], None),
        ] {
            assert_eq!(chosen(preferred, versions), expected, "{preferred} of {versions:?}");
        }
    }
}
