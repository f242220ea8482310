#![no_main]

#[path = "../bodies/adapter_rules.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|text: &str| body::check(text));
