//! What has been decided, for whoever watches the demo.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::sleep;

use crate::decide::Decision;
use crate::render::summary::{Summary, summary};
use crate::sim::api::{AUTOSCALERS, DEPLOYMENTS};
use crate::sim::simulated::Simulated;
use crate::spec::{Key, Spec};

/// The counts that a plot shows: two minutes each, an hour together.
pub(super) const PLOT: usize = 30;
const PLOT_STEP: Duration = Duration::from_secs(120);

/// Changes that are kept to be shown.
const CHANGES: usize = 200;

/// Everything that is shown.
#[derive(Default)]
pub(super) struct Board {
    rows: BTreeMap<Key, Row>,
    /// The newest last.
    changes: VecDeque<Change>,
    /// Changes that were made in all.
    changed: usize,
}

/// One autoscaler.
#[derive(Default)]
pub(super) struct Row {
    /// Its last decision.
    pub(super) summary: Option<Summary>,
    /// The last one that changed the count.
    pub(super) change: Option<Change>,
    /// Counts of the last hour, the newest last.
    pub(super) counts: VecDeque<i64>,
}

/// A count that was changed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    pub(super) key: Key,
    pub(super) at: Timestamp,
    pub(super) from: i32,
    pub(super) to: i32,
    pub(super) metrics: String,
    pub(super) why: String,
}

impl Board {
    /// Takes a decision down.
    pub(super) fn decided(&mut self, spec: &Spec, decision: &Decision) {
        let summary = summary(spec, decision);
        let row = self.rows.entry(spec.key.clone()).or_default();
        if let Some(write) = &decision.write {
            let change = Change {
                key: spec.key.clone(),
                at: decision.at,
                from: write.from,
                to: write.to,
                metrics: summary.metrics.join(", "),
                why: summary.why.clone(),
            };
            row.change = Some(change.clone());
            self.changed += 1;
            self.changes.push_back(change);
            if self.changes.len() > CHANGES {
                self.changes.pop_front();
            }
        }
        row.summary = Some(summary);
    }

    pub(super) fn row(&self, key: &Key) -> Option<&Row> {
        self.rows.get(key)
    }

    /// The changes after so many, and how many there have been.
    pub(super) fn changes_after(&self, seen: usize) -> (impl Iterator<Item = &Change>, usize) {
        let new = self.changed.saturating_sub(seen).min(self.changes.len());
        (self.changes.range(self.changes.len() - new..), self.changed)
    }

    /// The last changes, the newest first.
    pub(super) fn last_changes(&self, most: usize) -> impl Iterator<Item = &Change> {
        self.changes.iter().rev().take(most)
    }

    fn sampled(&mut self, counts: &[(Key, i64)]) {
        for (key, count) in counts {
            let row = self.rows.entry(key.clone()).or_default();
            row.counts.push_back(*count);
            if row.counts.len() > PLOT {
                row.counts.pop_front();
            }
        }
        // What is gone from the cluster is gone from here.
        self.rows.retain(|key, _| counts.iter().any(|(there, _)| there == key));
    }
}

/// Notes every two minutes of virtual time how many pods each workload has, until it is dropped.
pub(super) async fn sample(simulated: Simulated, board: Arc<Mutex<Board>>) {
    loop {
        sleep(PLOT_STEP).await;
        let counts: Vec<(Key, i64)> = autoscalers(&simulated)
            .map(|(key, autoscaler)| {
                let count = deployment(&simulated, &key, &autoscaler)
                    .map_or(0, |d| d["status"]["replicas"].as_i64().unwrap_or(0));
                (key, count)
            })
            .collect();
        board.lock().sampled(&counts);
    }
}

/// All autoscalers of the cluster, in order.
pub(super) fn autoscalers(simulated: &Simulated) -> impl Iterator<Item = (Key, Arc<Value>)> {
    let (objects, _) = simulated.api.store.list(&AUTOSCALERS, None);
    objects.into_iter().map(|object| {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
        (Key::new(text("namespace"), text("name")), object.clone())
    })
}

/// What an autoscaler scales, where that is a Deployment.
pub(super) fn deployment(simulated: &Simulated, key: &Key, autoscaler: &Value) -> Option<Arc<Value>> {
    let name = autoscaler["spec"]["scaleTargetRef"]["name"].as_str()?;
    simulated.api.store.get(&DEPLOYMENTS, &key.namespace, name)
}
