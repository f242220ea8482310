//! Who decides for which namespaces, where several processes share a cluster: namespaces belong to shards, shards are held by
//! replicas, and both rules are values in, values out.
//!
//! A namespace belongs to a shard for good ([`Sharding`]), whoever runs; who holds a shard changes ([`next_step`]), and the
//! Leases of `cluster::shards` say so.

mod balance;
mod place;

pub use balance::{Holding, Step, View, next_step, quota};
pub use place::{MOST_SHARDS, Sharding};
