//! `NAMESPACE/NAME` on the command line.

use clap::{Arg, ArgMatches};

use crate::spec::Key;

/// The argument that names one autoscaler.
pub(super) fn argument() -> Arg {
    Arg::new("autoscaler")
        .value_name("NAMESPACE/NAME")
        .help("The autoscaler")
        .value_parser(parse)
}

/// The autoscaler that was named, if one was.
pub(super) fn key(matches: &ArgMatches) -> Option<Key> {
    matches.get_one::<Key>("autoscaler").cloned()
}

fn parse(text: &str) -> Result<Key, String> {
    let (namespace, name) = text
        .split_once('/')
        .ok_or("a namespace and a name are wanted, as in shop/web")?;
    match (is_name(namespace), is_name(name)) {
        (true, true) => Ok(Key::new(namespace, name)),
        (false, _) => Err(format!("{namespace:?} is not a namespace")),
        (true, false) => Err(format!("{name:?} is not the name of an autoscaler")),
    }
}

/// What the API server takes as names, and nothing that could lead elsewhere in a URL.
pub(super) fn is_name(text: &str) -> bool {
    let letters = text
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
    letters && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.len() <= 253
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_a_namespace_and_leads_nowhere_else() {
        assert_eq!(parse("shop/web.v2"), Ok(Key::new("shop", "web.v2")));
        for text in ["web", "shop/", "/web", "shop/../x", "../web", "shop/Web", "a/b/c", ""] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
