//! Which series a rule takes, and the metrics' names that it makes of theirs.

use ::regex::Regex;

use super::regex::expand;

/// `seriesFilters` and `name` of a rule.
#[derive(Debug)]
pub(super) struct Naming {
    pub filters: Vec<Filter>,
    /// `name.matches`, or `.*`; a series that does not match is none of the rule's.
    pub matches: Regex,
    /// `name.as`, or what stands for it.
    pub template: String,
}

/// One of `seriesFilters`.
#[derive(Debug)]
pub(super) struct Filter {
    pub expression: Regex,
    /// Whether a name must match, or must not.
    pub is: bool,
}

impl Naming {
    /// What `name` says; `None` for an expression with several groups and no template.
    ///
    /// Source: `pkg/naming/metric_namer.go`, `NamersFromConfig`.
    pub(super) fn new(filters: Vec<Filter>, matches: Regex, template: &str) -> Option<Self> {
        // The match as a whole counts as a group.
        let template = match (template, matches.captures_len()) {
            ("", 1) => "$0",
            ("", 2) => "$1",
            ("", _) => return None,
            (template, _) => template,
        };
        Some(Self {
            filters,
            matches,
            template: template.to_owned(),
        })
    }

    /// The metric that the series `name` gives, if the rule takes it. Empty names are none.
    pub(super) fn metric(&self, name: &str) -> Option<String> {
        if self
            .filters
            .iter()
            .any(|filter| filter.expression.is_match(name) != filter.is)
        {
            return None;
        }
        let metric = expand(&self.template, &self.matches.captures(name)?);
        (!metric.is_empty()).then_some(metric)
    }
}

#[cfg(test)]
mod tests {
    use super::super::regex::compile;
    use super::*;

    fn naming(filters: &[(&str, bool)], matches: &str, template: &str) -> Option<Naming> {
        let filters = filters.iter().map(|(expression, is)| Filter {
            expression: compile(expression).expect("it is an expression"),
            is: *is,
        });
        let matches = compile(matches).expect("it is an expression");
        Naming::new(filters.collect(), matches, template)
    }

    #[test]
    fn names_are_filtered_and_made_anew() {
        let metric = |filters: &[(&str, bool)], matches: &str, template: &str, name: &str| {
            naming(filters, if matches.is_empty() { ".*" } else { matches }, template)
                .expect("it is complete")
                .metric(name)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(metric(&[], "", "", "orders_total"), some("orders_total"));
        assert_eq!(metric(&[], "^(.*)_total$", "", "orders_total"), some("orders"));
        assert_eq!(metric(&[], "^(.*)_total$", "", "orders"), None);
        assert_eq!(metric(&[], "_total", "", "orders_total_x"), some("_total"));
        assert_eq!(
            metric(&[], "^(.*)_total", "${1}_per_second", "a_total"),
            some("a_per_second")
        );
        assert_eq!(metric(&[], "", "qps", "orders_total"), some("qps"));
        assert_eq!(metric(&[], "^(.*)x", "", "x"), None, "a name is not empty");
        let filters = [("^a_", true), ("_seconds", false)];
        assert_eq!(metric(&filters, "", "", "a_b"), some("a_b"));
        assert_eq!(metric(&filters, "", "", "a_seconds_b"), None);
        assert_eq!(metric(&filters, "", "", "b"), None);
        assert!(naming(&[], "(a)(b)", "").is_none());
    }
}
