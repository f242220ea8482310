//! A cluster for one test that does something to the whole of it, and what may be done to it.

use std::ops::Deref;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::slow_port::SlowPort;
use super::{Cluster, output_of, scripts};

/// Taken down when dropped; should the test be killed, `tests/run` does it. Idle, one takes 600 MB and 3 % of a core.
pub struct Alone(Cluster, Option<SlowPort>);

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

    /// Without Kubernetes' own autoscaler, and with kubelets that answer so late.
    pub async fn with_slow_kubelets(purpose: &str, delay: Duration) -> Alone {
        let kubelets = SlowPort::open(delay).await;
        let port = kubelets.port.to_string();
        let cluster = Alone::start(purpose, &["-hpa"], ("NODE_PORT", &port));
        // The cluster's ports are known once it has chosen them, and `up` waits for nothing that asks a kubelet.
        let mut cluster = cluster.await;
        let first = std::fs::read_to_string(cluster.run.join("port")).expect("the cluster's first port");
        kubelets.lead_to(first.trim().parse::<u16>().expect("a port") + 4);
        cluster.1 = Some(kubelets);
        cluster
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
        Alone(Cluster::in_folder(run).await, None)
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
