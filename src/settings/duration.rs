//! Durations as people write them (`15s`, `1 hour 30 min`) and as Go prints them (`5m0s`, `1.5h`).

use std::time::Duration;

/// Reads a duration of at least 0.
///
/// # Errors
///
/// What is wrong with `text`, as the end of a sentence that begins with it.
pub fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text.starts_with('-') {
        return Err("is negative".into());
    }
    if !text.is_empty() && text != "0" && text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(format!("has no unit ({text}s?)"));
    }
    // Go's form first: it has fractions, and humantime has not.
    if let Some(duration) = crate::duration::parse(text).and_then(|duration| Duration::try_from(duration).ok()) {
        return Ok(duration);
    }
    // humantime reads M as a month; whoever writes 5M here means minutes.
    if text.contains('M') {
        return Err("has the unit M (m is a minute)".into());
    }
    humantime::parse_duration(text).map_err(|_| "is no duration".into())
}

/// Prints a duration so that [`parse`] reads the same one: `1m 30s` without its blank.
pub fn print(duration: Duration) -> String {
    humantime::format_duration(duration).to_string().replace(' ', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_s_and_go_s_forms_are_read() {
        for (text, seconds) in [
            ("15s", 15.0),
            ("5m0s", 300.0),
            ("1h30m", 5400.0),
            ("1.5h", 5400.0),
            (".5s", 0.5),
            ("100ms", 0.1),
            ("0", 0.0),
            ("0s", 0.0),
            ("+2s", 2.0),
            ("2 min", 120.0),
            ("1 hour 30 min", 5400.0),
            ("1day", 86400.0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_a_hint() {
        assert_eq!(parse("15"), Err("has no unit (15s?)".into()));
        assert_eq!(parse("5M"), Err("has the unit M (m is a minute)".into()));
        assert_eq!(parse("-5m"), Err("is negative".into()));
        for text in ["", "s", "1x", "1.2.3s", "5m0", "99999999999999999999h"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn printing_and_parsing_go_round() {
        for nanos in [
            0,
            1,
            1_500_000,
            15_000_000_000,
            5_400_000_000_000,
            86_400_000_000_000,
            90_061_001_002_003,
        ] {
            let duration = Duration::from_nanos(nanos);
            assert_eq!(parse(&print(duration)), Ok(duration), "{}", print(duration));
        }
    }
}
