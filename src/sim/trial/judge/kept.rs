//! Memory does not grow: what a process holds is of objects that there are, of each no more than its windows need, and so is
//! what it stores.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::Value;

use super::watched::EDITS_SEEN_WITHIN;
use crate::memory::stored::decode;
use crate::sim::api::{AUTOSCALERS, Api, PODS, Resource};
use crate::sim::control::Holds;
use crate::spec::Key;

/// Kubernetes' default for a scale-down, which is also what is kept where windows are shorter.
const WINDOW: u64 = 300;

/// The longest period of a policy that an autoscaler has by default.
const PERIOD: u64 = 60;

/// No autoscaler is synced more often than once in so many seconds, on average: a third of the sync period.
const SECONDS_BETWEEN_SYNCS: u64 = 5;

/// Entries of a list that a window does not reach any more, and are not overwritten yet.
const OVER: u64 = 4;

/// What an entry takes.
const ENTRY_BYTES: u64 = 8;

/// A ConfigMap with memory is smaller than this, as JSON.
const OBJECT_BYTES: usize = 512 * 1024;

/// Something that a process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Pod,
    Autoscaler,
    Memory,
}

/// What processes hold that is gone, since when.
#[derive(Default)]
pub(super) struct Kept(BTreeMap<(usize, What, Key), Duration>);

impl Kept {
    /// What is wrong with what a process holds. While its world is `troubled` it may have missed anything, and after that it has
    /// the time in which a watch that is silent is asked for again.
    pub(super) fn check(
        &mut self,
        now: Duration,
        (process, holds): (usize, &Holds),
        is_troubled: bool,
        api: &Api,
    ) -> Vec<String> {
        let Self(gone_since) = self;
        let is_there =
            |resource: &'static Resource, key: &Key| api.store.get(resource, &key.namespace, &key.name).is_some();
        let pods = holds.pods.iter().map(|key| (What::Pod, &PODS, key));
        let autoscalers = holds
            .autoscalers
            .iter()
            .map(|key| (What::Autoscaler, &AUTOSCALERS, key));
        let remembered = holds
            .remembered
            .iter()
            .map(|(key, _)| (What::Memory, &AUTOSCALERS, key));
        let gone: Vec<(What, &Key)> = pods
            .chain(autoscalers)
            .chain(remembered)
            .filter(|&(_, resource, key)| !is_there(resource, key))
            .map(|(what, _, key)| (what, key))
            .collect();
        gone_since.retain(|(of, what, key), _| *of != process || gone.contains(&(*what, key)));
        let mut wrong = Vec::new();
        for (what, key) in gone {
            let since = gone_since.entry((process, what, key.clone())).or_insert(now);
            if is_troubled {
                *since = now;
            }
            let held = now.saturating_sub(*since);
            if held > EDITS_SEEN_WITHIN {
                wrong.push(format!("{what:?} {key} is held {} s after it was gone", held.as_secs()));
                // Said once in that time.
                *since = now;
            }
        }
        wrong
    }

    /// A process has ended, and with it all that it held.
    pub(super) fn ended(&mut self, process: usize) {
        self.0.retain(|(of, ..), _| *of != process);
    }
}

/// The most bytes that the entries of one autoscaler's memory need, by the specs that it has had.
pub(super) fn needed<'a>(specs: impl Iterator<Item = &'a Value>) -> u64 {
    let entries = |seconds: u64| seconds / SECONDS_BETWEEN_SYNCS + OVER;
    let of = |spec: &Value| {
        let rules = ["scaleUp", "scaleDown"].map(|direction| &spec["behavior"][direction]);
        let window = rules
            .iter()
            .filter_map(|rules| rules["stabilizationWindowSeconds"].as_u64());
        let periods = rules.map(|rules| {
            let policies = rules["policies"].as_array().map_or(&[][..], Vec::as_slice);
            let periods = policies.iter().filter_map(|policy| policy["periodSeconds"].as_u64());
            periods.fold(PERIOD, u64::max)
        });
        entries(window.fold(WINDOW, u64::max)) + periods.map(entries).iter().sum::<u64>()
    };
    specs.map(of).max().unwrap_or(0) * ENTRY_BYTES
}

/// What is wrong with a ConfigMap in which memory is saved, where `needed` is what each autoscaler needs that there ever was.
pub(super) fn wrong_in(object: &[u8], needed: &BTreeMap<Key, u64>) -> Vec<String> {
    let mut wrong = Vec::new();
    if object.len() >= OBJECT_BYTES {
        wrong.push(format!("memory is saved in an object of {} bytes", object.len()));
    }
    let data = serde_json::from_slice::<ConfigMap>(object).map(|object| object.binary_data.unwrap_or_default());
    let Ok(data) = data else {
        return vec!["memory is saved in what is no ConfigMap".to_owned()];
    };
    for bytes in data.values() {
        let part = match decode(&bytes.0) {
            Ok(part) => part,
            Err(error) => {
                wrong.push(format!("memory is saved that cannot be read: {error}"));
                continue;
            }
        };
        for record in part.records {
            let bytes = record.memory.entry_bytes() as u64;
            match needed.get(&record.key) {
                None => wrong.push(format!("memory is saved of {}, which there never was", record.key)),
                Some(needed) if bytes > *needed => {
                    wrong.push(format!("{bytes} bytes of {} are saved, and {needed} do", record.key));
                }
                Some(_) => {}
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};
    use serde_json::json;

    use super::*;
    use crate::memory::Memory;

    #[test]
    fn an_hour_of_recommendations_is_more_than_a_window_of_five_minutes_needs() {
        let spec = json!({ "behavior": { "scaleDown": { "stabilizationWindowSeconds": 120,
            "policies": [{ "type": "Pods", "value": 1, "periodSeconds": 60 }] } } });
        let needed = needed([&spec].into_iter());
        let an_hour = |recycles: bool| {
            let mut memory = Memory::default();
            for sync in 0..240 {
                let now = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(sync * 15);
                let old = if recycles {
                    now - SignedDuration::from_secs(120)
                } else {
                    Timestamp::MIN
                };
                memory.recommend(5, now, old, SignedDuration::ZERO);
            }
            memory.entry_bytes() as u64
        };
        assert!(an_hour(true) < needed / 2, "{} of {needed}", an_hour(true));
        assert!(an_hour(false) > needed, "{} of {needed}", an_hour(false));
    }
}
