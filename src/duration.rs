//! Durations as Go writes them: `1m30s`, `500ms`, `-15s`.

use jiff::SignedDuration;

/// The duration that `text` stands for; `None` where it is none, or longer than 292 years, Go's own bound.
pub fn parse(text: &str) -> Option<SignedDuration> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(SignedDuration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut nanos: i128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let unit: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') || number.len() > 30 {
            return None;
        }
        let parse = |digits: &str| {
            if digits.is_empty() {
                Some(0i128)
            } else {
                digits.parse().ok()
            }
        };
        nanos = nanos.checked_add(parse(whole)?.checked_mul(unit)?)?;
        // Finer than Go's own nanosecond: cut off.
        let fraction = &fraction[..fraction.len().min(13)];
        nanos += parse(fraction)? * unit / 10i128.pow(fraction.len() as u32);
        rest = after;
    }
    let nanos = i64::try_from(if negative { -nanos } else { nanos }).ok()?;
    Some(SignedDuration::from_nanos(nanos))
}

/// `duration` as Go prints it, to the millisecond: `0s`, `15s`, `1m30s`, `1h0m0s`, `1.5s`.
pub fn print(duration: SignedDuration) -> String {
    let millis = duration.as_millis();
    let (sign, millis) = if millis < 0 { ("-", -millis) } else { ("", millis) };
    let (hours, minutes) = (millis / 3_600_000, millis / 60_000 % 60);
    let (seconds, rest) = (millis / 1000 % 60, millis % 1000);
    let fraction = if rest == 0 {
        String::new()
    } else {
        format!(".{rest:03}").trim_end_matches('0').to_owned()
    };
    match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}{fraction}s"),
        (0, _) => format!("{sign}{minutes}m{seconds}{fraction}s"),
        _ => format!("{sign}{hours}h{minutes}m{seconds}{fraction}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_what_go_does() {
        for (text, millis) in [
            ("0s", 0),
            ("15s", 15_000),
            ("1m30s", 90_000),
            ("5m0s", 300_000),
            ("1h0m0s", 3_600_000),
            ("1.5s", 1_500),
            ("-2s", -2_000),
        ] {
            let duration = SignedDuration::from_millis(millis);
            assert_eq!(parse(text), Some(duration), "{text}");
            assert_eq!(print(duration), text);
        }
        assert_eq!(parse("250ms"), Some(SignedDuration::from_millis(250)));
        assert_eq!(parse("1.5h"), Some(SignedDuration::from_mins(90)));
        for wrong in ["", "5", "s", "1x", "1m-5s", "--1s", "1..5s", ".s", "9999999999h"] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }
}
