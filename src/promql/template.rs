//! A query with placeholders.

/// A PromQL query with `$namespace`, `$pods`, `$object` and `$selector` in it; `$$` is a dollar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
}

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TemplateError(pub String);

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// A placeholder that there is not, or one where it can stand for nothing.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        Ok(Self { text: text.to_owned() })
    }

    /// The template as written.
    pub fn text(&self) -> &str {
        &self.text
    }
}
