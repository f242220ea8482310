//! trimtab: a drop-in replacement for the Kubernetes Horizontal Pod Autoscaler.
//!
//! The rooms, in the order in which they may use each other: a room uses only rooms above it; [`metrics`] and
//! [`cluster`] do not know each other. First the pure core, values in and values out, with no I/O, no clock, no
//! logging and no async:
//!
//! - [`quantity`], [`duration`], [`selector`]: Kubernetes' and Go's notations, exact
//! - [`yaml`]: YAML whose parts know where they stand
//! - [`spec`]: what the user wants of an autoscaler
//! - [`observe`]: what one sync sees
//! - [`memory`]: what a decision must remember
//! - [`decide`]: the decision, and why
//! - [`render`]: a decision as others read it
//! - [`promql`]: which PromQL answers for which metric, and how many questions become few queries
//! - [`shards`]: which namespaces belong together, and which replica takes which of them
//! - [`settings`]: the process's validated settings
//!
//! Then the outside world, and the loop over it:
//!
//! - [`clock`]: the one place that reads the time
//! - [`files`]: files read up to a bound
//! - [`manifests`]: autoscalers that stand in files
//! - [`wire`]: one bounded request to an API server
//! - [`metrics`]: the metric sources
//! - [`cluster`]: the Kubernetes API: caches, scale writes, status, Events, leases
//! - [`controller`]: when to sync; gather, decide, act
//! - [`telemetry`]: logs, exported metrics, health
//! - [`sim`]: autoscalers decided in virtual time, from scenario files
//! - [`commands`]: the command line

pub mod clock;
pub mod cluster;
pub mod commands;
pub mod controller;
pub mod decide;
pub mod duration;
pub mod files;
pub mod manifests;
pub mod memory;
pub mod metrics;
pub mod observe;
pub mod promql;
pub mod quantity;
pub mod render;
pub mod selector;
pub mod settings;
pub mod shards;
pub mod sim;
pub mod spec;
pub mod telemetry;
pub mod wire;
pub mod yaml;
