//! The part of Go's templates that queries are written with: fields between `<<` and `>>`.

/// What a template is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Text as it is.
    Text(String),
    /// `<<.Name>>`
    Field(Field),
    /// `<<index .LabelValuesByName "label">>`: the values that the label is compared with.
    LabelValues(String),
}

/// A field of the data that a template is filled in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// The series' name.
    Series,
    /// The matchers, separated by commas.
    LabelMatchers,
    /// The labels to group by, separated by commas.
    GroupBy,
    /// The group of a resource, as a part of a label's name.
    Group,
    /// A resource's singular name.
    Resource,
}

/// What is wrong with the `action`-th `<<…>>` of a template, counted from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TemplateProblem {
    pub action: usize,
    pub problem: String,
}

/// What a template is for, which decides what it may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// `metricsQuery`, `containerQuery`
    Query,
    /// `resources.template`
    Label,
}

/// Reads a template.
pub(super) fn parse(text: &str, used: Use) -> Result<Vec<Part>, TemplateProblem> {
    let mut parts = Vec::new();
    let mut rest = text;
    let mut trim_next = false;
    for action in 0.. {
        let (before, after) = match rest.split_once("<<") {
            Some((before, after)) => (before, Some(after)),
            None => (rest, None),
        };
        let problem = |problem: String| TemplateProblem { action, problem };
        let mut literal = if trim_next { before.trim_start() } else { before };
        let Some(after) = after else {
            push_text(&mut parts, literal);
            break;
        };
        let Some((inner, after)) = split_action(after) else {
            return Err(problem("<< without >>".to_owned()));
        };
        // Go: `<<- ` takes the white space before it away, ` ->>` that after it.
        let inner = match inner.strip_prefix('-') {
            Some(trimmed) if trimmed.starts_with(char::is_whitespace) => {
                literal = literal.trim_end();
                trimmed
            }
            _ => inner,
        };
        let inner = match inner.strip_suffix('-') {
            Some(trimmed) if trimmed.ends_with(char::is_whitespace) => {
                trim_next = true;
                trimmed
            }
            _ => {
                trim_next = false;
                inner
            }
        };
        push_text(&mut parts, literal);
        parts.extend(part(inner, used).map_err(problem)?);
        rest = after;
    }
    Ok(parts)
}

/// The action that `text` begins with, and what follows its `>>`. Quoted text may hold `>>`.
fn split_action(text: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match quote {
            None if text[at..].starts_with(">>") => return Some((&text[..at], &text[at + 2..])),
            None if c == '"' || c == '`' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ => {}
        }
    }
    None
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
}

/// What an action stands for; a comment for nothing.
fn part(inner: &str, used: Use) -> Result<Option<Part>, String> {
    let inner = inner.trim();
    if inner.starts_with("/*") && inner.ends_with("*/") {
        return Ok(None);
    }
    let words: Vec<&str> = inner.split_whitespace().collect();
    let field = match (used, words.as_slice()) {
        (Use::Query, [".Series"]) => Field::Series,
        (Use::Query, [".LabelMatchers"]) => Field::LabelMatchers,
        (Use::Query, [".GroupBy"]) => Field::GroupBy,
        (Use::Label, [".Group"]) => Field::Group,
        (Use::Label, [".Resource"]) => Field::Resource,
        (Use::Query, ["index", ".LabelValuesByName", label]) => {
            return match unquoted(label) {
                Some(label) => Ok(Some(Part::LabelValues(label.to_owned()))),
                None => Err(format!("<<{inner}>>: the label is not in quotes")),
            };
        }
        (used, _) => return Err(format!("<<{inner}>> is not supported; {}", supported(used))),
    };
    Ok(Some(Part::Field(field)))
}

fn supported(used: Use) -> &'static str {
    match used {
        Use::Query => {
            "supported are .Series, .LabelMatchers, .GroupBy and index .LabelValuesByName \"label\", and no functions, \
             pipes, conditions or loops"
        }
        Use::Label => "supported are .Group and .Resource",
    }
}

fn unquoted(text: &str) -> Option<&str> {
    ['"', '`']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
        .filter(|text| !text.contains(['"', '`', '\\']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Part {
        Part::Text(text.into())
    }

    #[test]
    fn fields_stand_between_the_text() {
        assert_eq!(
            parse("sum(<<.Series>>{<< .LabelMatchers >>}) by (<<\n.GroupBy>>)", Use::Query),
            Ok(vec![
                text("sum("),
                Part::Field(Field::Series),
                text("{"),
                Part::Field(Field::LabelMatchers),
                text("}) by ("),
                Part::Field(Field::GroupBy),
                text(")"),
            ])
        );
        assert_eq!(
            parse("x{a=~\"<<index .LabelValuesByName \"a\">>\"}<</* why */>>", Use::Query),
            Ok(vec![text("x{a=~\""), Part::LabelValues("a".into()), text("\"}")])
        );
        assert_eq!(parse("a < b", Use::Query), Ok(vec![text("a < b")]));
    }

    #[test]
    fn dashes_take_white_space_away() {
        assert_eq!(
            parse("a <<- .Series ->> b <<.Series>> c", Use::Query),
            Ok(vec![
                text("a"),
                Part::Field(Field::Series),
                text("b "),
                Part::Field(Field::Series),
                text(" c"),
            ])
        );
    }

    #[test]
    fn everything_else_is_said_to_be_unsupported() {
        for (template, action, problem) in [
            ("<<.Series>> <<.GroupBySlice>>", 1, "<<.GroupBySlice>> is not supported"),
            ("<<if .Series>>x<<end>>", 0, "no functions, pipes, conditions or loops"),
            ("<<.Series | printf>>", 0, "<<.Series | printf>> is not supported"),
            ("<<.Resource>>", 0, "is not supported"),
            ("<<index .LabelValuesByName a>>", 0, "not in quotes"),
            ("a <<.Series", 0, "<< without >>"),
            ("<<>>", 0, "<<>> is not supported"),
        ] {
            let found = parse(template, Use::Query).unwrap_err();
            assert_eq!(found.action, action, "{template}");
            assert!(found.problem.contains(problem), "{template}: {}", found.problem);
        }
        assert!(parse("kube_<<.Group>>_<<.Resource>>", Use::Label).is_ok());
        assert!(parse("<<.Series>>", Use::Label).is_err());
    }
}
