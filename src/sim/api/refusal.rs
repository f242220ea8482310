//! How the API says no.

use serde_json::{Value, json};

use super::resources::Resource;

/// A request that is refused, as a `Status` object tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The HTTP status code.
    pub code: u16,
    /// The machine's word for it.
    pub reason: &'static str,
    /// The sentence for people.
    pub message: String,
    /// The resource and the object that it is about.
    about: Option<(&'static Resource, String)>,
    /// Which fields are at fault, and how.
    causes: Vec<(String, String)>,
    /// When to try again, in seconds.
    pub retry_after: Option<u32>,
    /// Whether the resource is called by its kind or by its name; each place of kube-apiserver has its own habit.
    by_kind: bool,
}

impl Refusal {
    /// A refusal about no object.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            about: None,
            causes: Vec::new(),
            retry_after: None,
            by_kind: false,
        }
    }

    fn about(mut self, resource: &'static Resource, name: &str) -> Self {
        self.about = Some((resource, name.to_owned()));
        self
    }

    pub(super) fn not_found(resource: &'static Resource, name: &str) -> Self {
        let message = format!("{} {name:?} not found", resource.full_name());
        Self::new(404, "NotFound", message).about(resource, name)
    }

    /// Nothing has this path.
    pub(super) fn no_such_path() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    pub(super) fn already_exists(resource: &'static Resource, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", resource.full_name());
        Self::new(409, "AlreadyExists", message).about(resource, name)
    }

    pub(super) fn conflict(resource: &'static Resource, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {name:?}: {why}",
            resource.full_name()
        );
        Self::new(409, "Conflict", message).about(resource, name)
    }

    /// The object has changed since it was read.
    pub(super) fn stale(resource: &'static Resource, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, why)
    }

    pub(super) fn invalid(resource: &'static Resource, name: &str, causes: Vec<(String, String)>) -> Self {
        let problems: Vec<String> = causes
            .iter()
            .map(|(field, problem)| format!("{field}: {problem}"))
            .collect();
        let problems = match problems.as_slice() {
            [only] => only.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        let message = format!("{} {name:?} is invalid: {problems}", resource.kind_name());
        Self {
            causes,
            by_kind: true,
            ..Self::new(422, "Invalid", message).about(resource, name)
        }
    }

    /// The same, with the fields that are at fault.
    pub(super) fn because(self, causes: Vec<(String, String)>) -> Self {
        Self { causes, ..self }
    }

    /// The same, calling the resource the other way.
    pub(super) fn called_otherwise(self) -> Self {
        Self {
            by_kind: !self.by_kind,
            ..self
        }
    }

    /// A JSON patch that cannot be carried out, a failed test among the reasons.
    pub(super) fn unfit_patch() -> Self {
        Self::new(
            422,
            "Invalid",
            "the server rejected our request due to an error in our request",
        )
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(super) fn not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(405, "MethodNotAllowed", message)
    }

    pub(super) fn unsupported_media_type(given: &str, known: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format ({given:?}) - accepted media types include: {known}"
        );
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// A resource version that is no longer known.
    pub(super) fn expired(asked: u64, oldest: u64) -> Self {
        Self::new(410, "Expired", format!("too old resource version: {asked} ({oldest})"))
    }

    /// The `Status` object.
    pub fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if !self.reason.is_empty() {
            status["reason"] = self.reason.into();
        }
        let mut details = json!({});
        if let Some((resource, name)) = &self.about {
            let called = if self.by_kind { resource.kind } else { resource.plural };
            details = json!({ "kind": called });
            if !name.is_empty() {
                details["name"] = name.as_str().into();
            }
            // metrics-server names no group.
            if !resource.group.is_empty() && resource.can_be_written() {
                details["group"] = resource.group.into();
            }
        }
        if !self.causes.is_empty() {
            let cause = |(field, problem): &(String, String)| {
                let reason = match problem.split(':').next() {
                    Some("Required value") => "FieldValueRequired",
                    Some("Forbidden") => "FieldValueForbidden",
                    Some("Unsupported value") => "FieldValueNotSupported",
                    _ => "FieldValueInvalid",
                };
                json!({ "reason": reason, "message": problem, "field": field })
            };
            details["causes"] = self.causes.iter().map(cause).collect();
        }
        if let Some(seconds) = self.retry_after {
            details["retryAfterSeconds"] = seconds.into();
        }
        if details != json!({}) {
            status["details"] = details;
        }
        status
    }
}
