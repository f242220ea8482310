//! What runs in a simulated cluster: the controllers of workloads, their pods, and who measures these.
//!
//! Every Deployment, StatefulSet, ReplicaSet and ReplicationController that the API has gets its pods here, also one that
//! somebody else made; how they behave is said by its [`Behaviour`]. The pods of a Deployment belong to a ReplicaSet of it.

mod behaviour;
mod measure;
mod ordered;
mod owner;
mod pod;
mod rollout;
mod scraped;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::api::{Api, DEPLOYMENTS, PODS, REPLICA_SETS, Refusal, Resource, seconds};
use super::random::Random;
use super::time::VirtualClock;
use crate::clock::Clock;
use crate::spec::Key;
pub use behaviour::{Behaviour, WorkloadMetric};
use measure::Measured;
pub use measure::{RESOLUTION, WINDOW};
use owner::{WITH_PODS, hash_label, is_owned, reference};
use pod::PodLife;
use rollout::{Plan, Strategy, fill, plan};
use scraped::{Counted, Scraped};

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
    workloads: Workloads,
    measured: Measured,
    scraped: Scraped,
    rest: Rest,
}

/// Until when there is nothing to do: most seconds of a day nothing happens.
#[derive(Default)]
struct Rest {
    /// The last change of workloads and pods that was seen.
    seen: Option<u64>,
    /// When the next pod moves on by itself.
    until: Option<Duration>,
}

/// By name, and by kind where several have one.
type Workloads = BTreeMap<(Key, &'static str), Workload>;

/// One workload, as its controller knows it.
struct Workload {
    behaviour: Behaviour,
    random: Random,
    /// Of the template as it is, and the generation that it was read at.
    template: (i64, u64),
    pods: Vec<PodLife>,
    /// The templates of its ReplicaSets, the newest last, and how many there were.
    templates: Vec<u64>,
    revision: u64,
    /// What waits in its queues.
    queues: BTreeMap<String, f64>,
    /// What its pods have counted, by their names, while there is a Prometheus.
    counted: BTreeMap<String, Counted>,
}

impl Workload {
    fn new(behaviour: Behaviour, random: Random) -> Self {
        Self {
            behaviour,
            random,
            template: (0, 0),
            pods: Vec::new(),
            templates: Vec::new(),
            revision: 0,
            queues: BTreeMap::new(),
            counted: BTreeMap::new(),
        }
    }
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

    /// Says how the pods of the workloads of this name behave from now on, whether they are there already or not.
    pub fn behave(&self, key: Key, behaviour: Behaviour) {
        let mut state = self.state.lock();
        for ((name, _), workload) in &mut state.workloads {
            if *name == key {
                workload.behaviour = behaviour.clone();
            }
        }
        state.behaviours.insert(key, behaviour);
    }

    /// Forgets how the pods of a workload behave that is gone and will not come again.
    pub fn forget(&self, key: &Key) {
        self.state.lock().behaviours.remove(key);
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
        let mut state = self.state.lock();
        let kinds = WITH_PODS.into_iter().chain([&PODS]);
        let last = kinds.map(|resource| self.api.store.last_change(resource)).max();
        let rest = &mut state.rest;
        // What this tick writes itself is looked at by the next one.
        let changed = std::mem::replace(&mut rest.seen, last) != last;
        if changed || rest.until.is_some_and(|until| until <= now) {
            self.look_after_all(&mut state, now);
        }
        let State {
            workloads,
            measured,
            scraped,
            ..
        } = &mut *state;
        measured.tick(&self.api, &*self.clock, now, workloads);
        scraped.tick(&self.api, &*self.clock, now, workloads);
    }

    fn look_after_all(&self, state: &mut State, now: Duration) {
        let State {
            behaviours,
            workloads,
            rest,
            ..
        } = state;
        let mut there = BTreeSet::new();
        for resource in WITH_PODS {
            let (objects, _) = self.api.store.list(resource, None);
            for object in objects.iter().filter(|object| !is_owned(object)) {
                let key = key_of(object);
                let id = (key.clone(), resource.kind);
                there.insert(id.clone());
                let workload = workloads.entry(id).or_insert_with(|| {
                    let behaviour = behaviours.get(&key).cloned().unwrap_or_default();
                    Workload::new(behaviour, random(self.seed, resource, &key))
                });
                self.look_after(resource, &key, object, workload, now);
            }
        }
        workloads.retain(|id, workload| {
            let stays = there.contains(id);
            if !stays {
                workload.pods.iter().for_each(|pod| self.remove(&id.0, pod));
                workload
                    .templates
                    .iter()
                    .for_each(|template| self.remove_replica_set(&id.0, *template));
            }
            stays
        });
        let pods = workloads.values().flat_map(|workload| &workload.pods);
        rest.until = pods.filter_map(PodLife::moves_at).min();
    }

    fn look_after(
        &self,
        resource: &'static Resource,
        key: &Key,
        object: &Value,
        workload: &mut Workload,
        now: Duration,
    ) {
        let generation = object["metadata"]["generation"].as_i64().unwrap_or(1);
        if workload.template.0 != generation {
            workload.template = (generation, hash(&object["spec"]["template"]));
        }
        self.advance_pods(key, workload, now);
        let wanted = object["spec"]["replicas"].as_u64().unwrap_or(1);
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        let (_, template) = workload.template;
        let (plan, names) = self.planned(resource, key, object, workload, wanted);
        for at in plan.end {
            workload.pods[at].end(now);
            self.show_end(key, &workload.pods[at]);
        }
        let owner = match resource == &DEPLOYMENTS {
            true => self
                .current_replica_set(key, object, workload)
                .map(|set| reference(&REPLICA_SETS, &set)),
            false => Some(reference(resource, object)),
        };
        for number in 0..plan.create {
            let name = match names.get(number) {
                Some(name) => name.clone(),
                None => pod_name(resource, &key.name, template, &mut workload.random),
            };
            let pod = PodLife::new(name, template, now, &workload.behaviour, &mut workload.random);
            if let Some(owner) = &owner
                && self.create(resource, key, object, owner, &pod).is_ok()
            {
                workload.pods.push(pod);
            }
        }
        if resource == &DEPLOYMENTS {
            self.show_replica_sets(key, workload, wanted);
        }
        self.show_status(resource, object, workload);
    }

    /// What is to be done to its pods, and what new ones are called, where that is not left to chance.
    fn planned(
        &self,
        resource: &'static Resource,
        key: &Key,
        object: &Value,
        workload: &Workload,
        wanted: usize,
    ) -> (Plan, Vec<String>) {
        let (_, template) = workload.template;
        match resource.kind {
            "Deployment" => {
                let strategy = match object["spec"]["strategy"]["type"] == "Recreate" {
                    true => Strategy::Recreate,
                    false => Strategy::Rolling,
                };
                (plan(wanted, &workload.pods, template, strategy), Vec::new())
            }
            "StatefulSet" => {
                let parallel = object["spec"]["podManagementPolicy"] == "Parallel";
                let next = ordered::plan(&key.name, wanted, &workload.pods, template, parallel);
                let names: Vec<String> = next.create.iter().map(|n| ordered::name(&key.name, *n)).collect();
                let create = names.len();
                (Plan { create, end: next.end }, names)
            }
            _ => (fill(wanted, &workload.pods), Vec::new()),
        }
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

    fn create(
        &self,
        resource: &'static Resource,
        key: &Key,
        workload: &Value,
        owner: &Value,
        pod: &PodLife,
    ) -> Result<(), Refusal> {
        let template = &workload["spec"]["template"];
        let mut labels = template["metadata"]["labels"].clone();
        match resource.kind {
            "Deployment" => labels["pod-template-hash"] = hash_label(pod.template).into(),
            "StatefulSet" => {
                labels["controller-revision-hash"] = format!("{}-{}", key.name, hash_label(pod.template)).into();
                labels["statefulset.kubernetes.io/pod-name"] = pod.name.as_str().into();
                labels["apps.kubernetes.io/pod-index"] = pod.name.rsplit('-').next().into();
            }
            _ => {}
        }
        let mut object = json!({
            "metadata": { "name": pod.name, "namespace": key.namespace, "labels": labels, "ownerReferences": [owner] },
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
}

fn key_of(object: &Value) -> Key {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    Key::new(text("namespace"), text("name"))
}

fn hash(value: &Value) -> u64 {
    Random::named(0, &value.to_string()).bits()
}

/// As Kubernetes names pods: the workload, a Deployment's template, and five letters that no word is made of.
fn pod_name(resource: &Resource, workload: &str, template: u64, random: &mut Random) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let letters: String = (0..5).map(|_| char::from(*random.pick(LETTERS))).collect();
    match resource == &DEPLOYMENTS {
        true => format!("{workload}-{}-{letters}", hash_label(template)),
        false => format!("{workload}-{letters}"),
    }
}

/// Numbers of its own for each workload.
fn random(seed: u64, resource: &Resource, key: &Key) -> Random {
    match resource == &DEPLOYMENTS {
        true => Random::named(seed, &key.to_string()),
        false => Random::named(seed, &format!("{} {key}", resource.kind)),
    }
}

#[cfg(test)]
mod tests;
