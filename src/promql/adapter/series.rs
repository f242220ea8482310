//! Selectors of series, as far as they have to be understood: whether one names a single series.

/// Reads a selector of series, and gives the one name that it asks for; `None` where there may be several, or none.
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
pub(super) fn single_name(text: &str) -> Result<Option<String>, String> {
    let mut rest = text.trim();
    let mut name = None;
    let end = rest
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .unwrap_or(rest.len());
    if end > 0 {
        if rest.starts_with(|c: char| c.is_ascii_digit()) {
            return Err("begins with a digit".to_owned());
        }
        name = Some(rest[..end].to_owned());
        rest = rest[end..].trim_start();
    }
    if rest.is_empty() {
        return name.map_or_else(|| Err("is empty".to_owned()), |name| Ok(Some(name)));
    }
    rest = rest
        .strip_prefix('{')
        .ok_or_else(|| format!("has {:?} where a {{ or its end was expected", first_char(rest)))?;
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('}') {
            return match after.trim() {
                "" => Ok(name),
                _ => Err("goes on after its }".to_owned()),
            };
        }
        let matcher;
        (matcher, rest) = read_matcher(rest)?;
        match matcher {
            Matcher::Name(found) => name = Some(found),
            // VictoriaMetrics' `{a="b" or c="d"}`: several alternatives, of which each may name another series.
            Matcher::Alternatives => return Ok(None),
            Matcher::Other => {}
        }
    }
}

enum Matcher {
    /// It gives the series' name.
    Name(String),
    Other,
    Alternatives,
}

fn read_matcher(text: &str) -> Result<(Matcher, &str), String> {
    let (label, rest) = match quoted(text)? {
        Some((name, rest)) if !rest.trim_start().starts_with(['=', '!']) => {
            return Ok((Matcher::Name(name), after_comma(rest)?));
        }
        Some(found) => found,
        None => {
            let end = text
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                .unwrap_or(text.len());
            if end == 0 {
                return Err(format!("has {:?} where a label was expected", first_char(text)));
            }
            (text[..end].to_owned(), &text[end..])
        }
    };
    let rest = rest.trim_start();
    let Some((operator, rest)) = ["=~", "!~", "!=", "="]
        .into_iter()
        .find_map(|operator| Some((operator, rest.strip_prefix(operator)?)))
    else {
        return Err(format!("has no =, !=, =~ or !~ after {label}"));
    };
    let Some((value, rest)) = quoted(rest.trim_start())? else {
        return Err(format!("has no value in quotes after {label}{operator}"));
    };
    if rest.trim_start().starts_with("or ") {
        return Ok((Matcher::Alternatives, rest));
    }
    let matcher = match (label.as_str(), operator) {
        ("__name__", "=") => Matcher::Name(value),
        _ => Matcher::Other,
    };
    Ok((matcher, after_comma(rest)?))
}

fn after_comma(text: &str) -> Result<&str, String> {
    let text = text.trim_start();
    match text.strip_prefix(',') {
        Some(after) => Ok(after),
        None if text.starts_with('}') => Ok(text),
        None if text.is_empty() => Err("has no } at its end".to_owned()),
        None => Err(format!("has {:?} where a comma was expected", first_char(text))),
    }
}

/// The quoted text that `text` begins with, and what follows.
fn quoted(text: &str) -> Result<Option<(String, &str)>, String> {
    let Some(quote) = text.chars().next().filter(|c| ['"', '\'', '`'].contains(c)) else {
        return Ok(None);
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (at, c) in text.char_indices().skip(1) {
        match c {
            c if escaped => {
                // An escape that stands for another sign than itself does not occur in names.
                value.push(c);
                escaped = false;
            }
            '\\' if quote != '`' => escaped = true,
            c if c == quote => return Ok(Some((value, &text[at + c.len_utf8()..]))),
            c => value.push(c),
        }
    }
    Err("has a quote without its end".to_owned())
}

fn first_char(text: &str) -> String {
    text.chars().next().map(String::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_may_name_its_one_series() {
        for (text, name) in [
            ("jobs_done_total", Some("jobs_done_total")),
            ("cheese{age!='', kind=~\"a|b\",}", Some("cheese")),
            ("{__name__=\"queue_depth\", topic!=\"\"}", Some("queue_depth")),
            ("{\"queue.depth\", a=\"b\"}", Some("queue.depth")),
            ("{__name__=~\"^queue_.*\"}", None),
            ("{__name__!~`^a\\.`,namespace!=\"\"}", None),
            ("{a=\"b\" or c=\"d\"}", None),
            ("{a=\"}\\\",\"}", None),
        ] {
            assert_eq!(single_name(text), Ok(name.map(str::to_owned)), "{text}");
        }
    }

    #[test]
    fn broken_selectors_are_refused() {
        for (text, problem) in [
            ("", "is empty"),
            ("{a=\"b\"", "has no } at its end"),
            ("{a=\"b}", "has a quote without its end"),
            ("{a=b}", "has no value in quotes after a="),
            ("{a}", "has no =, !=, =~ or !~ after a"),
            ("{a=\"b\"}[1m]", "goes on after its }"),
            ("{a=\"b\" c=\"d\"}", "where a comma was expected"),
            ("sum(x)", "has \"(\" where"),
            ("1x", "begins with a digit"),
        ] {
            let found = single_name(text).unwrap_err();
            assert!(found.contains(problem), "{text}: {found}");
        }
    }
}
