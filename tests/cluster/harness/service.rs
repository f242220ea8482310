//! A service that really serves: an HTTP server for each running pod of a workload, a door that hands requests round, and
//! `ab` in front of it. Prometheus scrapes the servers, so that a request ends up in an autoscaler's decision.
//!
//! The cluster's pods are simulated. What a kubelet, an EndpointSlice and Prometheus' discovery would do for them is done here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::instance::{Instance, TAKES};
use super::load::serves;
use super::{Namespace, Workload};

/// The service of one workload, under the workload's name; its instances end with it.
pub struct Service {
    address: SocketAddr,
    door: Arc<Door>,
    tasks: [JoinHandle<()>; 2],
    targets: PathBuf,
    ab: Mutex<Option<Child>>,
}

/// The running instances, by pod.
#[derive(Default)]
struct Door {
    instances: Mutex<BTreeMap<String, Instance>>,
    turn: AtomicUsize,
}

impl Service {
    /// Starts an instance for each running pod from now on, and has the cluster's Prometheus scrape it, with the labels
    /// `namespace`, `pod` and `service`.
    pub async fn of(workload: &Workload) -> Service {
        let Workload { namespace, name, .. } = workload;
        namespace.apply(&json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"selector": {"app": name}, "ports": [{"port": 80}]},
        }));
        let folder = namespace.cluster.run.join("targets");
        assert!(folder.is_dir(), "this cluster was started without Prometheus");
        let targets = folder.join(format!("{}.{name}.json", namespace.name));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let door = Arc::new(Door::default());
        let tasks = [
            tokio::spawn(door.clone().hand_round(listener)),
            tokio::spawn(follow(door.clone(), namespace.clone(), name.clone(), targets.clone())),
        ];
        Service {
            address,
            door,
            tasks,
            targets,
            ab: Mutex::new(None),
        }
    }

    /// As many clients from now on, each of which asks again when it is answered: together 5 requests a second for each of
    /// them, however many instances there are.
    pub fn clients(&self, count: u32) {
        let mut ab = self.ab.lock().expect("nobody panics with it");
        end(ab.take());
        if count > 0 {
            let mut command = Command::new("ab");
            // More requests than in any test's time; errors, as when an instance goes, end nothing.
            command.args(["-q", "-r", "-s", "60", "-n", "300000", "-c", &count.to_string()]);
            command.arg(format!("http://{}/", self.address));
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            *ab = Some(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")));
        }
    }

    /// How many requests the instances that run now have got, by pod.
    pub fn served(&self) -> BTreeMap<String, u64> {
        let instances = self.door.instances.lock().expect("nobody panics with it");
        instances
            .iter()
            .map(|(pod, instance)| (pod.clone(), instance.served()))
            .collect()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        end(self.ab.get_mut().ok().and_then(Option::take));
        self.tasks.iter().for_each(JoinHandle::abort);
        let _ = std::fs::remove_file(&self.targets);
    }
}

fn end(ab: Option<Child>) {
    let Some(mut ab) = ab else { return };
    let ended = ab.try_wait().ok().flatten();
    let _ = ab.kill();
    let _ = ab.wait();
    // A test without the load that it counts on would tell nothing.
    assert!(
        ended.is_none() || std::thread::panicking(),
        "ab ended by itself: {ended:?}"
    );
}

impl Door {
    /// Each connection to the next instance; `ab` makes a connection for each request.
    async fn hand_round(self: Arc<Door>, listener: TcpListener) {
        loop {
            let Ok((mut client, _)) = listener.accept().await else {
                continue;
            };
            let next = self.next();
            tokio::spawn(async move {
                let Some(address) = next else {
                    // Refused at once, a client would ask again as fast as it can.
                    return tokio::time::sleep(TAKES).await;
                };
                if let Ok(mut instance) = TcpStream::connect(address).await {
                    let _ = copy_bidirectional(&mut client, &mut instance).await;
                }
            });
        }
    }

    fn next(&self) -> Option<SocketAddr> {
        let instances = self.instances.lock().expect("nobody panics with it");
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        instances
            .values()
            .nth(turn % instances.len().max(1))
            .map(|instance| instance.address)
    }

    /// Starts and ends instances, so that these pods have one each; whether anything changed.
    async fn have(&self, pods: &[String]) -> bool {
        let known = |pod: &String| self.instances.lock().expect("nobody panics with it").contains_key(pod);
        let mut new = Vec::new();
        for pod in pods.iter().filter(|pod| !known(pod)) {
            new.push((pod.clone(), Instance::start().await));
        }
        let mut instances = self.instances.lock().expect("nobody panics with it");
        let before = instances.len();
        instances.retain(|pod, _| pods.contains(pod));
        let changed = instances.len() != before || !new.is_empty();
        instances.extend(new);
        changed
    }

    /// As Prometheus' service discovery by files reads it.
    fn targets(&self, namespace: &str, service: &str) -> String {
        let instances = self.instances.lock().expect("nobody panics with it");
        let targets = instances.iter().map(|(pod, instance)| {
            json!({
                "targets": [instance.address.to_string()],
                "labels": {"namespace": namespace, "pod": pod, "service": service},
            })
        });
        json!(targets.collect::<Vec<_>>()).to_string()
    }
}

async fn follow(door: Arc<Door>, namespace: Namespace, service: String, targets: PathBuf) {
    let pods: Api<Pod> = namespace.api();
    let own = ListParams::default().labels(&format!("app={service}"));
    loop {
        // A request that fails, as while the API server is down, is made up for in the next round.
        if let Ok(found) = pods.list(&own).await {
            let serving = found.items.into_iter().filter(serves);
            let names: Vec<String> = serving.filter_map(|pod| pod.metadata.name).collect();
            if door.have(&names).await {
                replace(&targets, &door.targets(&namespace.name, &service));
            }
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// Writes a file in one step, so that nobody reads half of it.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text)
        .and_then(|()| std::fs::rename(&new, path))
        .expect("write Prometheus' targets");
}
