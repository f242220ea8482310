//! Which shards a replica takes and gives back: everybody looks at the same Leases and comes to the same shares, so that
//! nobody has to be asked.
//!
//! - Shares differ by one at most. Who holds one more than others goes on doing so.
//! - A free shard has one replica whose turn it is to take it. Whether that succeeds, its Lease says.
//! - A replica over its share gives one shard back, and the next when nothing is free any more. So at most one shard of
//!   each replica is on its way at any time, and nothing is given back that others have no hands for.

use std::collections::{BTreeMap, BTreeSet};

use super::place::{hash, weight};

/// A shard, as its Lease shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding<'a> {
    /// Nobody holds it: it was given back, has run out, or never was held.
    Free,
    /// It is free for so long that whoever should have taken it will not: anybody may.
    Overdue,
    /// This replica holds it.
    By(&'a str),
}

/// What a replica sees.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Its own name.
    pub me: &'a str,
    /// The names of all replicas that live and want shards. Not in it ourselves, we are to take nothing, and give back all.
    pub members: &'a BTreeSet<&'a str>,
    /// All shards, by number.
    pub shards: &'a [Holding<'a>],
}

/// What to do now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Shards to take.
    pub claim: Vec<u16>,
    /// A shard to give back, once its syncs have ended and its memory is saved.
    pub give_back: Option<u16>,
}

/// What the replica that sees this does next. Seen alike by all, nobody wants what another one is to take.
pub fn next_step(view: View<'_>) -> Step {
    let quotas = quotas(&view);
    let mut held = held(&view);
    let mut step = Step::default();
    let mut nothing_is_free = true;
    for (shard, holding) in (0..).zip(view.shards) {
        let mine = match holding {
            Holding::By(_) => continue,
            // Whoever was to take it has not, and so we do, more than our share if need be.
            Holding::Overdue => true,
            Holding::Free => match whose_turn(shard, &quotas, &held) {
                Some(member) => {
                    *held.entry(member).or_default() += 1;
                    member == view.me
                }
                None => false,
            },
        };
        nothing_is_free = false;
        if mine {
            step.claim.push(shard);
        }
    }
    let over = held.get(view.me).copied().unwrap_or(0) > quotas.get(view.me).copied().unwrap_or(0);
    // With all replicas at or over their shares, which takes one that is no member, giving back would help nobody.
    let wanted = quotas
        .iter()
        .any(|(member, quota)| held.get(member).copied().unwrap_or(0) < *quota);
    if nothing_is_free && over && wanted {
        step.give_back = lightest(view);
    }
    step
}

/// How many shards a replica should hold; 0 of one that is no member.
pub fn quota(view: View<'_>) -> usize {
    quotas(&view).get(view.me).copied().unwrap_or(0)
}

/// Everybody's share.
fn quotas<'a>(view: &View<'a>) -> BTreeMap<&'a str, usize> {
    let count = view.members.len().max(1);
    let (least, larger) = (view.shards.len() / count, view.shards.len() % count);
    let held = held(view);
    let has_more = |member: &str| held.get(member).copied().unwrap_or(0) > least;
    let (mut first, rest): (Vec<&str>, Vec<&str>) = view.members.iter().partition(|member| has_more(member));
    first.extend(rest);
    let quota = |number| least + usize::from(number < larger);
    (0..)
        .zip(first)
        .map(|(number, member)| (member, quota(number)))
        .collect()
}

fn held<'a>(view: &View<'a>) -> BTreeMap<&'a str, usize> {
    let mut held = BTreeMap::new();
    for holding in view.shards {
        if let Holding::By(holder) = holding {
            *held.entry(*holder).or_default() += 1;
        }
    }
    held
}

/// Of those below their share, the one that is furthest below; of several, the one for which the shard weighs most.
fn whose_turn<'a>(shard: u16, quotas: &BTreeMap<&'a str, usize>, held: &BTreeMap<&'a str, usize>) -> Option<&'a str> {
    let lacking = |member: &str, quota: usize| quota.saturating_sub(held.get(member).copied().unwrap_or(0));
    quotas
        .iter()
        .map(|(member, quota)| (lacking(member, *quota), *member))
        .filter(|(lacking, _)| *lacking > 0)
        .max_by_key(|(lacking, member)| (*lacking, weight(hash(member.as_bytes()), shard)))
        .map(|(_, member)| member)
}

/// Of the shards that we hold, the one that weighs least for us: so everybody gives back what it would take last.
fn lightest(view: View<'_>) -> Option<u16> {
    let me = hash(view.me.as_bytes());
    let mine = (0..)
        .zip(view.shards)
        .filter(|(_, holding)| **holding == Holding::By(view.me));
    mine.map(|(shard, _)| shard).min_by_key(|shard| weight(me, *shard))
}

#[cfg(test)]
mod tests;
