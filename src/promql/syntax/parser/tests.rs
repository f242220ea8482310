use super::*;
use crate::promql::syntax::{MAX_BYTES, tokens};

fn read(text: &str) -> Result<Expr, ParseError> {
    parse(text, &tokens(text).unwrap())
}

/// `expr` with parentheses around everything that is made of parts.
fn grouped(expr: &Expr, text: &str) -> String {
    let part = |e: &Expr| grouped(e, text);
    match &expr.kind {
        Kind::Binary { left, right, .. } => {
            let between = Span {
                start: left.span.end,
                end: right.span.start,
            };
            let operator = between.of(text).split_whitespace().collect::<Vec<_>>().join(" ");
            format!("({} {operator} {})", part(left), part(right))
        }
        Kind::Unary(of) => format!("(-{})", part(of)),
        Kind::Paren(of) => part(of),
        Kind::Range { of, range_ms } => format!("{}[{range_ms}]", part(of)),
        Kind::Subquery { of } => format!("{}[:]", part(of)),
        Kind::Offset { of, offset_ms } => format!("{} offset {offset_ms}", part(of)),
        Kind::At { of, time } => format!("{} @ {}", part(of), time.of(text)),
        Kind::Call { function, arguments } => {
            format!(
                "{function}({})",
                arguments.iter().map(part).collect::<Vec<_>>().join(", ")
            )
        }
        Kind::Aggregate {
            operator,
            grouping,
            parameter,
            of,
            ..
        } => {
            let grouping = grouping.as_ref().map_or(String::new(), |g| {
                let labels: Vec<&str> = g.labels.iter().map(|l| &*l.name).collect();
                format!(" {}({})", if g.all_but { "without" } else { "by" }, labels.join(","))
            });
            let parameter = parameter.as_ref().map_or(String::new(), |p| part(p) + ", ");
            format!("{operator}{grouping}({parameter}{})", part(of))
        }
        Kind::Number | Kind::String(_) | Kind::Selector(_) => expr.span.of(text).to_owned(),
    }
}

#[test]
fn operators_bind_as_prometheus_binds_them() {
    for (text, expected) in [
        ("a + b * c", "(a + (b * c))"),
        ("a * b + c", "((a * b) + c)"),
        ("a - b - c", "((a - b) - c)"),
        ("a ^ b ^ c", "(a ^ (b ^ c))"),
        ("-a ^ b", "(-(a ^ b))"),
        ("-a * b", "((-a) * b)"),
        ("a ^ -b * c", "((a ^ (-b)) * c)"),
        ("a or b and c unless d == e", "(a or ((b and c) unless (d == e)))"),
        ("a > bool 1 + 2", "(a > bool (1 + 2))"),
        ("a atan2 b % c", "((a atan2 b) % c)"),
        ("a AND ON (x, y,) b OR c", "((a AND ON (x, y,) b) OR c)"),
        ("a / on (x) group_left (y) b + c", "((a / on (x) group_left (y) b) + c)"),
        ("a / ignoring (x) group_right b", "(a / ignoring (x) group_right b)"),
        ("(a + b) * c", "((a + b) * c)"),
        ("-a offset 5m", "(-a offset 300000)"),
        ("-a[5m:1m]", "(-a[:])"),
    ] {
        assert_eq!(read(text).map(|e| grouped(&e, text)).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn everything_of_prometheus_syntax_is_read() {
    for (text, expected) in [
        ("a{b=\"c\",d!='e',f=~`g`,h!~\"i\",}", None),
        ("{__name__=\"a\"}", None),
        ("{\"a.b\",\"c d\"=\"e\"}", None),
        ("a:b:c", None),
        (":a", None),
        ("sum", None),
        ("by{offset=\"x\"}", None),
        ("sum{by=\"x\"}", None),
        ("and{a=\"b\"}", None),
        ("0x1F", None),
        ("-inf", Some("(-inf)")),
        ("NaN", None),
        ("1e-5", None),
        ("5m", None),
        ("\"text\"", None),
        ("a[5m]", Some("a[300000]")),
        ("a[300]", Some("a[300000]")),
        (
            "a{b=\"c\"}[1h30m] offset -5m",
            Some("a{b=\"c\"}[5400000] offset -300000"),
        ),
        ("a @ 1609746000.5 offset 1w", Some("a @ 1609746000.5 offset 604800000")),
        ("a @ end()", Some("a @ end()")),
        ("a offset 1m @ start()", Some("a offset 60000 @ start()")),
        ("a @ -5", Some("a @ -5")),
        ("rate(a[5m])[1h:5m]", Some("rate(a[300000])[:]")),
        ("a[1h:] offset 5m", Some("a[:] offset 300000")),
        ("time()", Some("time()")),
        ("round(a, 5)", Some("round(a, 5)")),
        ("sum(a)", None),
        ("sum by (b) (a)", Some("sum by(b)(a)")),
        ("SUM(a) BY (b, c,)", Some("sum by(b,c)(a)")),
        ("sum without () (a)", Some("sum without()(a)")),
        ("sum by (\"b.c\") (a)", Some("sum by(b.c)(a)")),
        ("topk by (b) (5, a)", Some("topk by(b)(5, a)")),
        ("quantile(0.5, a) without (b)", Some("quantile without(b)(0.5, a)")),
        ("count_values(\"x\", a)", Some("count_values(\"x\", a)")),
        ("limit_ratio(0.5, a)", None),
        (
            "histogram_quantile(0.9, sum by (le) (rate(a_bucket[5m])))",
            Some("histogram_quantile(0.9, sum by(le)(rate(a_bucket[300000])))"),
        ),
        (
            "histogram_count(a) / histogram_sum(a)",
            Some("(histogram_count(a) / histogram_sum(a))"),
        ),
        ("a # b\n+ c # d", Some("(a # b + c)")),
        (" \t\r\na", Some("a")),
    ] {
        let read = read(text).map(|e| grouped(&e, text));
        assert_eq!(read.as_deref(), Ok(expected.unwrap_or(text)), "{text}");
    }
}

#[test]
fn what_is_beyond_it_is_refused_where_it_begins() {
    for (text, at) in [
        ("", 0),
        ("a b", 2),
        ("a +", 3),
        ("a{b}", 3),
        ("a{b=c}", 4),
        ("a{b=\"c\" or d=\"e\"}", 8),
        ("a{,}", 2),
        ("sum(a", 5),
        ("sum by a", 7),
        ("sum(a, b)", 5),
        ("topk(a)", 6),
        ("rate(a[5m)", 9),
        ("a[5i]", 2),
        ("a[]", 2),
        ("(a)[5m]", 0),
        ("a[5m][5m]", 0),
        ("a offset", 8),
        ("a @ b", 4),
        ("a if b", 2),
        ("f(a,)", 4),
        ("a;", 1),
        ("a keep_metric_names", 2),
        ("and", 0),
    ] {
        assert_eq!(read(text).map_err(|error| error.at).map(|_| ()), Err(at), "{text}");
    }
}

#[test]
fn what_is_nested_too_deeply_is_refused_and_does_no_harm() {
    for (open, close) in [
        ("(", ")"),
        ("-", ""),
        ("a+", ""),
        ("a^", ""),
        ("sum(", ")"),
        ("f(1,", ")"),
        ("", " offset 5m"),
        ("", "[5m:]"),
        ("sum by (x) (topk(1,", "))"),
    ] {
        let repeated = |n: usize| format!("{}a{}", open.repeat(n), close.repeat(n));
        assert!(read(&repeated(10)).is_ok(), "{open}{close}");
        let many = MAX_BYTES / (open.len() + close.len()) - 1;
        assert_eq!(
            read(&repeated(many)).unwrap_err().expected,
            "less nesting",
            "{open}{close}"
        );
    }
}
