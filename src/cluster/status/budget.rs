//! When a status is written: at once when it says something new, on a budget when only metric values moved. Pure: takes
//! `now`.
//!
//! Values that are off by more than a tenth of their target are written as soon as their number allows; where ten thousand move
//! at once, within a minute, so that counts and conditions, which do not wait, find the API server free. Kubernetes writes a status whenever any value in it differs, which is nearly each sync of each autoscaler, and most of
//! what its autoscaler costs the API server. What can wait here is what nobody acts on.

use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::time::Instant;

use crate::observe::{Condition, MetricStatus, MetricValue, Status};
use crate::quantity::Milli;
use crate::spec::{Key, MetricSpec, MetricTarget};

/// A value that moved by more than this part of its metric's target is to be seen soon.
const LARGE_CHANGE: f64 = 0.1;

/// Statuses with such values that are written at once, and a second: an API server writes some hundreds of anything.
const LARGE_PER_SECOND: f64 = 50.0;

/// After this all of them are written, however many there are; well within a minute.
const LARGE_WITHIN: Duration = Duration::from_secs(45);

/// Added to each change when those that wait are put in order, so that the smallest one's turn comes too.
const SMALLEST_CHANGE: f64 = 0.001;

/// Decides which statuses are written now and which wait, for all autoscalers together.
#[derive(Debug)]
pub struct StatusBudget {
    per_second: f64,
    /// Writes that may be made now; at most as many as come in together over `hoard`.
    tokens: f64,
    most_tokens: f64,
    /// The same for values that moved far.
    large_tokens: f64,
    filled: Option<Instant>,
    /// When statuses were last named.
    named: Option<Instant>,
    waiting: FxHashMap<Key, Waiting>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    change: f64,
    since: Instant,
    /// It moved far, at this time first.
    large_since: Option<Instant>,
}

/// What to do with a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// It is as it was: nothing to write.
    Unchanged,
    /// Write it now.
    WriteNow,
    /// It waits until [`StatusBudget::due`] names it. The autoscaler's newest status is to be written then.
    Wait,
}

impl StatusBudget {
    /// A budget of `per_second` writes, 10 by default, for all statuses that can wait. What is not used in a pass is
    /// there for the next one, up to `sync_period`'s worth: 150 at once with the defaults, so that up to 150
    /// autoscalers are written in each pass. 0: statuses that can wait are never written for themselves.
    pub fn new(per_second: f64, sync_period: Duration) -> Self {
        let most_tokens = per_second.max(0.0) * sync_period.as_secs_f64().max(1.0);
        Self {
            per_second: per_second.max(0.0),
            tokens: most_tokens,
            most_tokens,
            large_tokens: LARGE_PER_SECOND,
            filled: None,
            named: None,
            waiting: FxHashMap::default(),
        }
    }

    /// Compares an autoscaler's new status with the one that the API server has.
    ///
    /// `metrics` are those of its spec: a value counts by its distance in parts of its metric's target. Of an
    /// autoscaler that waits already only the newest status counts; its place in the queue stays.
    pub fn offer(&mut self, key: &Key, written: &Status, new: &Status, metrics: &[MetricSpec], now: Instant) -> Offer {
        let change = change(written, new, metrics);
        match change {
            Change::None => {
                self.waiting.remove(key);
                Offer::Unchanged
            }
            Change::Values(change) => {
                let large = change > LARGE_CHANGE;
                self.fill(now);
                if large && self.large_tokens >= 1.0 {
                    self.large_tokens -= 1.0;
                    self.waiting.remove(key);
                    return Offer::WriteNow;
                }
                match self.waiting.get_mut(key) {
                    Some(place) => {
                        place.change = change;
                        place.large_since = large.then(|| place.large_since.unwrap_or(now));
                    }
                    None => {
                        let waiting = Waiting {
                            change,
                            since: now,
                            large_since: large.then_some(now),
                        };
                        self.waiting.insert(key.clone(), waiting);
                    }
                }
                Offer::Wait
            }
            Change::Large => {
                self.waiting.remove(key);
                Offer::WriteNow
            }
        }
    }

    /// The autoscalers whose turn it is: those whose values moved far, longest waiting first, then the most changed and oldest
    /// of the others; they wait no more. Call it once a second.
    pub fn due(&mut self, now: Instant) -> Vec<Key> {
        self.fill(now);
        let mut due = self.large_due(now);
        let allowed = self.tokens.floor().max(0.0) as usize;
        if allowed > 0 {
            let small = self.waiting.iter().filter(|(_, waiting)| waiting.large_since.is_none());
            let mut order: Vec<(f64, &Key)> = small.map(|(key, waiting)| (waiting.urgency(now), key)).collect();
            let first = |(a, key): &(f64, &Key), (b, other): &(f64, &Key)| b.total_cmp(a).then_with(|| key.cmp(other));
            if allowed < order.len() {
                order.select_nth_unstable_by(allowed, first);
                order.truncate(allowed);
            }
            order.sort_by(first);
            self.tokens -= order.len() as f64;
            due.extend(order.into_iter().map(|(_, key)| key.clone()));
        }
        for key in &due {
            self.waiting.remove(key);
        }
        due
    }

    /// Those whose values moved far: as many as come in at their rate, and more where that would take too long.
    fn large_due(&mut self, now: Instant) -> Vec<Key> {
        let elapsed = self.named.map_or(0.0, |named| (now - named).as_secs_f64());
        self.named = Some(now);
        let large = self.waiting.iter();
        let mut order: Vec<(Instant, f64, &Key)> = large
            .filter_map(|(key, waiting)| Some((waiting.large_since?, waiting.change, key)))
            .collect();
        order.sort_by(|(a, change, key), (b, more, other)| {
            a.cmp(b)
                .then_with(|| more.total_cmp(change))
                .then_with(|| key.cmp(other))
        });
        let Some((oldest, ..)) = order.first() else {
            return Vec::new();
        };
        let left = LARGE_WITHIN.saturating_sub(now.saturating_duration_since(*oldest));
        let part = (elapsed / left.as_secs_f64().max(f64::EPSILON)).min(1.0);
        let in_time = (order.len() as f64 * part).ceil() as usize;
        let allowed = in_time.max(self.large_tokens.floor() as usize);
        let due: Vec<Key> = order.into_iter().take(allowed).map(|(_, _, key)| key.clone()).collect();
        self.large_tokens = (self.large_tokens - due.len() as f64).max(0.0);
        due
    }

    /// Forgets an autoscaler that is gone.
    pub fn forget(&mut self, key: &Key) {
        self.waiting.remove(key);
    }

    /// How many statuses wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn fill(&mut self, now: Instant) {
        if let Some(filled) = self.filled {
            let elapsed = now.saturating_duration_since(filled).as_secs_f64();
            self.tokens = (self.tokens + elapsed * self.per_second).min(self.most_tokens);
            self.large_tokens = (self.large_tokens + elapsed * LARGE_PER_SECOND).min(LARGE_PER_SECOND);
        }
        self.filled = Some(now);
    }
}

impl Waiting {
    /// Grows with the change and with the time, so that no one waits for ever behind those who change more.
    fn urgency(&self, now: Instant) -> f64 {
        let seconds = now.saturating_duration_since(self.since).as_secs_f64();
        (self.change + SMALLEST_CHANGE) * (1.0 + seconds)
    }
}

/// How two statuses differ.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    /// Not at all.
    None,
    /// By metric values alone, the most moved one by this part of its target.
    Values(f64),
    /// By what someone may act on.
    Large,
}

fn change(written: &Status, new: &Status, metrics: &[MetricSpec]) -> Change {
    if written == new {
        return Change::None;
    }
    let heads = |status: &Status| {
        (
            status.observed_generation,
            status.last_scale_time,
            status.current_replicas,
            status.desired_replicas,
        )
    };
    let same_length = written.current_metrics.len() == new.current_metrics.len();
    if heads(written) != heads(new) || !same_length || !same_conditions(&written.conditions, &new.conditions) {
        return Change::Large;
    }
    let pairs = written.current_metrics.iter().zip(&new.current_metrics);
    let mut largest = 0.0_f64;
    for (at, (before, after)) in pairs.enumerate() {
        let target = metrics.get(at).map(|metric| metric.target);
        match moved(before, after, target) {
            Some(part) => largest = largest.max(part),
            None => return Change::Large,
        }
    }
    Change::Values(largest)
}

/// The same but for their transition times, which move at each sync while a scale write fails.
fn same_conditions(written: &[Condition], new: &[Condition]) -> bool {
    let same = |a: &Condition, b: &Condition| {
        a.kind == b.kind && a.status == b.status && a.reason == b.reason && a.message == b.message
    };
    written.len() == new.len() && written.iter().zip(new).all(|(a, b)| same(a, b))
}

/// By which part of its target a metric's value moved; `None` where it is another metric, or shows other fields.
fn moved(before: &MetricStatus, after: &MetricStatus, target: Option<MetricTarget>) -> Option<f64> {
    if let (MetricStatus::Failed, MetricStatus::Failed) = (before, after) {
        return Some(0.0);
    }
    let (old, new) = values_of_one(before, after)?;
    let fields = |value: &MetricValue| {
        (
            value.value.is_some(),
            value.average_value.is_some(),
            value.average_utilization.is_some(),
        )
    };
    if fields(&old) != fields(&new) {
        return None;
    }
    let milli = |value: Option<crate::quantity::Quantity>| value.map(|quantity| quantity.milli());
    Some(match target {
        Some(MetricTarget::Utilization(percent)) => {
            let as_milli = |value: &MetricValue| value.average_utilization.map(|percent| Milli(percent.into()));
            part(as_milli(&old), as_milli(&new), Milli(percent.into()))
        }
        Some(MetricTarget::AverageValue(target)) => part(milli(old.average_value), milli(new.average_value), target),
        Some(MetricTarget::Value(target)) => part(milli(old.value), milli(new.value), target),
        Some(MetricTarget::Mismatched) | None => 0.0,
    })
}

/// The distance in parts of the target; more than all of it where the target is not positive.
fn part(old: Option<Milli>, new: Option<Milli>, target: Milli) -> f64 {
    match (old, new) {
        (Some(old), Some(new)) if old == new => 0.0,
        (Some(_), Some(_)) if target.0 <= 0 => f64::INFINITY,
        (Some(old), Some(new)) => new.0.abs_diff(old.0) as f64 / target.0 as f64,
        _ => 0.0,
    }
}

/// The values of two statuses of the same metric; `None` where they are not.
fn values_of_one(before: &MetricStatus, after: &MetricStatus) -> Option<(MetricValue, MetricValue)> {
    use MetricStatus::{ContainerResource, External, Object, Pods, Resource};
    let (same, old, new) = match (before, after) {
        (Resource { name: a, current: old }, Resource { name: b, current: new }) => (a == b, old, new),
        (
            ContainerResource {
                name: a,
                container: c,
                current: old,
            },
            ContainerResource {
                name: b,
                container: d,
                current: new,
            },
        ) => (a == b && c == d, old, new),
        (
            Pods {
                metric: a,
                current: old,
            },
            Pods {
                metric: b,
                current: new,
            },
        )
        | (
            External {
                metric: a,
                current: old,
            },
            External {
                metric: b,
                current: new,
            },
        ) => (a == b, old, new),
        (
            Object {
                metric: a,
                described: c,
                current: old,
            },
            Object {
                metric: b,
                described: d,
                current: new,
            },
        ) => (a == b && c == d, old, new),
        _ => return None,
    };
    same.then_some((*old, *new))
}

#[cfg(test)]
mod tests;
