//! A query with placeholders.

mod matchers;
mod render;

use std::sync::Arc;

pub(super) use matchers::{LabelMatcher, matchers};
pub(super) use render::{Edit, Values, apply};

use super::syntax::{
    Expr, Kind, LexError, Literal, MAX_BYTES, MatchOperator, Operator, ParseError, Placeholder, Span, Token, TokenKind,
    parse, tokens,
};

/// A PromQL query with `$namespace`, `$pods`, `$object` and `$selector` in it; `$$` is a dollar.
///
/// `$namespace` and `$object` stand in quoted values of matchers, `$pods` is the whole value of a `=~` matcher, and
/// `$selector` stands among the matchers: `{namespace="$namespace",pod=~"$pods",$selector}`. An empty selector takes the
/// comma beside it along.
///
/// What is not PromQL as we read it (MetricsQL has more) is a template too: it is asked as it is, for each autoscaler by
/// itself ([`is_readable`](Self::is_readable)).
#[derive(Clone, Debug)]
pub struct Template {
    text: Arc<str>,
    form: SelectorForm,
    reading: Arc<Reading>,
}

/// How `$selector` writes a metric's selector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SelectorForm {
    /// So that it picks exactly what Kubernetes' selector says: values are escaped.
    #[default]
    Exact,
    /// As Prometheus Adapter does: the values of `in` and `notin` are regular expressions, joined by `|`; and a selector
    /// that the query does not ask for is passed over.
    ///
    /// Source: Prometheus Adapter, `pkg/naming/metrics_query.go`, `selectMatcher` and `selectTargetValue`.
    AsAdapter,
}

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It is empty.
    #[error("the query is empty")]
    Empty,
    /// It is too long.
    #[error("the query has {bytes} bytes; at most {MAX_BYTES} are read")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// A quote without its end.
    #[error("at {at}: the quote is not closed")]
    OpenQuote {
        /// Where it begins, in characters, from 1.
        at: usize,
    },
    /// An escape that PromQL does not know.
    #[error("at {at}: there is no such escape in quotes; write \\\\ for a backslash")]
    Escape {
        /// Where it stands, in characters, from 1.
        at: usize,
    },
    /// A placeholder that there is not.
    #[error(
        "at {at}: there is no placeholder ${name}; there are $namespace, $pods, $object and $selector, and $$ is a dollar"
    )]
    Unknown {
        /// Its name, at most 40 characters of it.
        name: String,
        /// Where it stands, in characters, from 1.
        at: usize,
    },
    /// A dollar that is none of a placeholder.
    #[error("at {at}: write $$ for a dollar; $namespace, $pods, $object and $selector are placeholders")]
    LoneDollar {
        /// Where it stands, in characters, from 1.
        at: usize,
    },
    /// A placeholder where it can stand for nothing.
    #[error("at {at}: {placeholder} cannot stand here; it belongs {right}")]
    Misplaced {
        /// The placeholder.
        placeholder: &'static str,
        /// Where it would be right.
        right: &'static str,
        /// Where it stands, in characters, from 1.
        at: usize,
    },
}

/// What is known of a template's text.
#[derive(Debug)]
pub(super) struct Reading {
    /// Everything that is to be filled in, in the order of the text.
    pub holes: Vec<Hole>,
    /// The tree, or where the text stops being PromQL.
    pub tree: Result<Expr, ParseError>,
    /// Whether it can be asked without the pods' names.
    pub pods: PodsUse,
}

/// A place to fill in.
#[derive(Clone, Debug)]
pub(super) enum Hole {
    /// A quoted value with placeholders in it.
    Value { literal: Literal, operator: MatchOperator },
    /// `$selector`, and what goes with it when it is empty.
    Selector { span: Span, with_comma: Span },
    /// `$$` in quotes that have no placeholder.
    Dollar(Span),
}

/// What a template does with the names of pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PodsUse {
    /// It does not name them.
    None,
    /// Each series of the answer belongs to one pod and names it, so that all pods can be asked for.
    Droppable,
    /// The answer depends on which pods are named.
    Needed,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// A placeholder that there is not, or one where it can stand for nothing.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        Self::parse_as(text, SelectorForm::Exact)
    }

    /// Reads a template whose `$selector` is written as `form` says.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_as(text: &str, form: SelectorForm) -> Result<Self, TemplateError> {
        if text.len() > MAX_BYTES {
            return Err(TemplateError::TooLong { bytes: text.len() });
        }
        let tokens = tokens(text).map_err(|error| TemplateError::from_lexer(error, text))?;
        if tokens.len() <= 1 {
            return Err(TemplateError::Empty);
        }
        let holes = holes(text, &tokens)?;
        let tree = parse(text, &tokens);
        let pods = super::merge::pods_use(&holes, tree.as_ref().ok(), text);
        Ok(Self {
            text: text.into(),
            form,
            reading: Arc::new(Reading { holes, tree, pods }),
        })
    }

    /// The template as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How `$selector` is written.
    pub fn selector_form(&self) -> SelectorForm {
        self.form
    }

    /// Whether it is PromQL as we read it: what is not is never merged with others, and its values' age cannot be limited.
    ///
    /// # Errors
    /// Where the text stops being PromQL, and what would go on there.
    pub fn is_readable(&self) -> Result<(), String> {
        match &self.reading.tree {
            Ok(_) => Ok(()),
            Err(error) => Err(format!(
                "at {}: expected {}",
                place(&self.text, error.at),
                error.expected
            )),
        }
    }

    /// Whether it asks for the autoscaler's namespace.
    pub fn names_namespace(&self) -> bool {
        self.names(Placeholder::Namespace)
    }

    /// Whether it asks for the pods' names.
    pub fn names_pods(&self) -> bool {
        self.names(Placeholder::Pods)
    }

    /// Whether it asks for the object's name.
    pub fn names_object(&self) -> bool {
        self.names(Placeholder::Object)
    }

    /// Whether it asks for the metric's selector.
    pub fn names_selector(&self) -> bool {
        self.names(Placeholder::Selector)
    }

    /// Whether no result can have the label `label`: an aggregation leaves it out. `false` where that is not known.
    pub fn drops(&self, label: &str) -> bool {
        self.reading.tree.as_ref().is_ok_and(|tree| drops(tree, label))
    }

    pub(super) fn reading(&self) -> &Reading {
        &self.reading
    }

    fn names(&self, placeholder: Placeholder) -> bool {
        self.reading.holes.iter().any(|hole| hole.names(placeholder))
    }
}

/// By text and form: the rest follows from them.
impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.form == other.form
    }
}

impl Eq for Template {}

impl TemplateError {
    fn from_lexer(error: LexError, text: &str) -> Self {
        match error {
            LexError::Unterminated { at } => Self::OpenQuote { at: place(text, at) },
            LexError::Escape { at } => Self::Escape { at: place(text, at) },
            LexError::LoneDollar { at } => Self::LoneDollar { at: place(text, at) },
            LexError::UnknownPlaceholder { name, at } => Self::Unknown {
                name,
                at: place(text, at),
            },
        }
    }
}

impl Hole {
    fn names(&self, placeholder: Placeholder) -> bool {
        match self {
            Self::Value { literal, .. } => literal.placeholders().any(|p| p == placeholder),
            Self::Selector { .. } => placeholder == Placeholder::Selector,
            Self::Dollar(_) => false,
        }
    }
}

/// The character at byte `at`, from 1.
fn place(text: &str, at: usize) -> usize {
    1 + text.char_indices().take_while(|(byte, _)| *byte < at).count()
}

/// The places to fill in. Goes by the tokens alone, so that it serves every dialect.
fn holes(text: &str, tokens: &[Token]) -> Result<Vec<Hole>, TemplateError> {
    let mut holes = Vec::new();
    let mut braces = 0usize;
    for (i, token) in tokens.iter().enumerate() {
        let before = i.checked_sub(1).and_then(|i| tokens.get(i));
        let misplaced = |placeholder: Placeholder| TemplateError::Misplaced {
            placeholder: placeholder.name(),
            right: match placeholder {
                Placeholder::Selector => "among matchers, without quotes: {a=\"b\",$selector}",
                Placeholder::Pods => "alone in the value of a matcher: {pod=~\"$pods\"}",
                Placeholder::Namespace => "in the quoted value of a matcher: {namespace=\"$namespace\"}",
                Placeholder::Object => "in the quoted value of a matcher: {service=\"$object\"}",
            },
            at: place(text, token.span.start),
        };
        match &token.kind {
            TokenKind::Sign("{") => braces += 1,
            TokenKind::Sign("}") => braces = braces.saturating_sub(1),
            TokenKind::Placeholder(Placeholder::Selector) => {
                let opens = |t: &Token| matches!(t.kind, TokenKind::Sign("{" | ","));
                let closes = |t: &Token| matches!(t.kind, TokenKind::Sign("}" | ","));
                let after = tokens.get(i + 1);
                if braces == 0 || !before.is_some_and(opens) || !after.is_some_and(closes) {
                    return Err(misplaced(Placeholder::Selector));
                }
                // Two in one pair of braces must not take the same comma.
                let taken = match holes.last() {
                    Some(Hole::Selector { with_comma, .. }) => with_comma.end,
                    _ => 0,
                };
                let comma = |t: &&Token| t.kind == TokenKind::Sign(",") && t.span.start >= taken;
                let with_comma = match (before.filter(comma), after.filter(comma)) {
                    (_, Some(after)) => token.span.to(after.span),
                    (Some(before), None) => before.span.to(token.span),
                    (None, None) => token.span,
                };
                let span = token.span;
                holes.push(Hole::Selector { span, with_comma });
            }
            TokenKind::Placeholder(placeholder) => return Err(misplaced(*placeholder)),
            TokenKind::String(literal) => {
                let Some(first) = literal.placeholders().next() else {
                    let dollar = |start: &usize| {
                        let (start, end) = (*start, start + 2);
                        Hole::Dollar(Span { start, end })
                    };
                    holes.extend(literal.dollars.iter().map(dollar));
                    continue;
                };
                let operator = match before.map(|t| &t.kind) {
                    _ if braces == 0 => None,
                    Some(TokenKind::Sign("=")) => Some(MatchOperator::Equal),
                    Some(TokenKind::Sign("!=")) => Some(MatchOperator::NotEqual),
                    Some(TokenKind::Sign("=~")) => Some(MatchOperator::Regex),
                    Some(TokenKind::Sign("!~")) => Some(MatchOperator::NotRegex),
                    _ => None,
                };
                let operator = operator.ok_or_else(|| misplaced(first))?;
                for placeholder in literal.placeholders() {
                    let right = match placeholder {
                        Placeholder::Namespace | Placeholder::Object => true,
                        Placeholder::Pods => operator == MatchOperator::Regex && literal.whole().is_some(),
                        Placeholder::Selector => false,
                    };
                    if !right {
                        return Err(misplaced(placeholder));
                    }
                }
                let literal = literal.clone();
                holes.push(Hole::Value { literal, operator });
            }
            _ => {}
        }
    }
    Ok(holes)
}

fn drops(tree: &Expr, label: &str) -> bool {
    match &tree.kind {
        Kind::Paren(of) | Kind::Unary(of) | Kind::Offset { of, .. } | Kind::At { of, .. } => drops(of, label),
        // These pick series and leave them as they are.
        Kind::Aggregate { operator, .. }
            if matches!(operator.as_str(), "topk" | "bottomk" | "limitk" | "limit_ratio") =>
        {
            false
        }
        Kind::Aggregate { grouping, .. } => match grouping {
            Some(grouping) => grouping.all_but == grouping.names(label),
            None => true,
        },
        Kind::Binary {
            operator: Operator::Arithmetic | Operator::Comparison,
            left,
            right,
            ..
        } => match (&left.bare().kind, &right.bare().kind) {
            (_, Kind::Number) => drops(left, label),
            (Kind::Number, _) => drops(right, label),
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, selector: &str) -> String {
        let template = Template::parse(text).unwrap();
        let pods = ["p-1".into(), "p.2".into()];
        let values = Values {
            namespace: "shop.x",
            object: "we\"b",
            pods: &pods,
            selector,
        };
        apply(template.text(), template.fill(&values, &[]))
    }

    #[test]
    fn values_are_escaped_for_where_they_stand() {
        for (text, expected) in [
            ("a{n=\"$namespace\"}", r#"a{n="shop.x"}"#),
            ("a{n='$namespace'}", r#"a{n="shop.x"}"#),
            ("a{n=~`$namespace|\\d$$`}", r#"a{n=~"shop\\.x|\\d$"}"#),
            ("a{n!~\"x-$namespace-y\"}", r#"a{n!~"x-shop\\.x-y"}"#),
            ("a{o=\"$object\"}", r#"a{o="we\"b"}"#),
            ("a{pod=~\"$pods\"}", r#"a{pod=~"p-1|p\\.2"}"#),
            ("a{x=\"$$namespace\"}", r#"a{x="$namespace"}"#),
            ("a # $5 and more", "a # $5 and more"),
            (
                "a{n=\"$namespace\"} keep_metric_names",
                r#"a{n="shop.x"} keep_metric_names"#,
            ),
        ] {
            assert_eq!(filled(text, ""), expected);
        }
    }

    #[test]
    fn an_empty_selector_takes_one_comma_along() {
        for (text, without, with) in [
            ("a{$selector}", "a{}", "a{x=\"1\"}"),
            ("a{$selector,b=\"c\"}", "a{b=\"c\"}", "a{x=\"1\",b=\"c\"}"),
            ("a{b=\"c\", $selector}", "a{b=\"c\"}", "a{b=\"c\", x=\"1\"}"),
            (
                "a{b=\"c\",$selector,d=\"e\"}",
                "a{b=\"c\",d=\"e\"}",
                "a{b=\"c\",x=\"1\",d=\"e\"}",
            ),
            ("a{$selector,$selector}", "a{}", "a{x=\"1\",x=\"1\"}"),
            (
                "a{b=\"c\",$selector,$selector}",
                "a{b=\"c\",}",
                "a{b=\"c\",x=\"1\",x=\"1\"}",
            ),
        ] {
            assert_eq!(filled(text, ""), without);
            assert_eq!(filled(text, "x=\"1\""), with);
        }
    }

    #[test]
    fn a_placeholder_in_the_wrong_place_is_refused_in_any_dialect() {
        for (text, part) in [
            ("", "empty"),
            ("  # nothing", "empty"),
            ("a{n=\"$ns\"}", "at 6: there is no placeholder $ns"),
            ("a{n=~\"x$\"}", "at 8: write $$"),
            ("a{n=\"x}", "at 5: the quote is not closed"),
            ("a{n=~\"\\d\"}", "at 7: there is no such escape"),
            ("a{n=$namespace}", "in the quoted value"),
            ("sum($selector)", "among matchers"),
            ("sum(a, $selector)", "among matchers"),
            ("a{x=\"$selector\"}", "among matchers"),
            ("a{pod=\"$pods\"}", "alone in the value"),
            ("a{pod!~\"$pods\"}", "alone in the value"),
            ("a{pod=~\"x|$pods\"}", "alone in the value"),
            (
                "label_replace(a, \"n\", \"$namespace\", \"\", \"\")",
                "in the quoted value of a matcher",
            ),
            ("a{x=\"$selector\"} if b", "among matchers"),
        ] {
            let error = Template::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        let long = Template::parse(&" ".repeat(MAX_BYTES + 1)).unwrap_err();
        assert_eq!(long, TemplateError::TooLong { bytes: MAX_BYTES + 1 });
    }

    #[test]
    fn what_is_not_read_says_where() {
        let readable = |text| Template::parse(text).unwrap().is_readable();
        assert_eq!(readable("sum(a) by (b)"), Ok(()));
        assert_eq!(readable("ü"), Err("at 1: expected an expression".into()));
        assert_eq!(
            readable("a{b=\"ü\"} if b"),
            Err("at 10: expected an operator or the end".into())
        );
    }
}
