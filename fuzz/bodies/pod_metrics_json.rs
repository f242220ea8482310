//! Any text is a list of PodMetrics in JSON or an error whose message has a bound, and what it holds can be joined with pods.

use std::sync::Arc;

use trimtab::metrics::resource::{Usages, reading};
use trimtab::observe::{Pod, PodPhase};
use trimtab::selector::Selector;

pub fn check(text: &str) {
    let mut usages = match Usages::decode(text) {
        Ok(usages) => usages,
        Err(error) => return super::bounded(&error),
    };
    let pods = ["web-1", "web-2"].map(|name| Pod {
        name: name.into(),
        phase: PodPhase::Running,
        terminating: false,
        ready: None,
        started: None,
        requests: Arc::default(),
    });
    let selector = Selector::parse("app=web").expect("it is a selector");
    let joined = |usages: &Usages| {
        ["cpu", "memory"].map(|resource| {
            [None, Some("app")].map(|container| reading(&usages.of("shop"), &selector, &pods, resource, container))
        })
    };
    let plain = joined(&usages);
    // Knowing nobody makes nobody less of a stranger.
    usages.mark_strangers(|_, _, _| {});
    assert_eq!(joined(&usages), plain);
}
