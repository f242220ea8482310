use proptest::prelude::*;

use super::*;

/// A cluster of replicas that see the Leases as they are.
#[derive(Clone, Debug)]
struct Cluster {
    members: BTreeSet<String>,
    shards: Vec<Option<String>>,
    moved: usize,
}

impl Cluster {
    fn new(shards: u16, members: u16) -> Self {
        Self {
            members: (0..members).map(|number| format!("replica-{number}")).collect(),
            shards: vec![None; usize::from(shards)],
            moved: 0,
        }
    }

    fn step_of(&self, me: &str) -> Step {
        let members = self.members.iter().map(String::as_str).collect();
        let holders = self.shards.iter().map(Option::as_deref);
        let shards: Vec<Holding<'_>> = holders
            .map(|holder| holder.map_or(Holding::Free, Holding::By))
            .collect();
        next_step(View {
            me,
            members: &members,
            shards: &shards,
        })
    }

    /// A replica looks, and does what it has to.
    fn turn(&mut self, me: &str) -> bool {
        let step = self.step_of(me);
        for shard in &step.claim {
            let holder = &mut self.shards[usize::from(*shard)];
            assert_eq!(*holder, None, "only what is free is taken");
            *holder = Some(me.to_owned());
            self.moved += 1;
        }
        if let Some(shard) = step.give_back {
            assert_eq!(self.shards[usize::from(shard)].take().as_deref(), Some(me));
        }
        step != Step::default()
    }

    /// Everybody has turns, in this order and again, until nobody has anything to do; gives how many rounds that took.
    fn settle(&mut self, order: &[usize]) -> usize {
        let members: Vec<String> = self.members.iter().cloned().collect();
        for round in 0..200 {
            let mut busy = false;
            for number in order {
                busy |= self.turn(&members[number % members.len()]);
            }
            for member in &members {
                busy |= self.turn(member);
            }
            if !busy {
                return round;
            }
        }
        panic!("it never comes to rest: {self:?}")
    }

    fn counts(&self) -> Vec<usize> {
        let held = |member: &String| {
            self.shards
                .iter()
                .filter(|holder| holder.as_ref() == Some(member))
                .count()
        };
        self.members.iter().map(held).collect()
    }

    fn is_balanced(&self) -> bool {
        let counts = self.counts();
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        self.shards.iter().all(Option::is_some) && most - least <= 1
    }

    fn kill(&mut self, number: usize) {
        let member = self.members.iter().nth(number % self.members.len()).unwrap().clone();
        self.members.remove(&member);
        for holder in self.shards.iter_mut().filter(|holder| holder.as_ref() == Some(&member)) {
            *holder = None;
        }
    }
}

proptest! {
    #[test]
    fn whatever_comes_and_goes_shares_differ_by_one_at_most(
        shards in 1..=20_u16,
        members in 1..=8_u16,
        order in proptest::collection::vec(0..20_usize, 0..30),
        events in proptest::collection::vec((any::<bool>(), 0..20_usize), 0..12),
    ) {
        let mut cluster = Cluster::new(shards, members);
        cluster.settle(&order);
        prop_assert!(cluster.is_balanced(), "{cluster:?}");
        for (number, (comes, which)) in events.into_iter().enumerate() {
            match comes {
                true => { cluster.members.insert(format!("late-{number}-{which}")); }
                false if cluster.members.len() > 1 => cluster.kill(which),
                false => {}
            }
            cluster.settle(&order);
            prop_assert!(cluster.is_balanced(), "{cluster:?}");
        }
    }

    #[test]
    fn a_newcomer_costs_no_more_moves_than_its_share(shards in 1..=40_u16, members in 1..=8_u16) {
        let mut cluster = Cluster::new(shards, members);
        cluster.settle(&[]);
        cluster.moved = 0;
        cluster.members.insert("newcomer".to_owned());
        cluster.settle(&[]);
        prop_assert!(cluster.moved <= usize::from(shards / (members + 1)), "{} moves", cluster.moved);
    }

    #[test]
    fn what_a_dead_replica_held_is_taken_at_once_and_nothing_else_moves(
        shards in 1..=40_u16, members in 2..=8_u16, which in 0..8_usize,
    ) {
        let mut cluster = Cluster::new(shards, members);
        cluster.settle(&[]);
        let before = cluster.shards.clone();
        cluster.kill(which);
        // Everybody looks at the same moment: nobody wants what another one takes, and nothing is left.
        let steps: Vec<(String, Step)> =
            cluster.members.iter().map(|member| (member.clone(), cluster.step_of(member))).collect();
        for (member, step) in steps {
            prop_assert_eq!(step.give_back, None);
            for shard in step.claim {
                prop_assert_eq!(cluster.shards[usize::from(shard)].replace(member.clone()), None);
            }
        }
        prop_assert!(cluster.is_balanced(), "{:?}", cluster);
        for (before, after) in before.iter().zip(&cluster.shards) {
            prop_assert!(before == after || !cluster.members.contains(before.as_ref().unwrap()));
        }
    }

    #[test]
    fn views_that_lag_behind_do_no_more_than_cost_time(
        shards in 1..=12_u16,
        members in 1..=5_u16,
        turns in proptest::collection::vec((0..5_usize, 0..4_usize), 0..60),
    ) {
        let mut cluster = Cluster::new(shards, members);
        let names: Vec<String> = cluster.members.iter().cloned().collect();
        let mut past = vec![cluster.clone()];
        for (who, lag) in turns {
            let me = &names[who % names.len()];
            let mut seen = past[past.len().saturating_sub(lag + 1)].clone();
            // What it holds itself it always knows.
            for (seen, now) in seen.shards.iter_mut().zip(&cluster.shards) {
                if seen.as_ref() == Some(me) || now.as_ref() == Some(me) {
                    seen.clone_from(now);
                }
            }
            let step = seen.step_of(me);
            for shard in step.claim {
                // As a Lease does it: who comes first has it.
                cluster.shards[usize::from(shard)].get_or_insert_with(|| me.clone());
            }
            if let Some(shard) = step.give_back {
                prop_assert_eq!(cluster.shards[usize::from(shard)].take(), Some(me.clone()));
            }
            past.push(cluster.clone());
        }
        cluster.settle(&[]);
        prop_assert!(cluster.is_balanced(), "{cluster:?}");
    }
}

#[test]
fn there_may_be_more_replicas_than_shards() {
    let mut cluster = Cluster::new(2, 5);
    cluster.settle(&[]);
    let mut counts = cluster.counts();
    counts.sort_unstable();
    assert_eq!(counts, [0, 0, 0, 1, 1]);
}

#[test]
fn what_nobody_has_taken_for_long_is_taken_by_anybody() {
    let members = BTreeSet::from(["a", "b"]);
    let shards = [Holding::By("a"), Holding::Overdue];
    let view = View {
        me: "a",
        members: &members,
        shards: &shards,
    };
    assert_eq!(
        next_step(view),
        Step {
            claim: vec![1],
            give_back: None
        }
    );
    // It goes to whoever should have it once that one takes its part again.
    let shards = [Holding::By("a"), Holding::By("a")];
    let view = View {
        me: "a",
        members: &members,
        shards: &shards,
    };
    assert!(next_step(view).give_back.is_some());
    assert_eq!((quota(view), quota(View { me: "nobody", ..view })), (1, 0));
}

#[test]
fn shards_of_one_that_is_no_member_are_left_to_it() {
    let members = BTreeSet::from(["a"]);
    let shards = [Holding::By("a"), Holding::By("stranger")];
    let view = View {
        me: "a",
        members: &members,
        shards: &shards,
    };
    assert_eq!(next_step(view), Step::default());
    let view = View { me: "stranger", ..view };
    assert_eq!(next_step(view).give_back, Some(1));
}
