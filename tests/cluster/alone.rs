//! What concerns the whole cluster: each of these tests has one of its own.

mod faults;
mod install;
mod prometheus;
mod switch;
