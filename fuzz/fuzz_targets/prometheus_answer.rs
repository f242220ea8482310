#![no_main]

#[path = "../bodies/prometheus_answer.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|text: &str| body::check(text));
