//! Who may read the pages: anyone, or who knows the token.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use parking_lot::Mutex;
use subtle::ConstantTimeEq;
use thiserror::Error;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::files;

/// The largest file that is read: a token is some hundred bytes.
const FILE_BYTES: u64 = 64 * 1024;

/// How often the file is read again, so that a token that is replaced holds soon and requests cost no reading.
const READ_EVERY: Duration = Duration::from_secs(1);

/// A token's file that cannot be used. Holds nothing of what stands in it.
#[derive(Debug, Error)]
#[error("{}: {problem}", path.display())]
pub struct TokenError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

/// Decides whether a request may see a page.
#[derive(Clone, Debug)]
pub struct Access(Option<Arc<TokenFile>>);

impl Access {
    /// Everything is shown to everyone.
    pub fn open() -> Self {
        Self(None)
    }

    /// Requests have to carry the token that stands in this file (`Authorization: Bearer …`). The file is read again while the
    /// process runs; where it cannot be, the token before holds.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is too large, or holds no token.
    pub fn with_token(path: &Path) -> Result<Self, TokenError> {
        Ok(Self(Some(Arc::new(TokenFile {
            path: path.to_owned(),
            state: Mutex::new(Known {
                token: read(path)?,
                read_at: Instant::now(),
                problem: None,
            }),
        }))))
    }

    /// Whether a request with these headers may see everything.
    pub fn admits(&self, headers: &HeaderMap) -> bool {
        match &self.0 {
            None => true,
            Some(file) => bearer(headers).is_some_and(|shown| file.is(shown)),
        }
    }

    /// The same pages for those who are admitted, 401 for others.
    pub fn guard(&self, pages: Router) -> Router {
        pages.layer(from_fn_with_state(self.clone(), check))
    }
}

async fn check(State(access): State<Access>, request: Request, next: Next) -> Response {
    if access.admits(request.headers()) {
        return next.run(request).await;
    }
    let wanted = [(header::WWW_AUTHENTICATE, "Bearer")];
    (
        StatusCode::UNAUTHORIZED,
        wanted,
        "the token is missing, or is another one\n",
    )
        .into_response()
}

/// The token that a request shows.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().as_bytes())
}

#[derive(Debug)]
struct TokenFile {
    path: PathBuf,
    state: Mutex<Known>,
}

struct Known {
    token: Vec<u8>,
    read_at: Instant,
    /// Why it could not be read again.
    problem: Option<String>,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Known { token: hidden }")
    }
}

impl TokenFile {
    /// In a time that says nothing of where the two differ.
    fn is(&self, shown: &[u8]) -> bool {
        let mut known = self.state.lock();
        if known.read_at.elapsed() >= READ_EVERY {
            known.read_again(&self.path);
        }
        known.token.ct_eq(shown).into()
    }
}

impl Known {
    fn read_again(&mut self, path: &Path) {
        self.read_at = Instant::now();
        match read(path) {
            Ok(token) => {
                if self.token != token {
                    info!(file = %path.display(), "The token of /metrics is another one");
                }
                self.token = token;
                self.problem = None;
            }
            Err(error) => {
                if self.problem.as_ref() != Some(&error.problem) {
                    let error: &dyn std::error::Error = &error;
                    warn!(
                        error,
                        "The token of /metrics cannot be read again: the one before holds"
                    );
                }
                self.problem = Some(error.problem);
            }
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TokenError> {
    let problem = |problem: String| TokenError {
        path: path.to_owned(),
        problem,
    };
    let text = files::read_bytes(path, FILE_BYTES).map_err(|error| problem(error.to_string()))?;
    match text.trim_ascii() {
        b"" => Err(problem("is empty".to_owned())),
        token => Ok(token.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of its own for each test.
    fn file(name: &str, token: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("trimtab-access-{}-{name}", std::process::id()));
        std::fs::write(&path, token).unwrap();
        path
    }

    fn admits(access: &Access, shown: &str) -> bool {
        let mut headers = HeaderMap::new();
        if !shown.is_empty() {
            headers.insert(header::AUTHORIZATION, shown.parse().unwrap());
        }
        access.admits(&headers)
    }

    #[test]
    fn without_a_token_everyone_is_admitted() {
        assert!(admits(&Access::open(), "") && admits(&Access::open(), "Bearer x"));
    }

    #[test]
    fn only_the_token_admits() {
        let path = file("only", "s3cret\n");
        let access = Access::with_token(&path).unwrap();
        assert!(admits(&access, "Bearer s3cret") && admits(&access, "bearer s3cret"));
        for shown in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer s3cre",
            "Bearer s3cret2",
            "Basic s3cret",
            "s3cret",
        ] {
            assert!(!admits(&access, shown), "{shown:?}");
        }
        assert!(!format!("{access:?}").contains("s3cret"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_is_replaced_holds_a_second_later_and_one_that_is_gone_holds_on() {
        let path = file("replaced", "first");
        let access = Access::with_token(&path).unwrap();
        std::fs::write(&path, "second").unwrap();
        tokio::time::advance(READ_EVERY).await;
        assert!(admits(&access, "Bearer second") && !admits(&access, "Bearer first"));
        for broken in [None, Some(" \n".to_owned()), Some("x".repeat(70_000))] {
            match broken {
                None => std::fs::remove_file(&path).unwrap(),
                Some(text) => std::fs::write(&path, text).unwrap(),
            }
            tokio::time::advance(READ_EVERY).await;
            assert!(admits(&access, "Bearer second") && !admits(&access, "Bearer "));
        }
    }

    #[test]
    fn a_file_without_a_token_is_refused() {
        for text in ["", "\n"] {
            let error = Access::with_token(&file("empty", text)).unwrap_err();
            assert!(error.to_string().ends_with("is empty"), "{error}");
        }
        assert!(Access::with_token(Path::new("/nowhere/token")).is_err());
    }
}
