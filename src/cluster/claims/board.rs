//! All Leases of shards and seats, as the last list showed them. Pure: takes `now`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease as LeaseObject;
use tokio::time::Instant;

use super::hold::Kind;
use super::lease_of_shard;
use crate::cluster::lease::Seen;
use crate::memory::stored::uid_mark;
use crate::shards::{Holding, Sharding, Step, View, next_step};

/// What was seen of everybody.
pub(super) struct Board {
    /// What the names of all Leases begin with.
    base: String,
    sharding: Sharding,
    /// By name; others than ours are in it, too, and nobody asks for them.
    leases: BTreeMap<String, Seen>,
    /// Since when each shard that nobody holds was seen so.
    free_since: BTreeMap<u16, Instant>,
}

impl Board {
    pub(super) fn new(base: &str, sharding: Sharding) -> Self {
        Self {
            base: base.to_owned(),
            sharding,
            leases: BTreeMap::new(),
            free_since: BTreeMap::new(),
        }
    }

    /// The name of a Lease.
    pub(super) fn name(&self, kind: Kind) -> String {
        match kind {
            Kind::Shard(number) => lease_of_shard(&self.base, number),
            Kind::Seat(number) => format!("{}-replica-{number}", self.base),
        }
    }

    /// A new list takes the place of the last. The time of a Lease that nobody has written to goes on.
    pub(super) fn see(&mut self, listed: Vec<LeaseObject>, now: Instant) {
        let mut former = std::mem::take(&mut self.leases);
        for object in listed {
            if let Some(name) = object.metadata.name.clone() {
                let seen = Seen::again(former.remove(&name), object, now);
                self.leases.insert(name, seen);
            }
        }
    }

    /// A Lease as it was seen last.
    pub(super) fn seen(&self, name: &str) -> Option<Seen> {
        self.leases.get(name).cloned()
    }

    /// A seat that nobody has. Everybody looks from another one on, so that two seldom want the same.
    pub(super) fn free_seat(&self, me: &str, now: Instant) -> Option<u16> {
        let count = self.sharding.count();
        let first = u16::try_from(uid_mark(me) % u32::from(count)).unwrap_or(0);
        let mut seats = (first..count).chain(0..first);
        seats.find(|seat| self.holder(Kind::Seat(*seat), now).is_none_or(|holder| holder == me))
    }

    /// What is to be done by a process of this identity, which holds, or tries to take, the shards that are `mine`.
    pub(super) fn step(
        &mut self,
        me: &str,
        seated: bool,
        mine: &BTreeSet<u16>,
        now: Instant,
        overdue: Duration,
    ) -> Step {
        let is_free = |shard: &u16| !mine.contains(shard) && self.holder_but(me, *shard, now).is_none();
        let free: BTreeSet<u16> = self.sharding.all().filter(is_free).collect();
        self.free_since.retain(|shard, _| free.contains(shard));
        for shard in &free {
            self.free_since.entry(*shard).or_insert(now);
        }
        let holdings: Vec<Holding<'_>> = self
            .sharding
            .all()
            .map(|shard| match self.free_since.get(&shard) {
                Some(since) if now.saturating_duration_since(*since) >= overdue => Holding::Overdue,
                Some(_) => Holding::Free,
                None => Holding::By(self.holder_but(me, shard, now).unwrap_or(me)),
            })
            .collect();
        let mut members = self.members(now);
        members.remove(me);
        if seated {
            members.insert(me);
        }
        next_step(View {
            me,
            members: &members,
            shards: &holdings,
        })
    }

    /// When the first Lease that another one holds runs out, unless it is renewed.
    pub(super) fn next_end(&self, now: Instant) -> Option<Instant> {
        let held = self.leases.values().filter(|seen| !seen.holder().is_empty());
        held.map(Seen::ends).filter(|end| *end > now).min()
    }

    /// All who have a seat, but for those of whom a Lease has run out: they are dead, and their seats will be free in a moment.
    fn members(&self, now: Instant) -> BTreeSet<&str> {
        let ran_out = |seen: &&Seen| now >= seen.ends();
        let dead: BTreeSet<&str> = self.leases.values().filter(ran_out).map(Seen::holder).collect();
        let seats = self
            .sharding
            .all()
            .filter_map(|seat| self.holder(Kind::Seat(seat), now));
        seats.filter(|holder| !dead.contains(holder)).collect()
    }

    fn holder(&self, kind: Kind, now: Instant) -> Option<&str> {
        let seen = self.leases.get(&self.name(kind))?;
        (!seen.is_free(now)).then(|| seen.holder())
    }

    /// Who else holds a shard. One that is ours by its Lease alone was not given back in order, and is free to us.
    fn holder_but(&self, me: &str, shard: u16, now: Instant) -> Option<&str> {
        self.holder(Kind::Shard(shard), now).filter(|holder| *holder != me)
    }
}
