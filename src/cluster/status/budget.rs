//! When a status is written: at once when it says something new, on a budget when only metric values crept. Pure: takes
//! `now`.
//!
//! Kubernetes writes a status whenever any value in it differs, which is nearly each sync of each autoscaler, and most of
//! what its autoscaler costs the API server. What can wait here is what nobody acts on.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::observe::{Condition, MetricStatus, MetricValue, Status};
use crate::quantity::Milli;
use crate::spec::{Key, MetricSpec, MetricTarget};

/// A value that moved by more than this part of its metric's target is written at once.
const LARGE_CHANGE: f64 = 0.1;

/// Added to each change when those that wait are put in order, so that the smallest one's turn comes too.
const SMALLEST_CHANGE: f64 = 0.001;

/// Decides which statuses are written now and which wait, for all autoscalers together.
#[derive(Debug)]
pub struct StatusBudget {
    per_second: f64,
    /// Writes that may be made now; at most as many as come in together over `hoard`.
    tokens: f64,
    most_tokens: f64,
    filled: Option<Instant>,
    waiting: BTreeMap<Key, Waiting>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    change: f64,
    since: Instant,
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
            filled: None,
            waiting: BTreeMap::new(),
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
            Change::Small(change) => {
                let waiting = self
                    .waiting
                    .entry(key.clone())
                    .or_insert(Waiting { change, since: now });
                waiting.change = change;
                Offer::Wait
            }
            Change::Large => {
                self.waiting.remove(key);
                Offer::WriteNow
            }
        }
    }

    /// The autoscalers whose turn it is, most changed and oldest first; they wait no more. Call it at the end of each
    /// pass.
    pub fn due(&mut self, now: Instant) -> Vec<Key> {
        self.fill(now);
        let mut order: Vec<(f64, &Key)> = self
            .waiting
            .iter()
            .map(|(key, waiting)| (waiting.urgency(now), key))
            .collect();
        order.sort_by(|(a, key), (b, other)| b.total_cmp(a).then_with(|| key.cmp(other)));
        let allowed = self.tokens.floor().max(0.0) as usize;
        let due: Vec<Key> = order.into_iter().take(allowed).map(|(_, key)| key.clone()).collect();
        self.tokens -= due.len() as f64;
        for key in &due {
            self.waiting.remove(key);
        }
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
    Small(f64),
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
    if largest > LARGE_CHANGE {
        Change::Large
    } else {
        Change::Small(largest)
    }
}

/// The same but for their transition times, which move at each sync while a scale write fails.
fn same_conditions(written: &[Condition], new: &[Condition]) -> bool {
    let said = |condition: &Condition| (condition.kind.clone(), condition.status, condition.reason.clone());
    written.len() == new.len()
        && written
            .iter()
            .zip(new)
            .all(|(a, b)| said(a) == said(b) && a.message == b.message)
}

/// By which part of its target a metric's value moved; `None` where it is another metric, or shows other fields.
fn moved(before: &MetricStatus, after: &MetricStatus, target: Option<MetricTarget>) -> Option<f64> {
    let (old, new) = match (before, after) {
        (MetricStatus::Failed, MetricStatus::Failed) => return Some(0.0),
        (before, after) if identity(before) == identity(after) => (value(before)?, value(after)?),
        _ => return None,
    };
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

fn value(status: &MetricStatus) -> Option<MetricValue> {
    match status {
        MetricStatus::Failed => None,
        MetricStatus::Resource { current, .. }
        | MetricStatus::ContainerResource { current, .. }
        | MetricStatus::Pods { current, .. }
        | MetricStatus::Object { current, .. }
        | MetricStatus::External { current, .. } => Some(*current),
    }
}

/// The status without its value.
fn identity(status: &MetricStatus) -> MetricStatus {
    let mut status = status.clone();
    match &mut status {
        MetricStatus::Failed => {}
        MetricStatus::Resource { current, .. }
        | MetricStatus::ContainerResource { current, .. }
        | MetricStatus::Pods { current, .. }
        | MetricStatus::Object { current, .. }
        | MetricStatus::External { current, .. } => *current = MetricValue::default(),
    }
    status
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::observe::ConditionStatus;
    use crate::quantity::{Quantity, SuffixFamily};
    use crate::spec::MetricSource;

    fn cpu(percent: i32) -> Vec<MetricSpec> {
        let source = MetricSource::Resource { name: "cpu".into() };
        vec![MetricSpec {
            source,
            target: MetricTarget::Utilization(percent),
        }]
    }

    fn status(percent: i32) -> Status {
        let average = Quantity::from_milli(Milli(i64::from(percent) * 10), SuffixFamily::DecimalSi);
        let current = MetricValue {
            value: None,
            average_value: Some(average),
            average_utilization: Some(percent),
        };
        Status {
            current_replicas: 3,
            desired_replicas: 3,
            current_metrics: vec![MetricStatus::Resource {
                name: "cpu".into(),
                current,
            }],
            conditions: vec![Condition {
                kind: "AbleToScale".into(),
                status: ConditionStatus::True,
                reason: "ReadyForNewScale".into(),
                message: "recommended size matches current size".into(),
                last_transition: None,
            }],
            ..Status::default()
        }
    }

    fn key(name: &str) -> Key {
        Key::new("shop", name)
    }

    fn budget() -> StatusBudget {
        StatusBudget::new(10.0, Duration::from_secs(15))
    }

    /// The offer of a status at 60 % that is changed like this, the target being 50 %.
    fn offered(change: impl FnOnce(&mut Status)) -> Offer {
        let mut new = status(60);
        change(&mut new);
        budget().offer(&key("web"), &status(60), &new, &cpu(50), Instant::now())
    }

    #[test]
    fn what_someone_may_act_on_is_written_at_once() {
        assert_eq!(offered(|_| {}), Offer::Unchanged);
        assert_eq!(offered(|s| s.current_replicas = 4), Offer::WriteNow);
        assert_eq!(offered(|s| s.desired_replicas = 4), Offer::WriteNow);
        assert_eq!(
            offered(|s| s.last_scale_time = Some(jiff::Timestamp::UNIX_EPOCH)),
            Offer::WriteNow
        );
        assert_eq!(
            offered(|s| s.conditions[0].status = ConditionStatus::False),
            Offer::WriteNow
        );
        assert_eq!(
            offered(|s| s.conditions[0].reason = "SucceededRescale".into()),
            Offer::WriteNow
        );
        assert_eq!(offered(|s| s.conditions[0].message.push('!')), Offer::WriteNow);
        assert_eq!(
            offered(|s| s.current_metrics[0] = MetricStatus::Failed),
            Offer::WriteNow
        );
        assert_eq!(offered(|s| s.current_metrics.clear()), Offer::WriteNow);
    }

    #[test]
    fn a_value_waits_up_to_a_tenth_of_its_target() {
        let percent = |percent| offered(|s| *s = status(percent));
        assert_eq!(percent(65), Offer::Wait);
        assert_eq!(percent(55), Offer::Wait);
        assert_eq!(percent(66), Offer::WriteNow);
        assert_eq!(percent(54), Offer::WriteNow);
    }

    #[test]
    fn a_transition_time_alone_waits() {
        assert_eq!(
            offered(|s| s.conditions[0].last_transition = Some(jiff::Timestamp::UNIX_EPOCH)),
            Offer::Wait
        );
    }

    #[test]
    fn each_pass_of_150_autoscalers_fits() {
        let (mut budget, mut now) = (budget(), Instant::now());
        for pass in 0..4 {
            let keys: Vec<Key> = (0..150).map(|n| key(&format!("web-{n}"))).collect();
            for key in &keys {
                assert_eq!(
                    budget.offer(key, &status(60), &status(61 + pass), &cpu(50), now),
                    Offer::Wait
                );
            }
            assert_eq!(budget.due(now).len(), 150);
            now += Duration::from_secs(15);
        }
    }

    #[test]
    fn the_most_changed_and_the_oldest_go_first() {
        let (mut budget, mut now) = (StatusBudget::new(1.0, Duration::from_secs(1)), Instant::now());
        let offer = |budget: &mut StatusBudget, name, percent, now| {
            budget.offer(&key(name), &status(60), &status(percent), &cpu(50), now);
        };
        offer(&mut budget, "little", 61, now);
        offer(&mut budget, "much", 64, now);
        offer(&mut budget, "most", 65, now);
        assert_eq!(budget.due(now), [key("most")]);
        assert_eq!(budget.due(now), []);
        now += Duration::from_secs(1);
        assert_eq!(budget.due(now), [key("much")]);
        // Nobody waits for ever, even where each pass brings something more changed.
        let mut passes = 0;
        while budget.waiting.contains_key(&key("little")) {
            now += Duration::from_secs(1);
            offer(&mut budget, "most", 65, now);
            budget.due(now);
            passes += 1;
            assert!(passes < 20);
        }
    }

    #[test]
    fn a_status_that_came_back_or_is_gone_waits_no_more() {
        let (mut budget, now) = (budget(), Instant::now());
        budget.offer(&key("web"), &status(60), &status(61), &cpu(50), now);
        budget.offer(&key("db"), &status(60), &status(61), &cpu(50), now);
        budget.offer(&key("web"), &status(60), &status(60), &cpu(50), now);
        budget.forget(&key("db"));
        assert_eq!((budget.waiting(), budget.due(now)), (0, vec![]));
    }

    #[test]
    fn values_are_held_against_their_own_targets() {
        let identifier = || crate::spec::MetricIdentifier {
            name: Arc::from("queue"),
            written: None,
            selector: Ok(Default::default()),
        };
        let metrics = [MetricSpec {
            source: MetricSource::External { metric: identifier() },
            target: MetricTarget::Value(Milli(100_000)),
        }];
        let queue = |units: i64| {
            let value = Some(Quantity::from_milli(Milli(units * 1000), SuffixFamily::DecimalSi));
            let current = MetricValue {
                value,
                ..MetricValue::default()
            };
            Status {
                current_metrics: vec![MetricStatus::External {
                    metric: identifier(),
                    current,
                }],
                ..status(60)
            }
        };
        let offered = |units| budget().offer(&key("web"), &queue(50), &queue(units), &metrics, Instant::now());
        assert_eq!(
            (offered(50), offered(60), offered(61)),
            (Offer::Unchanged, Offer::Wait, Offer::WriteNow)
        );
    }
}
