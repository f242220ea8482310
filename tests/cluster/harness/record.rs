//! Every replica count that a workload was ever given, with the moment, so that "never" can be asserted afterwards.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt, pin_mut};
use kube::runtime::watcher::{Config, Event, watcher};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{Namespace, Workload, eventually, wait_until};

/// A count, and when it was first seen.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    pub at: Instant,
    pub replicas: i32,
}

/// The record of one workload, from the moment of its making until dropped.
pub struct Record {
    namespace: Namespace,
    start: Instant,
    changes: Arc<Mutex<Vec<Change>>>,
    task: JoinHandle<()>,
}

impl Record {
    /// Starts to watch, and returns when the first count is there.
    pub async fn of(workload: &Workload) -> Record {
        let changes = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(watch(workload.clone(), changes.clone()));
        let record = Record {
            namespace: workload.namespace.clone(),
            start: Instant::now(),
            changes,
            task,
        };
        wait_until("a first count", Duration::from_secs(20), async || {
            if record.changes().is_empty() {
                Err("nothing")
            } else {
                Ok(())
            }
        })
        .await;
        record
    }

    pub fn changes(&self) -> Vec<Change> {
        self.changes.lock().expect("the watch does not panic").clone()
    }

    pub fn now(&self) -> i32 {
        self.changes().last().expect("a record begins with a count").replicas
    }

    pub fn highest(&self) -> i32 {
        self.changes()
            .iter()
            .map(|change| change.replicas)
            .max()
            .expect("a record begins with a count")
    }

    /// The lowest count since then, the one that held at that moment among them.
    pub fn lowest_since(&self, since: Instant) -> i32 {
        let changes = self.changes();
        let held = changes.iter().take_while(|change| change.at <= since).last();
        let later = changes.iter().filter(|change| change.at > since);
        held.into_iter()
            .chain(later)
            .map(|change| change.replicas)
            .min()
            .expect("a record begins with a count")
    }

    /// The first time that the count fell, at or after `since`.
    pub fn first_fall(&self, since: Instant) -> Option<Change> {
        let changes = self.changes();
        let falls = changes
            .windows(2)
            .filter(|pair| pair[1].replicas < pair[0].replicas)
            .map(|pair| pair[1]);
        falls.into_iter().find(|change| change.at >= since)
    }

    /// The count is `wanted`, and stays so for `hold`; panics when that has not happened at the limit.
    pub async fn settles(&self, wanted: i32, hold: Duration, limit: Duration) {
        let settled = eventually(limit, async || {
            let last = *self.changes().last().expect("a record begins with a count");
            if last.replicas == wanted && last.at.elapsed() >= hold {
                Ok(())
            } else {
                Err(())
            }
        });
        if settled.await.is_err() {
            let autoscalers = self.namespace.kubectl(&["describe", "hpa"]);
            panic!("not settled at {wanted} within {limit:?}: {self}\n{autoscalers}");
        }
    }
}

/// `2, at 31.2s 4, at 45.0s 6`
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, change) in self.changes().iter().enumerate() {
            match index {
                0 => write!(f, "{}", change.replicas)?,
                _ => write!(
                    f,
                    ", at {:.1}s {}",
                    (change.at - self.start).as_secs_f64(),
                    change.replicas
                )?,
            }
        }
        Ok(())
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(workload: Workload, changes: Arc<Mutex<Vec<Change>>>) {
    let one = Config::default().fields(&format!("metadata.name={}", workload.name));
    let events = watcher(workload.api(), one);
    pin_mut!(events);
    while let Some(event) = events.next().await {
        // An error is a break of the watch, as while the API server is down: the watcher starts again by itself.
        let Ok(Event::Apply(object) | Event::InitApply(object)) = event else {
            if event.is_err() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            continue;
        };
        let replicas = object.data["spec"]["replicas"].as_i64().unwrap_or(0) as i32;
        let mut changes = changes.lock().expect("nobody panics with it");
        if changes.last().is_none_or(|last: &Change| last.replicas != replicas) {
            changes.push(Change {
                at: Instant::now(),
                replicas,
            });
        }
    }
}
