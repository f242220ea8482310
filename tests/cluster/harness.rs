//! What the tests on a real cluster share: the cluster, a namespace a test, workloads with load, the controller as a
//! child process, and a record of every count that a workload was given.

mod account;
mod alone;
mod autoscaler;
mod config;
mod controller;
mod exports;
mod instance;
mod load;
mod proxy;
mod record;
mod sample;
mod service;
mod slow_port;
mod wait;
mod workload;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use k8s_openapi::api::core::v1 as core;
use kube::api::{Api, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;

pub use account::{Request, cluster_role_rules, kustomization};
pub use alone::{Alone, Fault};
pub use autoscaler::{Autoscaler, utilization};
pub use config::Way;
pub use controller::{Controller, trimtab};
pub use exports::Exports;
pub use load::Load;
pub use proxy::{Asked, Proxy, Troubles};
pub use record::Record;
pub use service::Service;
pub use wait::{eventually, seconds, wait_until};
pub use workload::{Workload, gadget_definition};

/// A running control plane, started by `tests/cluster/up`.
#[derive(Clone)]
pub struct Cluster {
    pub client: Client,
    /// Its state folder, the `RUN` of `tests/cluster/up`.
    pub run: PathBuf,
}

impl Cluster {
    /// The cluster whose own autoscaler is off, so that trimtab takes its place: `$TEST_CLUSTER`, or where `up` puts it.
    pub async fn main() -> Cluster {
        Cluster::at("TEST_CLUSTER", "run").await
    }

    /// The cluster with Kubernetes' own autoscaler, to compare with: `$TEST_REFERENCE_CLUSTER`.
    pub async fn reference() -> Cluster {
        Cluster::at("TEST_REFERENCE_CLUSTER", "run-reference").await
    }

    async fn at(variable: &str, folder: &str) -> Cluster {
        Cluster::in_folder(std::env::var_os(variable).map_or_else(|| scripts().join(folder), PathBuf::from)).await
    }

    async fn in_folder(run: PathBuf) -> Cluster {
        // Only the first one in a process can set it; a second call changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = client(&run.join("admin.kubeconfig")).await;
        Cluster { client, run }
    }

    /// A namespace for one test, new in every run.
    pub async fn namespace(&self, purpose: &str) -> Namespace {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "{purpose}-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let namespace: core::Namespace =
            serde_json::from_value(json!({"metadata": {"name": name}})).expect("a namespace needs only a name");
        let api = Api::<core::Namespace>::all(self.client.clone());
        api.create(&PostParams::default(), &namespace)
            .await
            .expect("create the test's namespace");
        Namespace {
            cluster: self.clone(),
            name,
        }
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.run.join("admin.kubeconfig")
    }

    /// Runs kubectl as the cluster's administrator and gives back what it prints; it has to succeed.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let program = std::env::var_os("BIN")
            .map_or_else(|| scripts().join("bin"), PathBuf::from)
            .join("kubectl");
        let mut command = Command::new(program);
        command.arg("--kubeconfig").arg(self.kubeconfig()).args(arguments);
        output_of(&mut command)
    }

    /// One server of the control plane: `tests/cluster/component NAME ACTION`.
    pub fn component(&self, name: &str, action: &str) {
        self.script("component", &[name, action]);
    }

    /// One of the scripts of `tests/cluster`, on this cluster.
    pub fn script(&self, script: &str, arguments: &[&str]) {
        output_of(
            Command::new(scripts().join(script))
                .args(arguments)
                .env("RUN", &self.run),
        );
    }
}

/// A test's own namespace.
#[derive(Clone)]
pub struct Namespace {
    pub cluster: Cluster,
    pub name: String,
}

impl Namespace {
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.cluster.client.clone(), &self.name)
    }

    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.cluster
            .kubectl(&[&["--namespace", self.name.as_str()], arguments].concat())
    }

    /// Applies manifests as a user does, so that defaults and warnings are the real ones.
    pub fn apply(&self, manifest: &serde_json::Value) {
        let path = self.folder().join("applied.json");
        std::fs::write(&path, manifest.to_string()).expect("write a manifest");
        self.kubectl(&["apply", "--filename", path.to_str().expect("test paths are text")]);
    }

    /// Where this test keeps its logs and files; it stays after the run.
    pub fn folder(&self) -> PathBuf {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cluster").join(&self.name);
        std::fs::create_dir_all(&folder).expect("create the test's folder");
        folder
    }
}

/// A client as the given kubeconfig says.
pub async fn client(kubeconfig: &Path) -> Client {
    let read = Kubeconfig::read_from(kubeconfig).unwrap_or_else(|error| {
        panic!(
            "no cluster at {}: {error}; start one with tests/cluster/up",
            kubeconfig.display()
        )
    });
    let mut config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default())
        .await
        .expect("a usable kubeconfig");
    config.read_timeout = None;
    Client::try_from(config).expect("a usable kubeconfig")
}

/// The folder of the cluster's scripts.
pub fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster")
}

/// A port that nobody listened on a moment ago.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound port").port()
}

/// What a command prints; it has to succeed.
pub fn output_of(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}
