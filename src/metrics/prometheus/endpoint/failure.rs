//! Why an endpoint gave no answer, and what would help.

use std::error::Error;
use std::io;
use std::sync::Arc;

use http::StatusCode;

use super::super::answer::{AnswerError, refusal, shortened};
use crate::metrics::failure::{SourceError, SourceName};
use crate::observe::FailureKind;

/// A question without an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct QueryError {
    /// In which way it failed.
    pub failure: QueryFailure,
    /// What went wrong and what would help: the same text each time, without secrets, of bounded length.
    pub message: String,
}

/// The ways in which a question to an endpoint fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueryFailure {
    /// No connection, or it broke.
    Unreachable,
    /// No trust: the server's certificate, or ours.
    Tls,
    /// No answer in time, or the server itself ran out of time.
    TimedOut,
    /// 401, 403, or our own credentials cannot be read.
    Unauthorized,
    /// 404, a redirect: something else is there.
    WrongAddress,
    /// `bad_data`: the query is wrong as it stands.
    BadQuery,
    /// `execution`: the query cannot be answered from the series that there are.
    Execution,
    /// 413, 414: the query is too long for the server, or for a proxy before it.
    QueryTooLong,
    /// 429, 503: asked to come back later.
    Overloaded,
    /// Another 5xx.
    Server,
    /// The answer is larger than what is read.
    TooLarge,
    /// The answer is not what the API promises.
    Unreadable,
}

impl QueryFailure {
    /// The kind of failure that it means for a metric.
    pub fn kind(self) -> FailureKind {
        match self {
            Self::Unreachable | Self::Tls | Self::WrongAddress | Self::Overloaded | Self::Server => {
                FailureKind::Unavailable
            }
            Self::TimedOut => FailureKind::TimedOut,
            Self::Unauthorized => FailureKind::Forbidden,
            Self::BadQuery | Self::Execution | Self::QueryTooLong => FailureKind::BadQuery,
            Self::TooLarge | Self::Unreadable => FailureKind::BadAnswer,
        }
    }

    /// Whether the server has trouble, so that asking less helps.
    pub fn strains(self) -> bool {
        matches!(
            self,
            Self::Unreachable | Self::TimedOut | Self::Overloaded | Self::Server
        )
    }

    /// Whether it may lie with a part of what a merged query asks for, so that its other parts have an answer.
    pub fn may_lie_with_a_part(self) -> bool {
        matches!(self, Self::Execution | Self::QueryTooLong | Self::TooLarge)
    }

    /// Whether it says something of the one query, and nothing of the endpoint.
    pub fn is_of_the_query(self) -> bool {
        self.may_lie_with_a_part() || self == Self::BadQuery
    }
}

impl QueryError {
    pub(crate) fn new(failure: QueryFailure, message: impl Into<String>) -> Self {
        Self {
            failure,
            message: message.into(),
        }
    }

    /// A request that could not be sent, or whose answer broke off. `error` is that of the HTTP client.
    pub(super) fn unsent(error: &(dyn Error + 'static)) -> Self {
        let client = find::<reqwest::Error>(error);
        if client.is_some_and(reqwest::Error::is_timeout) {
            return Self::new(QueryFailure::TimedOut, "no connection in time");
        }
        if let Some(tls) = find::<rustls::Error>(error) {
            return Self::new(
                QueryFailure::Tls,
                format!("{} ({})", shortened(&tls.to_string()), tls_remedy(tls)),
            );
        }
        let text = shortened(&causes(error));
        match client {
            Some(client) if client.is_connect() => Self::new(
                QueryFailure::Unreachable,
                format!("{text} (is the `url` right, and the server up?)"),
            ),
            _ => Self::new(QueryFailure::Unreachable, text),
        }
    }

    /// An answer with a code that says no. `text` is its body as far as it was read, `leads_to` where a redirect leads.
    pub(super) fn refused(code: StatusCode, leads_to: Option<&str>, text: &str) -> Self {
        let said = refusal(text);
        let said_text = said.as_ref().map(|(kind, message)| format!("{kind}: {message}"));
        let with_code = |remedy: &str| match &said_text {
            Some(said) => format!("{code}: {said}{remedy}"),
            None => format!("{code}{remedy}"),
        };
        let of_kind = |wanted: &str| said.as_ref().is_some_and(|(kind, _)| kind == wanted);
        match code.as_u16() {
            300..=399 => Self::new(
                QueryFailure::WrongAddress,
                format!(
                    "{code} to {} (the `url` must be the address of the API itself)",
                    leads_to.unwrap_or("nowhere")
                ),
            ),
            401 => Self::new(
                QueryFailure::Unauthorized,
                with_code(" (see `bearer-token-file`, `basic-auth` and the client certificate)"),
            ),
            403 => Self::new(
                QueryFailure::Unauthorized,
                with_code(" (the server knows who asks, and does not allow it)"),
            ),
            404 => Self::new(
                QueryFailure::WrongAddress,
                with_code(" (does the `url` lack a path, such as /prometheus?)"),
            ),
            413 | 414 => Self::new(QueryFailure::QueryTooLong, with_code("")),
            _ if of_kind("bad_data") => Self::new(QueryFailure::BadQuery, said_text.unwrap_or_default()),
            _ if of_kind("execution") => Self::new(QueryFailure::Execution, said_text.unwrap_or_default()),
            _ if of_kind("timeout") || of_kind("canceled") => Self::new(QueryFailure::TimedOut, with_code("")),
            429 | 503 => Self::new(QueryFailure::Overloaded, with_code("")),
            500..=599 => Self::new(QueryFailure::Server, with_code("")),
            400 | 422 => Self::new(QueryFailure::BadQuery, with_code("")),
            _ => Self::new(QueryFailure::Unreadable, with_code("")),
        }
    }

    /// An answer that cannot be used.
    pub(super) fn unusable(error: &AnswerError) -> Self {
        let failure = match error {
            AnswerError::Json(_) => QueryFailure::Unreadable,
            AnswerError::Refused { kind, .. } if kind == "execution" => QueryFailure::Execution,
            AnswerError::Refused { kind, .. } if kind == "bad_data" => QueryFailure::BadQuery,
            AnswerError::Refused { .. } => QueryFailure::Server,
            AnswerError::Shape(_) => QueryFailure::BadQuery,
            // One namespace's histograms are no reason to fail the others.
            AnswerError::Histogram => QueryFailure::Execution,
            AnswerError::TooMany => QueryFailure::TooLarge,
        };
        let message = match error.source() {
            Some(cause) => format!("{error}: {}", shortened(&cause.to_string())),
            None => error.to_string(),
        };
        Self::new(failure, message)
    }

    /// What it is to all who waited for it.
    pub(crate) fn of(self, endpoint: &Arc<str>) -> SourceError {
        SourceError {
            asked: SourceName::Prometheus(endpoint.clone()),
            kind: self.failure.kind(),
            message: self.message.clone(),
            strains: self.failure.strains(),
            source: Some(Arc::new(self)),
        }
    }
}

fn tls_remedy(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(_) => {
            "does `ca-file` hold the authority of the server's certificate, and is the `url`'s host a name of it?"
        }
        rustls::Error::AlertReceived(_) => "does the server want a client certificate, and of which authority?",
        _ => "does the server speak TLS at this `url`?",
    }
}

/// The error of type `T` among the causes of `error`. An `io::Error` hides what it wraps from `source`.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut cause = Some(error);
    while let Some(here) = cause {
        if let Some(found) = here.downcast_ref::<T>() {
            return Some(found);
        }
        cause = match here.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => here.source(),
        };
    }
    None
}

/// The causes below the HTTP client's own error, whose text has the whole address in it, each said once.
fn causes(error: &(dyn Error + 'static)) -> String {
    let top: &dyn Error = match find::<reqwest::Error>(error) {
        Some(client) => client.source().unwrap_or(error),
        None => error,
    };
    let mut text = top.to_string();
    let mut cause = top.source();
    while let Some(here) = cause {
        let more = here.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = here.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16, text: &str) -> (QueryFailure, String) {
        let error = QueryError::refused(StatusCode::from_u16(code).unwrap(), None, text);
        (error.failure, error.message)
    }

    #[test]
    fn prometheus_own_words_come_first() {
        let bad = r#"{"status":"error","errorType":"bad_data","error":"1:5: parse error: no"}"#;
        assert_eq!(
            refused(400, bad),
            (QueryFailure::BadQuery, "bad_data: 1:5: parse error: no".into())
        );
        let execution = r#"{"status":"error","errorType":"execution","error":"many-to-many"}"#;
        assert_eq!(refused(422, execution).0, QueryFailure::Execution);
        let timeout = r#"{"status":"error","errorType":"timeout","error":"query timed out"}"#;
        assert_eq!(refused(503, timeout).0, QueryFailure::TimedOut);
    }

    #[test]
    fn codes_without_words_become_failures() {
        for (code, expected) in [
            (302, QueryFailure::WrongAddress),
            (400, QueryFailure::BadQuery),
            (401, QueryFailure::Unauthorized),
            (403, QueryFailure::Unauthorized),
            (404, QueryFailure::WrongAddress),
            (413, QueryFailure::QueryTooLong),
            (422, QueryFailure::BadQuery),
            (429, QueryFailure::Overloaded),
            (500, QueryFailure::Server),
            (502, QueryFailure::Server),
            (503, QueryFailure::Overloaded),
            (418, QueryFailure::Unreadable),
        ] {
            let (failure, message) = refused(code, "<html>a page with request id 7a8b</html>");
            assert_eq!(failure, expected, "{code}");
            // A proxy's page may differ each time, and a condition must not.
            assert!(!message.contains("7a8b"), "{message}");
        }
    }

    #[test]
    fn what_lies_with_the_query_does_not_strain_the_endpoint() {
        use QueryFailure::{BadQuery, Execution, QueryTooLong, TooLarge};
        for failure in [BadQuery, Execution, QueryTooLong, TooLarge] {
            assert!(failure.is_of_the_query() && !failure.strains());
        }
        assert!(!BadQuery.may_lie_with_a_part());
    }
}
