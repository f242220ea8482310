//! Configuration files: the three ways to the requests that a service counts.

use std::path::PathBuf;

use serde_json::json;

use super::{Namespace, scripts};

/// By which way trimtab comes to `qps` of pods and of Services, `requests_per_second`, and the resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The metrics APIs, which Prometheus Adapter and metrics-server serve.
    Apis,
    /// The adapter's own file of rules, without the adapter.
    Rules,
    /// Queries of the configuration.
    Queries,
}

impl Way {
    pub const ALL: [Way; 3] = [Way::Apis, Way::Rules, Way::Queries];
}

impl Namespace {
    /// The flags for one of the ways.
    pub fn flags(&self, way: Way) -> Vec<String> {
        let prometheus = || format!("--prometheus-url={}", self.cluster.url("prometheus"));
        match way {
            Way::Apis => Vec::new(),
            Way::Rules => {
                let rules = scripts().join("prometheus-adapter/rules.yaml");
                vec![
                    prometheus(),
                    format!("--adapter-rules={}", rules.display()),
                    "--adapter-rules-relist-interval=5s".into(),
                ]
            }
            Way::Queries => {
                let served = |labels: &str| {
                    format!("rate(http_requests_total{{namespace=\"$namespace\",{labels},$selector}}[10s])")
                };
                let path = self.file(
                    "queries.yaml",
                    &json!({"metrics": {
                        "qps": [
                            {"type": "Pods", "query": format!("sum by (pod) ({})", served("pod=~\"$pods\""))},
                            {"type": "Object", "kind": "Service", "query": format!("sum({})", served("service=\"$object\""))},
                        ],
                        "requests_per_second": {"type": "External", "query": format!("sum({})", served("pod!=\"\""))},
                        // The window is that of a few scrapes, since a rise of load is waited for.
                        "cpu": {"type": "Resource", "window": "20s"},
                        "memory": {"type": "Resource"},
                    }})
                    .to_string(),
                );
                vec![prometheus(), format!("--config={}", path.display())]
            }
        }
    }

    /// A file in the test's folder.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder().join(name);
        std::fs::write(&path, text).expect("write a file");
        path
    }
}
