//! Memory kept in ConfigMaps, one for each part of it, beside the Lease.
//!
//! A write says which version it replaces, so that of two processes that both believe to lead only one can write.

use std::collections::BTreeMap;
use std::iter::Sum;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use serde::Deserialize;
use tokio::time::Instant;

use super::stamp::stamp;
use crate::memory::stored::{MOST_BYTES, MOST_PARTS, Part, Unreadable, decode, uid_mark};
use crate::wire::{self, Limits, WireError, WireFailure, WriteTime};

/// The key of a ConfigMap's `binaryData`.
const DATA_KEY: &str = "memory";
/// Where the API server notes who wrote it.
const STAMPED: &str = "f:binaryData";
/// The label that all parts have; its value is the Lease's name.
const LABEL: &str = "trimtab.dev/memory-of";
/// The longest value of a label.
const MOST_LABEL: usize = 63;
/// The most bytes of one ConfigMap in JSON: its data in base64, and room for metadata.
const OBJECT_BYTES: usize = MOST_BYTES / 3 * 4 + 256 * 1024;

/// Where memory is kept.
pub struct MemoryStore {
    client: Client,
    namespace: String,
    lease: String,
    /// Who writes, and is told from others by it.
    writer: String,
    time: Duration,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    saved: AtomicU64,
    failed: AtomicU64,
    bytes: AtomicU64,
    unsaved_writes: AtomicU64,
}

/// What became of saves so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryCounts {
    /// Parts saved.
    pub saved: u64,
    /// Parts that could not be saved.
    pub failed: u64,
    /// Bytes saved, before base64.
    pub bytes: u64,
    /// Counts written although what they do to policies could not be saved before.
    pub unsaved_writes: u64,
}

impl Sum for MemoryCounts {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, counts| Self {
            saved: sum.saved + counts.saved,
            failed: sum.failed + counts.failed,
            bytes: sum.bytes + counts.bytes,
            unsaved_writes: sum.unsaved_writes + counts.unsaved_writes,
        })
    }
}

/// One part as it was found.
#[derive(Debug)]
pub struct FoundPart {
    /// Its number.
    pub number: usize,
    /// What the next write of it replaces.
    pub version: String,
    /// When it was written, by the API server's clock, to the second; `None` where that does not say.
    pub stamp: Option<Timestamp>,
    /// What it says, or why that cannot be read.
    pub content: Result<Part, Unreadable>,
}

/// A list of what matters of ConfigMaps.
#[derive(Deserialize)]
struct Listed {
    items: Vec<ConfigMap>,
}

/// What matters of an answer to a write.
#[derive(Deserialize)]
struct Answer {
    metadata: ObjectMeta,
}

impl MemoryStore {
    /// A store beside the Lease of this namespace and name. `time` bounds each request.
    pub fn new(client: Client, namespace: &str, lease: &str, writer: &str, time: Duration) -> Self {
        Self {
            client,
            namespace: namespace.to_owned(),
            lease: lease.to_owned(),
            writer: writer.to_owned(),
            time,
            counters: Counters::default(),
        }
    }

    /// Who writes.
    pub fn writer(&self) -> &str {
        &self.writer
    }

    /// Where it is, for people.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name of the ConfigMap of a part.
    pub fn object(&self, number: usize) -> String {
        format!("{}-memory-{number}", self.lease)
    }

    /// What became of saves so far.
    pub fn counts(&self) -> MemoryCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        MemoryCounts {
            saved: read(&self.counters.saved),
            failed: read(&self.counters.failed),
            bytes: read(&self.counters.bytes),
            unsaved_writes: read(&self.counters.unsaved_writes),
        }
    }

    /// A count is written although its intent could not be saved.
    pub fn count_unsaved_write(&self) {
        self.counters.unsaved_writes.fetch_add(1, Ordering::Relaxed);
    }

    /// All parts that there are, by number.
    ///
    /// # Errors
    ///
    /// Why they could not be listed.
    pub async fn list(&self) -> Result<Vec<FoundPart>, WireError> {
        let selector = format!("{LABEL}={}", label_of(&self.lease));
        let limits = Limits {
            time: self.time,
            bytes: MOST_PARTS * OBJECT_BYTES,
        };
        let path = self.collection_path();
        let body = wire::get(&self.client, &path, &[("labelSelector", &selector)], limits).await?;
        let listed: Listed = serde_json::from_slice(&body).map_err(|error| {
            let message = format!("the answer is no list of ConfigMaps: {error}");
            WireError::new(format!("GET {path}"), WireFailure::Other, message)
        })?;
        let mut found: Vec<FoundPart> = listed
            .items
            .into_iter()
            .filter_map(|object| self.found(object))
            .collect();
        found.sort_by_key(|part| part.number);
        Ok(found)
    }

    /// `None` for an object that has our label and is none of ours.
    fn found(&self, object: ConfigMap) -> Option<FoundPart> {
        let stamp = stamp(&object.metadata, STAMPED);
        let name = object.metadata.name?;
        let number = (0..MOST_PARTS).find(|number| self.object(*number) == name)?;
        let data = object.binary_data.and_then(|mut data| data.remove(DATA_KEY));
        Some(FoundPart {
            number,
            version: object.metadata.resource_version?,
            stamp,
            content: decode(&data.unwrap_or_default().0),
        })
    }

    /// Saves a part in place of the `version` that it had, `None` where there is none yet; gives the new one. Nothing is sent at
    /// `not_after` or later.
    ///
    /// # Errors
    ///
    /// [`WireFailure::Conflict`] where there is another version by now, [`WireFailure::NotFound`] where it has been
    /// deleted, and whatever else keeps it from being saved. Where the answer was lost, it may have been saved.
    pub async fn save(
        &self,
        part: &Part,
        bytes: Vec<u8>,
        version: Option<&str>,
        not_after: Instant,
    ) -> Result<String, WireError> {
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let outcome = self.write(part, bytes, version, not_after).await;
        match &outcome {
            Ok(_) => {
                self.counters.saved.fetch_add(1, Ordering::Relaxed);
                self.counters.bytes.fetch_add(size, Ordering::Relaxed);
            }
            Err(_) => {
                self.counters.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
        outcome
    }

    async fn write(
        &self,
        part: &Part,
        bytes: Vec<u8>,
        version: Option<&str>,
        not_after: Instant,
    ) -> Result<String, WireError> {
        let name = self.object(part.number);
        let (method, path) = match version {
            Some(_) => (Method::PUT, format!("{}/{name}", self.collection_path())),
            None => (Method::POST, self.collection_path()),
        };
        let attempted = format!("{method} {path}");
        let object = self.config_map(name, part, bytes, version);
        let body = serde_json::to_vec(&object).expect("a ConfigMap has string keys only");
        let time = WriteTime {
            limit: self.time,
            not_after: Some(not_after),
        };
        let kind = (method, "application/json");
        let answer = wire::write_in_time(&self.client, &path, kind, body, time, OBJECT_BYTES).await?;
        serde_json::from_slice::<Answer>(&answer)
            .ok()
            .and_then(|answer| answer.metadata.resource_version)
            .ok_or_else(|| WireError::new(attempted, WireFailure::Other, "the answer is no ConfigMap".to_owned()))
    }

    fn config_map(&self, name: String, part: &Part, bytes: Vec<u8>, version: Option<&str>) -> ConfigMap {
        let labels = [
            (LABEL.to_owned(), label_of(&self.lease)),
            ("app.kubernetes.io/managed-by".to_owned(), "trimtab".to_owned()),
        ];
        let about = format!(
            "What trimtab remembers of {} autoscalers, part {} of {}; saved at {:.0} by {}. Do not edit.",
            part.records.len(),
            part.number + 1,
            part.parts,
            part.saved_at,
            part.writer
        );
        ConfigMap {
            metadata: ObjectMeta {
                name: Some(name),
                namespace: Some(self.namespace.clone()),
                labels: Some(BTreeMap::from(labels)),
                resource_version: version.map(str::to_owned),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([("about".to_owned(), about)])),
            binary_data: Some(BTreeMap::from([(DATA_KEY.to_owned(), ByteString(bytes))])),
            ..ConfigMap::default()
        }
    }

    fn collection_path(&self) -> String {
        format!("/api/v1/namespaces/{}/configmaps", self.namespace)
    }
}

/// The name of a Lease as the value of a label.
pub(super) fn label_of(lease: &str) -> String {
    match lease.len() {
        0..=MOST_LABEL => lease.to_owned(),
        _ => format!("{:08x}", uid_mark(lease)),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::cluster::client::{ClientSettings, Clients};
    use crate::cluster::script::{Answer, Script};

    #[tokio::test]
    async fn the_largest_part_with_the_longest_names_is_an_object_of_less_than_512_kib() {
        let (namespace, lease, writer) = ("n".repeat(63), "l".repeat(230), "w".repeat(512));
        let client = Script::default().client();
        let store = MemoryStore::new(client, &namespace, &lease, &writer, Duration::from_secs(1));
        let part = Part {
            writer: writer.clone(),
            saved_at: Timestamp::UNIX_EPOCH,
            number: MOST_PARTS - 1,
            parts: MOST_PARTS,
            records: Vec::new(),
        };
        let object = store.config_map(
            store.object(part.number),
            &part,
            vec![0; MOST_BYTES],
            Some("123456789012"),
        );
        let bytes = serde_json::to_vec(&object).unwrap().len();
        // What API servers add to metadata has some hundred bytes.
        assert!(bytes + 1024 < 512 * 1024, "{bytes}");
    }

    /// The limit of requests at a time keeps a save waiting until somebody else may lead.
    #[tokio::test(start_paused = true)]
    async fn a_save_that_has_waited_until_the_time_of_the_leader_is_over_is_not_sent() {
        let script = Script::new([]);
        let settings = ClientSettings {
            concurrency: NonZeroUsize::MIN,
            ..ClientSettings::default()
        };
        let clients = Clients::over(script.client(), &settings, "made up".into(), "default".into());
        let time = Duration::from_secs(2);
        let store = MemoryStore::new(clients.api.clone(), "trimtab", "trimtab", "me", time);
        let part = Part {
            writer: "me".into(),
            saved_at: Timestamp::UNIX_EPOCH,
            number: 0,
            parts: 1,
            records: Vec::new(),
        };
        let end = Instant::now() + Duration::from_secs(1);
        // It has the one place for 1.5 s.
        let limits = Limits {
            time: Duration::from_millis(1500),
            bytes: 100,
        };
        let (other, saved) = futures_util::join!(
            wire::get(&clients.api, "/api", &[], limits),
            store.save(&part, Vec::new(), None, end)
        );
        assert!(other.is_err() && saved.is_err());
        tokio::time::sleep(time).await;
        assert_eq!(script.asked(), ["GET /api"]);
        let further = store.save(&part, Vec::new(), None, Instant::now()).await;
        assert!(further.is_err());
        assert_eq!(script.asked(), ["GET /api"]);

        let answer = Answer::Whole(201, r#"{"metadata":{"resourceVersion":"7"}}"#.to_owned());
        let store = MemoryStore::new(Script::new([answer]).client(), "trimtab", "trimtab", "me", time);
        let saved = store.save(&part, Vec::new(), None, Instant::now() + time).await;
        assert_eq!(saved.ok().as_deref(), Some("7"));
    }
}
