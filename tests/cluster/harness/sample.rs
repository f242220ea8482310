//! The values that the sample metrics server of a cluster gives.

use super::{Cluster, Namespace, output_of};
use std::process::Command;

impl Cluster {
    /// What `up` wrote down about one of its servers, such as `prometheus.url`.
    pub fn url(&self, name: &str) -> String {
        let path = self.run.join(format!("{name}.url"));
        let text = std::fs::read_to_string(&path);
        let text = text.unwrap_or_else(|error| panic!("this cluster was started without {name}: {error}"));
        text.trim().to_owned()
    }
}

impl Namespace {
    /// Sets a custom metric of one object, such as `pods/web-1` or `services/web`, to a quantity; its labels are for
    /// selectors, `verb=GET,path=root`, or nothing.
    pub fn set_sample(&self, object: &str, metric: &str, quantity: &str, labels: &str) {
        let mut url = format!(
            "{}/namespaces/{}/{object}/{metric}",
            self.cluster.url("sample-metrics"),
            self.name
        );
        if !labels.is_empty() {
            url += &format!("?labels={}", labels.replace('=', "%3D").replace(',', "%2C"));
        }
        let body = format!("\"{quantity}\"");
        output_of(
            Command::new("curl")
                .args(["--silent", "--show-error", "--fail", "--max-time", "10"])
                .args(["--header", "Content-Type: application/json", "--data", &body, &url]),
        );
    }
}
