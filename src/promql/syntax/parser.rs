//! Tokens to a tree, by precedence.

use super::{
    Expr, Group, Kind, Label, Labels, Literal, MAX_DEPTH, MatchOperator, Matcher, Matching, Operator, Placeholder,
    Selector, Span, Token, TokenKind,
};

/// The aggregations of Prometheus 2.42 to 3.x.
const AGGREGATIONS: [&str; 14] = [
    "sum",
    "avg",
    "count",
    "min",
    "max",
    "group",
    "stddev",
    "stdvar",
    "topk",
    "bottomk",
    "count_values",
    "quantile",
    "limitk",
    "limit_ratio",
];

/// Those that take a parameter before the vector.
const WITH_PARAMETER: [&str; 6] = ["topk", "bottomk", "count_values", "quantile", "limitk", "limit_ratio"];

/// The level of `^`, which binds most tightly.
const POWER: u8 = 6;

/// Where a text stops being PromQL as we read it, and what would have gone on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::promql) struct ParseError {
    pub at: usize,
    pub expected: &'static str,
}

/// Reads all of `tokens`, which are those of `text`.
pub(in crate::promql) fn parse(text: &str, tokens: &[Token]) -> Result<Expr, ParseError> {
    let mut parser = Parser {
        text,
        tokens,
        at: 0,
        depth: 0,
    };
    let expr = parser.binary(0)?;
    match parser.peek() {
        TokenKind::End => Ok(expr),
        _ => Err(parser.error("an operator or the end")),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: &'a [Token],
    at: usize,
    /// Of the parser's own recursion.
    depth: usize,
}

type Parsed<T> = Result<T, ParseError>;

impl<'a> Parser<'a> {
    fn peek(&self) -> &'a TokenKind {
        self.peek_at(0)
    }

    fn peek_at(&self, ahead: usize) -> &'a TokenKind {
        self.tokens.get(self.at + ahead).map_or(&TokenKind::End, |t| &t.kind)
    }

    fn span(&self) -> Span {
        let end = Span {
            start: self.text.len(),
            end: self.text.len(),
        };
        self.tokens.get(self.at).map_or(end, |t| t.span)
    }

    /// That of the token just read.
    fn last_span(&self) -> Span {
        self.tokens[self.at.saturating_sub(1)].span
    }

    fn error(&self, expected: &'static str) -> ParseError {
        ParseError {
            at: self.span().start,
            expected,
        }
    }

    fn is(&self, sign: &str) -> bool {
        matches!(self.peek(), TokenKind::Sign(found) if *found == sign)
    }

    fn take(&mut self, sign: &str) -> bool {
        let is = self.is(sign);
        self.at += usize::from(is);
        is
    }

    fn need(&mut self, sign: &str, expected: &'static str) -> Parsed<Span> {
        let span = self.span();
        if self.take(sign) {
            Ok(span)
        } else {
            Err(self.error(expected))
        }
    }

    /// The word that comes next, in lower case: keywords are written in any.
    fn keyword(&self) -> Option<String> {
        match self.peek() {
            TokenKind::Word => Some(self.span().of(self.text).to_ascii_lowercase()),
            _ => None,
        }
    }

    fn take_keyword(&mut self, words: &[&str]) -> Option<String> {
        let word = self.keyword().filter(|w| words.contains(&w.as_str()))?;
        self.at += 1;
        Some(word)
    }

    fn node(&self, kind: Kind, span: Span) -> Parsed<Expr> {
        let mut expr = Expr { kind, span, depth: 1 };
        expr.depth += expr.children().map(|child| child.depth).max().unwrap_or(0);
        if expr.depth > MAX_DEPTH {
            return Err(ParseError {
                at: span.start,
                expected: "less nesting",
            });
        }
        Ok(expr)
    }

    /// What `parse` reads, one level deeper.
    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= MAX_DEPTH {
            return Err(self.error("less nesting"));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    /// Operands joined by operators that bind at least as tightly as `loosest`.
    fn binary(&mut self, loosest: u8) -> Parsed<Expr> {
        let mut left = self.deeper(Self::unary)?;
        while let Some((level, operator)) = self.operator().filter(|(level, _)| *level >= loosest) {
            let sign = self.span();
            self.at += 1;
            let matching = self.matching(operator)?;
            // A power groups from the right, all others from the left.
            let next = if level == POWER { level } else { level + 1 };
            let right = self.deeper(|p| p.binary(next))?;
            let span = left.span.to(right.span);
            let kind = Kind::Binary {
                operator,
                sign,
                matching,
                left: Box::new(left),
                right: Box::new(right),
            };
            left = self.node(kind, span)?;
        }
        Ok(left)
    }

    fn operator(&self) -> Option<(u8, Operator)> {
        Some(match self.peek() {
            TokenKind::Sign("^") => (POWER, Operator::Arithmetic),
            TokenKind::Sign("*" | "/" | "%") => (5, Operator::Arithmetic),
            TokenKind::Sign("+" | "-") => (4, Operator::Arithmetic),
            TokenKind::Sign("==" | "!=" | "<" | "<=" | ">" | ">=") => (3, Operator::Comparison),
            TokenKind::Word => match self.keyword()?.as_str() {
                "atan2" => (5, Operator::Arithmetic),
                "and" => (2, Operator::And),
                "unless" => (2, Operator::Unless),
                "or" => (1, Operator::Or),
                _ => return None,
            },
            _ => return None,
        })
    }

    fn matching(&mut self, operator: Operator) -> Parsed<Matching> {
        let mut matching = Matching {
            returns_bool: operator == Operator::Comparison && self.take_keyword(&["bool"]).is_some(),
            ..Matching::default()
        };
        if let Some(on) = self.labels("on", "ignoring")? {
            matching.on = Some(on);
            if let Some(group) = self.take_keyword(&["group_left", "group_right"]) {
                let listed = self.is("(");
                let end = self.last_span().end;
                let labels = if listed { self.label_list()? } else { Vec::new() };
                matching.group = Some(Group {
                    left: group == "group_left",
                    labels: labels.into_iter().map(|l| l.name).collect(),
                    open_end: (!listed).then_some(end),
                });
            }
        }
        Ok(matching)
    }

    /// One of two keywords with its list of labels, if it comes next; the second is that of all labels but those.
    fn labels(&mut self, only: &str, all_but: &str) -> Parsed<Option<Labels>> {
        let start = self.span();
        let Some(word) = self.take_keyword(&[only, all_but]) else {
            return Ok(None);
        };
        let labels = self.label_list()?;
        Ok(Some(Labels {
            all_but: word == all_but,
            labels,
            span: start.to(self.last_span()),
        }))
    }

    fn label_list(&mut self) -> Parsed<Vec<Label>> {
        self.need("(", "'(' and labels")?;
        let mut labels = Vec::new();
        while !self.take(")") {
            let span = self.span();
            let name = match self.peek() {
                TokenKind::Word if !span.of(self.text).contains(':') => span.of(self.text).to_owned(),
                TokenKind::String(literal) => literal.text().ok_or_else(|| self.error("a label"))?.to_owned(),
                _ => return Err(self.error("a label or ')'")),
            };
            self.at += 1;
            labels.push(Label { name, span });
            if !self.is(")") {
                self.need(",", "',' or ')'")?;
            }
        }
        Ok(labels)
    }

    fn unary(&mut self) -> Parsed<Expr> {
        let start = self.span();
        if self.take("-") || self.take("+") {
            // Looser than a power, tighter than all else.
            let of = self.deeper(|p| p.binary(POWER))?;
            let span = start.to(of.span);
            return self.node(Kind::Unary(Box::new(of)), span);
        }
        let primary = self.primary()?;
        self.suffixes(primary)
    }

    fn primary(&mut self) -> Parsed<Expr> {
        let span = self.span();
        match self.peek() {
            TokenKind::Number | TokenKind::Duration(_) => {
                self.at += 1;
                self.node(Kind::Number, span)
            }
            TokenKind::String(literal) => {
                self.at += 1;
                self.node(Kind::String(literal.clone()), span)
            }
            TokenKind::Sign("(") => {
                self.at += 1;
                let of = self.deeper(|p| p.binary(0))?;
                let end = self.need(")", "')' or an operator")?;
                self.node(Kind::Paren(Box::new(of)), span.to(end))
            }
            TokenKind::Sign("{") => self.selector(span, false),
            TokenKind::Word => self.word(span),
            _ => Err(self.error("an expression")),
        }
    }

    /// An aggregation, a function, a number by name, or a metric.
    fn word(&mut self, span: Span) -> Parsed<Expr> {
        let word = span.of(self.text);
        let lower = word.to_ascii_lowercase();
        let next = self.peek_at(1);
        let next_is = |sign: &str| matches!(next, TokenKind::Sign(found) if *found == sign);
        let next_word = match self.tokens.get(self.at + 1) {
            Some(token) if token.kind == TokenKind::Word => token.span.of(self.text).to_ascii_lowercase(),
            _ => String::new(),
        };
        if AGGREGATIONS.contains(&lower.as_str()) && (next_is("(") || matches!(&*next_word, "by" | "without")) {
            self.at += 1;
            return self.aggregation(lower, span);
        }
        if next_is("(") {
            self.at += 1;
            return self.call(word.to_owned(), span);
        }
        self.at += 1;
        if matches!(&*lower, "inf" | "nan") {
            return self.node(Kind::Number, span);
        }
        // These join two operands; whatever else is a keyword may be a metric's name.
        if matches!(&*lower, "and" | "or" | "unless" | "atan2") && !next_is("{") {
            self.at -= 1;
            return Err(self.error("an expression"));
        }
        self.selector(span, true)
    }

    fn call(&mut self, function: String, span: Span) -> Parsed<Expr> {
        self.need("(", "'('")?;
        let mut arguments = Vec::new();
        if !self.is(")") {
            loop {
                arguments.push(self.deeper(|p| p.binary(0))?);
                if !self.take(",") {
                    break;
                }
            }
        }
        let end = self.need(")", "',' or ')'")?;
        self.node(Kind::Call { function, arguments }, span.to(end))
    }

    fn aggregation(&mut self, operator: String, span: Span) -> Parsed<Expr> {
        let before = self.labels("by", "without")?;
        self.need("(", "'('")?;
        let first = self.deeper(|p| p.binary(0))?;
        let (parameter, of) = if WITH_PARAMETER.contains(&operator.as_str()) {
            self.need(",", "',' and the vector")?;
            (Some(Box::new(first)), self.deeper(|p| p.binary(0))?)
        } else {
            (None, first)
        };
        self.need(")", "')'")?;
        let after = if before.is_none() {
            self.labels("by", "without")?
        } else {
            None
        };
        let end = self.last_span();
        let kind = Kind::Aggregate {
            operator,
            operator_span: span,
            grouping: before.or(after),
            parameter,
            of: Box::new(of),
        };
        self.node(kind, span.to(end))
    }

    fn selector(&mut self, span: Span, named: bool) -> Parsed<Expr> {
        let mut selector = Selector {
            named,
            matchers: Vec::new(),
        };
        if self.take("{") {
            while !self.take("}") {
                selector.matchers.push(self.matcher()?);
                if !self.is("}") {
                    self.need(",", "',' or '}'")?;
                }
            }
        }
        let span = span.to(self.last_span());
        self.node(Kind::Selector(selector), span)
    }

    fn matcher(&mut self) -> Parsed<Matcher> {
        let start = self.span();
        let label = match self.peek() {
            TokenKind::Placeholder(Placeholder::Selector) => {
                self.at += 1;
                return Ok(Matcher::Placeholder);
            }
            TokenKind::Word if !start.of(self.text).contains(':') => start.of(self.text).to_owned(),
            TokenKind::String(literal) => literal.text().ok_or_else(|| self.error("a label"))?.to_owned(),
            _ => return Err(self.error("a label's matcher")),
        };
        let quoted = matches!(self.peek(), TokenKind::String(_));
        self.at += 1;
        if quoted && (self.is(",") || self.is("}")) {
            return Ok(Matcher::Name);
        }
        let operator = match self.peek() {
            TokenKind::Sign("=") => MatchOperator::Equal,
            TokenKind::Sign("!=") => MatchOperator::NotEqual,
            TokenKind::Sign("=~") => MatchOperator::Regex,
            TokenKind::Sign("!~") => MatchOperator::NotRegex,
            _ => return Err(self.error("one of =, !=, =~, !~")),
        };
        self.at += 1;
        let TokenKind::String(value) = self.peek() else {
            return Err(self.error("a quoted value"));
        };
        let value: Literal = value.clone();
        self.at += 1;
        Ok(Matcher::Label {
            label,
            operator,
            span: start.to(value.span),
            value,
        })
    }

    /// Ranges, subqueries, offsets and times.
    fn suffixes(&mut self, mut expr: Expr) -> Parsed<Expr> {
        loop {
            let start = expr.span;
            let (kind, end) = if self.is("[") {
                self.range(expr)?
            } else if self.take("@") {
                let time = self.time()?;
                let of = Box::new(expr);
                (Kind::At { of, time }, time)
            } else if self.take_keyword(&["offset"]).is_some() {
                let negative = !self.take("+") && self.take("-");
                let span = self.span();
                let offset = self.duration()?;
                let offset_ms = if negative { -offset } else { offset };
                let of = Box::new(expr);
                (Kind::Offset { of, offset_ms }, span)
            } else {
                return Ok(expr);
            };
            expr = self.node(kind, start.to(end))?;
        }
    }

    fn range(&mut self, of: Expr) -> Parsed<(Kind, Span)> {
        self.need("[", "'['")?;
        let range_ms = self.duration()?;
        let of = Box::new(of);
        if self.take(":") {
            if !self.is("]") {
                self.duration()?;
            }
            let end = self.need("]", "']'")?;
            return Ok((Kind::Subquery { of }, end));
        }
        let end = self.need("]", "':' or ']'")?;
        if !matches!(of.kind, Kind::Selector(_)) {
            return Err(ParseError {
                at: of.span.start,
                expected: "a selector before a range",
            });
        }
        Ok((Kind::Range { of, range_ms }, end))
    }

    /// What stands behind `@`: a time, `start()` or `end()`.
    fn time(&mut self) -> Parsed<Span> {
        let start = self.span();
        if self.take_keyword(&["start", "end"]).is_some() {
            self.need("(", "'('")?;
            return Ok(start.to(self.need(")", "')'")?));
        }
        let _ = self.take("-") || self.take("+");
        if *self.peek() != TokenKind::Number {
            return Err(self.error("a time"));
        }
        self.at += 1;
        Ok(start.to(self.last_span()))
    }

    /// A duration in milliseconds; a plain number is seconds (Prometheus 3).
    fn duration(&mut self) -> Parsed<i64> {
        let ms = match self.peek() {
            TokenKind::Duration(ms) => Some(*ms),
            TokenKind::Number => {
                let seconds = self.span().of(self.text).parse::<f64>().ok();
                // Far within the whole numbers that a double holds exactly.
                seconds.map(|s| s * 1000.0).filter(|ms| *ms < 1e15).map(|ms| ms as i64)
            }
            _ => None,
        };
        let ms = ms.ok_or_else(|| self.error("a duration, such as 5m"))?;
        self.at += 1;
        Ok(ms)
    }
}

#[cfg(test)]
mod tests;
