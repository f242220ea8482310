//! Text to tokens.

use super::literal::{literal, placeholder};
use super::number::{Number, number};
use super::{Literal, Placeholder, Span};

#[derive(Clone, Debug, PartialEq)]
pub(in crate::promql) struct Token {
    pub kind: TokenKind,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub(in crate::promql) enum TokenKind {
    /// A word: a keyword, a label, or a metric's name, colons included.
    Word,
    Number,
    /// A duration, in milliseconds.
    Duration(i64),
    String(Literal),
    /// A placeholder outside of quotes.
    Placeholder(Placeholder),
    /// An operator or a bracket.
    Sign(&'static str),
    /// What PromQL does not know.
    Unknown,
    End,
}

/// What is wrong with a text in any dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::promql) enum LexError {
    Unterminated { at: usize },
    Escape { at: usize },
    LoneDollar { at: usize },
    UnknownPlaceholder { name: String, at: usize },
}

/// The longer before their beginnings.
const SIGNS: [&str; 27] = [
    "==", "=~", "!=", "!~", "<=", ">=", "=", "<", ">", "+", "-", "*", "/", "%", "^", "@", "(", ")", "{", "}", "[", "]",
    ",", ":", "!", "~", "&",
];

/// The tokens of `text`, which end with [`TokenKind::End`]. Blanks and comments are left out.
pub(in crate::promql) fn tokens(text: &str) -> Result<Vec<Token>, LexError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    // A colon is part of a name, but not within brackets, where it parts a subquery's range from its step.
    let mut brackets = 0usize;
    while let Some(c) = text[at..].chars().next() {
        let start = at;
        let rest = &text[at..];
        let kind = match c {
            ' ' | '\t' | '\n' | '\r' => {
                at += 1;
                continue;
            }
            '#' => {
                at += rest.find('\n').unwrap_or(rest.len());
                continue;
            }
            '"' | '\'' | '`' => {
                let literal = literal(text, at)?;
                at = literal.span.end;
                TokenKind::String(literal)
            }
            '$' => {
                let (found, length) = placeholder(rest, at)?;
                at += length;
                found.map_or(TokenKind::Unknown, TokenKind::Placeholder)
            }
            '0'..='9' | '.' => {
                let (number, length) = number(rest);
                at += length;
                match number {
                    Some(Number::Plain) => TokenKind::Number,
                    Some(Number::Duration(ms)) => TokenKind::Duration(ms),
                    None => TokenKind::Unknown,
                }
            }
            c if is_word_start(c) || (c == ':' && brackets == 0) => {
                let in_word = |c: char| is_word_start(c) || c.is_ascii_digit() || (c == ':' && brackets == 0);
                at += rest.find(|c: char| !in_word(c)).unwrap_or(rest.len());
                TokenKind::Word
            }
            _ => match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                Some(sign) => {
                    match *sign {
                        "[" => brackets += 1,
                        "]" => brackets = brackets.saturating_sub(1),
                        _ => {}
                    }
                    at += sign.len();
                    TokenKind::Sign(sign)
                }
                None => {
                    at += c.len_utf8();
                    TokenKind::Unknown
                }
            },
        };
        let span = Span { start, end: at };
        tokens.push(Token { kind, span });
    }
    let span = Span { start: at, end: at };
    let kind = TokenKind::End;
    tokens.push(Token { kind, span });
    Ok(tokens)
}

fn is_word_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}
