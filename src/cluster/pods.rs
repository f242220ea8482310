//! The pods of the cluster, as decisions need them.

mod slim;

pub use slim::SlimPod;
