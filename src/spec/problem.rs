//! What is wrong with an object.

use std::fmt;

use serde_json::Value;

/// Why an object is no autoscaler: all that is wrong with it at once.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{object}: {}", joined(.problems))]
pub struct SpecError {
    /// The object, as `kind namespace/name`.
    pub object: String,
    /// What is wrong, at least one thing, in the object's order.
    pub problems: Vec<Problem>,
}

/// One field that cannot be as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, in Kubernetes' form: `spec.metrics[0].resource.target.averageUtilization`.
    pub path: String,
    /// What stands there, as JSON; `None` where something is missing.
    pub found: Option<String>,
    /// What would be right.
    pub want: String,
}

impl Problem {
    pub(crate) fn new(path: impl Into<String>, found: Option<&Value>, want: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            found: found.map(shortened),
            want: want.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found {
            Some(found) => write!(f, "{}: found {found}, want {}", self.path, self.want),
            None => write!(f, "{}: missing, want {}", self.path, self.want),
        }
    }
}

/// Enough of a value to recognize it: a message must not become as large as an object can be.
fn shortened(value: &Value) -> String {
    const LONGEST: usize = 100;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn joined(problems: &[Problem]) -> String {
    let texts: Vec<String> = problems.iter().map(Problem::to_string).collect();
    texts.join("; ")
}
