//! Any text is a trace or an error that says where; a trace has a load at all times, between nothing and its peak.

use std::time::Duration;

use trimtab::sim::load::trace::Trace;

pub fn check(text: &str) {
    let trace = match Trace::parse(text) {
        Ok(trace) => trace,
        Err(problem) => return super::bounded(&problem),
    };
    for at in [0, 1, 59, 60, 86_400, u64::MAX] {
        let load = trace.at(Duration::from_secs(at));
        // A sum of three rounded numbers.
        let (least, most) = (-1e-6, trace.peak() * (1.0 + 1e-9));
        assert!((least..=most).contains(&load), "{load} at {at} s, of {most} at most");
    }
}
