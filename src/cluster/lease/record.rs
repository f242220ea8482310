//! The Lease object: what was seen of it, and what is written to it.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease as LeaseObject, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use serde::Deserialize;
use tokio::time::Instant;

use super::LeaseSettings;
use super::word::{self, Former};
use crate::cluster::stamp::{AGREE_WITHIN, apart, stamp};
use crate::wire::{self, Limits, WireError, WireFailure};

/// A Lease has some hundred bytes; this leaves room for what others write into its metadata.
const LEASE_BYTES: usize = 1024 * 1024;

/// A list of 128 Leases, two for each of the most shards, has some 100 KB.
const LIST_BYTES: usize = 8 * 1024 * 1024;

/// A renewal that is seen no later than this after it was made tells how far clocks are apart, to that much: half a second
/// passes between two looks, and some for a slow answer.
const PROMPT: Duration = AGREE_WITHIN.unsigned_abs();

/// What a Lease's times are below, where the API server notes who wrote what.
const STAMPED: &str = "f:spec";

/// A Lease as it was seen last, and when it was first seen so.
#[derive(Clone, Debug)]
pub(in crate::cluster) struct Seen {
    object: LeaseObject,
    at: Instant,
    /// Who wrote it so; empty where nobody knows.
    writer: Arc<str>,
    /// It was not like that [`PROMPT`] before.
    is_prompt: bool,
}

impl Seen {
    /// As it was first seen at `at`, which may be long after it was written.
    pub(super) fn new(object: LeaseObject, at: Instant) -> Self {
        let writer = holder(&object).into();
        Self {
            object,
            at,
            writer,
            is_prompt: false,
        }
    }

    /// As we wrote it ourselves.
    pub(super) fn written(object: LeaseObject, at: Instant) -> Self {
        Self {
            is_prompt: true,
            ..Self::new(object, at)
        }
    }

    /// As it was first seen at `at`, when it had been `before` at the time `looked`.
    pub(super) fn changed(before: &Self, looked: Instant, object: LeaseObject, at: Instant) -> Self {
        let seen = Self::new(object, at);
        Self {
            // Whoever gives it back takes his name out.
            writer: match seen.writer.is_empty() {
                true => before.writer.clone(),
                false => seen.writer.clone(),
            },
            is_prompt: at.saturating_duration_since(looked) <= PROMPT,
            ..seen
        }
    }

    /// The same, now that it is seen as `object`: where nobody has written to it, its time goes on.
    pub(in crate::cluster) fn again(former: Option<Self>, object: LeaseObject, at: Instant) -> Self {
        match former {
            Some(former) if former.is_same(&object) => former,
            _ => Self::new(object, at),
        }
    }

    /// Empty where nobody holds it.
    pub(in crate::cluster) fn holder(&self) -> &str {
        holder(&self.object)
    }

    /// How often it went to another holder: a number that grows with each term, whoever's it is.
    pub(super) fn transitions(&self) -> i32 {
        self.spec().and_then(|spec| spec.lease_transitions).unwrap_or(0)
    }

    /// What its holder let know, if anybody ever held it; `now` by our clock.
    pub(super) fn former(&self, now: Timestamp) -> Option<Former> {
        let renewed = self.spec()?.renew_time.as_ref()?.0;
        let since = SignedDuration::try_from(self.at.elapsed()).unwrap_or(SignedDuration::MAX);
        // A look that came late makes it more, so that what is moved by it ends late and not early.
        let ahead = now.duration_since(renewed).saturating_sub(since);
        let is_known = self.is_prompt && ahead.unsigned_abs() > PROMPT;
        Some(Former {
            identity: self.writer.clone(),
            renewed,
            ahead: if is_known { ahead } else { SignedDuration::ZERO },
            ahead_of_server: None,
            word: word::read(&self.object),
        })
    }

    /// Compares clocks by the API server's, where it notes when it wrote: also who comes when the former leader is long gone then
    /// knows how far apart they are. `now`, by our clock, it has answered that the Lease is ours, with `taken`.
    pub(super) fn compared(&self, former: Former, taken: &LeaseObject, now: Timestamp) -> Former {
        let Some(ours) = stamp(&taken.metadata, STAMPED).map(|at| now.duration_since(at)) else {
            return former;
        };
        let theirs = stamp(&self.object.metadata, STAMPED).map(|at| former.renewed.duration_since(at));
        Former {
            ahead: theirs.map_or(former.ahead, |theirs| apart(ours, theirs)),
            ahead_of_server: Some(ours),
            ..former
        }
    }

    /// See [`Leadership::Leading`](super::Leadership::Leading).
    pub(super) fn tenure(&self) -> Arc<str> {
        let uid = self.object.metadata.uid.as_deref().unwrap_or_default();
        format!("{uid}/{}", self.transitions()).into()
    }

    /// Whether it was last written to in this tenure of what is above it.
    pub(super) fn is_under(&self, tenure: &str) -> bool {
        word::is_under(&self.object, tenure)
    }

    /// When it may be taken, unless it changes before.
    pub(in crate::cluster) fn ends(&self) -> Instant {
        let seconds = self.spec().and_then(|spec| spec.lease_duration_seconds).unwrap_or(0);
        self.at + Duration::from_secs(seconds.max(0).unsigned_abs().into())
    }

    pub(in crate::cluster) fn is_free(&self, now: Instant) -> bool {
        self.holder().is_empty() || now >= self.ends()
    }

    /// Whether nobody has written to it since.
    pub(super) fn is_same(&self, object: &LeaseObject) -> bool {
        self.object.metadata.uid == object.metadata.uid
            && self.object.metadata.resource_version == object.metadata.resource_version
    }

    /// The Lease renewed or taken.
    pub(super) fn held_by(&self, settings: &LeaseSettings, now: Timestamp) -> LeaseObject {
        let mut object = self.object.clone();
        let spec = object.spec.get_or_insert_default();
        let taken = spec.holder_identity.as_deref() != Some(&settings.identity);
        if taken {
            spec.acquire_time = Some(MicroTime(now));
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0).saturating_add(1));
        }
        hold(spec, settings, now);
        if !settings.labels.is_empty() {
            let labels = object.metadata.labels.get_or_insert_default();
            labels.extend(settings.labels.clone());
        }
        object
    }

    /// The Lease given back, as client-go does it: no holder, and a second to run.
    pub(super) fn given_back(&self, now: Timestamp) -> LeaseObject {
        let mut object = self.object.clone();
        let spec = object.spec.get_or_insert_default();
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        spec.renew_time = Some(MicroTime(now));
        object
    }

    fn spec(&self) -> Option<&LeaseSpec> {
        self.object.spec.as_ref()
    }
}

fn holder(object: &LeaseObject) -> &str {
    let spec = object.spec.as_ref();
    spec.and_then(|spec| spec.holder_identity.as_deref())
        .unwrap_or_default()
}

fn hold(spec: &mut LeaseSpec, settings: &LeaseSettings, now: Timestamp) {
    let seconds = settings.lease_duration.as_millis().div_ceil(1000);
    spec.holder_identity = Some(settings.identity.clone());
    spec.lease_duration_seconds = Some(i32::try_from(seconds).unwrap_or(i32::MAX).max(1));
    spec.renew_time = Some(MicroTime(now));
}

/// The Lease, where there is one.
pub(super) async fn read(client: &Client, settings: &LeaseSettings) -> Result<Option<LeaseObject>, WireError> {
    match wire::get(client, &object_path(settings), &[], limits(settings)).await {
        Ok(body) => decode(&body, settings).map(Some),
        Err(error) if error.failure() == WireFailure::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A list of what matters of Leases.
#[derive(Deserialize)]
struct Listed {
    items: Vec<LeaseObject>,
}

/// All Leases with the labels that `settings` gives, whatever their names.
pub(in crate::cluster) async fn list(client: &Client, settings: &LeaseSettings) -> Result<Vec<LeaseObject>, WireError> {
    let labels: Vec<String> = settings
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let path = collection_path(settings);
    let limits = Limits {
        bytes: LIST_BYTES,
        ..limits(settings)
    };
    let body = wire::get(client, &path, &[("labelSelector", &labels.join(","))], limits).await?;
    let listed: Listed = serde_json::from_slice(&body).map_err(|error| {
        let message = format!("the answer is no list of Leases: {error}");
        WireError::new(format!("GET {path}"), WireFailure::Other, message)
    })?;
    Ok(listed.items)
}

/// A Lease that there was not before, held by us.
pub(super) fn new(settings: &LeaseSettings, now: Timestamp) -> LeaseObject {
    let mut spec = LeaseSpec {
        acquire_time: Some(MicroTime(now)),
        lease_transitions: Some(0),
        ..LeaseSpec::default()
    };
    hold(&mut spec, settings, now);
    let metadata = ObjectMeta {
        name: Some(settings.name.clone()),
        namespace: Some(settings.namespace.clone()),
        labels: (!settings.labels.is_empty()).then(|| settings.labels.clone()),
        ..ObjectMeta::default()
    };
    LeaseObject {
        metadata,
        spec: Some(spec),
    }
}

/// Makes the Lease.
pub(super) async fn create(
    client: &Client,
    settings: &LeaseSettings,
    object: &LeaseObject,
) -> Result<LeaseObject, WireError> {
    write(client, settings, Method::POST, &collection_path(settings), object).await
}

/// Replaces the Lease, if nobody has written to it since `object` was read.
pub(super) async fn replace(
    client: &Client,
    settings: &LeaseSettings,
    object: &LeaseObject,
) -> Result<LeaseObject, WireError> {
    write(client, settings, Method::PUT, &object_path(settings), object).await
}

async fn write(
    client: &Client,
    settings: &LeaseSettings,
    method: Method,
    path: &str,
    object: &LeaseObject,
) -> Result<LeaseObject, WireError> {
    let body = serde_json::to_vec(object).expect("a Lease has string keys only");
    let answer = wire::write(client, method, path, "application/json", body, limits(settings)).await?;
    decode(&answer, settings)
}

fn decode(body: &[u8], settings: &LeaseSettings) -> Result<LeaseObject, WireError> {
    serde_json::from_slice(body).map_err(|error| {
        let attempted = format!("read {}", object_path(settings));
        WireError::new(
            attempted,
            WireFailure::Other,
            format!("the answer is no Lease: {error}"),
        )
    })
}

/// Half of the renew deadline for each request, so that one that hangs leaves time for another.
/// A Lease as somebody wrote it, and what is made of it: for the fuzz target.
pub(in crate::cluster) fn reread(
    body: &[u8],
    settings: &LeaseSettings,
    now: Timestamp,
) -> Result<(Duration, [LeaseObject; 2]), WireError> {
    let at = Instant::now();
    let seen = Seen::new(decode(body, settings)?, at);
    let _ = (
        seen.former(now),
        seen.tenure(),
        seen.is_under("tenure"),
        seen.is_free(at),
    );
    Ok((
        seen.ends().saturating_duration_since(at),
        [seen.held_by(settings, now), seen.given_back(now)],
    ))
}

fn limits(settings: &LeaseSettings) -> Limits {
    Limits {
        time: settings.renew_deadline / 2,
        bytes: LEASE_BYTES,
    }
}

fn collection_path(settings: &LeaseSettings) -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", settings.namespace)
}

fn object_path(settings: &LeaseSettings) -> String {
    format!("{}/{}", collection_path(settings), settings.name)
}
