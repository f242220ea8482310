//! Parameters in a URL.

use std::fmt::Write;

/// `path` with `query` behind it, form-encoded as Kubernetes' clients do it (a space is `+`).
///
/// Parameters with empty values are left out, as by Kubernetes' clients. `path` is taken as it is.
pub fn path_and_query(path: &str, query: &[(&str, &str)]) -> String {
    let mut target = path.to_owned();
    let mut separator = '?';
    for (name, value) in query.iter().filter(|(_, value)| !value.is_empty()) {
        target.push(separator);
        encode(&mut target, name);
        target.push('=');
        encode(&mut target, value);
        separator = '&';
    }
    target
}

/// `text` as one segment of a path: nothing in it can lead elsewhere.
pub fn path_segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b':' => segment.push(byte.into()),
            _ => write!(segment, "%{byte:02X}").expect("writing to a String does not fail"),
        }
    }
    // A server or a proxy may resolve these two before it looks at anything else.
    match segment.as_str() {
        "." | ".." => segment.replace('.', "%2E"),
        _ => segment,
    }
}

fn encode(target: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' => target.push(byte.into()),
            b' ' => target.push('+'),
            _ => write!(target, "%{byte:02X}").expect("writing to a String does not fail"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_stays_one() {
        assert_eq!(path_segment("web-1.x"), "web-1.x");
        assert_eq!(path_segment("a/b?c*d|e"), "a%2Fb%3Fc%2Ad%7Ce");
        assert_eq!(path_segment(".."), "%2E%2E");
    }

    #[test]
    fn a_selector_is_encoded_as_kubernetes_does_it() {
        let query = [
            ("labelSelector", "app=web,!canary,tier in (a,b)"),
            ("metricLabelSelector", ""),
        ];
        let expected = "/apis/x?labelSelector=app%3Dweb%2C%21canary%2Ctier+in+%28a%2Cb%29";
        assert_eq!(path_and_query("/apis/x", &query), expected);
        assert_eq!(path_and_query("/x", &[("a", "1"), ("b", "é")]), "/x?a=1&b=%C3%A9");
        assert_eq!(path_and_query("/x", &[]), "/x");
    }
}
