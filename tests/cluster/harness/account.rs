//! ServiceAccounts with given rights, and the kubeconfig files to act as one.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Cluster, Namespace};

/// The objects of a kustomization of this repository, as kubectl reads them.
pub fn kustomization(cluster: &Cluster, folder: &str) -> Vec<Value> {
    let path = format!("{}/{folder}", env!("CARGO_MANIFEST_DIR"));
    let text = cluster.kubectl(&["create", "--dry-run=client", "--output=json", "--kustomize", &path]);
    // One after the other, not in a list.
    let objects = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    objects.collect::<Result<_, _>>().expect("kubectl prints JSON")
}

/// The rules of a kustomization's ClusterRole `trimtab`.
pub fn cluster_role_rules(cluster: &Cluster, folder: &str) -> Value {
    let objects = kustomization(cluster, folder);
    let role = objects
        .into_iter()
        .find(|object| object["kind"] == "ClusterRole")
        .expect("a ClusterRole");
    role["rules"].clone()
}

impl Namespace {
    /// A ServiceAccount of this namespace and a Role of the same name with these rules; gives its kubeconfig.
    pub fn account(&self, name: &str, rules: &Value) -> PathBuf {
        self.apply(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}));
        self.role(name, rules);
        self.bind(name);
        self.cluster
            .account_kubeconfig(&self.name, name, &self.folder().join(format!("{name}.kubeconfig")))
    }

    /// Sets a Role's rules.
    pub fn role(&self, name: &str, rules: &Value) {
        self.apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name}, "rules": rules,
        }));
    }

    /// Gives the ServiceAccount the Role of the same name.
    pub fn bind(&self, name: &str) {
        let (role, account) = (
            format!("--role={name}"),
            format!("--serviceaccount={}:{name}", self.name),
        );
        self.kubectl(&["create", "rolebinding", name, &role, &account]);
    }
}

impl Cluster {
    /// Writes a kubeconfig that acts as a ServiceAccount by a token of an hour.
    pub fn account_kubeconfig(&self, namespace: &str, name: &str, path: &std::path::Path) -> PathBuf {
        let token = self.kubectl(&["--namespace", namespace, "create", "token", name, "--duration=1h"]);
        let admin: Value =
            serde_json::from_str(&self.kubectl(&["config", "view", "--raw", "--output=json"])).expect("JSON");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "it", "clusters": admin["clusters"],
            "users": [{"name": "it", "user": {"token": token.trim()}}],
            "contexts": [{"name": "it", "context": {"cluster": "local", "user": "it"}}],
        });
        std::fs::write(path, config.to_string()).expect("write a kubeconfig");
        path.to_owned()
    }

    /// What a ServiceAccount asked the API server for, from the audit log: only requests for objects.
    pub fn requests_of(&self, namespace: &str, name: &str) -> Vec<Request> {
        let log = std::fs::read_to_string(self.run.join("log/audit.log")).expect("read the audit log");
        let user = format!("system:serviceaccount:{namespace}:{name}");
        let entries = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let of_user =
            entries.filter(|entry| entry["user"]["username"] == user.as_str() && entry["objectRef"].is_object());
        of_user.map(|entry| Request::of(&entry)).collect()
    }
}

/// A request that the API server was asked for, as its authorizer saw it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    pub verb: String,
    pub group: String,
    /// With the subresource, as `deployments/scale`.
    pub resource: String,
    pub name: String,
    pub allowed: bool,
}

impl Request {
    fn of(entry: &Value) -> Request {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let object = &entry["objectRef"];
        let mut resource = text(&object["resource"]);
        if let Some(subresource) = object["subresource"].as_str() {
            resource = format!("{resource}/{subresource}");
        }
        Request {
            verb: text(&entry["verb"]),
            group: text(&object["apiGroup"]),
            resource,
            name: text(&object["name"]),
            allowed: entry["annotations"]["authorization.k8s.io/decision"] == "allow",
        }
    }
}
