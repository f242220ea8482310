//! What the controllers of several shards report, together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::time::Instant;

use super::Telemetry;
use crate::controller::Listener;
use crate::controller::report::PassReport;
use crate::spec::Key;

/// The controllers that run, by their shards.
#[derive(Default)]
pub(super) struct Shards(BTreeMap<u16, Shard>);

struct Shard {
    last_beat: Instant,
    autoscalers: usize,
    invalid: usize,
    synced: BTreeSet<Key>,
}

impl Shards {
    /// When the loop last went round that has stood still for longest; `None` where none runs.
    pub(super) fn last_beat(&self) -> Option<Instant> {
        self.0.values().map(|shard| shard.last_beat).min()
    }

    fn of(&mut self, shard: u16) -> &mut Shard {
        self.0.entry(shard).or_insert_with(|| Shard {
            last_beat: Instant::now(),
            autoscalers: 0,
            invalid: 0,
            synced: BTreeSet::new(),
        })
    }

    /// Takes in what a shard's pass says of the shard, and has it say the same of all shards.
    fn pass(&mut self, shard: u16, report: &mut PassReport) {
        let known = self.of(shard);
        (known.autoscalers, known.invalid) = (report.autoscalers, report.invalid);
        known.synced.extend(report.syncs.iter().map(|sync| sync.key.clone()));
        report.gone.iter().for_each(|key| {
            known.synced.remove(key);
        });
        self.sum(report);
    }

    /// Forgets a shard; gives what is to be said of the others.
    fn ended(&mut self, shard: u16) -> PassReport {
        let gone = self.0.remove(&shard).map(|shard| shard.synced).unwrap_or_default();
        let mut report = PassReport {
            gone: gone.into_iter().collect(),
            ..PassReport::default()
        };
        self.sum(&mut report);
        report
    }

    fn sum(&self, report: &mut PassReport) {
        report.autoscalers = self.0.values().map(|shard| shard.autoscalers).sum();
        report.invalid = self.0.values().map(|shard| shard.invalid).sum();
    }
}

/// Takes what the controller of a shard reports.
struct OfShard(Arc<Telemetry>, u16);

impl Listener for OfShard {
    fn pass(&self, mut report: PassReport) {
        self.0.shards.lock().pass(self.1, &mut report);
        self.0.exports.pass(&report);
    }

    fn beat(&self) {
        self.0.shards.lock().of(self.1).last_beat = Instant::now();
    }
}

impl Telemetry {
    /// Takes what the controller of a shard reports, until it [has ended](Self::shard_ended).
    pub fn of_shard(self: &Arc<Self>, shard: u16) -> Arc<dyn Listener> {
        Arc::new(OfShard(self.clone(), shard))
    }

    /// The controller of a shard runs no more.
    pub fn shard_ended(&self, shard: u16) {
        let report = self.shards.lock().ended(shard);
        self.exports.pass(&report);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Vitals;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn shards_are_counted_together_and_one_that_stands_still_is_noticed() {
        let telemetry = Telemetry::new(Duration::from_secs(60), Vitals::default);
        let (one, two) = (telemetry.of_shard(1), telemetry.of_shard(2));
        let pass = |autoscalers, invalid| PassReport {
            autoscalers,
            invalid,
            ..PassReport::default()
        };
        one.pass(pass(3, 1));
        two.pass(pass(4, 0));
        let says = |line: &str| telemetry.metrics().lines().any(|said| said == line);
        assert!(says(
            "horizontal_pod_autoscaler_controller_num_horizontal_pod_autoscalers 7"
        ));
        assert!(says("trimtab_invalid_autoscalers 1"));
        for _ in 0..7 {
            tokio::time::advance(Duration::from_secs(10)).await;
            telemetry.beat();
            two.beat();
        }
        assert!(!telemetry.alive().is_good());
        telemetry.shard_ended(1);
        assert!(telemetry.alive().is_good());
        assert!(says(
            "horizontal_pod_autoscaler_controller_num_horizontal_pod_autoscalers 4"
        ));
    }
}
