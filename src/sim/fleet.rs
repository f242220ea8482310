//! What runs in a simulated cluster: the controllers of workloads, their pods, and who measures these.
//!
//! Every Deployment that the API has gets its pods here, also one that somebody else made; how they behave is said by its
//! [`Behaviour`]. Pods belong to their Deployment directly: there are no ReplicaSets between.

mod behaviour;
mod measure;
mod pod;
mod rollout;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::api::{Api, DEPLOYMENTS, PODS, Refusal, seconds};
use super::random::Random;
use super::time::VirtualClock;
use crate::clock::Clock;
use crate::spec::Key;
pub use behaviour::{Behaviour, WorkloadMetric};
use measure::Measured;
pub use measure::{RESOLUTION, WINDOW};
use pod::PodLife;
use rollout::{Counts, plan};

/// How often workloads and pods are looked after.
const TICK: Duration = Duration::from_secs(1);

/// All workloads of a cluster.
pub struct Fleet {
    api: Arc<Api>,
    clock: Arc<VirtualClock>,
    seed: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    behaviours: BTreeMap<Key, Behaviour>,
    workloads: BTreeMap<Key, Workload>,
    measured: Measured,
}

/// One Deployment, as its controller knows it.
struct Workload {
    behaviour: Behaviour,
    random: Random,
    /// Of the template as it is, and the generation that it was read at.
    template: (i64, u64),
    pods: Vec<PodLife>,
    /// What waits in its queues.
    queues: BTreeMap<String, f64>,
}

impl Fleet {
    /// The workloads of `api`; another `seed` has their pods start and fail at other times.
    pub fn new(api: Arc<Api>, clock: Arc<VirtualClock>, seed: u64) -> Self {
        Self {
            api,
            clock,
            seed,
            state: Mutex::default(),
        }
    }

    /// Says how the pods of a Deployment behave from now on, whether it is there already or not.
    pub fn behave(&self, key: Key, behaviour: Behaviour) {
        let mut state = self.state.lock();
        if let Some(workload) = state.workloads.get_mut(&key) {
            workload.behaviour = behaviour.clone();
        }
        state.behaviours.insert(key, behaviour);
    }

    /// Looks after all workloads, once a second, until it is dropped.
    pub async fn run(&self) {
        let mut next = Instant::now();
        loop {
            self.tick();
            next += TICK;
            sleep_until(next).await;
        }
    }

    /// Brings everything to where it is now.
    pub fn tick(&self) {
        let now = self.clock.elapsed();
        let (deployments, _) = self.api.store.list(&DEPLOYMENTS, None);
        let mut state = self.state.lock();
        let State {
            behaviours,
            workloads,
            measured,
        } = &mut *state;
        let mut there = BTreeSet::new();
        for deployment in &deployments {
            let key = key_of(deployment);
            there.insert(key.clone());
            let workload = workloads.entry(key.clone()).or_insert_with(|| Workload {
                behaviour: behaviours.get(&key).cloned().unwrap_or_default(),
                random: Random::named(self.seed, &key.to_string()),
                template: (0, 0),
                pods: Vec::new(),
                queues: BTreeMap::new(),
            });
            self.look_after(&key, deployment, workload, now);
        }
        workloads.retain(|key, workload| {
            let stays = there.contains(key);
            if !stays {
                workload.pods.iter().for_each(|pod| self.remove(key, pod));
            }
            stays
        });
        measured.tick(&self.api, &*self.clock, now, workloads);
    }

    fn look_after(&self, key: &Key, deployment: &Value, workload: &mut Workload, now: Duration) {
        let generation = deployment["metadata"]["generation"].as_i64().unwrap_or(1);
        if workload.template.0 != generation {
            workload.template = (generation, hash(&deployment["spec"]["template"]));
        }
        self.advance_pods(key, workload, now);
        let wanted = deployment["spec"]["replicas"].as_u64().unwrap_or(1);
        let (_, template) = workload.template;
        let plan = plan(usize::try_from(wanted).unwrap_or(usize::MAX), &workload.pods, template);
        for at in plan.end {
            workload.pods[at].end(now);
            self.show_end(key, &workload.pods[at]);
        }
        for _ in 0..plan.create {
            let name = pod_name(&key.name, template, &mut workload.random);
            let pod = PodLife::new(name, template, now, &workload.behaviour, &mut workload.random);
            if self.create(key, deployment, &pod).is_ok() {
                workload.pods.push(pod);
            }
        }
        self.show_status(key, deployment, generation, &Counts::of(&workload.pods, template));
    }

    fn advance_pods(&self, key: &Key, workload: &mut Workload, now: Duration) {
        let Workload {
            behaviour,
            random,
            pods,
            ..
        } = workload;
        pods.retain_mut(|pod| {
            // Somebody else may have deleted it.
            let Some(object) = self.api.store.get(&PODS, &key.namespace, &pod.name) else {
                return false;
            };
            if !object["metadata"]["deletionTimestamp"].is_null() {
                pod.end(now);
            }
            if pod.ends_at.is_some_and(|at| at <= now) {
                self.remove(key, pod);
                return false;
            }
            if pod.advance(now, behaviour, random) {
                self.show(key, pod);
            }
            true
        });
    }

    fn create(&self, key: &Key, deployment: &Value, pod: &PodLife) -> Result<(), Refusal> {
        let template = &deployment["spec"]["template"];
        let mut labels = template["metadata"]["labels"].clone();
        labels["pod-template-hash"] = format!("{:08x}", pod.template as u32).into();
        let mut object = json!({
            "metadata": { "name": pod.name, "namespace": key.namespace, "labels": labels, "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "Deployment", "name": key.name, "controller": true,
                "uid": deployment["metadata"]["uid"] }] },
            "spec": template["spec"],
        });
        object["spec"]["nodeName"] = format!("node-{}", pod.template % 3 + 1).into();
        object["status"] = pod.status(&object, self.clock.now());
        self.api.store.create(&PODS, object).map(drop)
    }

    /// Pods that are gone meanwhile need no showing.
    fn show(&self, key: &Key, pod: &PodLife) {
        let _ = self.api.store.update(&PODS, &key.namespace, &pod.name, |before| {
            let mut after = before.clone();
            after["status"] = pod.status(before, self.clock.now());
            Ok(after)
        });
    }

    fn show_end(&self, key: &Key, pod: &PodLife) {
        let at = seconds(self.clock.now());
        let _ = self.api.store.update(&PODS, &key.namespace, &pod.name, |before| {
            let mut after = before.clone();
            after["metadata"]["deletionTimestamp"] = at.as_str().into();
            Ok(after)
        });
    }

    fn remove(&self, key: &Key, pod: &PodLife) {
        let _ = self.api.store.delete(&PODS, &key.namespace, &pod.name, |_| Ok(()));
    }

    fn show_status(&self, key: &Key, deployment: &Value, generation: i64, counts: &Counts) {
        let mut status = json!({ "observedGeneration": generation, "replicas": counts.all,
            "updatedReplicas": counts.updated, "readyReplicas": counts.ready, "availableReplicas": counts.ready });
        let missing = counts.all.saturating_sub(counts.ready);
        if missing > 0 {
            status["unavailableReplicas"] = missing.into();
        }
        if deployment["status"] == status {
            return;
        }
        let _ = self
            .api
            .store
            .update(&DEPLOYMENTS, &key.namespace, &key.name, |before| {
                let mut after = before.clone();
                after["status"] = status;
                Ok(after)
            });
    }
}

fn key_of(object: &Value) -> Key {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    Key::new(text("namespace"), text("name"))
}

fn hash(value: &Value) -> u64 {
    Random::named(0, &value.to_string()).bits()
}

/// As Kubernetes names pods: the workload, its template, and five letters that no word is made of.
fn pod_name(workload: &str, template: u64, random: &mut Random) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let letters: String = (0..5).map(|_| char::from(*random.pick(LETTERS))).collect();
    format!("{workload}-{:08x}-{letters}", template as u32)
}

#[cfg(test)]
mod tests;
