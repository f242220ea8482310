//! The grammar of selectors as text.

use std::sync::Arc;

use super::{Operator, Requirement, Selector, SelectorError};

impl Selector {
    /// Reads a selector. Blanks alone are the selector that picks everything.
    ///
    /// # Errors
    /// What is wrong, and where in the text.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut parser = Parser {
            tokens: tokens(text),
            at: 0,
        };
        let mut requirements = Vec::new();
        if parser.peek() == &Token::End {
            return Ok(Self::everything());
        }
        loop {
            requirements.push(parser.requirement()?);
            match parser.next() {
                Token::End => return Ok(Self::new(requirements)),
                Token::Comma if matches!(parser.peek(), Token::Word(_) | Token::Not) => {}
                Token::Comma => return Err(parser.unexpected("a label after ','")),
                _ => {
                    parser.at -= 1;
                    return Err(parser.unexpected("',' or the end"));
                }
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token<'a> {
    Word(&'a str),
    Not,
    Open,
    Close,
    Comma,
    Equals,
    DoubleEquals,
    NotEquals,
    Greater,
    Less,
    /// Special characters that make no token.
    Wrong(&'a str),
    End,
}

/// Always ends with [`Token::End`].
fn tokens(text: &str) -> Vec<Token<'_>> {
    let is_special = |c: char| "=!(),><".contains(c);
    let is_blank = |c: char| " \t\r\n".contains(c);
    let mut out = Vec::new();
    let mut rest = text.trim_start_matches(is_blank);
    while let Some(first) = rest.chars().next() {
        let length = if is_special(first) {
            // The longest token that the special characters make.
            let run = rest.find(|c| !is_special(c)).unwrap_or(rest.len());
            if ["==", "!="].iter().any(|t| rest[..run].starts_with(t)) {
                2
            } else {
                1
            }
        } else {
            rest.find(|c| is_special(c) || is_blank(c)).unwrap_or(rest.len())
        };
        let (token, after) = rest.split_at(length);
        out.push(match token {
            "=" => Token::Equals,
            "==" => Token::DoubleEquals,
            "!=" => Token::NotEquals,
            "!" => Token::Not,
            "(" => Token::Open,
            ")" => Token::Close,
            "," => Token::Comma,
            ">" => Token::Greater,
            "<" => Token::Less,
            word if !is_special(first) => Token::Word(word),
            wrong => Token::Wrong(wrong),
        });
        rest = after.trim_start_matches(is_blank);
    }
    out.push(Token::End);
    out
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> &Token<'a> {
        self.tokens.get(self.at).unwrap_or(&Token::End)
    }

    fn next(&mut self) -> Token<'a> {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn unexpected(&self, expected: &str) -> SelectorError {
        let found = match self.peek() {
            Token::Word(word) | Token::Wrong(word) => format!("{word:?}"),
            Token::End => "the end".into(),
            Token::Not => "'!'".into(),
            Token::Open => "'('".into(),
            Token::Close => "')'".into(),
            Token::Comma => "','".into(),
            Token::Equals => "'='".into(),
            Token::DoubleEquals => "'=='".into(),
            Token::NotEquals => "'!='".into(),
            Token::Greater => "'>'".into(),
            Token::Less => "'<'".into(),
        };
        SelectorError(format!("found {found}, expected {expected}"))
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let absent = self.peek() == &Token::Not;
        if absent {
            self.at += 1;
        }
        let Token::Word(key) = *self.peek() else {
            return Err(self.unexpected("a label's name"));
        };
        self.at += 1;
        if absent {
            return Requirement::new(key, Operator::DoesNotExist, Vec::new());
        }
        let operator = match self.peek() {
            Token::End | Token::Comma => return Requirement::new(key, Operator::Exists, Vec::new()),
            Token::Word("in") => Operator::In,
            Token::Word("notin") => Operator::NotIn,
            Token::Equals => Operator::Equals,
            Token::DoubleEquals => Operator::DoubleEquals,
            Token::NotEquals => Operator::NotEquals,
            Token::Greater => Operator::GreaterThan,
            Token::Less => Operator::LessThan,
            _ => return Err(self.unexpected("one of =, ==, !=, in, notin, <, >")),
        };
        self.at += 1;
        let values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => vec![self.value()?],
        };
        Requirement::new(key, operator, values)
    }

    /// What stands behind a comparison; nothing is the empty value.
    fn value(&mut self) -> Result<Arc<str>, SelectorError> {
        match *self.peek() {
            Token::End | Token::Comma => Ok("".into()),
            Token::Word(word) => {
                self.at += 1;
                Ok(word.into())
            }
            _ => Err(self.unexpected("a label's value")),
        }
    }

    /// A list in parentheses; two commas in a row, one at an end, or nothing at all hold the empty value.
    fn values(&mut self) -> Result<Vec<Arc<str>>, SelectorError> {
        if self.next() != Token::Open {
            self.at -= 1;
            return Err(self.unexpected("'('"));
        }
        let mut values: Vec<Arc<str>> = Vec::new();
        loop {
            match self.next() {
                Token::Word(word) => values.push(word.into()),
                _ => {
                    self.at -= 1;
                    values.push("".into());
                }
            }
            match self.next() {
                Token::Close => return Ok(values),
                Token::Comma => {}
                _ => {
                    self.at -= 1;
                    return Err(self.unexpected("',' or ')'"));
                }
            }
        }
    }
}

/// Why `key` is no label's name: an optional DNS subdomain and '/', then at most 63 characters.
pub(crate) fn key_problem(key: &str) -> Option<String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if prefix.is_some_and(|p| !is_subdomain(p)) {
        return Some("what stands before '/' is no DNS subdomain".into());
    }
    if name.is_empty() || !is_label_value(name) {
        return Some(
            "a name has 1 to 63 letters, digits, '-', '_' and '.', and begins and ends with a letter or digit".into(),
        );
    }
    None
}

pub(super) fn is_label_value(text: &str) -> bool {
    let edge = |c: u8| c.is_ascii_alphanumeric();
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(first), Some(last)) => {
            bytes.len() <= 63 && edge(*first) && edge(*last) && bytes.iter().all(|c| edge(*c) || b"-_.".contains(c))
        }
        _ => true,
    }
}

pub(crate) fn is_subdomain(text: &str) -> bool {
    let edge = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let label = |label: &str| {
        let bytes = label.as_bytes();
        bytes.first().is_some_and(|c| edge(*c))
            && bytes.last().is_some_and(|c| edge(*c))
            && bytes.iter().all(|c| edge(*c) || *c == b'-')
    };
    text.len() <= 253 && text.split('.').all(label)
}
