//! Any text is an answer of Prometheus or an error, whose message has a bound.

use trimtab::metrics::prometheus::answer::{decode, decode_values, refusal};

pub fn check(text: &str) {
    match decode(text) {
        Ok(answer) => {
            for series in &answer.series {
                assert!(series.labels.is_sorted(), "{text:?}");
                assert!(series.labels.windows(2).all(|pair| pair[0].0 != pair[1].0), "{text:?}");
            }
        }
        Err(error) => assert!(error.to_string().chars().count() < 1200, "{error}"),
    }
    let _ = decode_values(text, 10);
    let _ = refusal(text);
}
