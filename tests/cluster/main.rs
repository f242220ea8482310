//! Tests on a real control plane with real resource metrics: `tests/run cluster`, or see tests/cluster/README.md.
//!
//! Each test has a namespace and a controller of its own, and they run at the same time. Those in [`reference`] have a
//! second cluster, where Kubernetes' own autoscaler is on; those in [`alone`] act on the whole cluster, and have one each.

mod harness;

mod agreement;
mod alone;
mod commands;
mod degraded;
mod demo;
mod dry_run;
mod failing;
mod first_try;
mod folder;
mod hostile;
mod memory;
mod metric_types;
mod qps;
mod reference;
mod restarts;
mod rights;
mod rules;
mod scaling;
mod targets;
