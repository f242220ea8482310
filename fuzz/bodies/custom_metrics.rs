//! Any text is an answer of the custom metrics API or an error whose message has a bound; read for pods and for objects it says
//! the same.

use std::sync::Arc;

use trimtab::metrics::custom::{PodValues, decode, object_reading, pods_reading};
use trimtab::observe::{Pod, PodPhase};

pub fn check(text: &str) {
    let values = match (decode(text), PodValues::decode(text)) {
        (Ok(values), Ok(of_pods)) => {
            assert_eq!(values.is_empty(), of_pods.is_empty());
            values
        }
        (Err(error), Err(_)) => return super::bounded(&error),
        (values, of_pods) => panic!("{values:?} but {of_pods:?}"),
    };
    let _ = object_reading(&values);
    let pods = ["web-1", "web-2"].map(|name| Pod {
        name: name.into(),
        phase: PodPhase::Running,
        terminating: false,
        ready: None,
        started: None,
        requests: Arc::default(),
    });
    let alone = pods_reading(&values, &pods);
    let mut among_all = PodValues::decode(text).expect("it was read before");
    assert_eq!(among_all.reading(&pods), alone);
    among_all.mark_unknown(|name| name == "web-1");
    let _ = among_all.reading_among_all(&pods);
}
