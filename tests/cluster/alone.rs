//! What concerns the whole cluster: these tests run when no other does.

mod faults;
mod install;
