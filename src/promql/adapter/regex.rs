//! Go's regular expressions, and how a match is put into a name.

use regex::{Captures, Regex, RegexBuilder};

/// The memory that one expression may take: thousands of times what filters of names need.
const LARGEST_EXPRESSION: usize = 1 << 20;

/// Compiles an expression of Go's `regexp`, which is RE2's. It matches anywhere, unless it says `^` and `$`.
///
/// # Errors
/// What is wrong with it, in a line.
pub(super) fn compile(expression: &str) -> Result<Regex, String> {
    RegexBuilder::new(&translated(expression))
        .size_limit(LARGEST_EXPRESSION)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "the regular expression is too large".to_owned(),
            // The message shows the expression over several lines; what is wrong stands in the last.
            error => {
                let text = error.to_string();
                let last = text.lines().last().unwrap_or_default();
                format!("is no regular expression: {}", last.trim_start_matches("error: "))
            }
        })
}

/// The expression in the words of the `regex` crate, which means the same by nearly all. What it takes for syntax and Go for
/// text: `[`, `&&` and `~~` within a class, `\<` and `\>`, a brace that is no repetition. What only Go knows: `\Q…\E`.
fn translated(expression: &str) -> String {
    let mut out = String::with_capacity(expression.len());
    let mut rest = expression;
    let mut class = Class::Outside;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        if let Some(quoted) = rest.strip_prefix(r"\Q") {
            let (text, next) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
            out.push_str(&regex::escape(text));
            class = class.next();
            rest = next;
            continue;
        }
        if c == '\\' {
            // An escape is taken as a whole.
            let escaped = after.chars().next();
            match escaped {
                Some(sign @ ('<' | '>')) => out.push(sign),
                Some(sign) => out.extend(['\\', sign]),
                None => out.push('\\'),
            }
            rest = escaped.map_or("", |sign| &after[sign.len_utf8()..]);
            class = class.next();
            continue;
        }
        rest = after;
        match (class, c) {
            (Class::Outside, '[') => {
                out.push('[');
                // A bracket right at the beginning is text.
                if let Some(inner) = rest.strip_prefix('^') {
                    out.push('^');
                    rest = inner;
                }
                class = Class::First;
                continue;
            }
            (Class::Outside, '{') if !is_repetition(rest) => out.push_str(r"\{"),
            (Class::First, ']') => out.push_str(r"\]"),
            (Class::Inside, ']') => {
                out.push(']');
                class = Class::Outside;
                continue;
            }
            (Class::First | Class::Inside, '[') if rest.starts_with(':') => {
                let end = rest.find(":]").map_or(0, |end| end + 2);
                out.push('[');
                out.push_str(&rest[..end]);
                rest = &rest[end..];
            }
            (Class::First | Class::Inside, '[' | '&' | '~') => out.extend(['\\', c]),
            (_, c) => out.push(c),
        }
        class = class.next();
    }
    out
}

/// Where a sign stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Outside,
    /// At the beginning of a class.
    First,
    Inside,
}

impl Class {
    fn next(self) -> Self {
        match self {
            Self::Outside => Self::Outside,
            Self::First | Self::Inside => Self::Inside,
        }
    }
}

/// Whether what follows a brace makes it a repetition: `3}`, `3,}`, `3,5}`.
fn is_repetition(after: &str) -> bool {
    let Some((inner, _)) = after.split_once('}') else {
        return false;
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (least, most) = inner.split_once(',').unwrap_or((inner, ""));
    !least.is_empty() && digits(least) && digits(most)
}

/// `template` with what a match captured in it, as Go's `Regexp.Expand` does: `$1`, `${1}`, `$name`; a group that is not
/// there is nothing, and a name without braces is as long as it can be (`$1x` is the group `1x`).
pub(super) fn expand(template: &str, captures: &Captures<'_>) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = reference(rest) {
            out.push_str(captured(name, captures));
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

fn captured<'t>(name: &str, captures: &'t Captures<'_>) -> &'t str {
    let is_number = name.bytes().all(|b| b.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    let group = match name.parse::<usize>() {
        Ok(number) if is_number => captures.get(number),
        _ => captures.name(name),
    };
    group.map_or("", |found| found.as_str())
}

/// The name after a dollar, and what follows it.
fn reference(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('{').unwrap_or(text);
    let end = inner
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(inner.len());
    let (name, after) = inner.split_at(end);
    let after = match inner.len() == text.len() {
        true => after,
        false => after.strip_prefix('}')?,
    };
    (!name.is_empty()).then_some((name, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_takes_for_text_is_text() {
        for (expression, matching, other) in [
            (r"^a[[&~]b$", "a[b", "aab"),
            (r"^a[a&&b]b$", "a&b", "acb"),
            (r"^\<a\>$", "<a>", "a"),
            (r"^a{$", "a{", "a"),
            (r"^a{,2}$", "a{,2}", "aa"),
            (r"^a{2}$", "aa", "aaa"),
            (r"^\Qa.b\E$", "a.b", "axb"),
            (r"^[[:alpha:]_]+$", "a_b", "a1"),
            (r"^[]a]$", "]", "b"),
            (r"^[^]a]$", "b", "]"),
            (r"^\d+[\d.]$", "1.", "a."),
            (r"_total", "http_total_x", "http"),
        ] {
            let regex = compile(expression).expect(expression);
            assert!(regex.is_match(matching), "{expression} {matching}");
            assert!(!regex.is_match(other), "{expression} {other}");
        }
    }

    #[test]
    fn what_is_no_expression_is_refused_in_one_line() {
        for expression in ["(", r"(?=a)", r"(a)\1", "[b-a]"] {
            let problem = compile(expression).unwrap_err();
            assert!(problem.starts_with("is no regular expression: "), "{problem}");
            assert!(!problem.contains('\n'));
        }
        assert!(compile("((a{1000}){1000}){1000}").unwrap_err().contains("too large"));
    }

    #[test]
    fn groups_are_expanded_as_go_does() {
        let regex = compile("^(?P<first>[a-z]+)_(.*)_total$").expect("it is one");
        let captures = regex.captures("http_requests_total").expect("it matches");
        for (template, expanded) in [
            ("$1", "http"),
            ("${2}_per_second", "requests_per_second"),
            ("$2_per_second", ""),
            ("$first-$0", "http-http_requests_total"),
            ("$$1 $", "$1 $"),
            ("${1", "${1"),
            ("${}", "${}"),
            ("$9$01", ""),
            ("qps", "qps"),
        ] {
            assert_eq!(expand(template, &captures), expanded, "{template}");
        }
    }
}
