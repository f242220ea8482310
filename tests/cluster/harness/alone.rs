//! A cluster for one test that does something to the whole of it, and what may be done to it.

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

    /// The same, with more flags for the API server, and with more servers.
    pub async fn with_api_server_flags(purpose: &str, flags: &str, servers: &[&str]) -> Alone {
        Alone::start(purpose, &[&["-hpa"], servers].concat(), ("APISERVER_FLAGS", flags)).await
    }

    /// With Kubernetes' own autoscaler, which syncs every 2 s.
    pub async fn with_hpa(purpose: &str) -> Alone {
        Alone::with_hpa_and(purpose, &[]).await
    }

    /// The same, with more servers.
    pub async fn with_hpa_and(purpose: &str, servers: &[&str]) -> Alone {
        let period = "--horizontal-pod-autoscaler-sync-period=2s";
        Alone::start(purpose, servers, ("CONTROLLER_FLAGS", period)).await
    }

    /// Without Kubernetes' own autoscaler, and with Prometheus, and custom and external metrics from it.
    pub async fn with_prometheus_adapter(purpose: &str) -> Alone {
        Alone::start(purpose, &["-hpa", "prometheus-adapter"], ("NODES", "1")).await
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

/// Something done to a server of the control plane, which is undone however the test ends.
pub struct Fault<'a> {
    cluster: &'a Cluster,
    component: &'static str,
    undo: &'static str,
    ended: bool,
}

impl<'a> Fault<'a> {
    pub fn begin(cluster: &'a Cluster, component: &'static str, action: &str, undo: &'static str) -> Fault<'a> {
        cluster.component(component, action);
        Fault {
            cluster,
            component,
            undo,
            ended: false,
        }
    }

    pub fn end(mut self) {
        self.ended = true;
        self.cluster.component(self.component, self.undo);
    }
}

impl Drop for Fault<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.cluster.component(self.component, self.undo);
        }
    }
}
