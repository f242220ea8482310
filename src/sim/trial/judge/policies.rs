//! Scaling policies, calculated once more and apart from `decide`: how far a count may go at once.

use std::time::Duration;

use serde_json::Value;

/// A count that was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scaled {
    pub(super) at: Duration,
    pub(super) from: i32,
    pub(super) to: i32,
    pub(super) counts: Counts,
    /// When the process knew of it.
    pub(super) known: Duration,
    /// Whether it was in the store before it was done.
    pub(super) saved: bool,
    /// Whether whoever sees its count next knows by it that it took place.
    pub(super) is_open: bool,
    /// Whether a former leader's successor was to know it as done.
    pub(super) is_kept: bool,
}

/// Whether the process remembers a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counts {
    Surely,
    /// It was not told, or another process was, and found out by the count; it takes the write for as late as that.
    Found,
    /// It was not told, and finds out by the count or does not; or its memory may be lost.
    Perhaps,
}

/// A write counts for a policy's period; at its very edge it may count or not, since clocks are read some milliseconds apart.
const SLACK: Duration = Duration::from_millis(200);

/// A write of which a process was not told is taken for as late as its count is seen: some passes later where answers are lost.
const FOUND_WITHIN: Duration = Duration::from_secs(120);

/// Whether the policies of an autoscaler's spec allow a change, after all that was written before.
///
/// # Errors
///
/// The count that they allow.
pub(super) fn allowed(spec: &Value, before: &[Scaled], now: Duration, from: i32, to: i32) -> Result<(), String> {
    if to == from {
        return Ok(());
    }
    let up = to > from;
    let limit = match &spec["behavior"] {
        // Without a behavior a count may double, or rise to 4, and fall as it likes.
        Value::Null if up => i64::from(from).saturating_mul(2).max(4),
        Value::Null => return Ok(()),
        behavior => {
            let rules = &behavior[if up { "scaleUp" } else { "scaleDown" }];
            let policies = rules["policies"].as_array().map_or(&[][..], Vec::as_slice);
            let limits = policies.iter().map(|policy| limit(policy, before, now, from, up));
            let chosen = match (rules["selectPolicy"].as_str(), up) {
                (Some("Disabled"), _) => Some(i64::from(from)),
                (Some("Min"), true) | (Some("Max") | None, false) => limits.min(),
                _ => limits.max(),
            };
            chosen.unwrap_or(from.into())
        }
    };
    let fits = if up {
        i64::from(to) <= limit.max(from.into())
    } else {
        i64::from(to) >= limit.min(from.into())
    };
    if fits {
        Ok(())
    } else {
        Err(format!("its policies allow {limit}"))
    }
}

/// How far one policy lets a count go at most: what may count or not counts where that allows more.
fn limit(policy: &Value, before: &[Scaled], now: Duration, from: i32, up: bool) -> i64 {
    let value = policy["value"].as_i64().unwrap_or(0);
    let period = Duration::from_secs(policy["periodSeconds"].as_u64().unwrap_or(0));
    let counts = |scaled: &&Scaled| {
        let age = now.saturating_sub(scaled.at);
        let allows_more = (scaled.to < scaled.from) == up;
        match (scaled.counts, allows_more) {
            (Counts::Surely, true) => age < period,
            (Counts::Surely | Counts::Found, false) => age < period.saturating_sub(SLACK),
            (Counts::Found | Counts::Perhaps, true) => age < period + FOUND_WITHIN,
            (Counts::Perhaps, false) => false,
        }
    };
    let within = before.iter().filter(counts);
    let changed: i64 = within.map(|scaled| i64::from(scaled.to) - i64::from(scaled.from)).sum();
    let at_start = i64::from(from) - changed;
    match (policy["type"] == "Percent", up) {
        (false, true) => at_start + value,
        (false, false) => at_start - value,
        (true, true) => (at_start as f64 * (1.0 + value as f64 / 100.0)).ceil() as i64,
        (true, false) => (at_start as f64 * (1.0 - value as f64 / 100.0)) as i64,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_written_within_the_period_counts() {
        let at = Duration::from_secs;
        let spec = |policy: Value| {
            json!({ "behavior": { "scaleUp": { "policies": [policy] }, "scaleDown": { "policies": [
            { "type": "Percent", "value": 50, "periodSeconds": 60 }] } } })
        };
        let pods = spec(json!({ "type": "Pods", "value": 4, "periodSeconds": 60 }));
        let written = [Scaled {
            at: at(100),
            from: 2,
            to: 5,
            counts: Counts::Surely,
            known: at(100),
            saved: true,
            is_open: false,
            is_kept: false,
        }];
        assert_eq!(allowed(&pods, &written, at(150), 5, 6), Ok(()));
        assert_eq!(
            allowed(&pods, &written, at(150), 5, 7),
            Err("its policies allow 6".to_owned())
        );
        assert_eq!(allowed(&pods, &written, at(161), 5, 9), Ok(()));
        let percent = spec(json!({ "type": "Percent", "value": 100, "periodSeconds": 60 }));
        assert_eq!(
            allowed(&percent, &written, at(150), 5, 6),
            Err("its policies allow 4".to_owned())
        );
        let fallen = [Scaled {
            from: 6,
            counts: Counts::Perhaps,
            ..written[0]
        }];
        assert_eq!(allowed(&pods, &fallen, at(279), 5, 10), Ok(()), "it may count");
        assert!(allowed(&pods, &fallen, at(281), 5, 10).is_err());
        let found = [Scaled {
            counts: Counts::Found,
            ..written[0]
        }];
        assert!(allowed(&pods, &found, at(150), 5, 7).is_err());
        assert_eq!(allowed(&percent, &[], at(150), 9, 4), Ok(()));
        assert!(allowed(&percent, &[], at(150), 9, 3).is_err());
        assert!(allowed(&json!({}), &[], at(0), 5, 11).is_err() && allowed(&json!({}), &[], at(0), 1, 4).is_ok());
    }
}
