//! What one pass asks of one endpoint: asks -> queries, within the budget. Pure.

use jiff::Timestamp;

use super::memory::{AskKey, Memory, Valued};
use crate::promql::{Ask, Definition, MergeLimits, Query, merge};

/// An ask of a pass.
pub(super) struct Wish {
    pub key: AskKey,
    pub ask: Ask,
    /// How many autoscalers ask it. They share the answer, unless the query names their pods.
    pub askers: usize,
}

/// Asks that go into queries together; a query's places are places in this list.
#[derive(Default)]
pub(super) struct Group {
    pub asks: Vec<Ask>,
    /// Their places in the pass's list.
    pub places: Vec<usize>,
    pub keys: Vec<AskKey>,
    /// A query for all of these failed lately, so that they are asked apart from the others.
    pub suspects: bool,
}

/// What becomes of the asks of a pass.
#[derive(Default)]
pub(super) struct Plan {
    /// The queries to send, each with its place in `groups`.
    pub queries: Vec<(usize, Query)>,
    pub groups: Vec<Group>,
    /// Places of asks whose values are known already.
    pub known: Vec<(usize, Valued)>,
    /// Places of asks that are not in the budget.
    pub left_out: Vec<usize>,
    /// Places of asks that name pods, and how many queries each may send.
    pub singles: Vec<(usize, usize)>,
    /// Queries left in the budget, for dividing those that fail.
    pub spare: usize,
    /// Not everything can be asked.
    pub scarce: bool,
}

/// The evaluation time of a definition's queries in a pass at `now`.
pub(super) fn evaluated_at(definition: &Definition, now: Timestamp) -> Timestamp {
    let step = i64::try_from(definition.step.as_millis()).unwrap_or(i64::MAX);
    let now = now.as_millisecond();
    let millis = if step == 0 { now } else { now - now.rem_euclid(step) };
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// One question to send, or several of one ask.
struct Unit {
    /// When the one of its asks that waits longest was asked last.
    last_asked: u64,
    cost: usize,
    what: What,
}

enum What {
    Query(usize, Query),
    Single(usize),
}

impl Plan {
    /// The plan of a pass at `now`: what is asked, and in which queries. `memory` learns who is left out, so that they come
    /// first in the next pass.
    pub(super) fn new(
        wishes: &[Wish],
        memory: &mut Memory,
        budget: usize,
        limits: MergeLimits,
        now: Timestamp,
    ) -> Self {
        let mut plan = Self::default();
        let mut units = Vec::new();
        let [mut others, mut suspects] = [false, true].map(|suspects| Group {
            suspects,
            ..Group::default()
        });
        for (place, wish) in wishes.iter().enumerate() {
            let at = evaluated_at(&wish.ask.definition, now);
            if wish.ask.needs_pods() {
                let (last_asked, cost) = (memory.last_asked(&wish.key), wish.askers);
                let what = What::Single(place);
                units.push(Unit { last_asked, cost, what });
            } else if let Some(valued) = memory.evaluated(&wish.key, at) {
                plan.known.push((place, valued));
            } else {
                let group = match memory.suspects(&wish.key) {
                    true => &mut suspects,
                    false => &mut others,
                };
                group.asks.push(wish.ask.clone());
                group.places.push(place);
                group.keys.push(wish.key.clone());
            }
        }
        plan.groups = vec![others, suspects];
        for (i, group) in plan.groups.iter().enumerate() {
            for query in merge(&group.asks, limits) {
                let last_asked = query.asks.iter().map(|&ask| memory.last_asked(&group.keys[ask])).min();
                units.push(Unit {
                    last_asked: last_asked.unwrap_or(0),
                    cost: 1,
                    what: What::Query(i, query),
                });
            }
        }
        plan.grant(units, wishes, memory, budget);
        plan
    }

    /// Gives the budget to those who have waited longest.
    fn grant(&mut self, mut units: Vec<Unit>, wishes: &[Wish], memory: &mut Memory, budget: usize) {
        let needed: usize = units.iter().map(|unit| unit.cost).sum();
        self.scarce = needed > budget;
        if self.scarce {
            units.sort_by_key(|unit| unit.last_asked);
        }
        self.spare = budget;
        let mut granted: Vec<AskKey> = Vec::new();
        for unit in units {
            let cost = unit.cost.min(self.spare);
            self.spare -= cost;
            match unit.what {
                What::Single(place) => {
                    self.singles.push((place, cost));
                    if cost == unit.cost {
                        granted.push(wishes[place].key.clone());
                    }
                }
                What::Query(group, query) if cost == 0 => {
                    let places = &self.groups[group].places;
                    self.left_out.extend(query.asks.iter().map(|&ask| places[ask]));
                }
                What::Query(group, query) => {
                    let keys = &self.groups[group].keys;
                    granted.extend(query.asks.iter().map(|&ask| keys[ask].clone()));
                    self.queries.push((group, query));
                }
            }
        }
        if self.scarce {
            let all: Vec<AskKey> = wishes.iter().map(|wish| wish.key.clone()).collect();
            memory.note_asked(&all, granted.into_iter());
        } else {
            memory.note_all_asked();
        }
    }
}
