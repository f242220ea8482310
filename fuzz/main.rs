//! One binary for all parsers: `TARGET` names the one that libFuzzer drives. `fuzz/run` builds and runs it.
#![no_main]

#[path = "bodies/all.rs"]
mod bodies;

use std::sync::LazyLock;

static CHECK: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("TARGET").unwrap_or_default();
    let target = bodies::TARGETS.iter().find(|target| target.name == name);
    let names: Vec<_> = bodies::TARGETS.iter().map(|target| target.name).collect();
    target.unwrap_or_else(|| panic!("TARGET={name}, want one of {}", names.join(" "))).check
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| CHECK(bytes));
