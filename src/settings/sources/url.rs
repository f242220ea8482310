//! The address of a Prometheus.

use http::Uri;
use serde_json::json;

use crate::settings::value::Value;

/// An address of `http` or `https`, with a path where it has one; without credentials, query and a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url(String);

impl Url {
    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads an address.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence that begins with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|_| "is not a URL".to_owned())?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err("does not begin with http:// or https://".to_owned());
        }
        let Some(authority) = uri.authority().filter(|authority| !authority.host().is_empty()) else {
            return Err("names no host".to_owned());
        };
        if authority.as_str().contains('@') {
            return Err("holds credentials; they belong in files: basic-auth, bearer-token-file".to_owned());
        }
        if text.contains(['?', '#']) {
            return Err("holds a query; such parameters belong in query-parameters".to_owned());
        }
        // A path through an API server has it in its middle.
        let base = text.trim_end_matches('/').trim_end_matches("/query");
        if let Some(base) = base.strip_suffix("/api/v1") {
            return Err(format!("is too long: trimtab adds /api/v1/query itself ({base}?)"));
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

impl Value for Url {
    const PLACEHOLDER: &'static str = "URL";
    const ALLOWED: &'static str = "an http or https URL without credentials and query";
    fn read(items: &[&str]) -> Result<Self, (usize, String)> {
        match items {
            [text] => Self::parse(text.trim()).map_err(|problem| (0, problem)),
            _ => Err((0, "is not one value".into())),
        }
    }
    fn shown(&self) -> serde_json::Value {
        json!(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_scheme_a_host_and_maybe_a_path() {
        for (text, url) in [
            ("http://localhost:9090", "http://localhost:9090"),
            ("https://mimir.example/prometheus/", "https://mimir.example/prometheus"),
            ("http://[::1]:9090/", "http://[::1]:9090"),
            (
                "http://[::1]:8001/api/v1/namespaces/m/services/prometheus:9090/proxy/",
                "http://[::1]:8001/api/v1/namespaces/m/services/prometheus:9090/proxy",
            ),
        ] {
            assert_eq!(Url::parse(text), Ok(Url(url.into())), "{text}");
        }
    }

    #[test]
    fn everything_else_says_where_it_belongs() {
        for (text, problem) in [
            ("localhost:9090", "does not begin with http"),
            ("prometheus", "does not begin with http"),
            ("ftp://a", "does not begin with http"),
            ("http://", "is not a URL"),
            ("http://a b", "is not a URL"),
            ("http://user:word@a", "holds credentials"),
            ("http://a/?dedup=true", "holds a query"),
            (
                "http://a/x/api/v1/query",
                "trimtab adds /api/v1/query itself (http://a/x?)",
            ),
        ] {
            let found = Url::parse(text).unwrap_err();
            assert!(found.contains(problem), "{text}: {found}");
        }
    }
}
