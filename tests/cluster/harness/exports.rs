//! What a controller exports on `/metrics`, read as numbers.

use std::time::Duration;

use super::{Controller, Namespace, free_port, seconds, wait_until};

/// Where a controller serves its metrics.
pub struct Exports {
    url: String,
    client: reqwest::Client,
}

/// What it says of its passes so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Passes {
    /// Those over all autoscalers.
    pub all: u64,
    /// By how much they began late, all together.
    pub late: f64,
    /// Syncs whose turn came while the one before still ran.
    pub missed: u64,
    /// The longest time between two syncs of an autoscaler, in the last pass.
    pub interval: f64,
}

impl Exports {
    /// Starts a controller that serves them; `flags` are added to those of [`Controller::start`].
    pub async fn of(namespace: &Namespace, kubeconfig: &std::path::Path, flags: &[&str]) -> (Controller, Exports) {
        let address = format!("127.0.0.1:{}", free_port());
        let listen = format!("--listen={address}");
        let mine = ["--namespace", &namespace.name, "--leader-elect=false", &listen];
        let controller = Controller::start(namespace, kubeconfig, &[&mine, flags].concat());
        let exports = Exports {
            url: format!("http://{address}/metrics"),
            client: reqwest::Client::new(),
        };
        wait_until("it serves metrics", seconds(30), async || exports.text().await).await;
        (controller, exports)
    }

    async fn text(&self) -> Result<String, String> {
        let answer = self.client.get(&self.url).timeout(seconds(5)).send().await;
        let text = async { answer?.error_for_status()?.text().await };
        text.await.map_err(|error: reqwest::Error| error.to_string())
    }

    pub async fn passes(&self) -> Passes {
        let text = wait_until("it answers", seconds(30), async || self.text().await).await;
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            let number = line.and_then(|rest| rest.trim().parse::<f64>().ok());
            number.unwrap_or_else(|| panic!("no {name} in\n{text}"))
        };
        Passes {
            all: value("trimtab_pass_lateness_seconds_count") as u64,
            late: value("trimtab_pass_lateness_seconds_sum"),
            missed: value("trimtab_missed_syncs_total") as u64,
            interval: value("trimtab_sync_interval_seconds"),
        }
    }

    /// Waits until so many more passes over all autoscalers have ended; gives what is said then.
    pub async fn after(&self, passes: u64, limit: Duration) -> Passes {
        let before = self.passes().await;
        wait_until(&format!("{passes} more passes"), limit, async || {
            let now = self.passes().await;
            if now.all >= before.all + passes {
                Ok(now)
            } else {
                Err(format!("{now:?}"))
            }
        })
        .await
    }
}
