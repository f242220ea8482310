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
        assert_eq!(offered(|s| s.conditions[0].message = "!".into()), Offer::WriteNow);
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
    fn where_all_values_move_at_once_they_follow_within_a_minute() {
        let (mut budget, start) = (budget(), Instant::now());
        let keys: Vec<Key> = (0..10_000).map(|n| key(&format!("web-{n}"))).collect();
        let mut waits: Vec<&Key> = keys.iter().collect();
        let (mut most, mut written) = (0, 0);
        for second in 0..60 {
            let now = start + Duration::from_secs(second);
            if second % 15 == 0 {
                let before = waits.len();
                waits.retain(|key| budget.offer(key, &status(60), &status(90), &cpu(50), now) == Offer::Wait);
                written += before - waits.len();
                // A count that changes meanwhile waits for nobody.
                let mut other = status(90);
                other.desired_replicas = 9;
                assert_eq!(
                    budget.offer(&key("other"), &status(60), &other, &cpu(50), now),
                    Offer::WriteNow
                );
            }
            let due = budget.due(now);
            most = most.max(due.len());
            written += due.len();
            let due: std::collections::HashSet<Key> = due.into_iter().collect();
            waits.retain(|key| !due.contains(*key));
        }
        assert_eq!((written, waits.len(), budget.waiting()), (10_000, 0, 0));
        assert!(most <= 300, "{most} at once");
    }

    #[test]
    fn some_large_changes_are_written_at_once_and_the_others_within_seconds() {
        let (mut budget, now) = (budget(), Instant::now());
        let keys: Vec<Key> = (0..120).map(|n| key(&format!("web-{n}"))).collect();
        let offers = keys
            .iter()
            .map(|key| budget.offer(key, &status(60), &status(90), &cpu(50), now));
        assert_eq!(offers.filter(|offer| *offer == Offer::WriteNow).count(), 50);
        let due = [1, 2].map(|second| budget.due(now + Duration::from_secs(second)).len());
        assert_eq!(due, [50, 20]);
    }

    /// Values that jitter as the bench's do: the writes, and for how many passes what is written was off by more than a tenth.
    fn steady(autoscalers: u64) -> (f64, u32) {
        let (mut budget, start) = (budget(), Instant::now());
        let keys: Vec<Key> = (0..autoscalers).map(|n| key(&format!("web-{n}"))).collect();
        // Percent: 47 to 53 at a target of 50, anew in each pass; rarely from one end to the other.
        let value = |n: u64, pass: u64| {
            let mixed = (n * 40 + pass + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            47 + [20, 35, 50]
                .map(|bit| (mixed >> bit & 0xFFF) as i32 % 3)
                .iter()
                .sum::<i32>()
        };
        let mut shown: Vec<i32> = (0..autoscalers).map(|n| value(n, 0)).collect();
        let (mut written, mut far, mut off, mut most_off) = (0_u32, 0, vec![0_u32; keys.len()], 0);
        for second in 0..15 * 40 {
            let now = start + Duration::from_secs(second);
            let pass = second / 15;
            if second % 15 == 0 {
                for (n, key) in keys.iter().enumerate() {
                    let new = value(n as u64, pass);
                    far += u32::from((shown[n] - new).abs() > 5);
                    if budget.offer(key, &status(shown[n]), &status(new), &cpu(50), now) == Offer::WriteNow {
                        (shown[n], written) = (new, written + 1);
                    }
                    off[n] = if (shown[n] - new).abs() > 5 { off[n] + 1 } else { 0 };
                    most_off = most_off.max(off[n]);
                }
            }
            for key in budget.due(now) {
                let n: usize = key.name[4..].parse().unwrap();
                (shown[n], written) = (value(n as u64, pass), written + 1);
            }
        }
        assert!(far > 0, "no value ever moved far");
        (f64::from(written) / (autoscalers * 40) as f64, most_off)
    }

    #[test]
    fn a_steady_state_stays_within_the_writes_that_are_promised() {
        for (autoscalers, most) in [(1_000, 0.17), (5_000, 0.05), (10_000, 0.05)] {
            let (writes, off) = steady(autoscalers);
            assert!(
                writes > 0.0 && writes <= most,
                "{autoscalers}: {writes} writes per evaluation"
            );
            assert!(off <= 1, "{autoscalers}: off for {off} passes");
        }
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
