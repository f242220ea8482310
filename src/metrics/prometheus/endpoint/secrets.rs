//! What an endpoint was told in confidence is taken out of what it says: its words go into conditions, which others read.

use http::{HeaderMap, header};

use super::files::Files;
use crate::settings::sources::Endpoint;

/// Shorter values are no secrets (`true`, `0042`), and would be found in many words.
const SHORTEST: usize = 6;

/// What stands in place of a secret.
const HIDDEN: &str = "…";

/// What requests carry, and nobody else may read.
#[derive(Clone, Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// Of requests with these `headers`.
    pub(super) fn of(settings: &Endpoint, files: &Files, headers: &HeaderMap) -> Self {
        let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let as_sent = authorization
            .and_then(|value| value.split_once(' '))
            .map(|(_, sent)| sent.to_owned());
        let values = settings.headers.values().chain(settings.query_parameters.values());
        let all = values.cloned().chain(files.secret.clone()).chain(as_sent);
        let mut secrets: Vec<String> = all.filter(|secret| secret.len() >= SHORTEST).collect();
        // A secret that holds another one goes first, so that nothing of it stays.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(secrets)
    }

    /// `text` without them.
    pub(super) fn out_of(&self, text: String) -> String {
        self.0.iter().fold(text, |text, secret| match text.contains(secret) {
            true => text.replace(secret, HIDDEN),
            false => text,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_taken_out_and_short_values_are_none() {
        let secrets = Secrets(vec!["long secret".to_owned(), "secret".to_owned()]);
        assert_eq!(secrets.out_of("a long secret, secretly".to_owned()), "a …, …ly");
        assert_eq!(Secrets::default().out_of("all".to_owned()), "all");
    }
}
