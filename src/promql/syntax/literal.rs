//! String literals with placeholders in them, and strings and regular expressions as PromQL writes them.

use std::fmt::Write as _;

use super::{LexError, Span};

/// What a template leaves open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::promql) enum Placeholder {
    Namespace,
    Pods,
    Object,
    Selector,
}

impl Placeholder {
    /// As it is written, with its dollar.
    pub fn name(self) -> &'static str {
        match self {
            Self::Namespace => "$namespace",
            Self::Pods => "$pods",
            Self::Object => "$object",
            Self::Selector => "$selector",
        }
    }
}

/// A string literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::promql) struct Literal {
    /// Its quotes included.
    pub span: Span,
    /// What it says, unescaped.
    pub parts: Vec<Part>,
    /// Where `$$` stands for a dollar.
    pub dollars: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::promql) enum Part {
    Text(String),
    Placeholder(Placeholder),
}

impl Literal {
    /// What it says, if it leaves nothing open.
    pub fn text(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The placeholder that it consists of, if it is one and nothing else.
    pub fn whole(&self) -> Option<Placeholder> {
        match self.parts.as_slice() {
            [Part::Placeholder(placeholder)] => Some(*placeholder),
            _ => None,
        }
    }

    pub fn placeholders(&self) -> impl Iterator<Item = Placeholder> {
        self.parts.iter().filter_map(|part| match part {
            Part::Placeholder(placeholder) => Some(*placeholder),
            Part::Text(_) => None,
        })
    }
}

/// Reads the placeholder at the start of `rest`, which begins with a dollar: what it is (`None` for `$$`, a plain
/// dollar) and how long. `at` is its place, for the error.
pub(super) fn placeholder(rest: &str, at: usize) -> Result<(Option<Placeholder>, usize), LexError> {
    let name = rest.get(1..).unwrap_or_default();
    if name.starts_with('$') {
        return Ok((None, 2));
    }
    let length = name
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(name.len());
    let placeholder = match &name[..length] {
        "namespace" => Placeholder::Namespace,
        "pods" => Placeholder::Pods,
        "object" => Placeholder::Object,
        "selector" => Placeholder::Selector,
        "" => return Err(LexError::LoneDollar { at }),
        unknown => {
            // A dollar too many says nothing more than the first characters do.
            let name = unknown.chars().take(40).collect();
            return Err(LexError::UnknownPlaceholder { name, at });
        }
    };
    Ok((Some(placeholder), 1 + length))
}

/// Reads the string literal at `start` of `text`, which is a quote.
pub(super) fn literal(text: &str, start: usize) -> Result<Literal, LexError> {
    let unterminated = LexError::Unterminated { at: start };
    let Some(quote) = text[start..].chars().next() else {
        return Err(unterminated);
    };
    let raw = quote == '`';
    let mut parts = Vec::new();
    // Escapes may name single bytes, which must make up UTF-8 together.
    let mut bytes: Vec<u8> = Vec::new();
    let mut dollars = Vec::new();
    let mut at = start + quote.len_utf8();
    loop {
        let rest = &text[at..];
        let Some(c) = rest.chars().next() else {
            return Err(unterminated);
        };
        if c == quote {
            at += c.len_utf8();
            break;
        }
        match c {
            '$' => {
                let (placeholder, length) = placeholder(rest, at)?;
                match placeholder {
                    None => {
                        bytes.push(b'$');
                        dollars.push(at);
                    }
                    Some(placeholder) => {
                        flush(&mut bytes, &mut parts, start)?;
                        parts.push(Part::Placeholder(placeholder));
                    }
                }
                at += length;
            }
            '\n' if !raw => return Err(unterminated),
            '\\' if !raw => {
                let (escaped, length) = escape(rest, quote).ok_or(LexError::Escape { at })?;
                bytes.extend_from_slice(&escaped);
                at += length;
            }
            _ => {
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                at += c.len_utf8();
            }
        }
    }
    flush(&mut bytes, &mut parts, start)?;
    let span = Span { start, end: at };
    Ok(Literal { span, parts, dollars })
}

fn flush(bytes: &mut Vec<u8>, parts: &mut Vec<Part>, start: usize) -> Result<(), LexError> {
    if !bytes.is_empty() {
        let text = String::from_utf8(std::mem::take(bytes));
        parts.push(Part::Text(text.map_err(|_| LexError::Escape { at: start })?));
    }
    Ok(())
}

/// The bytes that the escape at the start of `rest` stands for, and its length. Those of Go's string literals.
fn escape(rest: &str, quote: char) -> Option<(Vec<u8>, usize)> {
    let kind = rest[1..].chars().next()?;
    let simple = |byte: u8| Some((vec![byte], 2));
    let number = |from: usize, digits: usize, radix: u32| {
        let text = rest.get(from..from + digits)?;
        let right = text.bytes().all(|b| char::from(b).is_digit(radix));
        right.then(|| u32::from_str_radix(text, radix).ok()).flatten()
    };
    let character = |code: u32, length: usize| Some((char::from_u32(code)?.to_string().into_bytes(), length));
    match kind {
        'a' => simple(7),
        'b' => simple(8),
        'f' => simple(12),
        'n' => simple(b'\n'),
        'r' => simple(b'\r'),
        't' => simple(b'\t'),
        'v' => simple(11),
        '\\' => simple(b'\\'),
        '\'' | '"' if kind == quote => simple(kind as u8),
        'x' => Some((vec![u8::try_from(number(2, 2, 16)?).ok()?], 4)),
        '0'..='7' => Some((vec![u8::try_from(number(1, 3, 8)?).ok()?], 4)),
        'u' => character(number(2, 4, 16)?, 6),
        'U' => character(number(2, 8, 16)?, 10),
        _ => None,
    }
}

/// `value` as a PromQL string literal, in double quotes.
pub(in crate::promql) fn quote(value: &str) -> String {
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('"');
    for c in value.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", c as u32);
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// `value` as a regular expression that matches it alone. Escapes no more than Go's `regexp.QuoteMeta` does:
/// Prometheus looks up alternatives that need no escape without running a regular expression.
pub(in crate::promql) fn regex_escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        if "\\.+*?()|[]{}^$".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Vec<Part>> {
        let literal = literal(text, 0).ok()?;
        assert_eq!(literal.span.end, text.len());
        Some(literal.parts)
    }

    #[test]
    fn escapes_are_those_of_go() {
        for (text, expected) in [
            (r#""a\"b\\c""#, Some("a\"b\\c")),
            (r#"'a\'b"c'"#, Some("a'b\"c")),
            (r"`a\n`", Some(r"a\n")),
            (r#""\n\t\x41\101\u00e9\U0001F600""#, Some("\n\tAAé😀")),
            (r#""\xc3\xa9""#, Some("é")),
            (r#""\xff""#, None),
            (r#""\'""#, None),
            (r#""\d""#, None),
            (r#""\U00110000""#, None),
            (r#""\x+1""#, None),
            ("\"a\nb\"", None),
            ("\"a", None),
            ("\"a\\", None),
        ] {
            assert_eq!(read(text), expected.map(|t| vec![Part::Text(t.into())]), "{text}");
        }
    }

    #[test]
    fn what_is_quoted_reads_back() {
        for value in ["", "a", "a\"b", "a\\b", "a\nb\u{1}", "ü`'$$"] {
            let quoted = quote(value);
            let expected: Vec<Part> = match value {
                "" => Vec::new(),
                value => vec![Part::Text(value.replace("$$", "$"))],
            };
            assert_eq!(read(&quoted), Some(expected), "{quoted}");
        }
    }

    #[test]
    fn placeholders_stand_between_texts() {
        assert_eq!(
            read("\"a-$namespace.$$x\""),
            Some(vec![
                Part::Text("a-".into()),
                Part::Placeholder(Placeholder::Namespace),
                Part::Text(".$x".into()),
            ])
        );
        assert_eq!(
            literal("\"$name\"", 0),
            Err(LexError::UnknownPlaceholder {
                name: "name".into(),
                at: 1
            })
        );
        assert_eq!(literal("\"x$\"", 0), Err(LexError::LoneDollar { at: 2 }));
    }
}
