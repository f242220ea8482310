//! Why a request has no answer.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use http::StatusCode;
use kube::client::AuthError;
use kube::core::Status;

use super::protobuf;

/// The most of a server's own text that goes into a message: refusals are kept, told in logs and conditions, and there is one for
/// each question of a pass.
const MESSAGE_CHARS: usize = 1024;

/// The most of what a credential plug-in says on its standard error that is repeated.
const PLUGIN_CHARS: usize = 300;

/// The most causes of a refusal that are kept. Whether there are any is what counts.
const MOST_CAUSES: usize = 16;

/// A request without the answer that was asked for: what was asked, and why.
///
/// Prints as `GET /api/v1/pods: pods is forbidden: …`, with the server's own message where it gave one.
#[derive(Debug)]
pub struct WireError {
    attempted: String,
    failure: WireFailure,
    message: String,
    refusal: Option<Box<Refusal>>,
}

/// A server's no.
#[derive(Debug)]
struct Refusal {
    code: StatusCode,
    retry_after: Option<Duration>,
    status: Option<Status>,
}

/// The ways in which a request fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WireFailure {
    /// 400, or the request could not even be made.
    BadRequest,
    /// 401: the credentials are not known.
    Unauthorized,
    /// 403: the credentials do not allow it.
    Forbidden,
    /// 404: no such object, or no such API.
    NotFound,
    /// 409: the object has changed.
    Conflict,
    /// 410: the resource version is too old.
    Gone,
    /// 422: the object is refused as it is, or a JSON patch's test failed.
    Invalid,
    /// 429: asked to come back later.
    TooManyRequests,
    /// 500, 502, 503, 504: the server, or one behind it, cannot answer now.
    Unavailable,
    /// No answer within the time limit. It may have been carried out.
    TimedOut,
    /// The answer is larger than the limit.
    TooLarge,
    /// No connection, or it broke. The request may have been carried out.
    Connection,
    /// Anything else.
    Other,
}

impl WireFailure {
    fn of(code: StatusCode) -> Self {
        match code.as_u16() {
            400 => Self::BadRequest,
            401 => Self::Unauthorized,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            409 => Self::Conflict,
            410 => Self::Gone,
            422 => Self::Invalid,
            429 => Self::TooManyRequests,
            500 | 502 | 503 | 504 => Self::Unavailable,
            _ => Self::Other,
        }
    }

    /// A short name for labels and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequest",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "NotFound",
            Self::Conflict => "Conflict",
            Self::Gone => "Gone",
            Self::Invalid => "Invalid",
            Self::TooManyRequests => "TooManyRequests",
            Self::Unavailable => "Unavailable",
            Self::TimedOut => "TimedOut",
            Self::TooLarge => "TooLarge",
            Self::Connection => "Connection",
            Self::Other => "Other",
        }
    }
}

impl WireError {
    /// A failure of the request `attempted`, such as `GET /api/v1/pods`. Of a long `message` the end is left out: it may quote what
    /// could not be read.
    pub fn new(attempted: String, failure: WireFailure, message: String) -> Self {
        Self {
            attempted,
            failure,
            message: shortened(message),
            refusal: None,
        }
    }

    pub(super) fn timed_out(attempted: String, limit: Duration) -> Self {
        let message = format!("no answer within {}", humantime::format_duration(limit));
        Self::new(attempted, WireFailure::TimedOut, message)
    }

    /// The connection, or something before it, failed.
    pub(super) fn unsent(attempted: &str, error: kube::Error) -> Self {
        let failure = match &error {
            kube::Error::Auth(_) => WireFailure::Unauthorized,
            _ => WireFailure::Connection,
        };
        Self::new(attempted.to_owned(), failure, causes(&error))
    }

    /// The server said no, with `text` as the body.
    pub(super) fn refused(attempted: &str, code: StatusCode, retry_after: Option<Duration>, text: &[u8]) -> Self {
        // In the form that was asked for, which may be either.
        let mut status: Option<Status> = protobuf::status(text)
            .ok()
            .or_else(|| serde_json::from_slice(text).ok());
        if let Some(status) = &mut status {
            bound(status);
        }
        let said = status
            .as_ref()
            .map(|status| status.message.clone())
            .filter(|message| !message.is_empty());
        let message = said.unwrap_or_else(|| {
            let text = shortened(String::from_utf8_lossy(text).trim().to_owned());
            if text.is_empty() {
                code.to_string()
            } else {
                format!("{code}: {text}")
            }
        });
        let asked_to_wait = status
            .as_ref()
            .and_then(|status| status.details.as_ref())
            .map(|d| d.retry_after_seconds);
        let asked_to_wait = asked_to_wait.filter(|s| *s > 0).map(|s| Duration::from_secs(s.into()));
        let refusal = Refusal {
            code,
            retry_after: retry_after.or(asked_to_wait),
            status,
        };
        Self {
            attempted: attempted.to_owned(),
            failure: WireFailure::of(code),
            message,
            refusal: Some(Box::new(refusal)),
        }
    }

    /// What kind of failure it is.
    pub fn failure(&self) -> WireFailure {
        self.failure
    }

    /// A short name of the failure, from a closed list.
    pub fn reason(&self) -> &'static str {
        self.failure.as_str()
    }

    /// What went wrong, without what was attempted.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The HTTP status code, where the server answered.
    pub fn code(&self) -> Option<u16> {
        self.refusal.as_ref().map(|refusal| refusal.code.as_u16())
    }

    /// How long the server asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.refusal.as_ref()?.retry_after
    }

    /// The server's `Status` object, where it gave one.
    pub fn status(&self) -> Option<&Status> {
        self.refusal.as_ref()?.status.as_ref()
    }
}

/// As much of a server's text as is kept, on one line: it is told in logs, where a second line would look like one of ours.
pub fn shortened(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MESSAGE_CHARS) {
        text.truncate(end);
        text.shrink_to_fit();
        text.push('…');
    }
    match text.contains(char::is_control) {
        true => text.replace(char::is_control, " "),
        false => text,
    }
}

/// Leaves of a refusal what is used: whoever answers for an API group of an adapter writes it.
fn bound(status: &mut Status) {
    status.message = shortened(std::mem::take(&mut status.message));
    status.reason = shortened(std::mem::take(&mut status.reason));
    status.metadata = None;
    if let Some(details) = &mut status.details {
        details.causes.truncate(MOST_CAUSES);
        details.causes.shrink_to_fit();
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.attempted, self.message)
    }
}

// The causes are in the message already: those of kube and hyper repeat one another, and so cannot be printed as a chain.
impl Error for WireError {}

/// An error with its causes, each said once: those of kube and hyper repeat one another. What a credential plug-in printed is not
/// said, nor are credentials in a proxy's address.
pub fn causes(error: &kube::Error) -> String {
    if let Some(text) = without_proxy(error) {
        return text;
    }
    // kube's own texts say what its type is called, then repeat their cause.
    let mut cause = error.source().unwrap_or(error);
    let mut text = String::new();
    loop {
        let plugin = cause.downcast_ref().and_then(of_plugin);
        let is_of_plugin = plugin.is_some();
        let more = plugin.unwrap_or_else(|| cause.to_string());
        if text.is_empty() {
            text = more;
        } else if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        match cause.source() {
            Some(next) if !is_of_plugin => cause = next,
            _ => return text,
        }
    }
}

/// What went wrong with a credential plug-in (`exec` in a kubeconfig), where kube would tell what it printed, which is a token, or
/// its command with the environment. A short word of its standard error is made for such a message.
fn of_plugin(error: &AuthError) -> Option<String> {
    match error {
        AuthError::AuthExecRun { out, .. } => {
            let said = String::from_utf8_lossy(&out.stderr);
            let said: String = said.trim().chars().take(PLUGIN_CHARS).collect();
            let said = if said.is_empty() { said } else { format!(": {said}") };
            Some(format!(
                "the kubeconfig's credential plug-in ended with {}{said}",
                out.status
            ))
        }
        AuthError::AuthExecParse(_) => {
            Some("what the kubeconfig's credential plug-in printed is no ExecCredential".to_owned())
        }
        _ => None,
    }
}

/// What is wrong with a proxy, where kube would tell its address with user and password.
fn without_proxy(error: &kube::Error) -> Option<String> {
    let (address, problem) = match error {
        kube::Error::ProxyProtocolUnsupported { proxy_url } => (proxy_url, "is of no protocol that is known"),
        kube::Error::ProxyProtocolDisabled { proxy_url, .. } => (proxy_url, "is of a protocol that is not supported"),
        _ => return None,
    };
    let (scheme, host) = (
        address.scheme_str().unwrap_or_default(),
        address.host().unwrap_or_default(),
    );
    Some(format!(
        "the proxy {scheme}://{host} {problem}; http:// and https:// are"
    ))
}
