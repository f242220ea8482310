//! Which shard a namespace belongs to: rendezvous hashing.

use std::num::NonZeroU16;

/// The most shards. Each has a Lease that is written every two seconds, and 64 processes share the largest clusters out.
pub const MOST_SHARDS: u16 = 64;

/// How many shards there are, and so which of them each namespace belongs to.
///
/// Every process that decides for the same cluster must come to the same answer, in every version of trimtab: the hash is
/// written down here, belongs to nobody else's library, and has its answers in a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sharding(NonZeroU16);

impl Sharding {
    /// So many shards, from 1 to [`MOST_SHARDS`]; `None` outside of that.
    pub fn new(shards: u16) -> Option<Self> {
        let shards = NonZeroU16::new(shards)?;
        (shards.get() <= MOST_SHARDS).then_some(Self(shards))
    }

    /// How many there are.
    pub fn count(self) -> u16 {
        self.0.get()
    }

    /// Every shard's number.
    pub fn all(self) -> impl Iterator<Item = u16> {
        0..self.count()
    }

    /// The shard of a namespace: the one whose number and the namespace together weigh most. So one more shard takes
    /// namespaces from all others and moves none between them.
    pub fn shard_of(self, namespace: &str) -> u16 {
        let name = hash(namespace.as_bytes());
        let heaviest = self.all().max_by_key(|shard| (weight(name, *shard), u16::MAX - shard));
        heaviest.unwrap_or(0)
    }
}

/// What a shard weighs for something with this hash.
pub(super) fn weight(hash: u64, shard: u16) -> u64 {
    mix(hash ^ mix(u64::from(shard).wrapping_add(1)))
}

/// FNV-1a of 64 bits.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// SplitMix64's step: FNV alone hardly mixes the last bytes into the high bits.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sharding(shards: u16) -> Sharding {
        Sharding::new(shards).unwrap()
    }

    #[test]
    fn the_same_namespace_belongs_to_the_same_shard_in_every_version() {
        let shards = |namespace| [1, 2, 3, 5, 16, 64].map(|shards| sharding(shards).shard_of(namespace));
        for (namespace, expected) in [
            ("default", [0, 0, 0, 3, 12, 12]),
            ("kube-system", [0, 0, 0, 3, 3, 19]),
            ("shop", [0, 1, 1, 1, 1, 1]),
            ("shop-1", [0, 1, 1, 1, 1, 51]),
            ("shop-2", [0, 0, 0, 4, 7, 23]),
            ("a", [0, 1, 2, 4, 14, 55]),
        ] {
            assert_eq!(shards(namespace), expected, "{namespace}");
        }
    }

    #[test]
    fn there_are_from_1_to_64_shards() {
        assert_eq!(Sharding::new(0), None);
        assert_eq!(Sharding::new(65), None);
        assert_eq!(sharding(64).all().count(), 64);
    }

    /// Names as clusters have them: numbered, so that they differ in their last bytes alone.
    #[test]
    fn shards_have_about_the_same_number_of_namespaces() {
        for shards in [2, 3, 4, 8, 16] {
            let mut counts = vec![0_u32; usize::from(shards)];
            for number in 0..4_000 {
                counts[usize::from(sharding(shards).shard_of(&format!("team-{number}")))] += 1;
            }
            let fair = 4_000.0 / f64::from(shards);
            // Four standard deviations of a fair draw.
            let allowed = 4.0 * (fair * (1.0 - 1.0 / f64::from(shards))).sqrt();
            let far = |count: &u32| (f64::from(*count) - fair).abs() > allowed;
            assert!(!counts.iter().any(far), "{shards} shards: {counts:?}");
        }
    }

    proptest! {
        #[test]
        fn one_more_shard_moves_namespaces_to_itself_alone(namespace in "[a-z0-9-]{1,63}", shards in 1..MOST_SHARDS) {
            let before = sharding(shards).shard_of(&namespace);
            let after = sharding(shards + 1).shard_of(&namespace);
            prop_assert!(before < shards);
            prop_assert!(after == before || after == shards);
        }
    }
}
