//! trimtab: a drop-in replacement for the Kubernetes Horizontal Pod Autoscaler.
//!
//! The rooms, in the order in which they may use each other (a room uses only rooms above it; `metrics` and
//! `cluster` do not know each other). The first block is the pure core: values in, values out, no I/O, no clock,
//! no logging, no async.
//!
//! - [`quantity`], [`selector`]: Kubernetes' numbers and label selectors, exact
//! - [`spec`]: what the user wants
//! - [`observe`]: what one sync sees
//! - [`memory`]: what a decision must remember
//! - [`decide`]: the decision, and why
//! - [`render`]: a decision as others read it
#![doc = ""]
pub mod quantity;
pub mod selector;
pub mod spec;
pub mod observe;
pub mod memory;
pub mod decide;
pub mod wire;
pub mod cluster;
pub mod controller;
