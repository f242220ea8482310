//! Load: a total that is divided over whatever pods there are, as a load balancer would do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::json;
use tokio::task::JoinHandle;

use super::Workload;

/// Work for a workload's pods, kept up until dropped.
pub struct Load {
    wish: Arc<Wish>,
    task: JoinHandle<()>,
}

struct Wish {
    cpu_milli: AtomicU32,
    memory_mi: AtomicU32,
}

impl Load {
    /// `cpu_milli` and `memory_mi` are the totals over all pods.
    ///
    /// A total a little below a whole number of pods has one count at which an autoscaler comes to rest. A whole number
    /// has two: at 7 pods for 600m and 100m each, utilization rounds up to 43 % of 50 %, which asks for 6.02, so for 7.
    pub fn on(workload: &Workload, cpu_milli: u32, memory_mi: u32) -> Load {
        let wish = Arc::new(Wish {
            cpu_milli: AtomicU32::new(cpu_milli),
            memory_mi: AtomicU32::new(memory_mi),
        });
        let task = tokio::spawn(keep_up(
            workload.namespace.api(),
            format!("app={}", workload.name),
            wish.clone(),
        ));
        Load { wish, task }
    }

    pub fn cpu(&self, milli: u32) {
        self.wish.cpu_milli.store(milli, Ordering::Relaxed);
    }

    pub fn memory(&self, mi: u32) {
        self.wish.memory_mi.store(mi, Ordering::Relaxed);
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep_up(pods: Api<Pod>, selector: String, wish: Arc<Wish>) {
    loop {
        // A request that fails, as while the API server is down, is made up for in the next round.
        let _ = divide(&pods, &selector, &wish).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
}

async fn divide(pods: &Api<Pod>, selector: &str, wish: &Wish) -> kube::Result<()> {
    let found = pods.list(&ListParams::default().labels(selector)).await?;
    let serving: Vec<&Pod> = found.items.iter().filter(|pod| serves(pod)).collect();
    let share = |total: &AtomicU32| f64::from(total.load(Ordering::Relaxed)) / serving.len() as f64;
    let cpu = format!("{:.0}u", share(&wish.cpu_milli) * 1000.0);
    let memory = format!("{:.0}Ki", share(&wish.memory_mi) * 1024.0);
    for pod in &serving {
        let annotations = pod.metadata.annotations.as_ref();
        let has = |key: &str, value: &str| {
            annotations
                .and_then(|all| all.get(key))
                .is_some_and(|found| found == value)
        };
        if has("trimtab.dev/cpu", &cpu) && has("trimtab.dev/memory", &memory) {
            continue;
        }
        let patch = json!({"metadata": {"annotations": {"trimtab.dev/cpu": cpu, "trimtab.dev/memory": memory}}});
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        match pods.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            other => drop(other?),
        }
    }
    Ok(())
}

/// Whether requests go to it.
pub fn serves(pod: &Pod) -> bool {
    let running = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
    running && pod.metadata.deletion_timestamp.is_none()
}
