//! PromQL as a tree, with the place of each part in the text.
//!
//! The syntax of Prometheus 2.42 to 3.x, over templates: string literals may hold placeholders, and `$selector` may
//! stand among matchers. What is beyond it, such as MetricsQL's own, is not read: [`parse`] says where it stopped.
//! Prometheus itself judges whether a query is right; here only what a rewriting relies on is looked at.

mod functions;
mod lexer;
mod literal;
mod number;
mod parser;

pub(super) use functions::{Behaviour, behaviour};
pub(super) use lexer::{LexError, Token, TokenKind, tokens};
pub(super) use literal::{Literal, Part, Placeholder, quote, regex_escape};
pub(super) use parser::{ParseError, parse};

/// The longest template. A query of this length is already more than VictoriaMetrics takes by default (16 KiB).
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// The deepest tree: all that walks it may recurse without care for the stack.
pub(super) const MAX_DEPTH: usize = 100;

/// A stretch of the text, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Span {
    pub start: usize,
    pub end: usize,
}

impl Span {
    pub fn of<'t>(&self, text: &'t str) -> &'t str {
        text.get(self.start..self.end).unwrap_or_default()
    }

    pub fn to(self, end: Span) -> Span {
        Span {
            start: self.start,
            end: end.end,
        }
    }
}

/// An expression.
#[derive(Clone, Debug)]
pub(super) struct Expr {
    pub kind: Kind,
    pub span: Span,
    /// How many levels it has: at most [`MAX_DEPTH`].
    pub depth: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// A number, or a duration in place of one.
    Number,
    String(Literal),
    Selector(Selector),
    /// `x[5m]`, of a selector.
    Range {
        of: Box<Expr>,
        range_ms: i64,
    },
    /// `x[1h:5m]`.
    Subquery {
        of: Box<Expr>,
    },
    /// `x offset 5m`.
    Offset {
        of: Box<Expr>,
        offset_ms: i64,
    },
    /// `x @ 1609746000`; the span is that of what stands behind the `@`.
    At {
        of: Box<Expr>,
        time: Span,
    },
    Call {
        function: String,
        arguments: Vec<Expr>,
    },
    Aggregate {
        /// In lower case.
        operator: String,
        operator_span: Span,
        grouping: Option<Labels>,
        parameter: Option<Box<Expr>>,
        of: Box<Expr>,
    },
    Binary {
        operator: Operator,
        /// The operator itself, as it is written.
        sign: Span,
        matching: Matching,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    Unary(Box<Expr>),
    Paren(Box<Expr>),
}

/// A selector without its range, offset and time.
#[derive(Clone, Debug)]
pub(super) struct Selector {
    /// Whether a metric's name stands before the braces.
    pub named: bool,
    pub matchers: Vec<Matcher>,
}

#[derive(Clone, Debug)]
pub(super) enum Matcher {
    /// `$selector`.
    Placeholder,
    /// A quoted metric name among the matchers (Prometheus 3).
    Name,
    Label {
        label: String,
        operator: MatchOperator,
        value: Literal,
        span: Span,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MatchOperator {
    Equal,
    NotEqual,
    Regex,
    NotRegex,
}

/// A list of labels with the keyword before it: `by (a, b)`, `without (a)`, `on ()`, `ignoring (a)`.
#[derive(Clone, Debug)]
pub(super) struct Labels {
    /// All labels but these: `without`, `ignoring`.
    pub all_but: bool,
    pub labels: Vec<Label>,
    /// From the keyword to the closing parenthesis.
    pub span: Span,
}

/// A label in a list, where it stands.
#[derive(Clone, Debug)]
pub(super) struct Label {
    pub name: String,
    pub span: Span,
}

impl Labels {
    pub fn names(&self, label: &str) -> bool {
        self.labels.iter().any(|l| l.name == label)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Arithmetic,
    Comparison,
    And,
    Or,
    Unless,
}

/// How a binary operator finds pairs.
#[derive(Clone, Debug, Default)]
pub(super) struct Matching {
    /// Whether a comparison gives 0 and 1, and picks nothing.
    pub returns_bool: bool,
    pub on: Option<Labels>,
    pub group: Option<Group>,
}

/// `group_left(labels)` or `group_right(labels)`.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub left: bool,
    pub labels: Vec<String>,
    /// Where the keyword ends, if no list follows it: a parenthesis there would begin one.
    pub open_end: Option<usize>,
}

impl Expr {
    /// The expression without the parentheses around it.
    pub fn bare(&self) -> &Expr {
        match &self.kind {
            Kind::Paren(of) => of.bare(),
            _ => self,
        }
    }

    /// What it is made of, one level down.
    pub fn children(&self) -> impl Iterator<Item = &Expr> {
        let (several, one, two): (&[Expr], Option<&Expr>, Option<&Expr>) = match &self.kind {
            Kind::Number | Kind::String(_) | Kind::Selector(_) => (&[], None, None),
            Kind::Range { of, .. } | Kind::Subquery { of } | Kind::Offset { of, .. } | Kind::At { of, .. } => {
                (&[], Some(of), None)
            }
            Kind::Unary(of) | Kind::Paren(of) => (&[], Some(of), None),
            Kind::Call { arguments, .. } => (arguments, None, None),
            Kind::Aggregate { parameter, of, .. } => (&[], parameter.as_deref(), Some(of)),
            Kind::Binary { left, right, .. } => (&[], Some(left), Some(right)),
        };
        several.iter().chain(one).chain(two)
    }

    /// Every selector in it, in the order of the text.
    pub fn selectors(&self) -> Vec<(&Selector, Span)> {
        let mut found = Vec::new();
        self.collect(&mut found);
        found
    }

    fn collect<'e>(&'e self, found: &mut Vec<(&'e Selector, Span)>) {
        if let Kind::Selector(selector) = &self.kind {
            found.push((selector, self.span));
        }
        for child in self.children() {
            child.collect(found);
        }
    }
}
