//! A merged query that fails for what may lie with a part of it is divided until the others have their answer.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::plan::Group;
use super::round::{Outcome, Sender};
use super::server::failure;
use crate::metrics::failure::SourceError;
use crate::promql::Query;

/// The most queries that dividing one may cost: one culprit among 5000 is found by 26.
const DIVISIONS: usize = 64;

/// After so many without one success it lies with all of them: five levels of halves, and no half without a culprit.
const HOPELESS: usize = 30;

type Outcomes = Arc<FxHashMap<usize, Outcome>>;

impl Sender {
    /// What the asks of a query came to, by their places in the pass.
    pub(super) async fn outcomes(self: Arc<Self>, group: Arc<Group>, query: Query) -> Outcomes {
        let at = self.evaluated_at(&group, &query);
        let outcomes = match self.query(&query.text, at).await {
            Ok(answer) => self.split(&group, &query, answer).await,
            Err(error) if may_lie_with_a_part(&error) => match self.known_failures(&group, &query) {
                Some(known) => known,
                None => self.divide(&group, query, error).await,
            },
            Err(error) => self.all_fail(&group, &query, &error),
        };
        let by_place = outcomes.into_iter().map(|(ask, outcome)| (group.places[ask], outcome));
        Arc::new(by_place.collect())
    }

    /// The failures of suspects, where it is too early to divide their query again.
    fn known_failures(&self, group: &Group, query: &Query) -> Option<Vec<(usize, Outcome)>> {
        if !group.suspects {
            return None;
        }
        let memory = self.server.memory.lock();
        let known = query.asks.iter().map(|&ask| {
            let error = memory.known_failure(&group.keys[ask])?;
            Some((ask, Err(error)))
        });
        known.collect()
    }

    /// Breadth first, so that one success anywhere is soon found.
    async fn divide(&self, group: &Arc<Group>, query: Query, error: SourceError) -> Vec<(usize, Outcome)> {
        let at = self.evaluated_at(group, &query);
        let (mut sent, mut succeeded) = (0, false);
        let mut outcomes = Vec::with_capacity(query.asks.len());
        let mut failing = VecDeque::from([(query, error)]);
        while let Some((query, error)) = failing.pop_front() {
            let worth_it = sent < DIVISIONS && (succeeded || sent < HOPELESS);
            let halves = query.halves(&group.asks).filter(|_| worth_it && self.take(2));
            let Some(halves) = halves else {
                outcomes.extend(self.suspected(group, &query, &error));
                continue;
            };
            for half in halves {
                sent += 1;
                match self.query(&half.text, at).await {
                    Ok(answer) => {
                        succeeded = true;
                        outcomes.extend(self.split(group, &half, answer).await);
                    }
                    Err(error) if may_lie_with_a_part(&error) => failing.push_back((half, error)),
                    Err(error) => outcomes.extend(self.all_fail(group, &half, &error)),
                }
            }
        }
        outcomes
    }

    /// The failure lies with these, or it is not known with which of them.
    fn suspected(&self, group: &Group, query: &Query, error: &SourceError) -> Vec<(usize, Outcome)> {
        let mut memory = self.server.memory.lock();
        let suspect = |&ask: &usize| (ask, memory.suspect(&group.keys[ask], error));
        let suspects: Vec<(usize, SourceError)> = query.asks.iter().map(suspect).collect();
        drop(memory);
        if let Some((ask, error)) = suspects.first() {
            let metric = &group.asks[*ask].definition.name;
            self.server.tell_query(&group.keys[*ask], metric, suspects.len(), error);
        }
        suspects.into_iter().map(|(ask, error)| (ask, Err(error))).collect()
    }

    fn all_fail(&self, group: &Group, query: &Query, error: &SourceError) -> Vec<(usize, Outcome)> {
        if failure(error).is_some_and(|failure| failure.is_of_the_query())
            && let Some(&ask) = query.asks.first()
        {
            let metric = &group.asks[ask].definition.name;
            self.server
                .tell_query(&group.keys[ask], metric, query.asks.len(), error);
        }
        query.asks.iter().map(|&ask| (ask, Err(error.clone()))).collect()
    }
}

fn may_lie_with_a_part(error: &SourceError) -> bool {
    failure(error).is_some_and(|failure| failure.may_lie_with_a_part())
}
