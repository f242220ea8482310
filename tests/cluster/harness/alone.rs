//! A cluster for one test that does something to the whole of it.

use std::ops::Deref;
use std::process::{Command, Stdio};

use super::{Cluster, output_of, scripts};

/// Taken down when dropped; should the test be killed, `tests/run` does it. Idle, one takes 600 MB and 3 % of a core.
pub struct Alone(Cluster);

impl Alone {
    /// Without Kubernetes' own autoscaler.
    pub async fn without_hpa(purpose: &str) -> Alone {
        Alone::start(purpose, &["-hpa"], ("NODES", "1")).await
    }

    /// The same, with more flags for the API server.
    pub async fn with_api_server_flags(purpose: &str, flags: &str) -> Alone {
        Alone::start(purpose, &["-hpa"], ("APISERVER_FLAGS", flags)).await
    }

    /// With Kubernetes' own autoscaler, which syncs every 2 s.
    pub async fn with_hpa(purpose: &str) -> Alone {
        Alone::start(
            purpose,
            &[],
            ("CONTROLLER_FLAGS", "--horizontal-pod-autoscaler-sync-period=2s"),
        )
        .await
    }

    async fn start(purpose: &str, arguments: &[&str], variable: (&str, &str)) -> Alone {
        let run = scripts().join(format!("run-alone-{purpose}"));
        let mut up = Command::new(scripts().join("up"));
        up.args(arguments)
            .env("RUN", &run)
            .env_remove("PORT")
            .env(variable.0, variable.1)
            .stdin(Stdio::null());
        output_of(&mut up);
        Alone(Cluster::in_folder(run).await)
    }
}

impl Deref for Alone {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.0
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.0.script("down", &[]);
    }
}
