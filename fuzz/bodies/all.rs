//! Every parser of outside data with its body. libFuzzer (`fuzz/run`) and `cargo test --test fuzz` run the same list.
//!
//! A new parser is a file here, and a line in [`TARGETS`].

pub mod adapter_rules;
pub mod configuration;
pub mod custom_metrics;
pub mod discovery;
pub mod duration;
pub mod external_metrics;
pub mod hpa;
pub mod lease;
pub mod manifest;
pub mod manifest_file;
pub mod pod;
pub mod pod_metrics_json;
pub mod pod_metrics_protobuf;
pub mod prometheus_answer;
pub mod promql;
pub mod quantity;
pub mod refusal;
pub mod scale;
pub mod scenario;
pub mod selector;
pub mod stored_memory;
pub mod trace;
pub mod watch;

/// A parser, and what must hold whatever it is given.
pub struct Target {
    /// As `fuzz/run` and the file of the kept inputs name it.
    pub name: &'static str,
    /// Panics where something does not hold.
    pub check: fn(&[u8]),
}

macro_rules! targets {
    ($($read:ident $name:ident),* $(,)?) => {
        /// All of them.
        pub const TARGETS: &[Target] = &[$(Target { name: stringify!($name), check: |bytes| $read(bytes, $name::check) }),*];
    };
}

targets! {
    text adapter_rules, text configuration, text custom_metrics, text discovery, text duration, text external_metrics,
    text hpa, text lease, text manifest, text manifest_file, raw pod, text pod_metrics_json, raw pod_metrics_protobuf,
    text prometheus_answer, text promql, text quantity, raw refusal, text scale, text scenario, text selector,
    raw stored_memory, text trace, raw watch,
}

fn raw(bytes: &[u8], check: fn(&[u8])) {
    check(bytes);
}

/// What is not UTF-8 is refused before these parsers see it.
fn text(bytes: &[u8], check: fn(&str)) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        check(text);
    }
}

/// A parser's error goes into conditions and logs: it holds no more of what was read than a person can.
pub(crate) fn bounded(error: &dyn std::error::Error) {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(&error.to_string());
        cause = error.source();
    }
    assert!(
        words.chars().count() < 2000,
        "{} characters: {:.3000}",
        words.chars().count(),
        words
    );
}
