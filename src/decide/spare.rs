//! Room that decisions leave for the next ones.

use super::Decision;
use super::derivation::PodUse;

/// The most lists that are kept: more metrics than nearly any autoscaler has, and few decisions are open at a time.
const MOST_LISTS: usize = 8;
/// The longest list that is kept, in pods; 720 KB. Longer ones are so rare that their memory is better given back.
const LONGEST_LIST: usize = 10_000;

/// Lists of pods' parts that earlier decisions no longer need, emptied, for [`decide_with`](super::decide_with).
///
/// Holds 5.8 MB at the very most, and nothing of what was decided.
#[derive(Debug, Default)]
pub struct Spare {
    lists: Vec<Vec<PodUse>>,
}

impl Spare {
    /// Takes a decision back that nobody needs any more.
    pub fn take_back(&mut self, decision: Decision) {
        for mut metric in decision.derivation.metrics {
            let is_of_use = (1..=LONGEST_LIST).contains(&metric.pods.capacity());
            if is_of_use && self.lists.len() < MOST_LISTS {
                metric.pods.clear();
                self.lists.push(metric.pods);
            }
        }
    }

    /// An empty list with room for this many pods.
    pub(super) fn pods(&mut self, count: usize) -> Vec<PodUse> {
        let mut list = self.lists.pop().unwrap_or_default();
        list.reserve(count);
        list
    }
}
