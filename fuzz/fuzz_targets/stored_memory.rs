#![no_main]

#[path = "../bodies/stored_memory.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::check(bytes));
