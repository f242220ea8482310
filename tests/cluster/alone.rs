//! What concerns the whole cluster: each of these tests has one of its own.

mod custom_metrics;
mod faults;
mod install;
mod memory;
mod prometheus;
mod reaction;
mod shards;
mod switch;
