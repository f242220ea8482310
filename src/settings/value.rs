//! What settings are made of: each type reads itself from text and shows itself again.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::duration;

/// How many values a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One of `true` and `false`; the flag alone means `true`.
    Switch,
    /// One value.
    One,
    /// Any number of values: separated by commas, as a list, or by repeating the flag.
    Many,
}

/// A setting's type.
pub trait Value: Sized {
    /// How many values it takes.
    const SHAPE: Shape = Shape::One;
    /// What stands for the value in help texts.
    const PLACEHOLDER: &'static str;
    /// What is allowed where the declaration says no more, as a noun.
    const ALLOWED: &'static str;

    /// Reads the values given: exactly one unless the shape is [`Shape::Many`].
    ///
    /// # Errors
    ///
    /// Which of them is wrong, and how, as the end of a sentence that begins with it.
    fn read(items: &[&str]) -> Result<Self, (usize, String)>;

    /// The value as it would be written in the file.
    fn shown(&self) -> serde_json::Value;
}

/// What a setting's value must fulfil beyond its type.
pub(super) struct Limit<T> {
    /// What is allowed, as a noun.
    pub allowed: &'static str,
    /// Whether a value is.
    pub holds: fn(&T) -> bool,
}

/// Reads the one value that there is.
fn one<T>(items: &[&str], read: impl FnOnce(&str) -> Result<T, String>) -> Result<T, (usize, String)> {
    match items {
        [text] => read(text.trim()).map_err(|problem| (0, problem)),
        [] => Err((0, "is no value".into())),
        _ => Err((0, "is one of several values, and one is wanted".into())),
    }
}

/// Go's words for true and false.
pub(super) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" | "t" | "T" | "1" => Some(true),
        "false" | "False" | "FALSE" | "f" | "F" | "0" => Some(false),
        _ => None,
    }
}

impl Value for bool {
    const SHAPE: Shape = Shape::Switch;
    const PLACEHOLDER: &'static str = "BOOL";
    const ALLOWED: &'static str = "true or false";
    fn read(items: &[&str]) -> Result<Self, (usize, String)> {
        one(items, |text| {
            parse_bool(text).ok_or_else(|| "is neither true nor false".into())
        })
    }
    fn shown(&self) -> serde_json::Value {
        json!(self)
    }
}

impl Value for Duration {
    const PLACEHOLDER: &'static str = "DURATION";
    const ALLOWED: &'static str = "a duration of at least 0s";
    fn read(items: &[&str]) -> Result<Self, (usize, String)> {
        one(items, duration::parse)
    }
    fn shown(&self) -> serde_json::Value {
        json!(duration::print(*self))
    }
}

impl Value for f64 {
    const PLACEHOLDER: &'static str = "NUMBER";
    const ALLOWED: &'static str = "a number of at least 0";
    fn read(items: &[&str]) -> Result<Self, (usize, String)> {
        one(items, |text| {
            text.parse()
                .ok()
                .filter(|n: &f64| n.is_finite())
                .ok_or_else(|| "is not a number".to_owned())
        })
    }
    fn shown(&self) -> serde_json::Value {
        // Whole numbers as people write them: 10, not 10.0. Those below 2^53 are exact.
        if self.fract() == 0.0 && self.abs() < 9e15 {
            json!(*self as i64)
        } else {
            json!(self)
        }
    }
}

impl Value for u32 {
    const PLACEHOLDER: &'static str = "COUNT";
    const ALLOWED: &'static str = "a whole number of at least 0";
    fn read(items: &[&str]) -> Result<Self, (usize, String)> {
        one(items, |text| text.parse().map_err(|_| "is not a count".into()))
    }
    fn shown(&self) -> serde_json::Value {
        json!(self)
    }
}

impl Value for NonZeroU32 {
    const PLACEHOLDER: &'static str = "COUNT";
    const ALLOWED: &'static str = "a whole number of at least 1";
    fn read(items: &[&str]) -> Result<Self, (usize, String)> {
        one(items, |text| text.parse().map_err(|_| "is not a count".into()))
    }
    fn shown(&self) -> serde_json::Value {
        json!(self)
    }
}

impl Value for String {
    const PLACEHOLDER: &'static str = "NAME";
    const ALLOWED: &'static str = "text";
    fn read(items: &[&str]) -> Result<Self, (usize, String)> {
        one(items, |text| {
            if text.is_empty() {
                Err("is empty".into())
            } else {
                Ok(text.to_owned())
            }
        })
    }
    fn shown(&self) -> serde_json::Value {
        json!(self)
    }
}

impl Value for PathBuf {
    const PLACEHOLDER: &'static str = "FILE";
    const ALLOWED: &'static str = "the path of a file";
    fn read(items: &[&str]) -> Result<Self, (usize, String)> {
        String::read(items).map(Self::from)
    }
    fn shown(&self) -> serde_json::Value {
        json!(self.display().to_string())
    }
}

/// The path of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder(pub PathBuf);

impl Value for Folder {
    const PLACEHOLDER: &'static str = "FOLDER";
    const ALLOWED: &'static str = "the path of a folder";
    fn read(items: &[&str]) -> Result<Self, (usize, String)> {
        PathBuf::read(items).map(Self)
    }
    fn shown(&self) -> serde_json::Value {
        self.0.shown()
    }
}

/// A setting that may be left out, and has no default then.
impl<T: Value> Value for Option<T> {
    const SHAPE: Shape = T::SHAPE;
    const PLACEHOLDER: &'static str = T::PLACEHOLDER;
    const ALLOWED: &'static str = T::ALLOWED;
    fn read(items: &[&str]) -> Result<Self, (usize, String)> {
        if items.is_empty() {
            Ok(None)
        } else {
            T::read(items).map(Some)
        }
    }
    fn shown(&self) -> serde_json::Value {
        self.as_ref().map_or(serde_json::Value::Null, T::shown)
    }
}

/// Names of Kubernetes objects.
impl Value for Vec<String> {
    const SHAPE: Shape = Shape::Many;
    const PLACEHOLDER: &'static str = "NAME,…";
    const ALLOWED: &'static str = "names of lower-case letters, digits and '-', at most 63 long";
    fn read(items: &[&str]) -> Result<Self, (usize, String)> {
        let mut names = Self::new();
        for (index, item) in items.iter().enumerate() {
            let name = item.trim();
            if !is_label(name) {
                return Err((index, "is not a name".into()));
            }
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }
    fn shown(&self) -> serde_json::Value {
        json!(self)
    }
}

/// RFC 1123, as Kubernetes checks the names of namespaces (apimachinery's `IsDNS1123Label`).
pub(super) fn is_label(name: &str) -> bool {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let inner = name.bytes().all(|b| letter(b) || b == b'-');
    inner && name.len() <= 63 && name.bytes().next().is_some_and(letter) && name.bytes().last().is_some_and(letter)
}

/// How something is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For machines.
    Json,
}

impl Value for Format {
    const PLACEHOLDER: &'static str = "FORMAT";
    const ALLOWED: &'static str = "text or json";
    fn read(items: &[&str]) -> Result<Self, (usize, String)> {
        one(items, |text| match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("is not a format".into()),
        })
    }
    fn shown(&self) -> serde_json::Value {
        json!(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// Which log lines are written: levels, for all or by target (`info,kube=warn`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    /// As written, in the words of tracing's filter.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for LogFilter {
    const PLACEHOLDER: &'static str = "FILTER";
    const ALLOWED: &'static str = "levels, for all or by target, such as info,trimtab::decide=debug; \
         the levels are off, error, warn, info, debug and trace";
    fn read(items: &[&str]) -> Result<Self, (usize, String)> {
        one(items, |text| {
            let level = |word: &str| ["off", "error", "warn", "info", "debug", "trace"].contains(&word);
            let target = |word: &str| {
                !word.is_empty()
                    && word
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':' | b'-'))
            };
            let right = text
                .split(',')
                .map(str::trim)
                .all(|directive| match directive.split_once('=') {
                    Some((name, word)) => target(name) && level(word),
                    None => level(directive),
                });
            if right {
                Ok(Self(text.to_owned()))
            } else {
                Err("is not a filter".into())
            }
        })
    }
    fn shown(&self) -> serde_json::Value {
        json!(self.0)
    }
}

/// Where the metrics and health endpoints are served, if anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen(pub Option<SocketAddr>);

impl Value for Listen {
    const PLACEHOLDER: &'static str = "ADDRESS";
    const ALLOWED: &'static str = "an address with a port (127.0.0.1:8080, [::1]:8080, :8080), or none";
    fn read(items: &[&str]) -> Result<Self, (usize, String)> {
        one(items, |text| {
            if text == "none" {
                return Ok(Self(None));
            }
            if let Some(port) = text.strip_prefix(':').and_then(|port| port.parse().ok()) {
                return Ok(Self(Some((Ipv4Addr::UNSPECIFIED, port).into())));
            }
            text.parse()
                .map(|address| Self(Some(address)))
                .map_err(|_| "is not an address with a port".into())
        })
    }
    fn shown(&self) -> serde_json::Value {
        self.0
            .map_or_else(|| json!("none"), |address| json!(address.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_levels_by_target() {
        assert!(LogFilter::read(&["info,kube=warn,trimtab::decide=debug"]).is_ok());
        for text in ["", "loud", "trimtab=loud", "=info", "info,"] {
            assert!(LogFilter::read(&[text]).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_may_be_a_port_alone_or_none() {
        let read = |text| Listen::read(&[text]).map(|listen| listen.shown());
        assert_eq!(read(":9000"), Ok(json!("0.0.0.0:9000")));
        assert_eq!(read("[::1]:9000"), Ok(json!("[::1]:9000")));
        assert_eq!(read("none"), Ok(json!("none")));
        assert!(read("9000").is_err());
        assert!(read(":99999").is_err());
    }

    #[test]
    fn namespaces_are_names_and_counted_once() {
        assert_eq!(
            Vec::read(&["shop", " web ", "shop"]),
            Ok(vec!["shop".to_owned(), "web".to_owned()])
        );
        assert_eq!(
            Vec::<String>::read(&["shop", "Web"]).map_err(|(index, _)| index),
            Err(1)
        );
        assert!(Vec::<String>::read(&[""]).is_err());
    }
}
